package mailfile

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	stamp := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	if err := os.Chtimes(path, stamp, stamp); err != nil {
		t.Fatal(err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.eml", "From: a@b.example\nDate: Tue, 1 Jul 2003 10:52:37 +0200\n\nhello\r\nFrom here on\n")
	write(t, dir, "b.eml", "From x@y.example  Tue Aug 27 03:56:47 2002\nSubject: no date\n\n>From the start\n")
	write(t, dir, "c.eml", "no header at all")
	write(t, dir, "sub/box.mbox", "From a@b.example Tue Aug 27 03:56:47 2002\nSubject: one\n\nFrom me to you\n>From quoted\n>>From twice\n\n"+
		"From c@d.example Wed Aug 28 03:56:47 2002\r\nSubject: two\r\n\r\nbye\r\n\r\nFrom nobody in particular\r\n\r\n")
	write(t, dir, "cur/123.M1.host:2,FS", "Subject: maildir\n\nx\n")
	write(t, dir, "plain", "Subject: plain\n\nx\n")
	write(t, dir, "README.md", "Note: this is no mail\n")
	write(t, dir, "picture.png", "\x89PNG\r\n")
	write(t, dir, ".hidden.eml", "Subject: x\n\n")
	write(t, dir, ".git/x.eml", "Subject: x\n\n")
	write(t, dir, "empty.eml", "")
	got, skipped, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	stamp := time.Date(2020, 5, 6, 7, 8, 9, 0, time.UTC)
	type row struct {
		Path     string
		Date     time.Time
		Keywords []string
		Raw      string
	}
	want := []row{
		{"a.eml", time.Date(2003, 7, 1, 8, 52, 37, 0, time.UTC), nil, "From: a@b.example\r\nDate: Tue, 1 Jul 2003 10:52:37 +0200\r\n\r\nhello\r\nFrom here on\r\n"},
		{"b.eml", time.Date(2002, 8, 27, 3, 56, 47, 0, time.UTC), nil, "Subject: no date\r\n\r\n>From the start\r\n"},
		{"c.eml", stamp, nil, "no header at all"},
		{"cur/123.M1.host:2,FS", stamp, []string{"$flagged", "$seen"}, "Subject: maildir\r\n\r\nx\r\n"},
		{"plain", stamp, nil, "Subject: plain\r\n\r\nx\r\n"},
		{"sub/box.mbox#1", time.Date(2002, 8, 27, 3, 56, 47, 0, time.UTC), nil, "Subject: one\r\n\r\nFrom me to you\r\nFrom quoted\r\n>From twice\r\n"},
		{"sub/box.mbox#2", time.Date(2002, 8, 28, 3, 56, 47, 0, time.UTC), nil, "Subject: two\r\n\r\nbye\r\n\r\nFrom nobody in particular\r\n"},
	}
	var rows []row
	for _, m := range got {
		rows = append(rows, row{filepath.ToSlash(m.Path), m.Date, m.Keywords, string(m.Raw)})
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Error(diff)
	}
	if skipped != 4 {
		t.Errorf("skipped %d, want 4", skipped)
	}
	if _, _, err := Load(filepath.Join(dir, "missing")); err == nil {
		t.Error("a folder that is not there was loaded")
	}
}

func TestLooseDates(t *testing.T) {
	for in, want := range map[string]string{
		"Thu, 3 Oct 2002 12:56:11 -0700 (PDT)": "2002-10-03T19:56:11Z",
		"Fri, 23 Aug 2002 11:07:09":            "2002-08-23T11:07:09Z",
		"Tue, 30 Jul 02 22:15:36 +0100":        "2002-07-30T21:15:36Z",
		"Mon Sep  2 13:14:15 2002":             "2002-09-02T13:14:15Z",
		"  5 Feb 2004 06:07:08 +100":           "2004-02-05T05:07:08Z",
		"yesterday":                            "0001-01-01T00:00:00Z",
		"Mon, 1 Jan 0001 00:00:00 +0000":       "0001-01-01T00:00:00Z",
	} {
		if got := looseDate(in).Format(time.RFC3339); got != want {
			t.Errorf("%q = %s, want %s", in, got, want)
		}
	}
}

// Every file of the corpus is a message, with the bytes it has.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	for _, part := range []string{"mail", "bounces"} {
		files := 0
		if err := filepath.WalkDir(filepath.Join(dir, part), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files++
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		messages, skipped, err := Load(filepath.Join(dir, part))
		if err != nil {
			t.Fatal(err)
		}
		if len(messages) != files || skipped != 0 || files == 0 {
			t.Errorf("%s: %d messages and %d skipped of %d files", part, len(messages), skipped, files)
		}
		undated := 0
		for _, m := range messages {
			if bytes.Count(m.Raw, []byte("\n")) != bytes.Count(m.Raw, []byte("\r\n")) || bytes.HasPrefix(m.Raw, []byte("From ")) {
				t.Errorf("%s is not normalised", m.Path)
			}
			original, err := os.ReadFile(filepath.Join(dir, part, m.Path))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(bytes.ReplaceAll(original, []byte("\r\n"), []byte("\n")), bytes.ReplaceAll(m.Raw, []byte("\r\n"), []byte("\n"))) {
				t.Errorf("%s was changed", m.Path)
			}
			if headerDate(m.Raw).IsZero() && strings.Contains(strings.ToLower(string(m.Raw)), "\ndate:") {
				undated++
			}
		}
		if undated*50 > files {
			t.Errorf("%s: %d of %d Date fields could not be read", part, undated, files)
		}
	}
}

func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above")
		}
		dir = up
	}
	found := filepath.Join(filepath.Dir(dir), "shared", "corpus")
	if _, err := os.Stat(found); err != nil {
		t.Skip("../shared is not present")
	}
	return found
}
