package session

import (
	"strings"
	"testing"

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
