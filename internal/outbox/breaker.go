package outbox

import "time"

// trust sorts endpoints by how they answered.
type trust int

const (
	// trusted: the last thing heard was good.
	trusted trust = iota
	// unknown: nothing was heard yet. It may be one that hangs.
	unknown
	// failing: the last thing heard was bad, or nothing within the time.
	failing
	trusts
)

// breaker decides how many attempts an endpoint may have under way. It opens
// after some failures in a row, lets one probe through at a time while it is
// open, and after a success lets 1, 2, 4... attempts through.
type breaker struct {
	threshold      int
	probe, longest time.Duration
	most           int

	// limit is how many attempts may be under way now.
	limit int
	// trust is what is thought of the endpoint.
	trust trust
	// failures in a row.
	failures int
	// until is when the next probe may go.
	until time.Time
	delay time.Duration
}

// newBreaker starts with one attempt.
func newBreaker(p Policy, most int) breaker {
	return breaker{threshold: p.Breaker, probe: p.Probe, longest: p.MaxProbe, most: most, limit: 1, trust: unknown}
}

// allow changes how many attempts may be under way at the most.
func (b *breaker) allow(most int) {
	b.most = most
	b.limit = min(b.limit, most)
}

func (b *breaker) succeeded() {
	b.failures, b.delay, b.until = 0, 0, time.Time{}
	b.trust = trusted
	// One more for each success doubles it with each round.
	b.limit = min(b.limit+1, b.most)
}

func (b *breaker) failed(now time.Time, random float64) {
	b.trust = failing
	b.limit = 1
	if b.until.After(now) {
		return // an attempt that began before the breaker opened
	}
	b.failures++
	if b.failures < b.threshold {
		return
	}
	b.delay = min(max(b.delay*2, b.probe), b.longest)
	b.until = now.Add(jitter(b.delay, random))
}

// open reports whether only probes are let through.
func (b *breaker) open(now time.Time) bool {
	return b.failures >= b.threshold && b.until.After(now)
}

// release lets the next probe go at once: somebody has changed the endpoint.
func (b *breaker) release(now time.Time) {
	if b.until.After(now) {
		b.until = now
	}
	b.delay = 0
}
