package outbox

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// TestRefusedHeadLeavesTheOrder: the receiver refuses one delivery and takes
// all others. Its lane goes on without it after order_wait, and it is tried on
// its own until its attempts are used up.
func TestRefusedHeadLeavesTheOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Event == "a/1" {
				return failed(Class5xx)
			}
			return ok()
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		began := time.Now()
		refused := r.owe("e", "a", true, 1, 4)[0]
		for n := range 10 { // others are answered all the time
			r.owe("e", "b", true, n+1, 1)
			pass(20 * time.Second)
		}
		if got := r.account(c, "a"); slices.ContainsFunc(got, func(t try) bool { return t.event != "a/1" }) {
			t.Fatalf("the order was given up before its time: %v", got)
		}
		pass(5*time.Minute - time.Since(began))
		settle()
		var followers []string
		for _, try := range r.account(c, "a") {
			if try.event != "a/1" {
				followers = append(followers, try.event)
				if late := try.at.Sub(began); late > 5*time.Minute+time.Second {
					t.Errorf("%s was held up for %s", try.event, late)
				}
			}
		}
		if diff := cmp.Diff([]string{"a/2", "a/3", "a/4"}, followers); diff != "" {
			t.Error(diff)
		}
		d := r.delivery(refused)
		if d.Lane != d.ID || d.State != store.DeliveryPending {
			t.Errorf("it is %s in lane %s", d.State, d.Lane)
		}
		r.owe("e", "a", true, 5, 1)
		settle()
		pass(5 * 24 * time.Hour)
		if d := r.delivery(refused); d.State != store.DeliveryDead || d.Attempts < 12 {
			t.Errorf("it is %s after %d attempts", d.State, d.Attempts)
		}
		if n := len(r.attempts(refused)); n != r.delivery(refused).Attempts {
			t.Errorf("%d attempts are logged of %d", n, r.delivery(refused).Attempts)
		}
	})
}

// account lists the tries of an account's deliveries.
func (r *rig) account(c *scripted, account string) []try {
	return slices.DeleteFunc(c.all(), func(t try) bool { return t.account != account })
}

// TestOrderIsKeptWhileAnEndpointIsDown: nobody overtakes, however long the
// outage lasts, and the heads are tried as soon as the endpoint answers one.
func TestOrderIsKeptWhileAnEndpointIsDown(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var up atomic.Bool
		c := answering(func(*store.Delivery) Outcome {
			if up.Load() {
				return ok()
			}
			return failed(ClassNetwork)
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		for _, a := range []string{"a", "b", "c"} {
			r.owe("e", a, true, 1, 5)
		}
		pass(20 * time.Hour)
		up.Store(true)
		back := time.Now()
		r.owe("e", "fresh", true, 1, 1) // somebody finds out
		pass(2 * time.Minute)
		for _, a := range []string{"a", "b", "c"} {
			var order []string
			for _, try := range r.account(c, a) {
				if !try.at.Before(back) {
					order = append(order, try.event)
				} else if try.event != a+"/1" {
					t.Errorf("%s overtook during the outage", try.event)
				}
			}
			if diff := cmp.Diff([]string{a + "/1", a + "/2", a + "/3", a + "/4", a + "/5"}, order); diff != "" {
				t.Errorf("after the outage: %s", diff)
			}
		}
		if got := r.stats(); got.Pending != 0 || got.Dead != 0 {
			t.Errorf("left: %+v", got)
		}
	})
}

// TestOrderForEver: order_wait may be switched off, and an endpoint that halts
// knows none.
func TestOrderForEver(t *testing.T) {
	for name, opts := range map[string]Options{
		"no order_wait": {Policy: Policy{OrderWait: -1}},
		"halt":          {Limits: func(*store.Endpoint) Limits { return Limits{Halt: true} }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				c := answering(func(d *store.Delivery) Outcome {
					if d.Event == "a/1" {
						return failed(Class5xx)
					}
					return ok()
				})
				r := start(t, s, c, opts)
				defer r.stop()
				r.endpoint("e", true)
				r.owe("e", "a", true, 1, 2)
				for n := range 20 {
					r.owe("e", "b", true, n+1, 1)
					pass(time.Hour)
				}
				if slices.Contains(c.events("e"), "a/2") {
					t.Error("it went on without the head")
				}
			})
		})
	}
}

// TestHaltOutlivesItsAttempts: for an endpoint that halts, neither order_wait
// nor a budget that is used up lets anybody pass the head, which is tried
// seldom, and goes out once the receiver takes it.
func TestHaltOutlivesItsAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var up atomic.Bool
		c := answering(func(d *store.Delivery) Outcome {
			if d.Event == "a/1" && !up.Load() {
				return failed(Class4xx)
			}
			return ok()
		})
		r := start(t, s, c, Options{Limits: func(*store.Endpoint) Limits { return Limits{Halt: true, Attempts: 1} }})
		defer r.stop()
		r.endpoint("e", true)
		id := r.owe("e", "a", true, 1, 3)[0]
		for n := range 50 {
			r.owe("e", "b", true, n+1, 1)
			pass(2 * time.Hour)
		}
		if d := r.delivery(id); d.State != store.DeliveryPending || d.Lane != "a" || d.Attempts < 3 || d.Attempts > 6 {
			t.Errorf("it is %s in lane %s after %d attempts", d.State, d.Lane, d.Attempts)
		}
		if n := len(r.account(c, "a")); n > 6 {
			t.Errorf("%d attempts", n)
		}
		up.Store(true)
		pass(25 * time.Hour)
		var order []string
		for _, try := range r.account(c, "a") {
			order = append(order, try.event)
		}
		if diff := cmp.Diff([]string{"a/1", "a/2", "a/3"}, slices.Compact(order)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestAttemptsPerSecond: an endpoint gets no more than it can take, and no
// other is slowed by that.
func TestAttemptsPerSecond(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := fine()
		r := start(t, s, c, Options{Limits: func(e *store.Endpoint) Limits {
			if e.ID == "slow" {
				return Limits{PerSecond: 5, InFlight: 2}
			}
			return Limits{}
		}})
		defer r.stop()
		r.endpoint("slow", false)
		r.endpoint("other", false)
		r.owe("slow", "a", false, 1, 100)
		r.owe("other", "a", false, 1, 100)
		settle()
		if n := len(c.events("other")); n != 100 {
			t.Errorf("the other endpoint got %d", n)
		}
		for _, at := range []time.Duration{4 * time.Second, 10 * time.Second} {
			pass(at)
			elapsed := time.Since(c.all()[0].at).Seconds()
			if n := float64(len(c.events("slow"))); n < 5*elapsed-3 || n > 5*elapsed+3 {
				t.Errorf("%v attempts in %v s, want about %v", n, elapsed, 5*elapsed)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.most["slow"] > 2 {
			t.Errorf("%d at once", c.most["slow"])
		}
	})
}

// TestExpiry: what is worth an hour is not tried for three days.
func TestExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(*store.Delivery) Outcome { return failed(Class5xx) })
		r := start(t, s, c, Options{Policy: Policy{Expiry: map[string]time.Duration{"ping": time.Hour}}})
		defer r.stop()
		r.endpoint("e", false)
		id := r.owe("e", "a", false, 1, 1)[0]
		pass(4 * time.Hour)
		if d := r.delivery(id); d.State != store.DeliveryDead || d.Attempts > 8 {
			t.Errorf("it is %s after %d attempts: %s", d.State, d.Attempts, d.LastError)
		}
	})
}

// TestPoisonedEvents: a delivery that cannot even be sent ends as a dead letter
// that says why, and its lane goes on.
func TestPoisonedEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := &scripted{answer: func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			if d.Event == "a/1" {
				panic("poison")
			}
			return ok()
		}}
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		poisoned := r.owe("e", "a", true, 1, 2)[0]
		var empty string
		r.update(func(tx store.Tx) error {
			d := &store.Delivery{ID: "empty", Endpoint: "e", Lane: "a", Account: "a", Event: "a/3", Type: "ping", Sequence: 3, Rendition: "thin", NextAt: time.Now()}
			empty = d.ID
			return tx.Enqueue(d) // there is no body
		})
		r.owe("e", "a", true, 4, 1)
		pass(10 * time.Minute)
		for id, why := range map[string]string{poisoned: "panic: poison", empty: "the body is not in the store any more"} {
			d := r.delivery(id)
			if d.State != store.DeliveryDead || d.LastError != "the same local error 3 times: "+why {
				t.Errorf("%s is %s: %s", id, d.State, d.LastError)
			}
		}
		if got := c.events("e"); !slices.Contains(got, "a/2") || !slices.Contains(got, "a/4") {
			t.Errorf("the lane did not go on: %v", got)
		}
		if n := r.stats().Pending; n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}
