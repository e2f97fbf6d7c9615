package session

import (
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mailbox"
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

// BenchmarkIdleTells measures from the end of a commit until each of 100 idling
// programs was told of it.
func BenchmarkIdleTells(b *testing.B) {
	w := newWorld(b, memory.Options{})
	w.deliver("inbox")
	w.sync()
	const programs = 100
	var idlers []*idler
	for range programs {
		i := w.idler("INBOX")
		done := i.idle()
		defer func() { w.must(done()) }()
		idlers = append(idlers, i)
	}
	var first, last time.Duration
	inbox := mailbox.ID(account, "inbox")
	n := 0
	for b.Loop() {
		n++
		w.must(w.mirror.SetDeleted(b.Context(), inbox, []uint32{1}, n%2 == 1))
		began := time.Now()
		<-idlers[0].told
		first += time.Since(began)
		for _, i := range idlers[1:] {
			<-i.told
		}
		last += time.Since(began)
	}
	b.ReportMetric(float64(first.Microseconds())/float64(n), "µs-first")
	b.ReportMetric(float64(last.Microseconds())/float64(n), "µs-all")
}
