package session

import (
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// BenchmarkSession is what programs do all day, in a mailbox of 10,000, with a
// provider that answers at once.
func BenchmarkSession(b *testing.B) {
	w := newWorld(b, memory.Options{PageSize: 1000})
	for range 10_000 {
		w.deliver("inbox")
	}
	w.sync()
	keep := w.client() // so that the index stays
	keep.open("INBOX")
	c := w.client()
	c.open("INBOX")
	b.Run("select", func(b *testing.B) {
		for b.Loop() {
			c.open("INBOX")
		}
	})
	b.Run("noop", func(b *testing.B) {
		for b.Loop() {
			w.must(c.s.Poll(b.Context(), true))
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := c.s.List(b.Context(), ListRequest{Patterns: []string{"*"}, ReturnStatus: &StatusItems{Messages: true}}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("resolve all", func(b *testing.B) {
		set := mustSet(b, "1:*")
		for b.Loop() {
			all, err := c.s.each(set, false)
			w.must(err)
			for range all {
			}
		}
	})
	b.Run("store 1000", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			c.do("UID STORE 1:1000 " + []string{"+", "-"}[n%2] + `FLAGS (\Flagged)`)
		}
	})
	b.Run("store 1000 deleted", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			c.do("UID STORE 1:1000 " + []string{"+", "-"}[n%2] + `FLAGS.SILENT (\Deleted)`)
		}
	})
}
