package mailbox

import (
	"testing"
	"time"
)

// clock is a schedule's time.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func TestScheduleServesWhoAsks(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	got, _ := s.take()
	if got == nil || got.account != "a" {
		t.Fatal("what is due is not given")
	}
	if more, wait := s.take(); more != nil || wait <= 0 {
		t.Error("an account is given twice at once")
	}
	s.soon("a", nil) // while it runs
	s.done(got.entry, time.Minute, false)
	if got, _ = s.take(); got == nil {
		t.Fatal("who asked during a round is not served after it")
	}
	s.done(got.entry, time.Minute, false)
	if more, wait := s.take(); more != nil || wait != time.Minute {
		t.Errorf("after a quiet round: %v, due in %s", more, wait)
	}
	c.t = c.t.Add(time.Minute)
	if got, _ = s.take(); got == nil {
		t.Fatal("it is not due when its time has come")
	}
	s.forget("a")
	s.done(got.entry, 0, false)
	if more, _ := s.take(); more != nil {
		t.Error("a forgotten account is due")
	}
}

func TestFailedRoundsRest(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	got, _ := s.take()
	s.again("a")
	s.done(got.entry, time.Minute, true)
	if more, wait := s.take(); more != nil || wait != time.Minute {
		t.Errorf("a failed round that left something: %v, due in %s", more, wait)
	}
}

func TestEndlessRoundsDoNotSpin(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	rounds := 0
	for ; rounds < 1000; rounds++ {
		got, _ := s.take()
		if got == nil {
			break
		}
		s.again("a")
		s.done(got.entry, time.Minute, false)
	}
	if rounds < 50 || rounds == 1000 {
		t.Errorf("%d rounds without a pause", rounds)
	}
}

func TestListeners(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	listened := func(account string) bool {
		s.soon(account, nil)
		got, _ := s.take()
		s.done(got.entry, time.Hour, false)
		return got.listened
	}
	if listened("a") {
		t.Error("listened to before anybody listens")
	}
	stop := s.listen([]string{"a"})
	if !listened("a") || listened("b") {
		t.Error("a listener to a is not one to a alone")
	}
	stop()
	stop() // twice counts once
	stopAll := s.listen(nil)
	if !listened("a") || !listened("b") {
		t.Error("a listener to all is not one to each")
	}
	stopAll()
	if listened("a") {
		t.Error("listened to after everybody left")
	}
}

// TestListenersOfNobodyYet: who listens before an account is known here counts from
// its first round on, and leaves nobody else's place when it goes.
func TestListenersOfNobodyYet(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	listened := func() bool {
		s.soon("a", nil)
		got, _ := s.take()
		s.done(got.entry, time.Hour, false)
		return got.listened
	}
	early := s.listen([]string{"a"})
	if !listened() {
		t.Error("the listener of before is not counted")
	}
	late := s.listen([]string{"a"})
	early()
	if !listened() {
		t.Error("the first one's leaving took the second one along")
	}
	s.forget("a")
	if !listened() {
		t.Error("an account that is known anew has lost its listener")
	}
	late()
	if listened() || len(s.listeners) != 0 {
		t.Errorf("listened to after everybody left: %v", s.listeners)
	}
}

// TestListenerHastens: an account that waits for its poll is asked sooner once
// somebody listens; one with push, or that failed, waits as long as it would.
func TestListenerHastens(t *testing.T) {
	for name, c := range map[string]struct {
		polled bool
		within time.Duration
	}{"polled": {true, 12 * time.Second}, "pushed": {false, time.Hour}} {
		now := &clock{time.Unix(1000, 0)}
		s := newSchedule(now.now)
		s.listened = 10 * time.Second
		s.soon("a", nil)
		got, _ := s.take()
		s.polls(got.entry, c.polled)
		s.done(got.entry, time.Hour, false)
		stop := s.listen([]string{"a"})
		if _, wait := s.take(); wait > c.within || c.within == time.Hour && wait != time.Hour {
			t.Errorf("%s: asked again in %v", name, wait)
		}
		stop()
	}
}

// TestAnewAfterFailure: what failed rests, unless what it failed by may be over.
func TestAnewAfterFailure(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	e, _ := s.take()
	e.failures = 9
	s.soon("a", nil) // a hint
	s.done(e.entry, time.Minute, true)
	if got, wait := s.take(); got != nil || wait != time.Minute {
		t.Fatalf("a hint wakes what failed: %v, %s", got, wait)
	}
	c.t = c.t.Add(time.Minute)
	e, _ = s.take()
	s.fresh("a")
	s.done(e.entry, time.Minute, true)
	if got, _ := s.take(); got == nil || got.failures != 0 {
		t.Fatalf("not begun anew: %+v", got)
	}
}
