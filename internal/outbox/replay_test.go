package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// elsewhere moves deliveries to ordered endpoints, and has no journal.
type elsewhere struct{}

func (elsewhere) Wanted(store.Tx, string, uint64, int) ([]Wanted, uint64, error) { return nil, 0, nil }
func (elsewhere) Body(store.Tx, *store.Delivery) error                           { return nil }
func (elsewhere) Moved(tx store.Tx, to string, d *store.Delivery) (*store.Delivery, error) {
	if _, err := tx.Endpoint(to); err != nil {
		return nil, err
	}
	return &store.Delivery{ID: to + ":" + d.Event, Endpoint: to, Lane: d.Account, Account: d.Account, Event: d.Event, Type: d.Type,
		Position: d.Position, Sequence: d.Sequence, Rendition: d.Rendition}, nil
}

// states counts all deliveries by state and by how often they were put back.
func (r *rig) replayed(job string) (counts map[string]int) {
	r.t.Helper()
	counts = map[string]int{}
	err := r.outbox.each(context.Background(), store.DeliveryFilter{}, func(page []*store.Delivery) {
		for _, d := range page {
			counts[fmt.Sprintf("%s, put back %d, by the job: %v", d.State, d.Replays, d.Replay == job)]++
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return counts
}

func (r *rig) job(id string) *store.Job {
	r.t.Helper()
	j, err := r.outbox.Job(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

func (r *rig) replay(in Replay) *store.Job {
	r.t.Helper()
	in.Source = store.JobDeliveries
	j, err := r.outbox.Replay(context.Background(), in)
	if err != nil {
		r.t.Fatal(err)
	}
	return j
}

// TestReplaySurvivesKills loses the store under a running replay of several
// thousand deliveries, twice. What was delivered is delivered again, and so
// would match once more: each one must be put back once all the same.
func TestReplaySurvivesKills(t *testing.T) {
	const accounts, each = 12, 250
	path, key := t.TempDir(), newKey(t)
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, path, key)
		c := fine()
		r := start(t, s, c, Options{})
		r.endpoint("e", true)
		for a := range accounts {
			r.owe("e", fmt.Sprintf("a%02d", a), true, 1, each)
			pass(time.Second)
		}
		settle()
		c.mu.Lock()
		c.tries = nil
		c.mu.Unlock()
		j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}, PerSecond: 400})
		for kill, last := 0, int64(0); kill < 2; kill++ {
			pass(2500 * time.Millisecond)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			r.cancel()
			<-r.done // it may complain of what it could not write
			s = openStore(t, path, key)
			r = start(t, s, c, Options{})
			if now := r.job(j.ID); now.State != store.JobRunning || now.Done <= last || now.Done >= accounts*each || now.Matched != accounts*each {
				t.Fatalf("after kill %d: %+v", kill+1, now)
			} else {
				last = now.Done
			}
		}
		pass(time.Minute)
		settle()
		if now := r.job(j.ID); now.State != store.JobDone || now.Done != accounts*each || now.Skipped != 0 || now.DoneAt.IsZero() {
			t.Errorf("%+v", now)
		}
		if diff := cmp.Diff(map[string]int{"delivered, put back 1, by the job: true": accounts * each}, r.replayed(j.ID)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// In order, but for what a kill made it say again.
		heard := map[string]int{}
		for _, tr := range c.all() {
			var n int
			_, number, _ := strings.Cut(tr.event, "/")
			if _, err := fmt.Sscan(number, &n); err != nil {
				t.Fatal(err)
			}
			if n > heard[tr.account]+1 {
				t.Fatalf("%s came after %s/%d", tr.event, tr.account, heard[tr.account])
			}
			heard[tr.account] = max(heard[tr.account], n)
		}
		for a, n := range heard {
			if n != each {
				t.Errorf("%s was heard up to %d", a, n)
			}
		}
		r.stop()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestReplayByFilter(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		ctx := context.Background()
		c := &scripted{answer: func(_ context.Context, e *store.Endpoint, d *store.Delivery) Outcome {
			if e.ID == "dead" {
				return failed(Class5xx)
			}
			return ok()
		}}
		r := start(t, s, c, Options{Owing: elsewhere{}, Policy: Policy{Schedule: []time.Duration{0}}})
		defer r.stop()
		for _, e := range []string{"dead", "e", "to"} {
			r.endpoint(e, true)
		}
		began := time.Now()
		r.owe("dead", "a", true, 1, 3)
		r.owe("e", "a", true, 1, 5)
		pass(time.Hour)
		r.owe("dead", "b", true, 1, 4)
		r.owe("e", "b", true, 1, 2)
		pass(10 * time.Hour)
		settle()
		if st := r.stats(); st.Dead != 7 || st.Pending != 0 {
			t.Fatalf("%+v", st)
		}
		all := []store.DeliveryState{store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead}
		for _, tc := range []struct {
			what string
			in   Replay
			want int64
		}{
			{"all that is dead", Replay{}, 7},
			{"an endpoint", Replay{Filter: store.DeliveryFilter{Endpoint: "e"}, States: all}, 7},
			{"an account", Replay{Filter: store.DeliveryFilter{Account: "b"}, States: all}, 6},
			{"both", Replay{Filter: store.DeliveryFilter{Account: "b", Endpoint: "dead"}}, 4},
			{"everything", Replay{States: all}, 14},
			{"a type", Replay{Filter: store.DeliveryFilter{Type: "ping"}, States: all}, 14},
			{"another type", Replay{Filter: store.DeliveryFilter{Type: "other"}, States: all}, 0},
			{"since", Replay{Filter: store.DeliveryFilter{Since: began.Add(time.Hour)}, States: all}, 6},
			{"until", Replay{Filter: store.DeliveryFilter{Until: began.Add(time.Hour)}, States: all}, 8},
			{"undelivered", Replay{States: []store.DeliveryState{store.DeliveryPending, store.DeliveryDead}}, 7},
			{"to another endpoint", Replay{Filter: store.DeliveryFilter{Endpoint: "dead"}, To: "to"}, 7},
		} {
			tc.in.Source = store.JobDeliveries
			before := r.replayed("")
			j, err := r.outbox.CountReplay(ctx, tc.in)
			if err != nil || j.Matched != tc.want || j.State != store.JobDone {
				t.Errorf("%s: %+v, %v; want %d", tc.what, j, err, tc.want)
			}
			if diff := cmp.Diff(before, r.replayed("")); diff != "" {
				t.Errorf("%s: counting changed something:\n%s", tc.what, diff)
			}
			if _, err := r.outbox.Job(ctx, j.ID); mail.KindOf(err) != mail.KindNotFound {
				t.Errorf("%s: what was only counted is kept: %v", tc.what, err)
			}
		}

		// To another endpoint, twice: new deliveries there, then the same again.
		for round := range 2 {
			j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "dead"}, To: "to"})
			settle()
			if j = r.job(j.ID); j.State != store.JobDone || j.Done != 7 || j.Matched != 7 {
				t.Errorf("%+v", j)
			}
			d := r.delivery("to:a/1")
			if d.State != store.DeliveryDelivered || d.Replay != j.ID || d.Replays != round {
				t.Errorf("round %d: %+v", round, d)
			}
		}
		want := []string{"a/1", "a/2", "a/3", "a/1", "a/2", "a/3"}
		if got := slices.DeleteFunc(c.events("to"), func(e string) bool { return e[0] != 'a' }); !slices.Equal(got, want) {
			t.Errorf("the other endpoint heard %v", got)
		}
		if d := r.delivery("dead:a/1"); d.State != store.DeliveryDead || d.Replays != 0 {
			t.Errorf("the one that it was made of: %+v", d)
		}
	})
}

func TestReplayRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		ctx := context.Background()
		r := start(t, s, fine(), Options{Owing: elsewhere{}})
		defer r.stop()
		r.endpoint("e", true)
		r.endpoint("f", true)
		now := time.Now()
		for _, tc := range []struct {
			in   Replay
			kind mail.Kind
		}{
			{Replay{}, mail.KindInvalid},
			{Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{Endpoint: "none"}}, mail.KindNotFound},
			{Replay{Source: store.JobDeliveries, To: "none"}, mail.KindNotFound},
			{Replay{Source: store.JobJournal}, mail.KindInvalid},
			{Replay{Source: store.JobJournal, To: "e", Filter: store.DeliveryFilter{Endpoint: "f"}}, mail.KindInvalid},
			{Replay{Source: store.JobDeliveries, PerSecond: -1}, mail.KindInvalid},
			{Replay{Source: store.JobDeliveries, PerSecond: maxPerSecond + 1}, mail.KindInvalid},
			{Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{Since: now, Until: now}}, mail.KindInvalid},
			{Replay{Source: store.JobDeliveries, Filter: store.DeliveryFilter{State: store.DeliveryDead}, States: []store.DeliveryState{store.DeliveryDead}}, mail.KindInvalid},
		} {
			if _, err := r.outbox.Replay(ctx, tc.in); mail.KindOf(err) != tc.kind {
				t.Errorf("Replay(%+v): %v", tc.in, err)
			}
			if _, err := r.outbox.CountReplay(ctx, tc.in); mail.KindOf(err) != tc.kind {
				t.Errorf("CountReplay(%+v): %v", tc.in, err)
			}
		}
		if list, err := r.outbox.Jobs(ctx, store.DateKey{}, 10); err != nil || len(list) != 0 {
			t.Errorf("%v, %v", list, err)
		}
		for _, err := range []error{
			errOf(r.outbox.CancelJob(ctx, "none")), errOf(r.outbox.Job(ctx, "none")), errOf(r.outbox.Await(ctx, "none", time.Second)),
		} {
			if mail.KindOf(err) != mail.KindNotFound {
				t.Error(err)
			}
		}
	})
}

func errOf[T any](_ T, err error) error { return err }

func TestReplayKeepsItsRateAndCanBeCancelled(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		ctx := context.Background()
		c := fine()
		r := start(t, s, c, Options{})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 600)
		settle()
		slow := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}, PerSecond: 1})
		j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}, PerSecond: 40})
		for n := range 5 {
			pass(time.Second)
			// A portion is a quarter of a second's.
			if now := r.job(j.ID); now.Done < int64(40*n) || now.Done > int64(40*(n+1)+10) {
				t.Errorf("after %d s: %d were put back", n+1, now.Done)
			}
		}
		if now := r.job(slow.ID); now.Done < 5 || now.Done > 6 {
			t.Errorf("the slow one put %d back", now.Done)
		}
		now, err := r.outbox.CancelJob(ctx, j.ID)
		if err != nil || now.State != store.JobCancelled || now.DoneAt.IsZero() {
			t.Fatalf("%+v, %v", now, err)
		}
		pass(time.Minute)
		if after := r.job(j.ID); after.Done != now.Done || after.State != store.JobCancelled {
			t.Errorf("a cancelled replay went on: %+v", after)
		}
		if again, err := r.outbox.CancelJob(ctx, j.ID); err != nil || again.State != store.JobCancelled {
			t.Errorf("cancelled twice: %+v, %v", again, err)
		}
		quick := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}})
		if quick, err = r.outbox.Await(ctx, quick.ID, time.Minute); err != nil || quick.State != store.JobDone {
			t.Fatalf("%+v, %v", quick, err)
		}
		if _, err := r.outbox.CancelJob(ctx, quick.ID); mail.KindOf(err) != mail.KindConflict {
			t.Errorf("cancelled when it was done: %v", err)
		}
		if waited, err := r.outbox.Await(ctx, slow.ID, time.Second); err != nil || waited.State != store.JobRunning {
			t.Errorf("%+v, %v", waited, err)
		}
	})
}

func TestReplayEndsWithItsEndpointAndItsAccount(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		ctx := context.Background()
		r := start(t, s, fine(), Options{Owing: elsewhere{}, KeepDelivered: 24 * time.Hour})
		defer r.stop()
		for _, e := range []string{"e", "to"} {
			r.endpoint(e, true)
		}
		r.owe("e", "a", true, 1, 50)
		settle()
		delivered := store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}
		moved := r.replay(Replay{Filter: delivered, To: "to", PerSecond: 1})
		ofAccount := r.replay(Replay{Filter: store.DeliveryFilter{Account: "a", State: store.DeliveryDelivered}, PerSecond: 1})
		pass(5 * time.Second)
		r.update(func(tx store.Tx) error {
			tx.AfterCommit(func() { r.outbox.Forget("to") })
			return Remove(tx, "to")
		})
		pass(5 * time.Second)
		if j := r.job(moved.ID); j.State != store.JobFailed || j.Reason == "" || j.Done == 0 {
			t.Errorf("its endpoint is gone: %+v", j)
		}
		if err := r.outbox.DropJobsOf(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.outbox.Job(ctx, ofAccount.ID); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("its account was erased: %v", err)
		}
		pass(2 * time.Second)
		tries := len(r.carrier.all())
		pass(time.Minute)
		if n := len(r.carrier.all()); n != tries {
			t.Errorf("%d attempts after its account was erased: %v", n-tries, r.carrier.all()[tries:])
		}
		// Ended ones are kept as long as attempts are.
		pass(22 * time.Hour)
		if _, err := r.outbox.Job(ctx, moved.ID); err != nil {
			t.Error(err)
		}
		pass(4 * time.Hour)
		if _, err := r.outbox.Job(ctx, moved.ID); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("after its time: %v", err)
		}
	})
}

// TestReplayWaitsForTheStore: a disk that is full for a while ends no replay.
func TestReplayWaitsForTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		var full atomic.Bool
		m := &moody{Store: s, refuse: func() error {
			if full.Load() {
				return errors.New("no space left on device")
			}
			return nil
		}}
		r := start(t, m, fine(), Options{})
		defer r.stop()
		r.endpoint("e", true)
		r.owe("e", "a", true, 1, 300)
		settle()
		j := r.replay(Replay{Filter: store.DeliveryFilter{Endpoint: "e", State: store.DeliveryDelivered}, PerSecond: 100})
		pass(time.Second)
		full.Store(true)
		pass(time.Hour)
		full.Store(false)
		pass(time.Minute)
		if now := r.job(j.ID); now.State != store.JobDone || now.Done != 300 {
			t.Errorf("%+v", now)
		}
		if diff := cmp.Diff(map[string]int{"delivered, put back 1, by the job: true": 300}, r.replayed(j.ID)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
