package outbox

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

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
		r := start(t, s, c, Options{Limits: func(*store.Endpoint) Limits { return Limits{Attempts: 2} }})
		defer r.stop()
		r.endpoint("e", true)
		r.endpoint("f", true)
		dead := r.owe("e", "a", true, 1, 5)
		fineOnes := r.owe("e", "b", true, 1, 2)
		r.owe("f", "b", true, 1, 2)
		pass(time.Minute)
		settle()
		if st := r.stats(); st.Dead != 5 {
			t.Fatalf("%+v", st)
		}
		for _, tc := range []struct {
			ids  []string
			kind mail.Kind
		}{
			{kind: mail.KindInvalid},
			{ids: []string{dead[0], "nonsense"}, kind: mail.KindNotFound},
		} {
			if n, err := r.outbox.Redeliver(ctx, tc.ids); mail.KindOf(err) != tc.kind || n != 0 {
				t.Errorf("Redeliver(%v) = %d, %v", tc.ids, n, err)
			}
		}
		c.mu.Lock()
		broken, c.tries = false, nil
		c.mu.Unlock()

		n, err := r.outbox.Redeliver(ctx, dead)
		if n != 5 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		settle()
		if diff := cmp.Diff([]string{"a/1", "a/2", "a/3", "a/4", "a/5"}, c.events("e")); diff != "" {
			t.Errorf("redelivered (-want +got):\n%s", diff)
		}
		d := r.delivery(dead[0])
		if d.State != store.DeliveryDelivered || d.Attempts != 1 || d.Replays != 1 || !d.RequeuedAt.After(d.CreatedAt) {
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
		if n, err := r.outbox.Redeliver(ctx, fineOnes[:1]); n != 1 || err != nil {
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
		if n, err := r.outbox.Redeliver(ctx, waiting); n != 1 || err != nil {
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
