package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

func concludeCases() []Case {
	return []Case{
		{Name: "an attempt is logged with what it led to", Run: concludes},
		{Name: "a delivery that is detached has a lane of its own", Run: detaches},
		{Name: "what waits is counted by endpoint", Run: endpointStats},
		{Name: "trimming comes to everything at last", Run: trimAtLast},
		{Name: "erasing an account reaches bodies and attempts", Run: eraseReachesAttempts},
		{Name: "the log of a delivery is bounded, and goes with it", Run: longLog},
	}
}

// attempt is a try of a delivery with every field set.
func attempt(delivery string, n int, at time.Time) *store.Attempt {
	return &store.Attempt{
		Delivery: delivery, Number: n, At: at, Duration: time.Second, Status: 200 + n, Class: "5xx", Error: "words", Answer: []byte("no\x00"),
		Header: []string{"Retry-After: 5", "Server: x"}, Peer: "192.0.2.1:443", DNS: 1, Connect: 2, TLS: 3, FirstByte: 4, Keys: []string{"k1", "k2"},
	}
}

func (w *World) attempts(id string, want ...store.Attempt) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		got, err := tx.AttemptsOf(id)
		w.same("attempts of "+id, want, got)
		return err
	})
}

func concludes(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e1", "a1", day(1)))
	first, second, third := attempt("d1", 1, day(1)), attempt("d1", 2, day(2)), attempt("d1", 3, day(4))
	d := w.delivery("d1")
	d.Attempts, d.NextAt, d.LastStatus = 1, day(2), 503
	w.update(func(tx store.Tx) error { return tx.Conclude(d, first) })
	w.same("rescheduled", d, w.delivery("d1"))
	w.attempts("d1", *first)
	d.Attempts, d.State, d.DoneAt = 2, store.DeliveryDelivered, day(2)
	w.update(func(tx store.Tx) error { return tx.Conclude(d, second) })
	w.same("settled", d, w.delivery("d1"))
	w.attempts("d1", *first, *second)
	w.head("e1", "a1", "d2")
	w.Reopen()
	w.attempts("d1", *first, *second)
	// Put back, it keeps its log, and gets another last attempt.
	d.State, d.Replays, d.Replay, d.NextAt, d.RequeuedAt = store.DeliveryPending, 1, "job", day(3), day(3)
	w.update(func(tx store.Tx) error { return tx.Requeue(d) })
	w.attempts("d1", *first, *second)
	d.State, d.DoneAt = store.DeliveryDead, day(4)
	w.update(func(tx store.Tx) error { return tx.Conclude(d, third) })
	w.attempts("d1", *first, *second, *third)
	if got := w.delivery("d1"); got.Replay != "job" || got.Replays != 1 || !got.RequeuedAt.Equal(day(3)) {
		w.Errorf("put back by %q, %d times", got.Replay, got.Replays)
	}
	w.absent("concluding what is settled", w.refused("settled", func(tx store.Tx) error { return tx.Conclude(d, third) }))
	w.update(func(tx store.Tx) error { _, _, err := tx.TrimOutbox(day(9), day(9), 100); return err })
	w.attempts("d1")
}

func detaches(w *World) {
	w.endpoints("e1")
	var list []*store.Delivery
	for i := range 3 {
		d := delivery(name("d", i), "e1", "a1", day(1))
		d.Sequence = uint64(i + 1)
		list = append(list, d)
	}
	w.enqueue(list...)
	d := w.delivery("d0000")
	d.NextAt, d.Attempts = day(5), 4
	w.update(func(tx store.Tx) error { return tx.Detach(d) })
	w.head("e1", "a1", "d0001", "d0002")
	w.head("e1", "d0000", "d0000")
	w.due(day(1), "e1/a1")
	w.due(day(5), "e1/a1", "e1/d0000")
	got := w.delivery("d0000")
	if got.Lane != "d0000" || got.Attempts != 4 || !got.NextAt.Equal(day(5)) || got.State != store.DeliveryPending {
		w.Errorf("detached: %+v", got)
	}
	w.update(func(tx store.Tx) error { return tx.Detach(d) }) // changes nothing
	w.head("e1", "d0000", "d0000")
	// Those behind it still name it.
	if got := w.delivery("d0001"); got.Previous != 1 {
		w.Errorf("previous %d", got.Previous)
	}
	w.Reopen()
	w.settleAs("d0000", store.DeliveryDelivered)
	w.head("e1", "d0000")
	w.settleAs("d0001", store.DeliveryDelivered)
	next := delivery("d9", "e1", "a1", day(1))
	next.Sequence = 9
	w.enqueue(next)
	if next.Previous != 3 {
		w.Errorf("the lane's next has previous %d", next.Previous)
	}
	w.head("e1", "a1", "d0002", "d9")
	w.absent("detaching what is settled", w.refused("settled", func(tx store.Tx) error { return tx.Detach(w.deliveryIn(tx, "d0000")) }))
}

func endpointStats(w *World) {
	w.endpoints("e1", "e2")
	check := func(endpoint string, pending, dead int64, oldest time.Time) {
		w.Helper()
		w.view(func(tx store.Tx) error {
			got, err := tx.EndpointStats(endpoint)
			w.same("stats of "+endpoint, store.OutboxStats{Pending: pending, Dead: dead, Oldest: oldest}, got)
			return err
		})
	}
	for i := range 6 {
		d := delivery(name("d", i), []string{"e1", "e2"}[i%2], "a1", Start)
		d.CreatedAt = day(i)
		w.enqueue(d)
	}
	check("e1", 3, 0, day(0))
	check("e2", 3, 0, day(1))
	w.settleAs("d0000", store.DeliveryDead)
	w.settleAs("d0001", store.DeliveryDelivered)
	check("e1", 2, 1, day(2))
	check("e2", 2, 0, day(3))
	w.update(func(tx store.Tx) error { return tx.Requeue(w.deliveryIn(tx, "d0000")) })
	check("e1", 3, 0, day(0))
	w.Reopen()
	check("e1", 3, 0, day(0))
	w.update(func(tx store.Tx) error { _, err := tx.DropDeliveries("e1", 100); return err })
	check("e1", 0, 0, time.Time{})
	check("unknown", 0, 0, time.Time{})
}

// trimAtLast settles deliveries in another order than they came in, some of
// them after a trim has passed by, and trims in small steps.
func trimAtLast(w *World) {
	w.endpoints("e1")
	const count = 40
	for i := range count {
		d := delivery(fmt.Sprintf("d%d", (i*7)%count), "e1", name("a", i), Start)
		d.Position = uint64(i / 3)
		w.enqueue(d)
	}
	trim := func() (dropped int) {
		w.Helper()
		for more := true; more; {
			w.update(func(tx store.Tx) error {
				n, again, err := tx.TrimOutbox(w.Now(), w.Now(), 3)
				more = again
				dropped += n
				return err
			})
		}
		return dropped
	}
	left := count
	for round := range 4 {
		for i := round; i < count; i += 4 {
			w.settleAs(fmt.Sprint("d", i), []store.DeliveryState{store.DeliveryDelivered, store.DeliveryDead}[i/4%2])
		}
		w.Advance(time.Hour)
		left -= count / 4
		if n := trim(); n != count/4 {
			w.Errorf("round %d dropped %d, want %d", round, n, count/4)
		}
		w.view(func(tx store.Tx) error {
			list, err := tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 100)
			if len(list) != left {
				w.Errorf("round %d: %d are left, want %d", round, len(list), left)
			}
			return err
		})
	}
}

func eraseReachesAttempts(w *World) {
	w.endpoints("e1")
	mine, other := delivery("d1", "e1", "a1", Start), delivery("d2", "e1", "a2", Start)
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.Enqueue(mine), tx.Enqueue(other), tx.PutBody(mine, []byte("mine")), tx.PutBody(other, []byte("other")),
			tx.PutAttempt(attempt("d1", 1, day(1))), tx.PutAttempt(attempt("d2", 1, day(1))))
	})
	dead := w.delivery("d1")
	dead.State, dead.DoneAt = store.DeliveryDead, day(2)
	w.update(func(tx store.Tx) error { return tx.Conclude(dead, attempt("d1", 2, day(2))) })
	for more := true; more; {
		w.update(func(tx store.Tx) (err error) { more, err = tx.DropDeliveriesOf("a1", 10); return err })
	}
	w.body("evt-d1", "thin", "")
	w.body("evt-d2", "thin", "other")
	w.attempts("d1")
	w.attempts("d2", *attempt("d2", 1, day(1)))
	w.stats(1, 0, Start)
}

// longLog: a delivery that is tried for ever keeps its newest attempts, and
// one that has more of them than that leaves none behind.
func longLog(w *World) {
	const most, part = 1000, 250
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", day(1)))
	log := func(from, until int, number func(i int) int) {
		for ; from < until; from += part {
			w.update(func(tx store.Tx) error {
				for i := from; i < from+part; i++ {
					at := day(1).Add(time.Duration(i) * time.Minute)
					if err := tx.PutAttempt(&store.Attempt{Delivery: "d1", Number: number(i), At: at}); err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	numbers := func() (list []int) {
		w.view(func(tx store.Tx) error {
			attempts, err := tx.AttemptsOf("d1")
			for _, a := range attempts {
				list = append(list, a.Number)
			}
			return err
		})
		return list
	}
	log(0, most+part, func(i int) int { return i + 1 })
	if got := numbers(); len(got) != most || got[0] != part+1 || got[most-1] != most+part {
		w.Errorf("%d attempts are kept of %d", len(got), most+part)
	}
	log(most+part, 2*most+part, func(int) int { return 1 })
	w.update(func(tx store.Tx) error { return drop(tx, "e1") })
	w.enqueue(delivery("d1", "e1", "a1", day(1)))
	if got := numbers(); len(got) != 0 {
		w.Errorf("%d attempts have outlived their delivery", len(got))
	}
}

func drop(tx store.Tx, endpoint string) error {
	_, err := tx.DropDeliveries(endpoint, 100)
	return err
}
