package mailfile

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// postmark is an mbox's From_ line (RFC 4155): a sender and a date as asctime
// writes it. The date is asked for, so that a line of a text that begins with
// "From " and was not quoted splits nothing.
var postmark = regexp.MustCompile(`^From \S.*(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec|\d).*\d`)

// quoted is a line that begins with From_ in the message (mboxrd).
var quoted = regexp.MustCompile(`^>+From `)

// splitMbox takes an mbox apart. A message ends before an empty line that a
// From_ line follows, or with the file; the quoting of mboxrd is undone.
func splitMbox(name string, content []byte, modified time.Time) []Message {
	var out []Message
	var current []byte
	blank := true // the start of the file counts as an empty line
	flush := func() {
		if len(bytes.TrimSpace(current)) == 0 {
			return
		}
		// The empty line in front of a From_ line is the format's own.
		current = bytes.TrimSuffix(bytes.TrimSuffix(current, []byte("\n")), []byte("\r"))
		if !bytes.HasSuffix(current, []byte("\n")) {
			current = append(current, '\n')
		}
		out = append(out, one(fmt.Sprintf("%s#%d", name, len(out)+1), current, modified))
	}
	for line := range bytes.Lines(content) {
		if blank && postmark.Match(line) {
			flush()
			current = append([]byte(nil), line...)
			blank = false
			continue
		}
		blank = len(bytes.TrimRight(line, "\r\n")) == 0
		if quoted.Match(line) {
			line = line[1:]
		}
		current = append(current, line...)
	}
	flush()
	return out
}

var postmarkLayouts = []string{
	"Mon Jan 2 15:04:05 2006", "Mon Jan 2 15:04 2006", "Mon Jan 2 15:04:05 MST 2006", "Mon Jan 2 15:04:05 2006 -0700",
	"Mon Jan 2 15:04:05 -0700 2006", "Mon, 2 Jan 2006 15:04:05 -0700",
}

// postmarkDate is the date of a From_ line; zero when there is none.
func postmarkDate(line string) time.Time {
	words := strings.Fields(line)
	for start := 2; start < len(words); start++ {
		rest := strings.Join(words[start:], " ")
		for _, l := range postmarkLayouts {
			if t, err := time.Parse(l, rest); err == nil {
				return plausible(t)
			}
		}
	}
	return time.Time{}
}
