package outbox

import (
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// Policy is what outcomes lead to, as data.
type Policy struct {
	// Schedule is how long to wait before each attempt, counted from the one
	// before it: about three days in all. An endpoint that asks for n attempts
	// gets the first n entries.
	Schedule []time.Duration
	// Guard is the slow schedule of addresses that we refuse to connect to:
	// only an operator or a change of the DNS helps.
	Guard []time.Duration
	// Rejected is how many attempts a delivery gets whose receiver answers 4xx
	// or a redirect: it understood us, and will hardly change its mind.
	Rejected int
	// OrderWait is how long a delivery that its receiver refuses, while it
	// answers others, blocks its lane (5 min); negative for ever.
	OrderWait time.Duration
	// Expiry is how long deliveries of a type of event are tried at the most;
	// those that are not named have the whole schedule.
	Expiry map[string]time.Duration
	// Identical is how many local errors in a row, all the same, make a
	// delivery a dead letter: it is poison, and its lane must move on.
	Identical int
	// MaxRetryAfter bounds what a receiver can ask for.
	MaxRetryAfter time.Duration
	// DisableAfter is how long an endpoint may fail without a single success
	// before it is disabled, and DisableFailures how many attempts must have
	// failed meanwhile: one that is seldom sent to is not judged by two.
	DisableAfter    time.Duration
	DisableFailures int
	// Breaker is how many failures in a row, over all lanes, reduce an endpoint
	// to one probe at a time; Probe and MaxProbe are the shortest and longest
	// wait between probes.
	Breaker  int
	Probe    time.Duration
	MaxProbe time.Duration
}

// DefaultPolicy is what holds where nothing else is said. The schedule is that
// of Standard Webhooks with a quicker start.
func DefaultPolicy() Policy {
	return Policy{
		Schedule: []time.Duration{
			0, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute,
			2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
		},
		Guard:           []time.Duration{0, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour},
		Rejected:        8,
		OrderWait:       5 * time.Minute,
		Identical:       3,
		MaxRetryAfter:   24 * time.Hour,
		DisableAfter:    5 * 24 * time.Hour,
		DisableFailures: 10,
		Breaker:         5,
		Probe:           5 * time.Second,
		MaxProbe:        time.Minute,
	}
}

func (p Policy) withDefaults() Policy {
	d := DefaultPolicy()
	if len(p.Schedule) == 0 {
		p.Schedule = d.Schedule
	}
	if len(p.Guard) == 0 {
		p.Guard = d.Guard
	}
	setDefault(&p.Rejected, d.Rejected)
	setDefault(&p.OrderWait, d.OrderWait)
	setDefault(&p.Identical, d.Identical)
	setDefault(&p.MaxRetryAfter, d.MaxRetryAfter)
	setDefault(&p.DisableAfter, d.DisableAfter)
	setDefault(&p.DisableFailures, d.DisableFailures)
	setDefault(&p.Breaker, d.Breaker)
	setDefault(&p.Probe, d.Probe)
	setDefault(&p.MaxProbe, d.MaxProbe)
	return p
}

// step is what a decision does with a delivery.
type step int

const (
	stepDelivered step = iota
	stepRetry
	stepDead
	// stepDisable retries when somebody has enabled the endpoint again.
	stepDisable
)

// verdict is a decision about one outcome.
type verdict struct {
	step step
	// wait is the time until the next attempt.
	wait time.Duration
	// pause holds back the whole endpoint.
	pause  time.Duration
	reason string
}

// trial is what a decision is made from.
type trial struct {
	outcome Outcome
	// delivery counts the attempt that is being decided.
	delivery *store.Delivery
	endpoint *store.Endpoint
	// attempts is the endpoint's own budget, 0 for the whole schedule.
	attempts int
	// halt: what has used up its attempts is not given up.
	halt bool
	// same counts identical local errors in a row, this one included.
	same   int
	now    time.Time
	random float64
}

// leastHalt is the shortest wait of what has used up its attempts and stays in
// front of its lane, for an endpoint that halts.
const leastHalt = time.Minute

// owedSince is when the time began in which a delivery is to be made.
func owedSince(d *store.Delivery) time.Time { return later(d.CreatedAt, d.RequeuedAt) }

// decide is the whole of the retry policy: a pure function.
func (p Policy) decide(t trial) verdict {
	out := t.outcome
	if out.OK {
		return verdict{step: stepDelivered}
	}
	schedule := p.Schedule
	if out.Class == ClassGuard {
		schedule = p.Guard
	}
	budget := len(schedule)
	if t.attempts > 0 {
		budget = min(budget, t.attempts)
	}

	switch out.Class {
	case Class410:
		return verdict{step: stepDisable, reason: "the receiver answered 410 Gone"}
	case ClassLocal:
		if t.same >= p.Identical {
			return verdict{step: stepDead, reason: fmt.Sprintf("the same local error %d times: %s", t.same, out.Error)}
		}
	case Class4xx, Class3xx:
		budget = min(budget, p.Rejected)
	}

	exhausted := func(format string, args ...any) verdict {
		reason := fmt.Sprintf(format, args...)
		if t.halt {
			// It stays in front of its lane, and is tried as seldom as the
			// schedule knows, until it gets through or somebody acts.
			wait := max(jitter(schedule[len(schedule)-1], t.random), leastHalt)
			return p.heed(verdict{step: stepRetry, wait: wait, reason: reason}, out)
		}
		return verdict{step: stepDead, reason: reason}
	}
	failing := time.Duration(0)
	if t.endpoint != nil && !t.endpoint.Failing.IsZero() {
		failing = t.now.Sub(t.endpoint.Failing)
	}
	if failing >= p.DisableAfter && t.endpoint.Failures >= p.DisableFailures {
		return verdict{step: stepDisable, reason: fmt.Sprintf("no attempt has succeeded for %s; the last one: %s",
			failing.Round(time.Hour), out.Error)}
	}
	if t.delivery.Attempts >= budget {
		return exhausted("gave up after %s; the last one: %s", attempts(t.delivery.Attempts), out.Error)
	}
	if failing > 0 {
		// While an endpoint is down, the deliveries of a lane stand behind each
		// other: time spent waiting for the first counts for those behind it.
		// Otherwise a backlog of n would need n times the whole schedule.
		if span := total(p.Schedule[:min(budget, len(p.Schedule))]); failing >= span && t.now.Sub(owedSince(t.delivery)) >= span {
			return exhausted("not delivered within %s; the last attempt: %s", span, out.Error)
		}
	}

	if life, ok := p.Expiry[t.delivery.Type]; ok && t.now.Sub(owedSince(t.delivery)) >= life {
		return verdict{step: stepDead, reason: fmt.Sprintf("expired: %s is worth %s of trying; the last attempt: %s", t.delivery.Type, life, out.Error)}
	}
	return p.heed(verdict{step: stepRetry, wait: jitter(schedule[t.delivery.Attempts], t.random), reason: out.Error}, out)
}

// heed adds what the receiver asked for (RFC 9110, 10.2.3). What one delivery
// was told holds for its endpoint.
func (p Policy) heed(v verdict, out Outcome) verdict {
	if out.RetryAfter > 0 {
		v.pause = min(out.RetryAfter, p.MaxRetryAfter)
		v.wait = max(v.wait, v.pause)
	}
	return v
}

// jitter spreads a wait as widely as it is long, around itself: deliveries
// that failed together come back over the whole step, and the sum of all steps
// stays what the schedule says.
func jitter(d time.Duration, random float64) time.Duration {
	return d/2 + time.Duration(random*float64(d))
}

// longest is how far ahead of its last attempt a delivery may be due.
func (p Policy) longest() time.Duration {
	longest := max(p.MaxRetryAfter, 2*leastHalt)
	for _, d := range p.Schedule {
		longest = max(longest, jitter(d, 1))
	}
	for _, d := range p.Guard {
		longest = max(longest, jitter(d, 1))
	}
	return longest
}

func total(schedule []time.Duration) time.Duration {
	var sum time.Duration
	for _, d := range schedule {
		sum += d
	}
	return sum
}

// counts reports whether an outcome says something about the endpoint, and not
// only about the one delivery.
func (c Class) counts() bool {
	switch c {
	case ClassNetwork, ClassTimeout, Class5xx, Class408, Class425, Class429, ClassGuard, Class3xx:
		return true
	}
	return false
}

func attempts(n int) string {
	if n == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", n)
}
