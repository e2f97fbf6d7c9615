package journal

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

func newStore(t *testing.T) *bolt.Store {
	t.Helper()
	st := bolttest.Open(t)
	if err := st.Update(t.Context(), func(tx store.Tx) error { return tx.PutAccount(&store.Account{ID: "a1", Provider: "p"}) }); err != nil {
		t.Fatal(err)
	}
	return st
}

// stored is what a transaction left behind.
func stored(t *testing.T, st store.Store) (events []event.Type, setting string) {
	t.Helper()
	err := st.View(t.Context(), func(tx store.Tx) error {
		list, err := tx.EventsAfter(0, 100)
		if err != nil {
			return err
		}
		for _, e := range list {
			events = append(events, e.Type)
		}
		value, err := tx.Setting("test")
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		setting = string(value)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, setting
}

// add changes a record and tells of it.
func add(tx store.Tx, b *Batch) error {
	if err := tx.PutSetting("test", []byte("changed")); err != nil {
		return err
	}
	_, err := b.Add(&event.Event{Type: event.AccountConnected, Account: "a1"})
	return err
}

// TestOneTransaction: what fails anywhere on the way leaves neither change nor
// event, and wakes nobody.
func TestOneTransaction(t *testing.T) {
	broken := errors.New("broken")
	fails := func(store.Tx, []event.Event) error { return broken }
	passes := func(store.Tx, []event.Event) error { return nil }
	for name, c := range map[string]struct {
		hooks   []Hook
		finally error
		change  error
	}{
		"a hook":             {hooks: []Hook{fails}},
		"the second hook":    {hooks: []Hook{passes, fails}},
		"what comes finally": {hooks: []Hook{passes}, finally: broken},
		"the change itself":  {hooks: []Hook{passes}, change: broken},
	} {
		t.Run(name, func(t *testing.T) {
			st, bus := newStore(t), &event.Bus{}
			listener := bus.Listen(nil)
			j := New(st, bus, time.Now, c.hooks...)
			err := j.Update(t.Context(), func(tx store.Tx, b *Batch) error {
				b.Finally(func() error { return c.finally })
				return errors.Join(add(tx, b), c.change)
			})
			if !errors.Is(err, broken) {
				t.Errorf("Update gave %v", err)
			}
			if events, setting := stored(t, st); len(events) != 0 || setting != "" {
				t.Errorf("left behind: events %v, setting %q", events, setting)
			}
			select {
			case <-listener.C:
				t.Error("somebody was woken")
			default:
			}
		})
	}
}

// TestOrder: hooks see the change, then comes what was put last, then readers
// are woken.
func TestOrder(t *testing.T) {
	st, bus := newStore(t), &event.Bus{}
	listener := bus.Listen(nil)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var order []string
	j := New(st, bus, func() time.Time { return now }, func(tx store.Tx, events []event.Event) error {
		value, err := tx.Setting("test")
		if err != nil || string(value) != "changed" {
			t.Errorf("the hook sees %q, %v", value, err)
		}
		if len(events) != 1 || events[0].Sequence == 0 || !events[0].Time.Equal(now) {
			t.Errorf("the hook is given %+v", events)
		}
		order = append(order, "hook")
		return nil
	})
	err := j.Update(t.Context(), func(tx store.Tx, b *Batch) error {
		order = order[:0] // a transaction may run again
		b.Finally(func() error {
			order = append(order, "finally")
			return tx.PutSetting("test", []byte("last"))
		})
		return add(tx, b)
	})
	if err != nil {
		t.Fatal(err)
	}
	<-listener.C
	if events, setting := stored(t, st); !slices.Equal(events, []event.Type{event.AccountConnected}) || setting != "last" {
		t.Errorf("stored: events %v, setting %q", events, setting)
	}
	if !slices.Equal(order, []string{"hook", "finally"}) {
		t.Errorf("order: %v", order)
	}
}

// TestNothingToTell: without an event no hook is asked.
func TestNothingToTell(t *testing.T) {
	st := newStore(t)
	j := New(st, &event.Bus{}, time.Now, func(store.Tx, []event.Event) error { return errors.New("asked for nothing") })
	if err := j.Update(context.Background(), func(tx store.Tx, _ *Batch) error { return tx.PutSetting("test", []byte("x")) }); err != nil {
		t.Error(err)
	}
}
