package session

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestKeywordsAreBounded: what each FETCH tells and each mailbox's table holds
// does not grow with what one client can send.
func TestKeywordsAreBounded(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.deliver("inbox")
	w.sync()
	c := w.client()
	c.open("INBOX")
	words := func(from, n int) []string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("k%03d", from+i))
		}
		return out
	}
	store := func(sign string, flags []string) string {
		all := strings.Split(c.do("STORE 1 "+sign+"FLAGS.SILENT ("+strings.Join(flags, " ")+")"), "\n")
		return all[len(all)-1]
	}
	for _, step := range []struct {
		sign  string
		flags []string
		want  string
	}{
		{"+", words(0, maxKeywords+1), "NO [LIMIT]"},
		{"+", words(0, maxKeywords), "OK"},
		{"+", words(0, maxKeywords), "OK"}, // it has them
		{"+", words(500, 1), "NO [LIMIT]"},
		{"+", []string{`\Deleted`}, "OK"},
		{"", words(300, maxKeywords), "OK"},
		{"", words(0, maxKeywords+1), "NO [LIMIT]"},
		{"-", words(300, 1), "OK"},
		{"+", words(500, 1), "OK"},
	} {
		if got := store(step.sign, step.flags); got != step.want {
			t.Errorf("%sFLAGS of %d: %s, want %s", step.sign, len(step.flags), got, step.want)
		}
	}
	raw := "A: b\r\n\r\n"
	_, err := c.s.Append(t.Context(), "INBOX", AppendRequest{Flags: words(0, maxKeywords+1), Date: time.Unix(1e9, 0), Size: int64(len(raw))}, strings.NewReader(raw))
	code(t, err, "LIMIT")
}

// TestNamesAreBounded: the keywords that SELECT and FLAGS list are as many as
// one mailbox may have; who makes up more is told so, and finds room again when
// some are no message's any more. What the provider has beyond is shown with its
// message.
func TestNamesAreBounded(t *testing.T) {
	w := newWorld(t, memory.Options{})
	per := maxNames / 4
	words := func(from, n int) string {
		var out []string
		for i := range n {
			out = append(out, fmt.Sprintf("k%04d", from+i))
		}
		return strings.Join(out, " ")
	}
	var pid string
	for range 5 {
		pid = w.deliver("inbox")
	}
	w.sync()
	c := w.client()
	open := func(want bool) *Selected {
		t.Helper()
		sel, err := c.s.Select(t.Context(), "INBOX", false)
		w.must(err)
		if may := slices.Contains(sel.PermanentFlags, `\*`); may != want {
			t.Errorf("new keywords may be made: %v", may)
		}
		return sel
	}
	last := func(command string) string {
		all := strings.Split(c.do(command), "\n")
		return all[len(all)-1]
	}
	open(true)
	c.view = make([]seenMessage, 5)
	for i := range 4 {
		if got := last(fmt.Sprintf("STORE %d +FLAGS.SILENT (%s)", i+1, words(i*per, per))); got != "OK" {
			t.Fatalf("message %d: %s", i+1, got)
		}
	}
	for command, want := range map[string]string{
		"STORE 5 +FLAGS (more)":                       "NO [LIMIT]",
		"STORE 5 FLAGS (k0001 more)":                  "NO [LIMIT]",
		"STORE 5 -FLAGS (more)":                       "OK",
		"STORE 5 +FLAGS (K0001 $Forwarded \\Flagged)": "OK",
	} {
		if got := last(command); got != want {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}
	raw := "A: b\r\n\r\n"
	add := func(flag string) error {
		_, err := c.s.Append(t.Context(), "INBOX", AppendRequest{Flags: []string{flag}, Date: time.Unix(1e9, 0), Size: int64(len(raw))}, strings.NewReader(raw))
		return err
	}
	code(t, add("more"), "LIMIT")
	c.s.Unselect()
	code(t, add("more"), "LIMIT")
	w.must(add("k0002"))
	w.must(add("$Junk"))

	// What comes from the provider is not refused, and not listed.
	w.must(w.cloud.SetKeywords(ann, pid, "from.there"))
	w.sync()
	sel := open(false)
	if n := len(sel.Flags); n > maxNames+10 || slices.Contains(sel.Flags, "more") {
		t.Errorf("%d flags are listed", n)
	}
	c.view = make([]seenMessage, sel.Exists)
	if got := c.do("FETCH 5 (FLAGS)"); !strings.Contains(got, "from.there") {
		t.Errorf("the message is told with %s", got)
	}

	if got := last("STORE 1:4 FLAGS.SILENT ()"); got != "OK" {
		t.Fatal(got)
	}
	if got := last("STORE 5 +FLAGS (more)"); got != "OK" {
		t.Errorf("with room again: %s", got)
	}
	open(true)
}
