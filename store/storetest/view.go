package storetest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func updateOwnWrites(w *World) {
	w.settle("a1", "f1")
	w.update(func(tx store.Tx) error {
		if err := tx.PutMessage(message("m1", "a1", Start, "f1")); err != nil {
			return err
		}
		if _, err := tx.Message("m1"); err != nil {
			w.Errorf("message: %v", err)
		}
		list, err := tx.MessagesIn("f1", store.DateKey{}, 10)
		if err != nil || len(list) != 1 {
			w.Errorf("list %v, %v", list, err)
		}
		if err := tx.DeleteMessage("m1", 1); err != nil {
			return err
		}
		list, err = tx.MessagesOldestFirst("f1", store.DateKey{}, 10)
		if err != nil || len(list) != 0 {
			w.Errorf("list after deleting %v, %v", list, err)
		}
		return nil
	})
}

func viewMoment(w *World) {
	w.update(func(tx store.Tx) error { return tx.PutSetting("s", []byte("old")) })
	w.view(func(tx store.Tx) error {
		before, err := tx.Setting("s")
		if err != nil {
			return err
		}
		done := make(chan error)
		go func() {
			done <- w.Store.Update(w.ctx(), func(tx store.Tx) error {
				return errors.Join(tx.PutSetting("s", []byte("new")), tx.PutSetting("t", []byte("new")))
			})
		}()
		if err := <-done; err != nil {
			w.Errorf("update beside a view: %v", err)
		}
		after, err := tx.Setting("s")
		if err != nil || string(before) != "old" || string(after) != "old" {
			w.Errorf("view read %q, then %q, %v", before, after, err)
		}
		_, err = tx.Setting("t")
		w.absent("setting of later", err)
		return nil
	})
}

func viewUncommitted(w *World) {
	w.settle("a1", "f1")
	w.update(func(tx store.Tx) error {
		if err := tx.PutSetting("s", []byte("x")); err != nil {
			return err
		}
		if err := tx.PutMessage(message("m1", "a1", Start, "f1")); err != nil {
			return err
		}
		done := make(chan error)
		go func() {
			done <- w.Store.View(w.ctx(), func(tx store.Tx) error {
				_, err := tx.Setting("s")
				w.absent("uncommitted setting", err)
				_, err = tx.Message("m1")
				w.absent("uncommitted message", err)
				return nil
			})
		}()
		return <-done
	})
}

func viewWrites(w *World) {
	w.settle("a1")
	err := w.Store.View(w.ctx(), func(tx store.Tx) error { return tx.PutSetting("s", []byte("x")) })
	if err == nil {
		w.Errorf("writing a setting in a view: no error")
	}
	err = w.Store.View(w.ctx(), func(tx store.Tx) error {
		return tx.AppendEvent(&event.Event{Type: event.Ping, Account: "a1", Time: Start})
	})
	if err == nil {
		w.Errorf("appending an event in a view: no error")
	}
	w.view(func(tx store.Tx) error {
		_, err := tx.Setting("s")
		w.absent("setting", err)
		_, newest, err := tx.JournalBounds()
		if newest != 0 {
			w.Errorf("journal at %d", newest)
		}
		return err
	})
}

func afterOrder(w *World) {
	const n = 150
	var mu sync.Mutex
	var order []uint64
	w.none(each(n, func(i int) error {
		update := w.Store.Update
		if i%3 == 0 {
			update = w.Store.UpdateSoon
		}
		return update(w.ctx(), func(tx store.Tx) error {
			e := &event.Event{Type: event.Ping, Time: Start}
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
			tx.AfterCommit(func() {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, e.Position)
			})
			return nil
		})
	}))
	w.update(func(store.Tx) error { return nil }) // everything before has run
	mu.Lock()
	defer mu.Unlock()
	if len(order) != n {
		w.Errorf("%d of %d have run", len(order), n)
	}
	for i := 1; i < len(order); i++ {
		if order[i] <= order[i-1] {
			w.Fatalf("position %d came after %d", order[i], order[i-1])
		}
	}
}

func afterDurable(w *World) {
	ran := make(chan struct{})
	inside := true
	w.update(func(tx store.Tx) error {
		tx.AfterCommit(func() {
			if inside {
				w.Errorf("it ran before the function had returned")
			}
			close(ran)
		})
		if err := tx.PutSetting("s", []byte("x")); err != nil {
			return err
		}
		inside = false
		return nil
	})
	select {
	case <-ran:
	case <-time.After(10 * time.Second):
		w.Fatalf("it did not run")
	}
	w.view(func(tx store.Tx) error { _, err := tx.Setting("s"); return err })
}

func afterFailure(w *World) {
	var ran atomic.Bool
	_ = w.refused("failing update", func(tx store.Tx) error {
		tx.AfterCommit(func() { ran.Store(true) })
		if err := tx.PutSetting("s", []byte("x")); err != nil {
			return err
		}
		return errOnPurpose
	})
	w.update(func(tx store.Tx) error { return tx.PutSetting("t", []byte("x")) })
	if ran.Load() {
		w.Errorf("it ran")
	}
}

func afterView(w *World) {
	var ran atomic.Bool
	w.view(func(tx store.Tx) error { tx.AfterCommit(func() { ran.Store(true) }); return nil })
	w.update(func(tx store.Tx) error { return tx.PutSetting("t", []byte("x")) })
	if ran.Load() {
		w.Errorf("it ran")
	}
}

func closedSays(w *World) {
	w.settle("a1")
	s := w.Store
	if err := s.Close(); err != nil {
		w.Fatalf("close: %v", err)
	}
	blobs, leases := s.Blobs(), s.Leases()
	_, putErr := blobs.Put(w.ctx(), "a1", strings.NewReader("x"), false)
	_, openErr := blobs.Open(w.ctx(), "a1", "x")
	_, _, leaseErr := leases.Acquire(w.ctx(), "l", "o", time.Second)
	for what, err := range map[string]error{
		"view":        s.View(w.ctx(), func(store.Tx) error { return nil }),
		"update":      s.Update(w.ctx(), func(store.Tx) error { return nil }),
		"update soon": s.UpdateSoon(w.ctx(), func(store.Tx) error { return nil }),
		"put blob":    putErr, "open blob": openErr, "acquire": leaseErr,
	} {
		if !errors.Is(err, store.ErrClosed) {
			w.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
	w.open()
}

func recordsOwned(w *World) {
	w.settle("a1", "f1")
	m := message("m1", "a1", Start, "f1")
	m.Keywords = []string{"one", "two"}
	value := []byte("value")
	w.update(func(tx store.Tx) error {
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		if err := tx.PutSetting("s", value); err != nil {
			return err
		}
		m.Keywords[0], m.In[0], value[0] = "spoilt", "spoilt", 'X'
		return nil
	})
	w.view(func(tx store.Tx) error {
		got, err := tx.Message("m1")
		if err != nil {
			return err
		}
		w.same("keywords", []string{"one", "two"}, got.Keywords)
		w.same("mailboxes", []string{"f1"}, got.In)
		got.Keywords[0], got.In[0] = "spoilt", "spoilt"
		v, err := tx.Setting("s")
		if err != nil || string(v) != "value" {
			w.Errorf("setting %q, %v", v, err)
		}
		v[0] = 'Y'
		again, err := tx.Message("m1")
		if err != nil {
			return err
		}
		w.same("keywords again", []string{"one", "two"}, again.Keywords)
		v, err = tx.Setting("s")
		if err != nil || string(v) != "value" {
			w.Errorf("setting again %q, %v", v, err)
		}
		return nil
	})
}

func epochStays(w *World) {
	epoch := w.Store.Epoch()
	if epoch == 0 {
		w.Errorf("the epoch is 0")
	}
	e := &event.Event{Type: event.Ping, Time: Start}
	w.update(func(tx store.Tx) error { return tx.AppendEvent(e) })
	w.Reopen()
	if got := w.Store.Epoch(); got != epoch || e.Epoch != epoch {
		w.Errorf("epoch %d, after reopening %d, in an event %d", epoch, got, e.Epoch)
	}
}

func manyRecords(w *World) {
	w.settle("a1", "f1")
	w.update(func(tx store.Tx) error {
		for i := range store.MaxRecords {
			if err := tx.PutMessage(message(name("m", i), "a1", Start.Add(time.Duration(i)*time.Second), "f1")); err != nil {
				return err
			}
		}
		return nil
	})
	w.view(func(tx store.Tx) error {
		n, err := tx.CountMessages("a1")
		if n != store.MaxRecords {
			w.Errorf("%d messages", n)
		}
		return err
	})
}

func settings(w *World) {
	long := bytes.Repeat([]byte("long "), 30_000)
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutSetting("a", []byte("1")), tx.PutSetting("b", []byte{}), tx.PutSetting("c", long), tx.PutSetting("a", []byte("2")))
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		for k, want := range map[string]string{"a": "2", "b": "", "c": string(long)} {
			if got, err := tx.Setting(k); err != nil || string(got) != want {
				w.Errorf("setting %s: %d bytes, %v", k, len(got), err)
			}
		}
		_, err := tx.Setting("d")
		w.absent("unknown setting", err)
		return nil
	})
	w.update(func(tx store.Tx) error { return errors.Join(tx.DeleteSetting("a"), tx.DeleteSetting("d")) })
	w.view(func(tx store.Tx) error {
		_, err := tx.Setting("a")
		w.absent("deleted setting", err)
		return nil
	})
}
