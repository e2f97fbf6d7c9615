package gmail

import (
	"testing"
	"time"
)

// clock is one that only a test moves.
type clock struct{ t time.Time }

func (c *clock) now() time.Time          { return c.t }
func (c *clock) advance(d time.Duration) { c.t = c.t.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 9, 11, 20, 0, 0, 0, time.UTC)} }

// pass enters and leaves at once; it gives the limit that was met.
func pass(q *quota, project, user string, units int64) string {
	leave, why := q.enter(project, user, units, nil)
	if why != nil {
		return why.limit
	}
	leave()
	return ""
}

func TestQuotaOfUser(t *testing.T) {
	c := newClock()
	q := newQuota(Quota{}, c.now)
	for i := range 300 {
		if got := pass(q, "p", "alan", 20); got != "" {
			t.Fatalf("request %d: %s", i, got)
		}
	}
	_, why := q.enter("p", "alan", 20, nil)
	if why == nil || why.limit != limitUnits {
		t.Fatalf("over 6,000: %+v", why)
	}
	if wait := why.until.Sub(c.t); wait <= 0 || wait > time.Minute {
		t.Errorf("come back after %v", wait)
	}
	for _, other := range [][2]string{{"p", "grace"}, {"q", "alan"}} {
		if got := pass(q, other[0], other[1], 20); got != "" {
			t.Errorf("%v: %s", other, got)
		}
	}
	c.t = why.until
	if got := pass(q, "p", "alan", 20); got != "" {
		t.Errorf("at the time told: %s", got)
	}
}

// What is told is when the request that was refused would fit, not the first
// that would.
func TestQuotaTellsWhenItFits(t *testing.T) {
	c := newClock()
	q := newQuota(Quota{UserUnits: 100}, c.now)
	for range 10 {
		if got := pass(q, "p", "alan", 10); got != "" {
			t.Fatal(got)
		}
		c.advance(2 * time.Second)
	}
	_, why := q.enter("p", "alan", 50, nil)
	if why == nil {
		t.Fatal("let in")
	}
	if want := newClock().t.Add(8*time.Second + time.Minute); !why.until.Equal(want) {
		t.Errorf("until %v, want %v", why.until, want)
	}
	c.t = why.until
	if got := pass(q, "p", "alan", 50); got != "" {
		t.Errorf("then: %s", got)
	}
}

func TestQuotaOld(t *testing.T) {
	c := newClock()
	q := newQuota(Quota{OldTable: true}, c.now)
	get := method{units: 20, oldUnits: 5}
	for i := range 50 {
		if got := pass(q, "p", "alan", q.cost(get)); got != "" {
			t.Fatalf("request %d: %s", i, got)
		}
	}
	if got := pass(q, "p", "alan", 5); got != limitUnits {
		t.Errorf("over 250 in a second: %q", got)
	}
	c.advance(time.Second)
	if got := pass(q, "p", "alan", 250); got != "" {
		t.Errorf("the next second: %s", got)
	}
	if got := newQuota(Quota{}, c.now).cost(get); got != 20 {
		t.Errorf("new cost %d", got)
	}
}

func TestQuotaOfProjectAndDay(t *testing.T) {
	c := newClock()
	q := newQuota(Quota{ProjectUnits: 100, DailyUnits: 150}, c.now)
	for _, user := range []string{"alan", "grace"} {
		if got := pass(q, "p", user, 50); got != "" {
			t.Fatal(got)
		}
	}
	if got := pass(q, "p", "ada", 1); got != limitProject {
		t.Errorf("over the project's: %q", got)
	}
	c.advance(time.Hour)
	if got := pass(q, "p", "ada", 50); got != "" {
		t.Fatal(got)
	}
	c.advance(time.Hour)
	if got := pass(q, "p", "ada", 1); got != limitDaily {
		t.Errorf("over the day's: %q", got)
	}
	c.advance(25 * time.Hour)
	if got := pass(q, "p", "ada", 1); got != "" {
		t.Errorf("the day after: %s", got)
	}
}

func TestQuotaConcurrency(t *testing.T) {
	q := newQuota(Quota{}, newClock().now)
	var leaves []func()
	for i := range 10 {
		leave, why := q.enter("p", "alan", 1, nil)
		if why != nil {
			t.Fatalf("request %d: %+v", i, why)
		}
		leaves = append(leaves, leave)
	}
	if got := pass(q, "p", "alan", 1); got != limitConcurrency {
		t.Errorf("the eleventh: %q", got)
	}
	if got := pass(q, "p", "grace", 1); got != "" {
		t.Errorf("another user: %s", got)
	}
	leaves[0]()
	if got := pass(q, "p", "alan", 1); got != "" {
		t.Errorf("after one left: %s", got)
	}
}

// enterBatch gives how many of n parts were let in.
func enterBatch(q *quota, b *slots, n int) int {
	in := 0
	for range n {
		if leave, why := q.enter("p", "alan", 1, b); why == nil {
			leave()
			in++
		}
	}
	return in
}

func TestQuotaOfBatches(t *testing.T) {
	q := newQuota(Quota{}, newClock().now)
	b := &slots{}
	if n := enterBatch(q, b, 25); n != 10 {
		t.Errorf("%d parts passed, want 10", n)
	}
	if got := pass(q, "p", "alan", 1); got != limitConcurrency {
		t.Errorf("beside a batch of ten: %q", got)
	}
	b.release()
	leave, why := q.enter("p", "alan", 1, nil)
	if why != nil {
		t.Fatalf("after the batch: %+v", why)
	}
	if n := enterBatch(q, &slots{}, 25); n != 9 {
		t.Errorf("%d parts passed beside one request, want 9", n)
	}
	leave()

	q = newQuota(Quota{BatchConcurrent: 25}, newClock().now)
	if n := enterBatch(q, &slots{}, 30); n != 25 {
		t.Errorf("%d parts passed, want 25", n)
	}
	if n := enterBatch(q, &slots{}, 1); n != 0 {
		t.Errorf("%d of a second batch passed", n)
	}
	q = newQuota(Quota{Concurrent: -1}, newClock().now)
	if n := enterBatch(q, &slots{}, 100); n != 100 {
		t.Errorf("%d parts passed, want all", n)
	}
}

func TestQuotaOfSends(t *testing.T) {
	c := newClock()
	q := newQuota(Quota{Sends: 2}, c.now)
	for range 2 {
		if why := q.send("alan"); why != nil {
			t.Fatalf("%+v", why)
		}
	}
	if why := q.send("alan"); why == nil || why.limit != limitSends {
		t.Errorf("the third: %+v", why)
	}
	if why := q.send("grace"); why != nil {
		t.Errorf("another: %+v", why)
	}
	c.advance(25 * time.Hour)
	if why := q.send("alan"); why != nil {
		t.Errorf("a day later: %+v", why)
	}
}

func TestRetryText(t *testing.T) {
	if got := retryText(newClock().t); got != "User-rate limit exceeded.  Retry after 2026-09-11T20:00:00.000Z" {
		t.Errorf("%q", got)
	}
}
