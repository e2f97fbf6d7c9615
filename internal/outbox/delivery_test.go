package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

func TestDeliversAndWritesItDown(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(*store.Delivery) Outcome {
			return Outcome{OK: true, Status: 202, Answer: []byte("thanks"), Peer: "192.0.2.1:443", Duration: time.Second}
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		id := r.owe("e", "a", true, 1, 1)[0]
		settle()
		d := r.delivery(id)
		if d.State != store.DeliveryDelivered || d.Attempts != 1 || d.LastStatus != 202 || d.DoneAt.IsZero() {
			t.Errorf("%+v", d)
		}
		got := r.attempts(id)
		if len(got) != 1 || got[0].Number != 1 || got[0].Status != 202 || string(got[0].Answer) != "thanks" || got[0].Peer != "192.0.2.1:443" || got[0].Duration != time.Second {
			t.Errorf("attempts %+v", got)
		}
		if tries := c.all(); len(tries) != 1 || tries[0].body != "body of a/1" {
			t.Errorf("tries %+v", tries)
		}
		if st := r.stats(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestShortScheduleThenDeadLetterThenTheNext(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Event == "a/1" {
				return Outcome{Class: Class5xx, Status: 503, Error: "answered 503"}
			}
			return ok()
		})
		r := start(t, s, c, Options{Limits: func(*store.Endpoint) Limits { return Limits{Attempts: 6} }})
		defer r.stop()
		r.endpoint("e", true)
		began := time.Now()
		ids := r.owe("e", "a", true, 1, 2)
		pass(50 * time.Minute)
		settle()
		// The last is the next delivery of the lane: the breaker's probe.
		var at []time.Duration
		for _, try := range c.all() {
			at = append(at, try.at.Sub(began).Round(time.Second))
		}
		want := []time.Duration{0, 5 * time.Second, 35 * time.Second, 155 * time.Second, 755 * time.Second, 2555 * time.Second, 2565 * time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("times of the attempts (-want +got):\n%s", diff)
		}
		d := r.delivery(ids[0])
		if d.State != store.DeliveryDead || d.Attempts != 6 || d.LastStatus != 503 || !strings.Contains(d.LastError, "gave up after 6 attempts") || d.FirstFailAt.IsZero() {
			t.Errorf("%+v", d)
		}
		if n := len(r.attempts(ids[0])); n != 6 {
			t.Errorf("%d attempts in the log", n)
		}
		if d := r.delivery(ids[1]); d.State != store.DeliveryDelivered {
			t.Errorf("the next one is %s", d.State)
		}
		if st := r.stats(); st.Dead != 1 || st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestWholeScheduleTakesThreeDays(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(*store.Delivery) Outcome { return failed(ClassNetwork) })
		r := start(t, s, c, Options{Random: rand.New(rand.NewPCG(1, 2)).Float64})
		defer r.stop()
		r.endpoint("e", true)
		began := time.Now()
		id := r.owe("e", "a", true, 1, 1)[0]
		for range 5 * 24 {
			pass(time.Hour)
		}
		settle()
		d := r.delivery(id)
		if took := d.DoneAt.Sub(began); d.State != store.DeliveryDead || took < 48*time.Hour || took > 110*time.Hour {
			t.Errorf("%s after %s and %d attempts: %s", d.State, took, d.Attempts, d.LastError)
		}
		if n := len(c.all()); n > 12 || n < 10 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestLanesKeepOrderWhateverHappens(t *testing.T) {
	quick := DefaultPolicy()
	quick.Schedule = make([]time.Duration, 100)
	for i := range quick.Schedule {
		quick.Schedule[i] = time.Millisecond
	}
	quick.Probe, quick.MaxProbe = time.Millisecond, time.Millisecond
	// Waits that are shorter than a commit, and waits that are longer.
	for name, policy := range map[string]Policy{"quick": quick, "default": DefaultPolicy()} {
		t.Run(name, func(t *testing.T) { lanesKeepOrder(t, policy) })
	}
}

func lanesKeepOrder(t *testing.T, policy Policy) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		rnd := rand.New(rand.NewPCG(3, 4))
		c := &scripted{}
		c.answer = func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			c.mu.Lock()
			dice, wait := rnd.IntN(10), time.Duration(rnd.IntN(50))*time.Millisecond
			c.mu.Unlock()
			time.Sleep(wait)
			if dice == 0 {
				return failed(Class5xx)
			}
			return ok()
		}
		r := start(t, s, c, Options{Policy: policy})
		defer r.stop()
		const accounts, each = 12, 30
		r.endpoint("e", true)
		r.endpoint("f", true)
		for batch := range 3 {
			for a := range accounts {
				r.owe("e", fmt.Sprintf("a%02d", a), true, batch*each/3+1, each/3)
				r.owe("f", fmt.Sprintf("b%02d", a), true, batch*each/3+1, each/3)
			}
			pass(time.Second)
		}
		pass(time.Hour)
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 0 {
			t.Fatalf("%+v", st)
		}
		last := map[string]int{}
		for _, try := range c.all() {
			var n int
			fmt.Sscanf(try.event, try.account+"/%d", &n)
			key := try.endpoint + try.account
			if n != last[key] && n != last[key]+1 {
				t.Fatalf("%s came after %d", try.event, last[key])
			}
			last[key] = n
		}
		if len(last) != 2*accounts {
			t.Errorf("%d lanes were served", len(last))
		}
		for _, e := range []string{"e", "f"} {
			if c.most[e] > 8 || c.most[e] < 4 {
				t.Errorf("%d attempts to %s were under way at once", c.most[e], e)
			}
		}
	})
}

func TestUnorderedDeliveriesDoNotWaitForEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Event == "a/1" {
				return failed(Class5xx)
			}
			return ok()
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", false)
		ids := r.owe("e", "a", false, 1, 20)
		settle()
		for i, id := range ids {
			want := store.DeliveryDelivered
			if i == 0 {
				want = store.DeliveryPending
			}
			if d := r.delivery(id); d.State != want {
				t.Errorf("%s is %s", id, d.State)
			}
		}
	})
}

func TestPoisonBecomesADeadLetterAndTheLaneMovesOn(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Event == "a/1" {
				panic("no such template")
			}
			return ok()
		})
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		ids := r.owe("e", "a", true, 1, 2)
		pass(2 * time.Minute)
		settle()
		d := r.delivery(ids[0])
		if d.State != store.DeliveryDead || d.Attempts != 3 || !strings.Contains(d.LastError, "the same local error 3 times: panic: no such template") {
			t.Errorf("%+v", d)
		}
		if d := r.delivery(ids[1]); d.State != store.DeliveryDelivered {
			t.Errorf("the next one is %s", d.State)
		}
	})
}

func TestForgottenNoticesAreFoundByAScan(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := fine()
		r := start(t, s, c, Options{})
		r.endpoint("e", true)
		settle()
		r.stop()
		r.owe("e", "a", true, 1, 3) // Notice comes to an outbox that does not run
		r = start(t, s, c, Options{})
		defer r.stop()
		settle()
		if st := r.stats(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestOldDeliveriesAreTrimmed(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(d *store.Delivery) Outcome {
			if d.Account == "bad" {
				return failed(Class4xx)
			}
			return ok()
		})
		r := start(t, s, c, Options{Limits: func(*store.Endpoint) Limits { return Limits{Attempts: 1} }})
		defer r.stop()
		r.endpoint("e", true)
		good, bad := r.owe("e", "good", true, 1, 1)[0], r.owe("e", "bad", true, 1, 1)[0]
		for range 8 * 24 {
			pass(time.Hour)
		}
		settle()
		if _, _, err := r.outbox.Delivery(context.Background(), good); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("a delivered one after 8 days: %v", err)
		}
		if d := r.delivery(bad); d.State != store.DeliveryDead {
			t.Errorf("a dead one after 8 days: %+v", d)
		}
	})
}

func TestMetrics(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		reg := prometheus.NewRegistry()
		c := answering(func(d *store.Delivery) Outcome {
			switch d.Account {
			case "bad":
				return failed(Class4xx)
			case "late":
				return failed(ClassNetwork)
			}
			return ok()
		})
		r := start(t, s, c, Options{Registerer: reg, Limits: func(*store.Endpoint) Limits { return Limits{Attempts: 2} }})
		defer r.stop()
		for _, e := range []string{"e", "f", "g"} {
			r.endpoint(e, true)
		}
		r.owe("e", "good", true, 1, 3)
		r.owe("f", "bad", true, 1, 1)
		settle()
		pass(time.Minute)
		r.owe("g", "late", true, 1, 2)
		settle()
		pass(2 * time.Second)
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				name := f.GetName()
				for _, l := range m.GetLabel() {
					name += "/" + l.GetValue()
				}
				switch {
				case m.Counter != nil:
					got[name] = m.Counter.GetValue()
				case m.Gauge != nil:
					got[name] = m.Gauge.GetValue()
				case m.Histogram != nil:
					got[name] = float64(m.Histogram.GetSampleCount())
				}
			}
		}
		for name, want := range map[string]float64{
			"postern_delivery_attempts_total/ok": 3, "postern_delivery_attempts_total/4xx": 2, "postern_delivery_attempts_total/network": 1,
			"postern_delivery_attempts_total/410": 0, "postern_delivery_latency_seconds": 3, "postern_dead_letters": 1,
			"postern_outbox_pending": 2, "postern_outbox_in_flight": 0, "postern_outbox_oldest_age_seconds/g": 3, "postern_outbox_lanes_blocked": 1,
		} {
			if v, ok := got[name]; !ok || v < want || v > want+0.5 {
				t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
			}
		}
	})
}
