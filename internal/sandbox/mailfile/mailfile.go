// Package mailfile reads mail from a folder: .eml files, mbox files and files
// of one message under any name, maildirs among them.
//
// Every message is normalised once, here: line ends become CRLF and an mbox
// From_ line in front is dropped. Nothing else is touched, however broken the
// message is: what a parser would refuse is still a message in somebody's
// mailbox.
package mailfile

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A Message is one message of a folder.
type Message struct {
	Path     string // of its file, relative to the folder
	Date     time.Time
	Keywords []string // from a maildir's file name
	Raw      []byte
}

// maxFile bounds one file.
const maxFile = 1 << 30

// Load reads a folder and all below it, in the order of names. Files whose
// name begins with a dot, and files that look like no message, are left out
// and counted in skipped; a file that cannot be read is an error.
func Load(dir string) (messages []Message, skipped int, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != dir && strings.HasPrefix(d.Name(), ".") && !maildirFolder(d):
			if d.IsDir() {
				return fs.SkipDir
			}
			skipped++
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(path) // what a symbolic link leads to
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		if info.Size() > maxFile {
			return fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		found := parseFile(name, content, info.ModTime())
		if len(found) == 0 {
			skipped++
		}
		messages = append(messages, found...)
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("load mail from %s: %w", dir, err)
	}
	return messages, skipped, nil
}

// maildirFolder: Maildir++ keeps its folders as .Sent, .Archive.Old.
func maildirFolder(d fs.DirEntry) bool {
	return d.IsDir() && len(d.Name()) > 1 && d.Name()[1] >= 'A' && d.Name()[1] <= 'Z'
}

// fieldLine begins a file that holds a message.
var fieldLine = regexp.MustCompile(`^(>?From |[!-9;-~]{1,76}[ \t]*:)`)

func parseFile(name string, content []byte, modified time.Time) []Message {
	if len(content) == 0 {
		return nil
	}
	ext := strings.ToLower(filepath.Ext(name))
	if ext != ".eml" && !fieldLine.Match(content) {
		return nil
	}
	if ext == ".md" || ext == ".txt" && !bytes.HasPrefix(content, []byte("From ")) {
		// Text whose first words happen to end in a colon.
		if !bytes.Contains(content, []byte("\nFrom:")) && !bytes.HasPrefix(content, []byte("From:")) {
			return nil
		}
	}
	if ext != ".eml" && postmark.Match(content) {
		return splitMbox(name, content, modified)
	}
	return []Message{one(name, content, modified)}
}

// one makes a message of a file, or of a part of an mbox.
func one(name string, content []byte, modified time.Time) Message {
	var stamped time.Time
	if bytes.HasPrefix(content, []byte("From ")) || bytes.HasPrefix(content, []byte(">From ")) {
		line, rest, _ := bytes.Cut(content, []byte("\n"))
		stamped, content = postmarkDate(string(line)), rest
	}
	m := Message{Path: name, Raw: Normalise(content), Keywords: flags(name)}
	for _, date := range []time.Time{headerDate(m.Raw), stamped, modified} {
		if m.Date = date; !date.IsZero() {
			break
		}
	}
	return m
}

// Normalise gives every line the ending CRLF. It copies only when it must.
func Normalise(raw []byte) []byte {
	bare := bytes.Count(raw, []byte("\n")) - bytes.Count(raw, []byte("\r\n"))
	if bare == 0 {
		return raw
	}
	out := make([]byte, 0, len(raw)+bare)
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// headerDate is the Date field as net/mail reads it, or with what real mail
// does to it taken away; zero when there is nothing to read.
func headerDate(raw []byte) time.Time {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	head = bytes.ReplaceAll(bytes.ReplaceAll(head, []byte("\r\n "), []byte(" ")), []byte("\r\n\t"), []byte(" "))
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !strings.EqualFold(strings.TrimSpace(string(name)), "Date") {
			continue
		}
		if t := looseDate(string(value)); !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

var (
	comment = regexp.MustCompile(`\([^)]*\)`)
	zone    = regexp.MustCompile(`([+-])(\d)(\d{2})$`)
)

// layouts beyond RFC 5322 that were seen in real mail.
var layouts = []string{
	"Mon, 2 Jan 2006 15:04:05", "Mon, 2 Jan 06 15:04:05 -0700", "2 Jan 06 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700",
	"Mon, 2 Jan 2006 15:04:05 MST", "Mon, 2 Jan 2006 15:04 -0700", "Mon, 2 Jan 2006 15:04:05 -0700 MST", "Mon Jan 2 15:04:05 2006",
	"Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04:05 -0700 2006", "Mon, 2-Jan-2006 15:04:05 -0700", "Monday, 2 Jan 2006 15:04:05 -0700",
	"Mon, 2 January 2006 15:04:05 -0700", "Mon, Jan 2 2006 15:04:05 -0700", time.RFC3339, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05",
	"2006/01/02 15:04:05", "1/2/2006 3:04:05 PM", "Mon, 2 Jan 2006 3:04:05 PM -0700", "Mon, 02 Jan 2006",
}

func looseDate(text string) time.Time {
	text = strings.TrimSpace(text)
	if t, err := mail.ParseDate(text); err == nil {
		return plausible(t)
	}
	text = strings.Join(strings.Fields(comment.ReplaceAllString(text, " ")), " ")
	text = zone.ReplaceAllString(text, "${1}0$2$3")
	if t, err := mail.ParseDate(text); err == nil {
		return plausible(t)
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil {
			return plausible(t)
		}
	}
	return time.Time{}
}

// plausible drops dates that no API could carry.
func plausible(t time.Time) time.Time {
	if t.Year() < 1970 || t.Year() > 2200 {
		return time.Time{}
	}
	return t.UTC()
}

// flags reads a maildir's info suffix: name:2,FS.
func flags(name string) []string {
	_, info, ok := strings.Cut(filepath.Base(name), ":2,")
	if !ok {
		return nil
	}
	var out []string
	for _, f := range info {
		switch f {
		case 'S':
			out = append(out, "$seen")
		case 'F':
			out = append(out, "$flagged")
		case 'R':
			out = append(out, "$answered")
		case 'D':
			out = append(out, "$draft")
		case 'P':
			out = append(out, "$forwarded")
		}
	}
	return out
}
