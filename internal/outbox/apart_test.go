package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

func TestHangingEndpointsDoNotDelayOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		const hanging = 300
		c := &scripted{answer: func(ctx context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			if strings.HasPrefix(d.Endpoint, "hang") {
				select {
				case <-ctx.Done():
				case <-time.After(15 * time.Second):
				}
				return failed(ClassTimeout)
			}
			return ok()
		}}
		r := start(t, s, c, Options{Workers: 64})
		r.endpoint("good", true)
		r.owe("good", "g", true, 1, 1)
		settle()
		for i := range hanging {
			id := fmt.Sprintf("hang%03d", i)
			r.endpoint(id, true)
			for l := range 3 {
				r.owe(id, fmt.Sprintf("%s-%d", id, l), true, 1, 2)
			}
		}
		synctest.Wait()
		for n := range 100 {
			before := time.Now()
			id := r.owe("good", fmt.Sprintf("g%d", n%10), true, n/10+1, 1)[0]
			synctest.Wait()
			var last try
			for _, try := range c.all() {
				if try.endpoint == "good" {
					last = try
				}
			}
			if last.endpoint+":"+last.event != id || last.at.Sub(before) > 60*time.Millisecond {
				t.Fatalf("%s was not sent at once: the last attempt was of %s, %s later", id, last.event, last.at.Sub(before))
			}
			pass(300 * time.Millisecond)
		}
		reached := map[string]bool{}
		for _, try := range c.all() {
			reached[try.endpoint] = true
		}
		if len(reached) < 60 {
			t.Errorf("only %d endpoints were tried: the hanging ones do not take turns", len(reached))
		}
		// Once all of them are known to hang, a new endpoint need not wait.
		pass(5 * time.Minute)
		r.endpoint("new", true)
		r.owe("new", "n", true, 1, 1)
		synctest.Wait()
		if got := c.events("new"); len(got) != 1 {
			t.Error("a new endpoint waits for those that hang")
		}
		r.cancel()
		if err := <-r.done; err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("Run: %v, want it to say what it cut off", err)
		}
	})
}

func TestGoneDisablesAndEnablingGoesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		gone := true
		c := &scripted{}
		c.answer = func(context.Context, *store.Endpoint, *store.Delivery) Outcome {
			c.mu.Lock()
			defer c.mu.Unlock()
			if gone {
				return Outcome{Class: Class410, Status: 410, Error: "answered 410 Gone"}
			}
			return ok()
		}
		var told []string
		r := start(t, s, c, Options{OnChange: func(_ store.Tx, e *store.Endpoint, c Change) error {
			told = append(told, e.ID+" "+string(c.Kind)+": "+e.Reason)
			return nil
		}})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 3)
		r.owe("e", "b", true, 1, 3)
		settle()
		if n := len(c.all()); n != 1 {
			t.Errorf("%d attempts to an endpoint that is gone", n)
		}
		if diff := cmp.Diff([]string{"e disabled: the receiver answered 410 Gone"}, told); diff != "" {
			t.Error(diff)
		}
		r.owe("e", "a", true, 4, 1)
		pass(48 * time.Hour)
		if n := len(c.all()); n != 1 {
			t.Errorf("%d attempts while it was disabled", n)
		}
		if st := r.stats(); st.Pending != 7 {
			t.Errorf("%+v, want all to wait", st)
		}
		c.mu.Lock()
		gone = false
		c.mu.Unlock()
		r.update(func(tx store.Tx) error {
			e, err := tx.Endpoint("e")
			if err != nil {
				return err
			}
			if !e.Disabled || e.Reason == "" {
				t.Errorf("%+v", e)
			}
			e.Disabled, e.Reason, e.Failing, e.Failures = false, "", time.Time{}, 0
			tx.AfterCommit(func() { r.outbox.Refresh("e") })
			return tx.PutEndpoint(e)
		})
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 0 {
			t.Errorf("%+v after it was enabled", st)
		}
	})
}

func TestRetryAfterHoldsTheWholeEndpointAndSurvives(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		began := time.Now()
		c := &scripted{answer: func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			if d.Endpoint == "busy" && time.Since(began) < time.Hour {
				return Outcome{Class: Class429, Status: 429, RetryAfter: 2 * time.Hour, Error: "answered 429"}
			}
			return ok()
		}}
		r := start(t, s, c, Options{})
		r.endpoint("busy", true)
		r.endpoint("free", true)
		r.owe("busy", "a", true, 1, 2)
		settle()
		r.owe("busy", "b", true, 1, 1)
		r.owe("free", "b", true, 1, 1)
		settle()
		pass(90 * time.Minute)
		if n := len(c.events("busy")); n != 1 {
			t.Errorf("%d attempts to the busy endpoint", n)
		}
		if n := len(c.events("free")); n != 1 {
			t.Errorf("%d attempts to the free endpoint", n)
		}
		r.stop()
		again := start(t, s, c, Options{})
		defer again.stop()
		settle()
		if n := len(c.events("busy")); n != 1 {
			t.Errorf("%d attempts to the busy endpoint after a restart", n)
		}
		pass(31 * time.Minute)
		settle()
		if st := again.stats(); st.Pending != 0 {
			t.Errorf("%+v after the pause", st)
		}
		for _, try := range c.all()[1:] {
			if try.endpoint == "busy" && try.at.Sub(began) < 2*time.Hour {
				t.Errorf("an attempt after %s", try.at.Sub(began))
			}
		}
	})
}

func TestOutageCostsByEndpointAndComesBackSlowly(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		began := time.Now()
		c := &scripted{answer: func(context.Context, *store.Endpoint, *store.Delivery) Outcome {
			if time.Since(began) < time.Hour {
				return failed(ClassNetwork)
			}
			time.Sleep(time.Second)
			return ok()
		}}
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		const lanes = 200
		for a := range lanes {
			r.owe("e", fmt.Sprintf("a%03d", a), true, 1, 2)
		}
		pass(time.Hour - time.Since(began))
		outage := len(c.all())
		if outage > 120 {
			t.Errorf("%d attempts in an hour of outage for %d lanes", outage, lanes)
		}
		pass(26 * time.Hour)
		tries := c.all()[outage:]
		for i, limit := range []int{1, 2, 2, 4, 4, 4, 4, 8, 8, 8} {
			if tries[i].flying > limit {
				t.Errorf("attempt %d after the outage made it %d at once", i+1, tries[i].flying)
			}
		}
		if c.most["e"] > 8 {
			t.Errorf("%d at once", c.most["e"])
		}
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestBacklogOfADeadEndpointDoesNotTakeForever(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(*store.Delivery) Outcome { return failed(Class5xx) })
		var disabled bool
		r := start(t, s, c, Options{OnChange: func(_ store.Tx, _ *store.Endpoint, c Change) error {
			disabled = disabled || c.Kind == ChangeDisabled
			return nil
		}})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 50)
		for range 4 * 24 {
			pass(time.Hour)
		}
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 50 {
			t.Errorf("%+v after four days", st)
		}
		r.owe("e", "b", true, 1, 1)
		for range 5 * 24 {
			pass(time.Hour)
		}
		settle()
		if !disabled {
			t.Error("an endpoint that failed for days is still enabled")
		}
	})
}

func TestMemoryIsBoundedAndNothingIsForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		began := time.Now()
		c := &scripted{answer: func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			if time.Since(began) < time.Minute && d.Sequence%3 == 0 {
				return failed(Class5xx)
			}
			return ok()
		}}
		r := start(t, s, c, Options{Known: 10})
		defer r.stop()
		r.endpoint("e", false)
		for batch := range 5 {
			r.owe("e", "a", false, batch*100+1, 100)
			r.outbox.mu.Lock()
			if n := len(r.outbox.endpoints["e"].lanes); n > 10 {
				t.Errorf("%d lanes in memory", n)
			}
			r.outbox.mu.Unlock()
		}
		pass(2 * time.Hour)
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 0 {
			t.Errorf("%+v", st)
		}
	})
}
