package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func journalCases() []Case {
	return []Case{
		{Name: "an event comes back as it was appended", Run: eventRoundTrip},
		{Name: "positions and sequences have no gap", Run: journalNumbers},
		{Name: "a failed update leaves no gap in the journal", Run: journalNoGap},
		{Name: "events are listed in commit order, in pages", Run: journalPages},
		{Name: "an event is seen together with its change", Run: journalTogether},
		{Name: "the journal is trimmed from the front", Run: journalTrim},
	}
}

func eventRoundTrip(w *World) {
	w.settle("a1")
	a := []mail.Address{{Name: "n", Email: "e@example.org"}}
	e := &event.Event{
		Type: event.MessageUpdated, Account: "a1", Time: Start.Add(17), Backfill: true, Internal: true,
		Message: "m1", Mailbox: "f1", Submission: "s1", Endpoint: "e1",
		AddedKeywords: []string{"k1"}, RemovedKeywords: []string{"k2", "k3"}, AddedMailboxes: []string{"f2"}, RemovedMailboxes: []string{"f3"},
		Reason: "code: words",
		Snapshot: &event.Snapshot{
			ProviderID: "p", Thread: "t", Mailboxes: []string{"f1"}, Keywords: []string{"k"}, Subject: "s", From: a, To: a, Cc: a,
			MessageID: "mid", SentAt: day(1), ReceivedAt: day(2), Preview: "p", HasAttachments: true, Size: 9,
		},
	}
	own := &event.Event{Type: event.EndpointDisabled, Time: Start, Endpoint: "e1", Reason: "gone", Percent: 70, DeadLetters: 12, Provider: "work"}
	w.update(func(tx store.Tx) error { return errors.Join(tx.AppendEvent(e), tx.AppendEvent(own)) })
	if e.Position != 1 || e.Sequence != 1 || e.ID != event.ID("a1", 1) || e.Epoch != w.Store.Epoch() || own.Position != 2 || own.Sequence != 1 {
		w.Errorf("numbers %d %d %s, %d %d", e.Position, e.Sequence, e.ID, own.Position, own.Sequence)
	}
	w.Reopen()
	w.view(func(tx store.Tx) error {
		all, err := tx.EventsAfter(0, 10)
		if err != nil {
			return err
		}
		w.same("events", []event.Event{*e, *own}, all)
		of, err := tx.AccountEventsAfter("a1", 0, 10)
		if err != nil {
			return err
		}
		w.same("of the account", []event.Event{*e}, of)
		byID, err := tx.EventByID(e.ID)
		w.same("by id", e, byID)
		_, missing := tx.EventByID("evt_unknown")
		w.absent("unknown event", missing)
		return err
	})
}

func ping(acct string, at time.Time) *event.Event {
	return &event.Event{Type: event.Ping, Account: acct, Time: at}
}

func journalNumbers(w *World) {
	const n = 120
	accounts := []string{"a1", "a2", "a3"}
	for _, a := range accounts {
		w.settle(a)
	}
	w.none(each(n, func(i int) error {
		err := w.Store.Update(w.ctx(), func(tx store.Tx) error {
			for range 1 + i%3 {
				if err := tx.AppendEvent(ping(accounts[i%3], Start)); err != nil {
					return err
				}
			}
			if i%5 == 4 {
				return errOnPurpose
			}
			return nil
		})
		if errors.Is(err, errOnPurpose) {
			return nil
		}
		return err
	}))
	w.view(func(tx store.Tx) error {
		all, err := tx.EventsAfter(0, 10*n)
		if err != nil {
			return err
		}
		last := map[string]uint64{}
		for i, e := range all {
			if e.Position != uint64(i+1) {
				w.Fatalf("position %d at place %d", e.Position, i+1)
			}
			if last[e.Account]++; e.Sequence != last[e.Account] || e.ID != event.ID(e.Account, e.Sequence) {
				w.Fatalf("%s: sequence %d, id %s at place %d", e.Account, e.Sequence, e.ID, last[e.Account])
			}
		}
		for a, want := range last {
			if got, err := tx.LastSequence(a); err != nil || got != want {
				w.Errorf("last sequence of %s: %d, %v, want %d", a, got, err, want)
			}
		}
		if got, err := tx.LastSequence("unknown"); err != nil || got != 0 {
			w.Errorf("last sequence of nobody: %d, %v", got, err)
		}
		_, newest, err := tx.JournalBounds()
		if newest != uint64(len(all)) {
			w.Errorf("newest %d of %d", newest, len(all))
		}
		return err
	})
}

func journalNoGap(w *World) {
	w.settle("a1")
	for i := range 6 {
		e := ping("a1", Start)
		err := w.Store.Update(w.ctx(), func(tx store.Tx) error {
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
			if i%2 == 0 {
				return errOnPurpose
			}
			return nil
		})
		if i%2 == 1 && (err != nil || e.Position != uint64(i/2+1) || e.Sequence != uint64(i/2+1)) {
			w.Errorf("event %d: position %d, sequence %d, %v", i, e.Position, e.Sequence, err)
		}
	}
}

func journalPages(w *World) {
	w.settle("a1")
	w.settle("a2")
	w.update(func(tx store.Tx) error {
		for i := range 23 {
			if err := tx.AppendEvent(ping([]string{"a1", "a2"}[i%2], Start)); err != nil {
				return err
			}
		}
		return nil
	})
	w.view(func(tx store.Tx) error {
		var at, seq, want uint64
		for {
			page, err := tx.EventsAfter(at, 5)
			if err != nil {
				return err
			}
			if len(page) > 5 {
				w.Errorf("a page of %d", len(page))
			}
			if len(page) == 0 {
				break
			}
			for _, e := range page {
				if want++; e.Position != want {
					w.Errorf("position %d, want %d", e.Position, want)
				}
				at = e.Position
			}
		}
		if want != 23 {
			w.Errorf("%d events", want)
		}
		for {
			page, err := tx.AccountEventsAfter("a2", seq, 4)
			if err != nil || len(page) == 0 {
				if seq != 11 {
					w.Errorf("%d events of a2", seq)
				}
				return err
			}
			for _, e := range page {
				if e.Account != "a2" || e.Sequence != seq+1 {
					w.Errorf("%s %d after %d", e.Account, e.Sequence, seq)
				}
				seq = e.Sequence
			}
		}
	})
}

// journalTogether has readers that follow the journal and look up what each
// entry is about.
func journalTogether(w *World) {
	const n = 60
	w.settle("a1", "f1")
	var stop atomic.Bool
	reader := make(chan error, 1)
	go func() {
		var at uint64
		for {
			finished := stop.Load()
			err := w.Store.View(w.ctx(), func(tx store.Tx) error {
				page, err := tx.EventsAfter(at, 100)
				if err != nil {
					return err
				}
				for _, e := range page {
					if e.Position != at+1 {
						return fmt.Errorf("position %d became visible after %d", e.Position, at)
					}
					at = e.Position
					m, err := tx.Message(e.Message)
					if err != nil {
						return fmt.Errorf("event %d without its message: %w", e.Position, err)
					}
					if m.ModSeq < e.Sequence {
						return fmt.Errorf("event %d before its change", e.Position)
					}
				}
				return nil
			})
			if err == nil && finished && at < n {
				err = fmt.Errorf("only %d events came", at)
			}
			if err != nil || finished {
				reader <- err
				return
			}
		}
	}()
	errs := each(n, func(i int) error {
		return w.Store.Update(w.ctx(), func(tx store.Tx) error {
			m := message(name("m", i), "a1", day(i), "f1")
			e := ping("a1", Start)
			e.Message = m.ID
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
			m.ModSeq = e.Sequence
			return tx.PutMessage(m)
		})
	})
	stop.Store(true)
	if err := <-reader; err != nil {
		w.Errorf("reader: %v", err)
	}
	w.none(errs)
}

func journalTrim(w *World) {
	w.settle("a1")
	bounds := func(oldest, newest uint64) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			o, n, err := tx.JournalBounds()
			if o != oldest || n != newest {
				w.Errorf("bounds %d, %d; want %d, %d", o, n, oldest, newest)
			}
			return err
		})
	}
	bounds(1, 0)
	var first event.Event
	w.update(func(tx store.Tx) error {
		for i := range 6 {
			e := ping("a1", day(i))
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
			if i == 0 {
				first = *e
			}
		}
		return nil
	})
	bounds(1, 6)
	trim := func(t time.Time, limit, want int) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			n, err := tx.TrimJournal(t, limit)
			if n != want {
				w.Errorf("dropped %d, want %d", n, want)
			}
			return err
		})
	}
	trim(day(3), 2, 2)
	bounds(3, 6)
	trim(day(3), 2, 1)
	bounds(4, 6)
	trim(day(3), 2, 0)
	w.view(func(tx store.Tx) error {
		_, err := tx.EventByID(first.ID)
		w.absent("trimmed event", err)
		of, err := tx.AccountEventsAfter("a1", 0, 10)
		if len(of) != 3 {
			w.Errorf("%d events of the account are left", len(of))
		}
		return err
	})
	trim(day(99), 100, 3)
	bounds(7, 6)
	w.Reopen()
	bounds(7, 6)
	e := ping("a1", Start)
	w.update(func(tx store.Tx) error { return tx.AppendEvent(e) })
	if e.Position != 7 || e.Sequence != 7 {
		w.Errorf("numbers after trimming: %d, %d", e.Position, e.Sequence)
	}
	bounds(7, 7)
}
