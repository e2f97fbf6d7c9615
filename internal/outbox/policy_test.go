package outbox

import (
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
)

func TestDefaultScheduleTakesAboutThreeDays(t *testing.T) {
	p := DefaultPolicy()
	if sum := total(p.Schedule); sum < 72*time.Hour || sum > 80*time.Hour {
		t.Errorf("the schedule takes %s", sum)
	}
	if sum := total(p.Schedule[:6]); sum != 42*time.Minute+35*time.Second {
		t.Errorf("the short schedule takes %s", sum)
	}
	// Whatever the dice say, a step stays within half and one and a half of
	// itself, and on average is what it says.
	for _, d := range p.Schedule {
		low, middle, high := jitter(d, 0), jitter(d, 0.5), jitter(d, 0.999999)
		if low != d/2 || middle != d || high > d*3/2 || (d > 0 && high < d*14/10) {
			t.Errorf("jitter of %s: %s, %s, %s", d, low, middle, high)
		}
	}
}

func TestDecide(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	fail := func(c Class) Outcome { return Outcome{Class: c, Error: "answered so"} }
	for _, tc := range []struct {
		name     string
		out      Outcome
		made     int // attempts made, this one included
		budget   int
		halt     bool
		same     int
		age      time.Duration
		failing  time.Duration
		failures int
		wantStep step
		wait     time.Duration
		pause    time.Duration
		reason   string
	}{
		{name: "success", out: Outcome{OK: true, Class: ClassOK}, made: 1, wantStep: stepDelivered},
		{name: "first 500", out: fail(Class5xx), made: 1, wantStep: stepRetry, wait: 5 * time.Second},
		{name: "network", out: fail(ClassNetwork), made: 2, wantStep: stepRetry, wait: 30 * time.Second},
		{name: "timeout", out: fail(ClassTimeout), made: 3, wantStep: stepRetry, wait: 2 * time.Minute},
		{name: "408", out: fail(Class408), made: 4, wantStep: stepRetry, wait: 10 * time.Minute},
		{name: "425", out: fail(Class425), made: 5, wantStep: stepRetry, wait: 30 * time.Minute},
		{name: "429", out: fail(Class429), made: 6, wantStep: stepRetry, wait: 2 * time.Hour},
		{name: "the last wait", out: fail(Class5xx), made: 11, wantStep: stepRetry, wait: 24 * time.Hour},
		{name: "the whole schedule is spent", out: fail(Class5xx), made: 12, wantStep: stepDead, reason: "gave up after 12 attempts"},
		{name: "short schedule, not spent", out: fail(Class5xx), made: 5, budget: 6, wantStep: stepRetry, wait: 30 * time.Minute},
		{name: "the whole schedule is spent, but the lane halts", out: fail(Class5xx), made: 12, halt: true, wantStep: stepRetry, wait: 24 * time.Hour, reason: "gave up after 12 attempts"},
		{name: "404 spent, but the lane halts", out: fail(Class4xx), made: 8, halt: true, wantStep: stepRetry, wait: 24 * time.Hour, reason: "gave up after 8"},
		{name: "poison does not halt", out: fail(ClassLocal), made: 3, same: 3, halt: true, wantStep: stepDead, reason: "the same local error 3 times"},
		{name: "short schedule, spent", out: fail(Class5xx), made: 6, budget: 6, wantStep: stepDead, reason: "gave up after 6 attempts"},
		{name: "410", out: fail(Class410), made: 1, wantStep: stepDisable, reason: "410"},
		{name: "404 is tried again for hours", out: fail(Class4xx), made: 7, wantStep: stepRetry, wait: 5 * time.Hour},
		{name: "404 has a shorter budget", out: fail(Class4xx), made: 8, wantStep: stepDead, reason: "gave up after 8"},
		{name: "302 has a shorter budget", out: fail(Class3xx), made: 8, wantStep: stepDead, reason: "gave up after 8"},
		{name: "guard is slow", out: fail(ClassGuard), made: 1, wantStep: stepRetry, wait: 10 * time.Minute},
		{name: "guard gives up", out: fail(ClassGuard), made: 5, wantStep: stepDead, reason: "gave up after 5"},
		{name: "a budget of one", out: fail(Class5xx), made: 1, budget: 1, wantStep: stepDead, reason: "gave up after 1 attempt;"},
		{name: "guard within a budget of two", out: fail(ClassGuard), made: 2, budget: 2, wantStep: stepDead, reason: "gave up after 2"},
		{name: "local", out: fail(ClassLocal), made: 2, same: 2, wantStep: stepRetry, wait: 30 * time.Second},
		{name: "poison", out: fail(ClassLocal), made: 3, same: 3, wantStep: stepDead, reason: "the same local error 3 times"},
		{name: "retry after", out: Outcome{Class: Class429, RetryAfter: time.Minute}, made: 1, wantStep: stepRetry, wait: time.Minute, pause: time.Minute},
		{name: "retry after, shorter than our own wait", out: Outcome{Class: Class5xx, RetryAfter: time.Second}, made: 3, wantStep: stepRetry, wait: 2 * time.Minute, pause: time.Second},
		{name: "absurd retry after", out: Outcome{Class: Class429, RetryAfter: 1000 * time.Hour}, made: 1, wantStep: stepRetry, wait: 24 * time.Hour, pause: 24 * time.Hour},
		{name: "behind a delivery that used up three days", out: fail(Class5xx), made: 1, age: 80 * time.Hour, failing: 80 * time.Hour, wantStep: stepDead, reason: "not delivered within 75h42m35s"},
		{name: "old, but its endpoint failed only now", out: fail(Class5xx), made: 1, age: 80 * time.Hour, failing: time.Hour, wantStep: stepRetry, wait: 5 * time.Second},
		{name: "new, to an endpoint long dead", out: fail(Class5xx), made: 1, age: time.Minute, failing: 80 * time.Hour, wantStep: stepRetry, wait: 5 * time.Second},
		{name: "dead for five days", out: fail(Class5xx), made: 1, age: time.Minute, failing: 121 * time.Hour, failures: 10, wantStep: stepDisable, reason: "no attempt has succeeded for 121h"},
		{name: "dead for five days, seldom tried", out: fail(Class5xx), made: 1, age: time.Minute, failing: 121 * time.Hour, failures: 2, wantStep: stepRetry, wait: 5 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			e := &store.Endpoint{Failures: tc.failures}
			if tc.failing > 0 {
				e.Failing = now.Add(-tc.failing)
			}
			v := DefaultPolicy().decide(trial{
				outcome: tc.out, delivery: &store.Delivery{Attempts: tc.made, CreatedAt: now.Add(-tc.age)},
				endpoint: e, attempts: tc.budget, halt: tc.halt, same: tc.same, now: now, random: 0.5,
			})
			if v.step != tc.wantStep || v.wait != tc.wait || v.pause != tc.pause || !strings.Contains(v.reason, tc.reason) {
				t.Errorf("got %+v", v)
			}
		})
	}
}

func TestBreakerOpensProbesAndComesBackSlowly(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	b := newBreaker(DefaultPolicy(), 8)
	for range 7 {
		b.succeeded()
	}
	if b.limit != 8 || b.trust != trusted {
		t.Fatalf("after seven successes: limit %d, trust %d", b.limit, b.trust)
	}
	for range 4 {
		b.failed(now, 0.5)
	}
	if b.limit != 1 || b.until.After(now) {
		t.Errorf("after four failures: limit %d, until %v", b.limit, b.until)
	}
	b.failed(now, 0.5)
	if got := b.until.Sub(now); got != 5*time.Second {
		t.Errorf("after five failures the next probe is in %s", got)
	}
	b.failed(now, 0.5) // one that began before
	if got := b.until.Sub(now); got != 5*time.Second {
		t.Errorf("a late failure moved the probe to %s", got)
	}
	var waits []time.Duration
	for range 5 {
		now = b.until
		b.failed(now, 0.5)
		waits = append(waits, b.until.Sub(now))
	}
	for i, want := range []time.Duration{10, 20, 40, 60, 60} {
		if waits[i] != want*time.Second {
			t.Errorf("waits between probes: %v", waits)
			break
		}
	}
	b.succeeded()
	if !b.until.IsZero() || b.limit != 2 {
		t.Errorf("after a success: until %v, limit %d", b.until, b.limit)
	}
	for range 10 {
		b.succeeded()
	}
	if b.limit != 8 {
		t.Errorf("limit %d after many successes", b.limit)
	}
}

func TestFIFOKeepsOrderThroughGrowth(t *testing.T) {
	var q fifo[int]
	next, want := 0, 0
	for round := range 1000 {
		for range round % 7 {
			q.push(next)
			next++
		}
		for range round % 5 {
			if q.len() == 0 {
				break
			}
			if got := q.pop(); got != want {
				t.Fatalf("popped %d, want %d", got, want)
			}
			want++
		}
	}
	if q.len() != next-want {
		t.Errorf("%d left, want %d", q.len(), next-want)
	}
}

// TestHaltIsNoHotLoop: what has used up a small budget and stays in front of
// its lane is tried as seldom as the whole schedule knows.
func TestHaltIsNoHotLoop(t *testing.T) {
	day := 24 * time.Hour
	for name, tc := range map[string]struct {
		policy   Policy
		class    Class
		attempts int
		least    time.Duration
	}{
		"one attempt":     {Policy{}, Class4xx, 1, day},
		"two, guarded":    {Policy{}, ClassGuard, 2, day},
		"a schedule of 0": {Policy{Schedule: []time.Duration{0}}, Class5xx, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, random := range []float64{0, 0.5, 0.99} {
				v := tc.policy.withDefaults().decide(trial{outcome: failed(tc.class), delivery: &store.Delivery{Attempts: 3}, halt: true, attempts: tc.attempts, random: random})
				if v.step != stepRetry || v.wait < max(jitter(tc.least, random), time.Minute) {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// TestRedeliveredHasItsTimeAgain: a dead letter that is redelivered to an
// endpoint that fails is not given up for its age.
func TestRedeliveredHasItsTimeAgain(t *testing.T) {
	now := time.Now()
	p := DefaultPolicy()
	p.Expiry = map[string]time.Duration{"ping": time.Hour}
	e := &store.Endpoint{Failing: now.Add(-20 * 24 * time.Hour), Failures: 3}
	for name, tc := range map[string]struct {
		kind     string
		requeued time.Time
		want     step
	}{
		"old":                        {"", time.Time{}, stepDead},
		"redelivered":                {"", now.Add(-time.Second), stepRetry},
		"redelivered long ago":       {"", now.Add(-10 * 24 * time.Hour), stepDead},
		"expired":                    {"ping", time.Time{}, stepDead},
		"expired, redelivered":       {"ping", now.Add(-time.Second), stepRetry},
		"expired after it was again": {"ping", now.Add(-time.Hour), stepDead},
	} {
		d := &store.Delivery{Type: tc.kind, CreatedAt: now.Add(-20 * 24 * time.Hour), RequeuedAt: tc.requeued, Attempts: 1}
		if v := p.decide(trial{outcome: failed(ClassNetwork), delivery: d, endpoint: e, now: now, random: 0.5}); v.step != tc.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
