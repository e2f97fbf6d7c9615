package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// chronicle owes every endpoint the events of one account, and remembers where
// it was asked to begin.
type chronicle struct {
	elsewhere
	account string
	// broken is the position after which the journal cannot be read.
	broken uint64
	asked  []uint64
}

func (c *chronicle) Wanted(tx store.Tx, endpoint string, after uint64, limit int) (list []Wanted, last uint64, err error) {
	c.asked = append(c.asked, after)
	if c.broken > 0 && after >= c.broken {
		return nil, after, errors.New("input/output error")
	}
	events, err := tx.EventsAfter(after, limit)
	last = after
	for _, e := range events {
		last = e.Position
		if e.Account == c.account {
			list = append(list, Wanted{At: e.Time, Delivery: &store.Delivery{ID: endpoint + ":" + e.ID, Endpoint: endpoint, Lane: e.Account, Account: e.Account,
				Event: e.ID, Type: "ping", Position: e.Position, Sequence: e.Sequence, Rendition: "thin"}})
		}
	}
	return list, last, err
}

func (c *chronicle) Body(tx store.Tx, d *store.Delivery) error { return tx.PutBody(d, []byte("body")) }

// events appends to the journal, each some time after the one before.
func (r *rig) events(account string, count int, from time.Time, every time.Duration) {
	r.t.Helper()
	for done := 0; done < count; {
		n := min(count-done, 500)
		r.update(func(tx store.Tx) error {
			for i := done; i < done+n; i++ {
				if err := tx.AppendEvent(&event.Event{Type: event.Ping, Account: account, Time: from.Add(time.Duration(i) * every)}); err != nil {
					return err
				}
			}
			return nil
		})
		done += n
	}
}

// TestReplayOfTheJournalFromATime: it begins near that time, and what the
// journal drops meanwhile ends it only where something of it may be lost.
func TestReplayOfTheJournalFromATime(t *testing.T) {
	const count, first, every = 240, 200, 10 * time.Minute
	for name, tc := range map[string]struct {
		trim time.Duration
		want store.JobState
		done int64
	}{
		"nothing is dropped":          {0, store.JobDone, count - first},
		"what is far before it":       {100 * every, store.JobDone, count - first},
		"what is right before it":     {(first - 2) * every, store.JobDone, count - first},
		"what may be the first of it": {(first + 1) * every, store.JobFailed, 0},
		"everything that there was":   {count * every, store.JobFailed, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *bolt.Store) {
				began := time.Now()
				c := &chronicle{account: "a"}
				r := start(t, s, fine(), Options{Owing: c})
				r.endpoint("e", true)
				r.events("a", count, began, every)
				pass(count * every)
				r.stop()
				r.outbox = New(s, r.carrier, Options{Owing: c})
				in := Replay{Source: store.JobJournal, To: "e", Filter: store.DeliveryFilter{Since: began.Add(first * every)}}
				j, err := r.outbox.Replay(context.Background(), in)
				if err != nil {
					t.Fatal(err)
				}
				r.update(func(tx store.Tx) error { _, err := tx.TrimJournal(began.Add(tc.trim), 1000); return err })
				c.asked = nil
				r.run()
				defer r.stop()
				pass(time.Minute)
				got := r.job(j.ID)
				if got.State != tc.want || got.Done != tc.done || tc.want == store.JobFailed && !strings.Contains(got.Reason, "dropped") {
					t.Errorf("%+v", got)
				}
				if len(c.asked) > 0 && c.asked[0] < first-10 {
					t.Errorf("it began after position %d", c.asked[0])
				}
			})
		})
	}
}

// TestReplayOfTheJournalKeepsItsPlace: events that are not its own are not read
// again after a restart.
func TestReplayOfTheJournalKeepsItsPlace(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		const others = farAhead + 2*store.MaxRecords
		c := &chronicle{account: "a"}
		r := start(t, s, fine(), Options{Owing: c})
		r.endpoint("e", true)
		r.events("other", others, time.Now(), 0)
		r.events("a", 3, time.Now(), 0)
		pass(time.Second)
		r.stop()
		r.outbox = New(s, r.carrier, Options{Owing: c})
		j, err := r.outbox.Replay(context.Background(), Replay{Source: store.JobJournal, To: "e"})
		if err != nil {
			t.Fatal(err)
		}
		r.update(func(tx store.Tx) error { // it was counted before the restart
			j.Counted, j.Matched = true, 3
			return tx.PutJob(j)
		})
		c.broken = others
		r.run()
		synctest.Wait()
		if got := r.job(j.ID); got.Last < farAhead {
			t.Errorf("its place is %d after %d events", got.Last, others)
		}
		r.stop()
		c.broken, c.asked = 0, nil
		r.outbox = New(s, r.carrier, Options{Owing: c})
		r.run()
		defer r.stop()
		pass(time.Minute)
		if got := r.job(j.ID); got.State != store.JobDone || got.Done != 3 {
			t.Errorf("%+v", got)
		}
		if len(c.asked) == 0 || c.asked[0] < farAhead {
			t.Errorf("after the restart it began at %v", c.asked)
		}
	})
}

// TestReplayDoesNotChaseItself: a replay to another endpoint whose end is yet
// to come makes everything once.
func TestReplayDoesNotChaseItself(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		r := start(t, s, fine(), Options{Owing: elsewhere{}})
		defer func() { r.stop() }()
		r.endpoint("e", true)
		r.endpoint("x", true)
		r.owe("e", "a", true, 1, 20)
		settle()
		r.carrier.mu.Lock()
		r.carrier.tries = nil
		r.carrier.mu.Unlock()
		j := r.replay(Replay{Filter: store.DeliveryFilter{Until: time.Now().Add(24 * time.Hour)}, To: "x", PerSecond: 4,
			States: []store.DeliveryState{store.DeliveryPending, store.DeliveryDelivered}})
		pass(2 * time.Second)
		r.stop() // what is left is listed anew
		r.outbox = New(s, r.carrier, Options{Owing: elsewhere{}})
		r.run()
		pass(time.Hour)
		if got := r.job(j.ID); got.State != store.JobDone || got.Done != 20 {
			t.Errorf("%+v", got)
		}
		if n := len(r.carrier.events("x")); n != 20 {
			t.Errorf("%d attempts for 20 deliveries", n)
		}
	})
}
