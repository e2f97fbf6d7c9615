package session

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// A name that cannot be makes nothing, not even what would be above it.
func TestRefusedNamesMakeNothing(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	w.run()
	ctx := t.Context()
	c := w.client()
	w.must(c.s.Create(ctx, "Here"))
	for _, name := range []string{"a//b", "a/ b", "a/b /c", "a/b=01/\x01", "a" + strings.Repeat("/a", maxLevels)} {
		code(t, c.s.Create(ctx, name), "CANNOT")
		code(t, c.s.Rename(ctx, "Here", name), "CANNOT")
		c.lists(ListRequest{Patterns: []string{"a*"}}, "")
	}
	deep := "a" + strings.Repeat("/a", 3)
	w.must(c.s.Create(ctx, deep))
	if sel := c.open(deep); sel.Exists != 0 {
		t.Errorf("made %+v", sel)
	}
}

// A mailbox that was deleted with mail in it is gone once DELETE is answered: its
// name is not listed, and can be made again (RFC 9051, 6.3.4, 6.3.5).
func TestDeletedWithMail(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.sync()
		w.run()
		ctx := t.Context()
		c := w.client()
		for range 3 {
			w.must(c.s.Create(ctx, "Brief"))
			_, err := c.append("Brief", "Subject: there\r\n\r\n", time.Now())
			w.must(err)
			w.must(c.s.Delete(ctx, "Brief"))
			c.lists(ListRequest{Patterns: []string{"Brief"}}, "")
		}
		w.must(c.s.Create(ctx, "Brief"))
		if sel := c.open("Brief"); sel.Exists != 0 {
			t.Errorf("the new mailbox has %d messages", sel.Exists)
		}
	})
}
