package outbox

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

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
		filler := &rig{t: t, now: time.Now, store: s, outbox: New(s, c, Options{})}
		filler.endpoint("e", true)
		filler.owe("e", "a", true, 1, 900)
		r := start(t, m, c, Options{})
		defer r.stop()
		pass(30 * time.Second)
		if n := len(c.all()); n != maxBehind {
			t.Errorf("%d attempts while nothing could be written, want %d", n, maxBehind)
		}
		pass(time.Minute)
		settle()
		if st := r.stats(); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
		if n := len(c.all()); n != 900 {
			t.Errorf("%d attempts for 900 deliveries", n)
		}
	})
}

func TestCrashBeforeTheDecisionIsDurableSendsTheSameAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *bolt.Store) {
		c := fine()
		filler := &rig{t: t, now: time.Now, store: s, outbox: New(s, c, Options{})}
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
