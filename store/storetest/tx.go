package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func txCases() []Case {
	return []Case{
		{Name: "update is applied whole or not at all", Run: updateAtomic},
		{Name: "update is durable when it returns", Run: updateDurable},
		{Name: "update gives back the function's own error", Run: updateError},
		{Name: "a panic rises at the caller and applies nothing", Run: updatePanic},
		{Name: "one that fails does not take others along", Run: updateGroup},
		{Name: "transactions are serialisable", Run: updateSerial},
		{Name: "a cancelled update does not run", Run: updateCancelled},
		{Name: "update soon is durable when it returns", Run: soonDurable},
		{Name: "update soon is not lost on close", Run: soonClosed},
		{Name: "update reads its own writes", Run: updateOwnWrites},
		{Name: "a view sees one moment", Run: viewMoment},
		{Name: "a view sees nothing uncommitted", Run: viewUncommitted},
		{Name: "a view cannot write", Run: viewWrites},
		{Name: "after commit runs in the order of the journal", Run: afterOrder},
		{Name: "after commit runs when it is durable", Run: afterDurable},
		{Name: "after commit does not run after a failure", Run: afterFailure},
		{Name: "after commit does not run in a view", Run: afterView},
		{Name: "a closed store says so", Run: closedSays},
		{Name: "records belong to whoever holds them", Run: recordsOwned},
		{Name: "the epoch stays and stands in events", Run: epochStays},
		{Name: "one update may write its thousand records", Run: manyRecords},
		{Name: "settings are kept by name", Run: settings},
	}
}

var errOnPurpose = errors.New("on purpose")

func updateAtomic(w *World) {
	w.settle("a1", "f1")
	err := w.refused("failing update", func(tx store.Tx) error {
		if err := tx.PutAccount(account("a2")); err != nil {
			return err
		}
		if err := tx.PutMailbox(mailbox("f2", "a1")); err != nil {
			return err
		}
		if err := tx.PutMessage(message("m1", "a1", Start, "f1")); err != nil {
			return err
		}
		if err := tx.AppendEvent(&event.Event{Type: event.Ping, Account: "a1", Time: Start}); err != nil {
			return err
		}
		if err := tx.PutEndpoint(&store.Endpoint{ID: "e1"}); err != nil {
			return err
		}
		if err := tx.PutSetting("s", []byte("x")); err != nil {
			return err
		}
		return errOnPurpose
	})
	if !errors.Is(err, errOnPurpose) {
		w.Errorf("error %v", err)
	}
	check := func() {
		w.view(func(tx store.Tx) error {
			_, err := tx.Account("a2")
			w.absent("account", err)
			_, err = tx.Mailbox("f2")
			w.absent("mailbox", err)
			_, err = tx.Message("m1")
			w.absent("message", err)
			_, err = tx.Endpoint("e1")
			w.absent("endpoint", err)
			_, err = tx.Setting("s")
			w.absent("setting", err)
			_, newest, err := tx.JournalBounds()
			if err != nil {
				return err
			}
			m, err := tx.Mailbox("f1")
			if err != nil {
				return err
			}
			if newest != 0 || m.Total != 0 {
				w.Errorf("journal at %d, mailbox with %d messages", newest, m.Total)
			}
			return nil
		})
	}
	check()
	w.Reopen()
	check()
}

func updateDurable(w *World) {
	for i := range 5 {
		w.update(func(tx store.Tx) error { return tx.PutSetting(name("s", i), []byte{byte(i)}) })
		w.Reopen()
	}
	w.view(func(tx store.Tx) error {
		for i := range 5 {
			v, err := tx.Setting(name("s", i))
			if err != nil || len(v) != 1 || v[0] != byte(i) {
				w.Errorf("setting %d: %v, %v", i, v, err)
			}
		}
		return nil
	})
}

func updateError(w *World) {
	want := fmt.Errorf("wrapped: %w", errOnPurpose)
	if err := w.Store.Update(w.ctx(), func(store.Tx) error { return want }); !errors.Is(err, errOnPurpose) {
		w.Errorf("update: %v", err)
	}
	if err := w.Store.UpdateSoon(w.ctx(), func(store.Tx) error { return want }); !errors.Is(err, errOnPurpose) {
		w.Errorf("update soon: %v", err)
	}
	if err := w.Store.View(w.ctx(), func(store.Tx) error { return want }); !errors.Is(err, errOnPurpose) {
		w.Errorf("view: %v", err)
	}
}

func updatePanic(w *World) {
	func() {
		defer func() {
			if p := recover(); p != "on purpose" {
				w.Errorf("recovered %v", p)
			}
		}()
		_ = w.Store.Update(w.ctx(), func(tx store.Tx) error {
			if err := tx.PutSetting("s", []byte("x")); err != nil {
				return err
			}
			panic("on purpose")
		})
	}()
	// A goroutine that ends inside, as t.FailNow does, must not hang the store.
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = w.Store.Update(w.ctx(), func(tx store.Tx) error {
			if err := tx.PutSetting("s", []byte("x")); err != nil {
				return err
			}
			runtime.Goexit()
			return nil
		})
	}()
	<-ended
	w.view(func(tx store.Tx) error {
		_, err := tx.Setting("s")
		w.absent("setting", err)
		return nil
	})
	w.update(func(tx store.Tx) error { return tx.PutSetting("t", []byte("y")) })
}

func updateGroup(w *World) {
	const n = 200
	fails := func(i int) bool { return i%7 == 3 }
	for i, err := range each(n, func(i int) error {
		return w.Store.Update(w.ctx(), func(tx store.Tx) error {
			if err := tx.PutSetting(name("s", i), []byte("x")); err != nil {
				return err
			}
			if err := addTo(tx, "sum", 1); err != nil {
				return err
			}
			if fails(i) {
				return errOnPurpose
			}
			return nil
		})
	}) {
		if fails(i) != errors.Is(err, errOnPurpose) || (!fails(i) && err != nil) {
			w.Errorf("update %d: %v", i, err)
		}
	}
	w.Reopen()
	w.view(func(tx store.Tx) error {
		want := 0
		for i := range n {
			_, err := tx.Setting(name("s", i))
			if fails(i) {
				w.absent(name("setting of failed ", i), err)
				continue
			}
			want++
			if err != nil {
				w.Errorf("setting %d: %v", i, err)
			}
		}
		if got, err := readInt(tx, "sum"); err != nil || got != want {
			w.Errorf("sum %d, %v, want %d", got, err, want)
		}
		return nil
	})
}

func readInt(tx store.Tx, key string) (int, error) {
	v, err := tx.Setting(key)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(v))
}

func addTo(tx store.Tx, key string, n int) error {
	v, err := readInt(tx, key)
	if err != nil {
		return err
	}
	return tx.PutSetting(key, []byte(strconv.Itoa(v+n)))
}

// updateSerial has writers that each may take from one of two accounts as long
// as their sum stays positive: two that overlook each other break it.
func updateSerial(w *World) {
	const n = 100
	w.update(func(tx store.Tx) error {
		return errors.Join(addTo(tx, "left", 30), addTo(tx, "right", 30))
	})
	var taken atomic.Int64
	w.none(each(n, func(i int) error {
		from := []string{"left", "right"}[i%2]
		var took bool
		err := w.Store.Update(w.ctx(), func(tx store.Tx) error {
			took = false
			left, err := readInt(tx, "left")
			if err != nil {
				return err
			}
			right, err := readInt(tx, "right")
			if err != nil || left+right < 1 {
				return err
			}
			took = true
			return addTo(tx, from, -1)
		})
		if took && err == nil {
			taken.Add(1)
		}
		return err
	}))
	w.view(func(tx store.Tx) error {
		left, err := readInt(tx, "left")
		if err != nil {
			return err
		}
		right, err := readInt(tx, "right")
		if left+right != 0 || taken.Load() != 60 {
			w.Errorf("left %d, right %d, taken %d of 60", left, right, taken.Load())
		}
		return err
	})
}

func updateCancelled(w *World) {
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	ran := false
	for what, run := range map[string]func(context.Context, func(store.Tx) error) error{
		"update": w.Store.Update, "update soon": w.Store.UpdateSoon, "view": w.Store.View,
	} {
		err := run(ctx, func(store.Tx) error { ran = true; return nil })
		if !errors.Is(err, context.Canceled) || ran {
			w.Errorf("%s: error %v, ran %v", what, err, ran)
		}
	}
	// One that waits behind another and is cancelled meanwhile.
	inside, goOn := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- w.Store.Update(w.ctx(), func(store.Tx) error { close(inside); <-goOn; return nil })
	}()
	<-inside
	ctx, cancel = context.WithCancel(w.ctx())
	second := make(chan error, 1)
	var late atomic.Bool
	go func() {
		second <- w.Store.Update(ctx, func(store.Tx) error { late.Store(true); return nil })
	}()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		w.Errorf("cancelled while waiting: %v", err)
	}
	close(goOn)
	if err := <-first; err != nil {
		w.Errorf("the one before: %v", err)
	}
	w.update(func(store.Tx) error { return nil })
	if late.Load() {
		w.Errorf("the cancelled one ran")
	}
}

func soonDurable(w *World) {
	const n = 20
	w.none(each(n, func(i int) error {
		return w.Store.UpdateSoon(w.ctx(), func(tx store.Tx) error { return tx.PutSetting(name("s", i), []byte("x")) })
	}))
	w.view(func(tx store.Tx) error {
		for i := range n {
			if _, err := tx.Setting(name("s", i)); err != nil {
				w.Errorf("setting %d: %v", i, err)
			}
		}
		return nil
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		for i := range n {
			if _, err := tx.Setting(name("s", i)); err != nil {
				w.Errorf("setting %d after reopening: %v", i, err)
			}
		}
		return nil
	})
}

func soonClosed(w *World) {
	const n = 50
	errs := make([]error, n)
	closing := w.Store // one that begins late must not find the one that is opened after it
	soon := func(i int) error {
		return closing.UpdateSoon(w.ctx(), func(tx store.Tx) error { return tx.PutSetting(name("s", i), []byte("x")) })
	}
	errs[0] = soon(0) // at least this one comes before the end
	var wg, begun sync.WaitGroup
	for i := 1; i < n; i++ {
		wg.Add(1)
		begun.Add(1)
		go func() {
			defer wg.Done()
			begun.Done()
			errs[i] = soon(i)
		}()
	}
	begun.Wait()
	w.Reopen()
	wg.Wait()
	w.view(func(tx store.Tx) error {
		for i, e := range errs {
			_, err := tx.Setting(name("s", i))
			switch {
			case e == nil && err != nil:
				w.Errorf("update %d was acknowledged and is lost: %v", i, err)
			case errors.Is(e, store.ErrClosed):
				w.absent(name("refused setting ", i), err)
			case e != nil:
				w.Errorf("update %d: %v", i, e)
			}
		}
		return nil
	})
}
