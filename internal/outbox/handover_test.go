package outbox

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// handed owes one delivery as webhook does: with its body, in memory.
func (r *rig) hand(endpoint, account string, n int) {
	r.t.Helper()
	ev := fmt.Sprintf("%s/%d", account, n)
	r.update(func(tx store.Tx) error {
		d := &store.Delivery{
			ID: endpoint + ":" + ev, Endpoint: endpoint, Lane: account, Account: account, Event: ev, Type: "ping",
			Sequence: uint64(n), Rendition: "thin", CreatedAt: r.now(), NextAt: r.now(),
		}
		body := []byte("body of " + ev)
		if err := tx.Enqueue(d); err != nil {
			return err
		}
		if err := tx.PutBody(d, body); err != nil {
			return err
		}
		tx.AfterCommit(func() { r.outbox.Hand([]Handed{{Delivery: d, Body: body}}) })
		return nil
	})
}

// busyLane is a lane of which the first was delivered, and where the attempt of
// the second, once it is owed, lasts until it is released.
func busyLane(t *testing.T, s *bolt.Store) (r *rig, c *scripted, release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	c = answering(func(d *store.Delivery) Outcome {
		if d.Event == "a/2" {
			<-release
		}
		return ok()
	})
	r = start(t, s, c, Options{})
	r.endpoint("e", true)
	r.owe("e", "a", true, 1, 1)
	settle()
	return r, c, release
}

// TestHandedOverOnceAndInOrder: deliveries that come while others of their lane
// are read, sent and written down are sent once, each after the one before.
func TestHandedOverOnceAndInOrder(t *testing.T) {
	s := openStore(t, t.TempDir(), newKey(t))
	defer s.Close()
	c := fine()
	r := start(t, s, c, Options{})
	r.endpoint("e", true)
	const accounts, each = 8, 60
	var all sync.WaitGroup
	for a := range accounts {
		all.Go(func() {
			for n := range each {
				r.hand("e", fmt.Sprint("a", a), n+1)
			}
		})
	}
	all.Wait()
	for r.stats().Pending > 0 {
		if err := s.Update(t.Context(), func(store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	r.stop()
	for a := range accounts {
		var got, want []string
		for _, try := range r.account(c, fmt.Sprint("a", a)) {
			got = append(got, try.event)
			if try.body != "body of "+try.event {
				t.Errorf("%s was sent with %q", try.event, try.body)
			}
		}
		for n := range each {
			want = append(want, fmt.Sprintf("a%d/%d", a, n+1))
		}
		if !slices.Equal(got, want) {
			t.Errorf("account %d: %v", a, got)
		}
	}
	if r.outbox.handed != 0 {
		t.Errorf("%d bytes are still counted as handed over", r.outbox.handed)
	}
}

// TestHandedOverAfterItWasRead: a delivery may be read from the store after its
// commit and before the outbox is told of it. It is the same one.
func TestHandedOverAfterItWasRead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		r, c, release := busyLane(t, s)
		defer r.stop()
		var late []Handed
		for _, id := range r.owe("e", "a", true, 2, 2) {
			late = append(late, Handed{Delivery: r.delivery(id), Body: []byte("body of " + id[len("e:"):])})
		}
		settle() // the second is under way, the third was read
		r.outbox.Hand(late)
		close(release)
		settle()
		if got := c.events("e"); !slices.Equal(got, []string{"a/1", "a/2", "a/3"}) {
			t.Errorf("sent: %v", got)
		}
	})
}

// TestErasedIsNotSentFromMemory: what was handed over waits behind an attempt;
// once it is erased, its body is not sent any more.
func TestErasedIsNotSentFromMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		r, c, release := busyLane(t, s)
		defer r.stop()
		r.hand("e", "a", 2)
		r.hand("e", "a", 3)
		pass(2 * fresh)
		r.update(func(tx store.Tx) error { _, err := tx.DropDeliveriesOf("a", 100); return err })
		close(release)
		settle()
		if got := c.events("e"); !slices.Equal(got, []string{"a/1", "a/2"}) {
			t.Errorf("sent: %v", got)
		}
		r.hand("e", "a", 4)
		settle()
		if got := c.events("e"); !slices.Contains(got, "a/4") {
			t.Errorf("the lane does not go on: %v", got)
		}
	})
}
