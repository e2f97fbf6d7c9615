package mailbox

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// A provider tells of what we write as of all that changes: each write has its
// hint, and a round that asks for what the mirror has already. A program that
// stores a thousand messages would have a thousand of them run beside it. So
// rounds that follow a write of ours keep a distance from one another. What
// others change in that time is told by the round that ends it.
const (
	// echoAfter is how long after a write a hint is taken for its echo.
	echoAfter = time.Second
	// echoGap is between the beginnings of two rounds that follow writes.
	echoGap = time.Second
)

// wrote notes that we changed something at the provider.
func (s *schedule) wrote(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[account]; e != nil {
		e.wroteAt = s.now()
	}
}

// echoes reports whether a hint may be our own write's; the caller holds the
// lock.
func (s *schedule) echoes(e *entry) bool {
	return !e.wroteAt.IsZero() && s.now().Sub(e.wroteAt).Abs() < echoAfter
}

// settle makes an account due because of what we wrote ourselves.
func (s *schedule) settle(account string, cause trace.SpanContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(account)
	if cause.IsValid() {
		e.cause = cause
	}
	e.whole = true
	s.askLater(e)
}

// askLater makes an entry due once the last round is far enough, or earlier if
// it is due then; the caller holds the lock.
func (s *schedule) askLater(e *entry) {
	if e.running {
		e.echo = true
		return
	}
	at := s.now().Add(s.echoWait(e))
	if e.index < 0 || at.Before(e.at) {
		s.at(e, at)
	}
}

// echoWait is how long the last round is not far enough; the caller holds the
// lock, and the entry does not run.
func (s *schedule) echoWait(e *entry) time.Duration {
	wait := e.wholeAt.Add(echoGap).Sub(s.now())
	if wait > echoGap { // the clock was set back
		return 0
	}
	return max(0, wait)
}

// settled makes an account due because of what we wrote: a feed is to confirm
// where the messages are now.
func (s *Service) settled(ctx context.Context, account string) {
	s.schedule.settle(account, trace.SpanContextFromContext(ctx))
}
