package session

import (
	"fmt"
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
