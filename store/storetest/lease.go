package storetest

import (
	"fmt"
	"sync/atomic"
	"time"
)

func leaseCases() []Case {
	return []Case{
		{Name: "a lease has one owner at a time", Run: leaseExclusive},
		{Name: "a lease expires", Run: leaseExpires},
		{Name: "of many who want a lease one gets it", Run: leaseContention},
	}
}

// acquire tries a lease for a minute.
func (w *World) acquire(lease, owner string, want bool) uint64 {
	w.Helper()
	held, token, err := w.Store.Leases().Acquire(w.ctx(), lease, owner, time.Minute)
	if err != nil || held != want {
		w.Errorf("%s acquires %s: %v, %v; want %v", owner, lease, held, err, want)
	}
	return token
}

func leaseExclusive(w *World) {
	first := w.acquire("l1", "o1", true)
	w.acquire("l1", "o2", false)
	w.acquire("l2", "o2", true)
	if again := w.acquire("l1", "o1", true); again != first {
		w.Errorf("renewing gave token %d after %d", again, first)
	}
	if err := w.Store.Leases().Release(w.ctx(), "l1", "o2"); err != nil {
		w.Errorf("releasing another's: %v", err)
	}
	w.acquire("l1", "o2", false)
	if err := w.Store.Leases().Release(w.ctx(), "l1", "o1"); err != nil {
		w.Errorf("release: %v", err)
	}
	second := w.acquire("l1", "o2", true)
	if second <= first {
		w.Errorf("token %d of a new owner after %d", second, first)
	}
	if err := w.Store.Leases().Release(w.ctx(), "l1", "o2"); err != nil {
		w.Errorf("release: %v", err)
	}
	if err := w.Store.Leases().Release(w.ctx(), "l1", "o2"); err != nil {
		w.Errorf("releasing twice: %v", err)
	}
	w.Reopen()
	if third := w.acquire("l1", "o3", true); third <= second {
		w.Errorf("token %d after reopening, %d before", third, second)
	}
}

func leaseExpires(w *World) {
	first := w.acquire("l1", "o1", true)
	w.Advance(59 * time.Second)
	w.acquire("l1", "o2", false)
	w.acquire("l1", "o1", true) // renewed from now on
	w.Advance(59 * time.Second)
	w.acquire("l1", "o2", false)
	w.Advance(time.Second)
	if second := w.acquire("l1", "o2", true); second <= first {
		w.Errorf("token %d after %d", second, first)
	}
	w.acquire("l1", "o1", false)
	if err := w.Store.Leases().Release(w.ctx(), "l1", "o1"); err != nil {
		w.Errorf("releasing what was lost: %v", err)
	}
	w.acquire("l1", "o3", false)
}

func leaseContention(w *World) {
	for round := range 10 {
		var holders atomic.Int32
		w.none(each(16, func(i int) error {
			held, _, err := w.Store.Leases().Acquire(w.ctx(), fmt.Sprintf("l%d", round), fmt.Sprintf("o%d", i), time.Minute)
			if held {
				holders.Add(1)
			}
			return err
		}))
		if n := holders.Load(); n != 1 {
			w.Errorf("round %d: %d holders", round, n)
		}
	}
}
