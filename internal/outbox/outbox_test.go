package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
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
		r := start(t, s, c, Options{Attempts: func(*store.Endpoint) int { return 6 }})
		defer r.stop()
		r.endpoint("e", true)
		began := time.Now()
		ids := r.owe("e", "a", true, 1, 2)
		time.Sleep(50 * time.Minute)
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
			time.Sleep(time.Hour)
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
		r := start(t, s, c, Options{})
		defer r.stop()
		const accounts, each = 12, 30
		r.endpoint("e", true)
		r.endpoint("f", true)
		for batch := range 3 {
			for a := range accounts {
				r.owe("e", fmt.Sprintf("a%02d", a), true, batch*each/3+1, each/3)
				r.owe("f", fmt.Sprintf("b%02d", a), true, batch*each/3+1, each/3)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Hour)
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
			tries := c.all()
			last := tries[len(tries)-1]
			if last.endpoint+":"+last.event != id || last.at.Sub(before) > 60*time.Millisecond {
				t.Fatalf("%s was not sent at once: the last attempt was of %s, %s later", id, last.event, last.at.Sub(before))
			}
			time.Sleep(300 * time.Millisecond)
		}
		reached := map[string]bool{}
		for _, try := range c.all() {
			reached[try.endpoint] = true
		}
		if len(reached) < 60 {
			t.Errorf("only %d endpoints were tried: the hanging ones do not take turns", len(reached))
		}
		// Once all of them are known to hang, a new endpoint need not wait.
		time.Sleep(5 * time.Minute)
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
		r := start(t, s, c, Options{OnDisabled: func(_ store.Tx, e *store.Endpoint) error {
			told = append(told, e.ID+": "+e.Reason)
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
		if diff := cmp.Diff([]string{"e: the receiver answered 410 Gone"}, told); diff != "" {
			t.Error(diff)
		}
		r.owe("e", "a", true, 4, 1)
		time.Sleep(48 * time.Hour)
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
		time.Sleep(90 * time.Minute)
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
		time.Sleep(31 * time.Minute)
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
		time.Sleep(time.Hour - time.Since(began))
		outage := len(c.all())
		if outage > 120 {
			t.Errorf("%d attempts in an hour of outage for %d lanes", outage, lanes)
		}
		time.Sleep(26 * time.Hour)
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
		r := start(t, s, c, Options{OnDisabled: func(store.Tx, *store.Endpoint) error { disabled = true; return nil }})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 50)
		for range 4 * 24 {
			time.Sleep(time.Hour)
		}
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 50 {
			t.Errorf("%+v after four days", st)
		}
		r.owe("e", "b", true, 1, 1)
		for range 5 * 24 {
			time.Sleep(time.Hour)
		}
		settle()
		if !disabled {
			t.Error("an endpoint that failed for days is still enabled")
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
		time.Sleep(2 * time.Minute)
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

func TestRedeliver(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		ctx := context.Background()
		broken := true
		c := &scripted{}
		c.answer = func(_ context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			c.mu.Lock()
			defer c.mu.Unlock()
			if broken && d.Account == "a" {
				return Outcome{Class: Class5xx, Error: "answered 500"}
			}
			return ok()
		}
		r := start(t, s, c, Options{Attempts: func(*store.Endpoint) int { return 2 }})
		defer r.stop()
		r.endpoint("e", true)
		r.endpoint("f", true)
		dead := r.owe("e", "a", true, 1, 5)
		fineOnes := r.owe("e", "b", true, 1, 2)
		r.owe("f", "b", true, 1, 2)
		time.Sleep(time.Minute)
		settle()
		if st := r.stats(); st.Dead != 5 {
			t.Fatalf("%+v", st)
		}
		for _, tc := range []struct {
			ids    []string
			filter *store.DeliveryFilter
			kind   mail.Kind
		}{
			{kind: mail.KindInvalid},
			{filter: &store.DeliveryFilter{}, kind: mail.KindInvalid},
			{ids: []string{dead[0], "nonsense"}, kind: mail.KindNotFound},
		} {
			if n, err := r.outbox.Redeliver(ctx, tc.ids, tc.filter); mail.KindOf(err) != tc.kind || n != 0 {
				t.Errorf("Redeliver(%v, %v) = %d, %v", tc.ids, tc.filter, n, err)
			}
		}
		c.mu.Lock()
		broken, c.tries = false, nil
		c.mu.Unlock()

		n, err := r.outbox.Redeliver(ctx, nil, &store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDead})
		if n != 5 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		settle()
		if diff := cmp.Diff([]string{"a/1", "a/2", "a/3", "a/4", "a/5"}, c.events("e")); diff != "" {
			t.Errorf("redelivered (-want +got):\n%s", diff)
		}
		d := r.delivery(dead[0])
		if d.State != store.DeliveryDelivered || d.Attempts != 1 || d.Replays != 1 {
			t.Errorf("%+v", d)
		}
		var numbers []int
		for _, a := range r.attempts(dead[0]) {
			numbers = append(numbers, a.Number)
		}
		if diff := cmp.Diff([]int{1, 2, 3}, numbers); diff != "" {
			t.Errorf("attempts of both rounds:\n%s", diff)
		}

		// One that was delivered goes out again with the same body.
		if n, err := r.outbox.Redeliver(ctx, fineOnes[:1], nil); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		settle()
		tries := c.all()
		if last := tries[len(tries)-1]; last.event != "b/1" || last.body != "body of b/1" {
			t.Errorf("%+v", last)
		}

		// One that waits for its next attempt is made now.
		c.mu.Lock()
		broken = true
		c.mu.Unlock()
		waiting := r.owe("e", "a", true, 6, 1)
		settle()
		c.mu.Lock()
		broken, c.tries = false, nil
		c.mu.Unlock()
		if n, err := r.outbox.Redeliver(ctx, waiting, nil); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		synctest.Wait()
		if diff := cmp.Diff([]string{"a/6"}, c.events("e")); diff != "" {
			t.Errorf("made now (-want +got):\n%s", diff)
		}
	})
}

func TestDeletedEndpointIsDroppedEvenAfterARestart(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := answering(func(*store.Delivery) Outcome { return failed(ClassNetwork) })
		r := start(t, s, c, Options{})
		r.endpoint("e", true)
		r.endpoint("f", true)
		r.endpoint("g", true)
		for a := range 40 {
			r.owe("e", fmt.Sprintf("a%d", a), true, 1, 10)
			r.owe("f", fmt.Sprintf("a%d", a), true, 1, 10)
		}
		r.owe("g", "a0", true, 1, 1)
		settle()
		r.update(func(tx store.Tx) error {
			tx.AfterCommit(func() { r.outbox.Forget("e") })
			return Remove(tx, "e")
		})
		settle()
		if st := r.stats(); st.Pending != 401 {
			t.Errorf("%+v after e was deleted", st)
		}
		r.stop()
		r.update(func(tx store.Tx) error { return Remove(tx, "f") }) // and a crash before Forget
		r = start(t, s, c, Options{})
		settle()
		if st := r.stats(); st.Pending != 1 {
			t.Errorf("%+v after f was deleted", st)
		}
		r.stop()
		if err := s.View(context.Background(), func(tx store.Tx) error {
			left, err := toDrop(tx)
			if len(left) != 0 {
				t.Errorf("still to be dropped: %v", left)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestErasedDeliveriesDoNotBlockTheirLane(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		release := make(chan struct{})
		c := &scripted{answer: func(context.Context, *store.Endpoint, *store.Delivery) Outcome { <-release; return ok() }}
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 5)
		synctest.Wait() // the first is under way, the others were read ahead
		r.update(func(tx store.Tx) error {
			_, err := tx.DropDeliveriesOf("a", 100)
			return err
		})
		r.owe("e", "a", true, 6, 1)
		close(release)
		settle()
		if diff := cmp.Diff([]string{"a/1", "a/6"}, c.events("e")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestStopLetsAttemptsFinish(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := &scripted{answer: func(ctx context.Context, _ *store.Endpoint, d *store.Delivery) Outcome {
			wait := 2 * time.Second
			if d.Account == "slow" {
				wait = time.Hour
			}
			select {
			case <-ctx.Done():
				return failed(ClassNetwork)
			case <-time.After(wait):
				return ok()
			}
		}}
		r := start(t, s, c, Options{Grace: 5 * time.Second})
		r.endpoint("e", true)
		r.endpoint("f", true)
		quick := r.owe("e", "quick", true, 1, 2)
		slow := r.owe("f", "slow", true, 1, 1)
		synctest.Wait()
		began := time.Now()
		r.cancel()
		err := <-r.done
		if err == nil || !strings.Contains(err.Error(), "1 attempts were cut off") {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopping took %s", took)
		}
		if d := r.delivery(quick[0]); d.State != store.DeliveryDelivered {
			t.Errorf("the one under way is %s", d.State)
		}
		if d := r.delivery(quick[1]); d.State != store.DeliveryPending || d.Attempts != 0 {
			t.Errorf("the one after it: %+v", d)
		}
		if d := r.delivery(slow[0]); d.State != store.DeliveryPending || d.Attempts != 0 {
			t.Errorf("the one that was cut off: %+v", d)
		}
		if err := r.outbox.Run(context.Background()); err == nil {
			t.Error("Run ran twice")
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
		time.Sleep(2 * time.Hour)
		settle()
		if st := r.stats(); st.Pending != 0 || st.Dead != 0 {
			t.Errorf("%+v", st)
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

// moody is a store that refuses writes for a while.
type moody struct {
	store.Store
	refuse func() error
}

func (m *moody) Update(ctx context.Context, fn func(store.Tx) error) error {
	if err := m.refuse(); err != nil {
		return err
	}
	return m.Store.Update(ctx, fn)
}

func (m *moody) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	if err := m.refuse(); err != nil {
		return err
	}
	return m.Store.UpdateSoon(ctx, fn)
}

func TestFullDiskStopsLanesAndLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		until := time.Now().Add(time.Minute)
		m := &moody{Store: s, refuse: func() error {
			if time.Now().Before(until) {
				return errors.New("no space left on device")
			}
			return nil
		}}
		c := fine()
		filler := &rig{t: t, store: s, outbox: New(s, c, Options{})}
		filler.endpoint("e", true)
		filler.owe("e", "a", true, 1, 900)
		r := start(t, m, c, Options{})
		defer r.stop()
		time.Sleep(30 * time.Second)
		if n := len(c.all()); n != maxBehind {
			t.Errorf("%d attempts while nothing could be written, want %d", n, maxBehind)
		}
		time.Sleep(time.Minute)
		settle()
		if st := r.stats(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
		if n := len(c.all()); n != 900 {
			t.Errorf("%d attempts for 900 deliveries", n)
		}
	})
}

// crash runs an outbox whose decisions never reach the store.
func TestCrashBeforeTheDecisionIsDurableSendsTheSameAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := fine()
		filler := &rig{t: t, store: s, outbox: New(s, c, Options{})}
		filler.endpoint("e", true)
		filler.owe("e", "a", true, 1, 3)
		m := &moody{Store: s, refuse: func() error { return errors.New("crashed") }}
		r := start(t, m, c, Options{})
		settle()
		r.cancel()
		if err := <-r.done; err == nil {
			t.Error("Run said nothing of the decisions it lost")
		}
		r = start(t, s, c, Options{})
		defer r.stop()
		settle()
		if diff := cmp.Diff([]string{"a/1", "a/2", "a/3", "a/1", "a/2", "a/3"}, c.events("e")); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		tries := c.all()
		for i := range 3 {
			if tries[i].body != tries[i+3].body {
				t.Errorf("%q, then %q", tries[i].body, tries[i+3].body)
			}
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
		r := start(t, s, c, Options{Attempts: func(*store.Endpoint) int { return 1 }})
		defer r.stop()
		r.endpoint("e", true)
		good, bad := r.owe("e", "good", true, 1, 1)[0], r.owe("e", "bad", true, 1, 1)[0]
		for range 8 * 24 {
			time.Sleep(time.Hour)
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
		r := start(t, s, c, Options{Registerer: reg, Attempts: func(*store.Endpoint) int { return 2 }})
		defer r.stop()
		for _, e := range []string{"e", "f", "g"} {
			r.endpoint(e, true)
		}
		r.owe("e", "good", true, 1, 3)
		r.owe("f", "bad", true, 1, 1)
		settle()
		time.Sleep(time.Minute)
		r.owe("g", "late", true, 1, 2)
		settle()
		time.Sleep(2 * time.Second)
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
			"postern_outbox_pending": 2, "postern_outbox_in_flight": 0, "postern_outbox_oldest_age_seconds": 3,
		} {
			if v, ok := got[name]; !ok || v < want || v > want+0.5 {
				t.Errorf("%s is %v (there: %v), want %v", name, v, ok, want)
			}
		}
	})
}
