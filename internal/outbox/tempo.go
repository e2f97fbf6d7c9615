package outbox

import "time"

// tempo spreads attempts in time: the generic cell rate algorithm, with room
// for what comes in a twentieth of a second at once. The zero tempo knows no
// limit.
type tempo struct {
	// every is the time that one attempt takes up, slack how far ahead of it
	// attempts may be.
	every, slack time.Duration
	// spent is up to when the time is taken.
	spent time.Time
}

// set changes the limit.
func (p *tempo) set(perSecond float64) {
	p.every, p.slack = 0, 0
	if perSecond > 0 {
		p.every = time.Duration(float64(time.Second) / perSecond)
		p.slack = 50 * time.Millisecond
	}
}

// free is when the next attempt may begin.
func (p *tempo) free() time.Time {
	if p.every == 0 || p.spent.IsZero() {
		return time.Time{}
	}
	return p.spent.Add(-p.slack)
}

// take counts an attempt.
func (p *tempo) take(now time.Time) {
	if p.every > 0 {
		p.spent = later(p.spent, now).Add(p.every)
	}
}
