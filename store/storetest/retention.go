package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// Times do not always ascend with positions: replays owe old entries anew, and
// clocks are set. Neither may keep what is old for ever.
func retentionCases() []Case {
	return []Case{
		{Name: "replays and clocks that were ahead stop no trim of deliveries", Run: retainDeliveries},
		{Name: "a clock that was ahead stops no trim of the journal", Run: retainJournal},
		{Name: "what was put with sync and nobody names is deleted", Run: retainBlobs},
	}
}

func retainDeliveries(w *World) {
	w.endpoints("e1")
	const year = 365 * 24 * time.Hour
	for i, d := range []store.Delivery{
		{CreatedAt: day(0)},
		{CreatedAt: day(9), Replay: "r1"},          // owed anew by a job
		{CreatedAt: day(0).Add(year)},              // the clock was ahead
		{CreatedAt: day(8), Replays: 1},            // owed anew to somebody else
		{CreatedAt: day(0).Add(year), Replay: "x"}, // pending
		{CreatedAt: day(1)},
		{CreatedAt: day(9)},
	} {
		made := delivery(name("d", i), "e1", "a1", day(0))
		made.Position, made.CreatedAt, made.Replay, made.Replays = uint64(i+1), d.CreatedAt, d.Replay, d.Replays
		w.enqueue(made)
	}
	settle := func(i int, at time.Time) {
		w.Helper()
		d := w.delivery(name("d", i))
		d.State, d.DoneAt = store.DeliveryDelivered, at
		w.update(func(tx store.Tx) error { return tx.Settle(d) })
	}
	settle(0, day(0))
	settle(1, day(9))
	settle(2, day(0).Add(year))
	settle(3, day(8))
	settle(5, day(1))
	settle(6, day(9))
	w.Advance(10 * 24 * time.Hour)
	trim := func(before time.Time, want ...int) {
		w.Helper()
		for more := true; more; { // in small steps
			w.update(func(tx store.Tx) (err error) {
				_, more, err = tx.TrimOutbox(before, before, 2)
				return err
			})
		}
		var left []int
		w.view(func(tx store.Tx) error {
			list, err := tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 100)
			for i := range 7 {
				if slices.ContainsFunc(list, func(d *store.Delivery) bool { return d.ID == name("d", i) }) {
					left = append(left, i)
				}
			}
			return err
		})
		w.same("left", want, left)
	}
	trim(day(3), 1, 2, 3, 4, 6)
	w.Reopen()
	settle(4, day(10))
	trim(day(9), 1, 2, 4, 6)
	trim(day(10), 2, 4)
	trim(day(11), 2)
	w.Advance(2 * year)
	trim(day(0).Add(2 * year))
}

func retainJournal(w *World) {
	w.settle("a1")
	const year = 365 * 24 * time.Hour
	add := func(at time.Time, n int) {
		w.update(func(tx store.Tx) error {
			for range n {
				if err := tx.AppendEvent(ping("a1", at)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	add(day(0), 3)
	add(day(0).Add(year), 20) // the clock was ahead for a while
	add(day(1), 2)
	add(day(5), 4)
	add(day(5).Add(year), 5)
	w.Advance(10 * 24 * time.Hour)
	trim := func(before time.Time, want int) {
		w.Helper()
		all := 0
		for n := 1; n > 0; all += n {
			w.update(func(tx store.Tx) (err error) {
				n, err = tx.TrimJournal(before, 7)
				return err
			})
		}
		if all != want {
			w.Errorf("dropped %d, want %d", all, want)
		}
	}
	trim(day(0), 0)
	trim(day(1), 3)
	trim(day(1), 0)
	trim(day(3), 22)
	trim(day(5), 0)
	trim(day(6), 4)
	trim(day(11), 0) // nothing that bears a time of ours is behind
	var e *event.Event
	w.update(func(tx store.Tx) error { e = ping("a1", day(10)); return tx.AppendEvent(e) })
	trim(day(11), 6)
	if e.Sequence != 35 {
		w.Errorf("sequence %d", e.Sequence)
	}
}

func retainBlobs(w *World) {
	w.settle("a1")
	w.settle("a2")
	put := func(account, what string, size int, sync bool) string {
		w.Helper()
		ref, err := w.Store.Blobs().Put(w.ctx(), account, strings.NewReader(strings.Repeat(what, size)), sync)
		if err != nil {
			w.Fatalf("put: %v", err)
		}
		return ref.Digest
	}
	for _, size := range []int{10, 50_000} { // in a pack, in a file
		wanted, unnamed := put("a1", "w", size, true), put("a1", "u", size, true)
		cached, foreign := put("a1", "c", size, false), put("a2", "u", size, true)
		retain := func(want int) {
			w.Helper()
			n, err := w.Store.Blobs().Retain(w.ctx(), "a1", []string{wanted, strings.Repeat("00", 32)})
			if n != want || err != nil {
				w.Errorf("%d deleted, %v; want %d", n, err, want)
			}
		}
		retain(1)
		retain(0)
		w.Reopen()
		for _, c := range []struct {
			what, account, digest string
			there                 bool
		}{{"what is named", "a1", wanted, true}, {"what is not", "a1", unnamed, false}, {"what was put without sync", "a1", cached, true}, {"another account's", "a2", foreign, true}} {
			b, err := w.Store.Blobs().Open(w.ctx(), c.account, c.digest)
			if err == nil {
				_ = b.Close()
			}
			if c.there && err != nil || !c.there && !errors.Is(err, store.ErrNotFound) {
				w.Errorf("%s, of %d: %v", c.what, size, err)
			}
		}
		if err := w.Store.Blobs().Delete(w.ctx(), "a1", wanted); err != nil {
			w.Errorf("delete: %v", err)
		}
	}
	if n, err := w.Store.Blobs().Retain(w.ctx(), "nobody", nil); n != 0 || err != nil {
		w.Errorf("of an account that is not there: %d, %v", n, err)
	}
}
