package microsoft

import (
	"testing"
	"time"
)

// at is a clock that only a test moves.
type at struct{ t time.Time }

func (a *at) now() time.Time { return a.t }

func newAt() *at { return &at{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func TestConcurrency(t *testing.T) {
	th := newThrottle(Throttle{}, 1, newAt().now)
	var leaves []func()
	for i := range 4 {
		leave, why := th.enter("app", "ada", 0)
		if why != nil {
			t.Fatalf("request %d: %+v", i, why)
		}
		leaves = append(leaves, leave)
	}
	if _, why := th.enter("app", "ada", 0); why == nil || why.code != "ApplicationThrottled" || why.after != time.Second {
		t.Errorf("the fifth: %+v", why)
	}
	for _, other := range [][2]string{{"app", "grace"}, {"other", "ada"}} {
		if _, why := th.enter(other[0], other[1], 0); why != nil {
			t.Errorf("%v: %+v", other, why)
		}
	}
	leaves[0]()
	if _, why := th.enter("app", "ada", 0); why != nil {
		t.Errorf("after one left: %+v", why)
	}
}

func TestConcurrencyIsNotAlwaysEnforced(t *testing.T) {
	th := newThrottle(Throttle{RefuseShare: 0.13}, 1, newAt().now)
	refused := 0
	for range 1000 {
		if _, why := th.enter("app", "ada", 0); why != nil {
			refused++
		}
	}
	if refused < 90 || refused > 170 {
		t.Errorf("%d of 1000 refused, want about 130", refused)
	}
	th = newThrottle(Throttle{Concurrent: -1}, 1, newAt().now)
	for range 100 {
		if _, why := th.enter("app", "ada", 0); why != nil {
			t.Fatalf("without a limit: %+v", why)
		}
	}
}

func TestRequestsPerWindow(t *testing.T) {
	clock := newAt()
	th := newThrottle(Throttle{Requests: 10, Concurrent: -1}, 1, clock.now)
	enter := func() *throttled {
		_, why := th.enter("app", "ada", 0)
		return why
	}
	for i := range 10 {
		if why := enter(); why != nil {
			t.Fatalf("request %d: %+v", i, why)
		}
		clock.t = clock.t.Add(30 * time.Second)
	}
	why := enter()
	if why == nil {
		t.Fatal("the eleventh was let in")
	}
	if why.after <= 0 || why.after > 5*time.Minute+10*time.Second {
		t.Errorf("come back after %v, want when the first falls out", why.after)
	}
	clock.t = clock.t.Add(why.after)
	if why := enter(); why == nil {
		t.Error("the refused one did not count")
	}
	clock.t = clock.t.Add(20 * time.Minute)
	if why := enter(); why != nil {
		t.Errorf("after a quiet window: %+v", why)
	}
}

func TestUploadBytes(t *testing.T) {
	clock := newAt()
	th := newThrottle(Throttle{Concurrent: -1}, 1, clock.now)
	if _, why := th.enter("app", "ada", 149_000_000); why != nil {
		t.Fatal(why)
	}
	if _, why := th.enter("app", "ada", 2_000_000); why == nil {
		t.Error("151 MB in five minutes were let in")
	}
	if _, why := th.enter("app", "ada", 0); why != nil {
		t.Errorf("a request without a body: %+v", why)
	}
	clock.t = clock.t.Add(5 * time.Minute)
	if _, why := th.enter("app", "ada", 2_000_000); why != nil {
		t.Errorf("five minutes later: %+v", why)
	}
}

func TestRetryAfterHeader(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		item bool
		want string
	}{{time.Second, false, "1"}, {249 * time.Millisecond, false, "1"}, {249 * time.Millisecond, true, "0.249"}, {90 * time.Second, true, "90"}} {
		if got := retryAfter(c.d, c.item); got != c.want {
			t.Errorf("%v, item %v: %q, want %q", c.d, c.item, got, c.want)
		}
	}
}
