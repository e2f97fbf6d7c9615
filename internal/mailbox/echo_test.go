package mailbox

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// TestEchoes: rounds that follow our own writes keep a distance, and nobody
// else's do.
func TestEchoes(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	// round runs one that begins now, during which something happens.
	round := func(during func()) {
		t.Helper()
		got, wait := s.take()
		if got == nil {
			t.Fatalf("no round: the next is due after %s", wait)
		}
		got.wholeAt = c.t
		during()
		s.done(got.entry, time.Hour, false)
	}
	due := func(what string, want time.Duration) {
		t.Helper()
		if got := s.entries["a"].at.Sub(c.t); got != want {
			t.Errorf("%s: the next round is due after %s, want %s", what, got, want)
		}
	}
	hint := func() { s.hint("a", trace.SpanContext{}) }
	settle := func() { s.settle("a", trace.SpanContext{}) }

	round(func() {})
	hint()
	due("a hint", 0)
	round(func() { s.wrote("a"); hint() })
	due("a hint after a write, during a round", echoGap)
	hint()
	due("another", echoGap)
	c.t = c.t.Add(echoGap / 2)
	settle()
	due("a write that is done", echoGap/2)
	s.soon("a", nil)
	due("somebody asks", 0)
	hint()
	due("a hint does not put it off", 0)
	round(settle)
	due("a write that is done during a round", echoGap)
	c.t = c.t.Add(3 * echoAfter)
	round(func() {})
	due("nothing", time.Hour)
	hint()
	due("a hint long after a write", 0)

	c.t = c.t.Add(time.Minute)
	round(func() {})
	s.wrote("a")
	c.t = c.t.Add(-time.Hour)
	settle()
	due("after the clock was set back", 0)
}
