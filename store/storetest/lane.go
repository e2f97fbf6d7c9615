package storetest

import (
	"errors"
	"time"

	"github.com/postern-mail/postern/store"
)

func laneCases() []Case {
	return []Case{
		{Name: "a lane keeps the order of enqueueing", Run: laneOrder},
		{Name: "enqueueing twice changes nothing", Run: laneTwice},
		{Name: "a delivery knows the one before it", Run: lanePrevious},
		{Name: "only heads of lanes are due", Run: laneHeadsDue},
		{Name: "settling the head promotes the next, at its own time", Run: laneSettle},
		{Name: "rescheduling moves the lane only by its head", Run: laneReschedule},
		{Name: "requeueing puts a delivery at the end of its lane", Run: laneRequeue},
		{Name: "a delivery that is not in its lane cannot settle", Run: laneNotThere},
		{Name: "a paused endpoint is held back, others are not", Run: lanePaused},
		{Name: "a disabled endpoint is never due and keeps what it is owed", Run: laneDisabled},
		{Name: "deliveries without order do not wait for each other", Run: laneUnordered},
		{Name: "due lanes of many endpoints come earliest first", Run: laneManyEndpoints},
		{Name: "all lanes are listed in pages", Run: lanePages},
	}
}

func delivery(id, endpoint, lane string, at time.Time) *store.Delivery {
	return &store.Delivery{
		ID: id, Endpoint: endpoint, Lane: lane, Account: lane, Event: "evt-" + id, Type: "message.created", Rendition: "thin",
		CreatedAt: Start, NextAt: at,
	}
}

func (w *World) endpoints(ids ...string) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for _, id := range ids {
			if err := tx.PutEndpoint(&store.Endpoint{ID: id, Ordered: true, CreatedAt: Start}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *World) enqueue(list ...*store.Delivery) {
	w.Helper()
	w.update(func(tx store.Tx) error {
		for _, d := range list {
			if err := tx.Enqueue(d); err != nil {
				return err
			}
		}
		return nil
	})
}

// due checks which lanes are due, and when the next will be.
func (w *World) due(at time.Time, want ...string) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		lanes, err := tx.DueLanes(at, 100)
		var got []string
		for _, l := range lanes {
			got = append(got, l.Endpoint+"/"+l.Lane)
			if l.Due.After(at) {
				w.Errorf("%v is not due at %v", l, at)
			}
		}
		w.same("due lanes", want, got)
		return err
	})
}

func (w *World) nextDue(want time.Time) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		got, err := tx.NextDue()
		if !got.Equal(want) {
			w.Errorf("next due %v, want %v", got, want)
		}
		return err
	})
}

func (w *World) head(endpoint, lane string, want ...string) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		list, err := tx.Head(endpoint, lane, 100)
		var got []string
		for _, d := range list {
			got = append(got, d.ID)
			if d.State != store.DeliveryPending {
				w.Errorf("%s in its lane is %s", d.ID, d.State)
			}
		}
		w.same("lane "+lane, want, got)
		return err
	})
}

func (w *World) delivery(id string) *store.Delivery {
	w.Helper()
	var d *store.Delivery
	w.view(func(tx store.Tx) (err error) { d, err = tx.Delivery(id); return err })
	return d
}

// settleAs ends a delivery.
func (w *World) settleAs(id string, state store.DeliveryState) {
	w.Helper()
	d := w.delivery(id)
	d.State, d.DoneAt = state, w.Now()
	d.Attempts++
	w.update(func(tx store.Tx) error { return tx.Settle(d) })
}

func laneOrder(w *World) {
	w.endpoints("e1")
	var want []string
	for i := range 12 {
		id := name("d", (i*5)%12)
		w.enqueue(delivery(id, "e1", "a1", Start.Add(-time.Duration(i)*time.Minute)))
		want = append(want, id)
	}
	w.head("e1", "a1", want...)
	w.view(func(tx store.Tx) error {
		list, err := tx.Head("e1", "a1", 3)
		if len(list) != 3 {
			w.Errorf("3 of the lane: %d", len(list))
		}
		return err
	})
	w.head("e1", "a2")
	w.Reopen()
	w.head("e1", "a1", want...)
	w.absent("an unknown endpoint", w.refused("unknown endpoint", func(tx store.Tx) error {
		return tx.Enqueue(delivery("d", "unknown", "a1", Start))
	}))
}

func laneTwice(w *World) {
	w.endpoints("e1")
	d := delivery("d1", "e1", "a1", Start)
	w.enqueue(d, delivery("d2", "e1", "a1", Start))
	again := delivery("d1", "e1", "a1", day(9))
	again.Attempts = 7
	w.enqueue(again)
	w.head("e1", "a1", "d1", "d2")
	if got := w.delivery("d1"); got.Attempts != 0 || !got.NextAt.Equal(Start) {
		w.Errorf("it became %+v", got)
	}
	w.settleAs("d1", store.DeliveryDelivered)
	w.enqueue(delivery("d1", "e1", "a1", Start))
	w.head("e1", "a1", "d2")
}

func lanePrevious(w *World) {
	w.endpoints("e1", "e2")
	put := func(id, endpoint, lane string, seq, want uint64) {
		w.Helper()
		d := delivery(id, endpoint, lane, Start)
		d.Sequence, d.Previous = seq, 99
		w.enqueue(d)
		if got := w.delivery(id); got.Previous != want || d.Previous != want {
			w.Errorf("%s: previous %d, given back %d, want %d", id, got.Previous, d.Previous, want)
		}
	}
	put("d1", "e1", "a1", 3, 0)
	put("d2", "e1", "a1", 5, 3)
	put("d3", "e1", "a2", 1, 0)
	put("d4", "e2", "a1", 5, 0)
	w.settleAs("d1", store.DeliveryDelivered)
	w.settleAs("d2", store.DeliveryDead)
	w.Reopen()
	put("d5", "e1", "a1", 9, 5) // the lane was empty meanwhile
	put("d6", "e1", "d6", 9, 0) // a lane of its own
	w.settleAs("d5", store.DeliveryDead)
	w.update(func(tx store.Tx) error { return tx.Requeue(delivery("d2", "e1", "a1", Start)) })
	if got := w.delivery("d2"); got.Previous != 3 {
		w.Errorf("requeued: previous %d", got.Previous)
	}
	put("d7", "e1", "a1", 10, 9)
	// What is owed late, by a replay, moves nothing.
	put("d8", "e1", "a1", 4, 0)
	put("d9", "e1", "a1", 11, 10)
}

func laneHeadsDue(w *World) {
	w.endpoints("e1")
	w.nextDue(time.Time{})
	w.enqueue(delivery("d1", "e1", "a1", day(2)), delivery("d2", "e1", "a1", day(1)), delivery("d3", "e1", "a2", day(3)), delivery("d4", "e1", "a1", day(0)))
	w.due(day(0))
	w.due(day(1))
	w.due(day(2).Add(-1))
	w.due(day(2), "e1/a1")
	w.due(day(3), "e1/a1", "e1/a2")
	w.nextDue(day(2))
	w.view(func(tx store.Tx) error {
		lanes, err := tx.DueLanes(day(9), 1)
		w.same("one lane", []store.Lane{{Endpoint: "e1", Lane: "a1", Due: day(2)}}, lanes)
		return err
	})
}

func laneSettle(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e1", "a1", day(5)), delivery("d3", "e1", "a1", day(3)))
	w.settleAs("d1", store.DeliveryDelivered)
	w.head("e1", "a1", "d2", "d3")
	w.nextDue(day(5))
	w.due(day(4))
	w.settleAs("d2", store.DeliveryDead)
	w.nextDue(day(3))
	w.settleAs("d3", store.DeliveryDelivered)
	w.head("e1", "a1")
	w.nextDue(time.Time{})
	w.due(day(99))
	got := w.delivery("d2")
	if got.State != store.DeliveryDead || got.Attempts != 1 || !got.DoneAt.Equal(Start) {
		w.Errorf("settled: %+v", got)
	}
	// From the middle of a lane.
	w.enqueue(delivery("d4", "e1", "a1", day(1)), delivery("d5", "e1", "a1", day(2)), delivery("d6", "e1", "a1", day(3)))
	w.settleAs("d5", store.DeliveryDead)
	w.head("e1", "a1", "d4", "d6")
	w.nextDue(day(1))
	_ = w.refused("settling as pending", func(tx store.Tx) error { return tx.Settle(delivery("d4", "e1", "a1", Start)) })
}

func laneReschedule(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e1", "a1", day(1)), delivery("d3", "e1", "a2", day(2)))
	d := w.delivery("d1")
	d.NextAt, d.Attempts, d.FirstFailAt, d.LastStatus, d.LastError = day(4), 3, day(1), 503, "busy"
	w.update(func(tx store.Tx) error { return tx.Reschedule(d) })
	w.same("delivery", d, w.delivery("d1"))
	w.due(day(3), "e1/a2")
	w.nextDue(day(2))
	second := w.delivery("d2")
	second.NextAt = day(0)
	w.update(func(tx store.Tx) error { return tx.Reschedule(second) })
	w.due(day(1))
	w.due(day(4), "e1/a2", "e1/a1")
	w.settleAs("d1", store.DeliveryDead)
	w.due(day(1), "e1/a1") // by the time that the second was given
}

func laneRequeue(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e1", "a1", day(2)), delivery("d3", "e1", "a1", day(3)))
	w.settleAs("d1", store.DeliveryDead)
	d := w.delivery("d1")
	d.NextAt, d.Attempts, d.Replays = day(0), 0, 1
	w.update(func(tx store.Tx) error { return tx.Requeue(d) })
	w.head("e1", "a1", "d2", "d3", "d1")
	w.nextDue(day(2))
	got := w.delivery("d1")
	if got.State != store.DeliveryPending || got.Replays != 1 || got.Attempts != 0 || !got.DoneAt.IsZero() {
		w.Errorf("requeued: %+v", got)
	}
	_ = w.refused("requeueing what is pending", func(tx store.Tx) error { return tx.Requeue(d) })
	for _, id := range []string{"d2", "d3", "d1"} {
		w.settleAs(id, store.DeliveryDelivered)
	}
	d = w.delivery("d3")
	d.NextAt = day(6)
	w.update(func(tx store.Tx) error { return tx.Requeue(d) })
	w.head("e1", "a1", "d3")
	w.nextDue(day(6))
	w.update(func(tx store.Tx) error { return tx.DeleteEndpoint("e1") })
	w.absent("an endpoint that is gone", w.refused("gone", func(tx store.Tx) error { return tx.Requeue(w.deliveryIn(tx, "d1")) }))
}

func (w *World) deliveryIn(tx store.Tx, id string) *store.Delivery {
	w.Helper()
	d, err := tx.Delivery(id)
	if err != nil {
		w.Errorf("delivery %s: %v", id, err)
		return &store.Delivery{ID: id}
	}
	return d
}

func laneNotThere(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", Start))
	w.settleAs("d1", store.DeliveryDelivered)
	d := w.delivery("d1")
	w.absent("settling twice", w.refused("twice", func(tx store.Tx) error { return tx.Settle(d) }))
	w.absent("rescheduling what is settled", w.refused("settled", func(tx store.Tx) error { return tx.Reschedule(d) }))
	gone := delivery("d9", "e1", "a1", Start)
	gone.State = store.DeliveryDead
	for what, fn := range map[string]func(store.Tx) error{
		"settle": func(tx store.Tx) error { return tx.Settle(gone) }, "reschedule": func(tx store.Tx) error { return tx.Reschedule(gone) },
		"requeue": func(tx store.Tx) error { return tx.Requeue(gone) },
	} {
		w.absent(what+" of the unknown", w.refused(what, fn))
	}
}

func lanePaused(w *World) {
	w.endpoints("e1", "e2")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e1", "a2", day(5)), delivery("d3", "e2", "a1", day(2)))
	w.update(func(tx store.Tx) error { return tx.PauseEndpoint("e1", day(3)) })
	w.due(day(2), "e2/a1")
	w.nextDue(day(2))
	w.due(day(3), "e2/a1", "e1/a1")
	w.enqueue(delivery("d4", "e1", "a3", day(1))) // comes during the pause
	w.due(day(2), "e2/a1")
	if d := w.delivery("d1"); !d.NextAt.Equal(day(1)) {
		w.Errorf("the pause touched the delivery: %v", d.NextAt)
	}
	w.update(func(tx store.Tx) error { return tx.PauseEndpoint("e1", day(2)) }) // a shorter one does not shorten
	w.due(day(2), "e2/a1")
	w.view(func(tx store.Tx) error {
		e, err := tx.Endpoint("e1")
		if err == nil && !e.PausedUntil.Equal(day(3)) {
			w.Errorf("paused until %v", e.PausedUntil)
		}
		lanes, lerr := tx.DueLanes(day(9), 10)
		for _, l := range lanes {
			if l.Endpoint == "e1" && l.Due.Before(day(3)) {
				w.Errorf("%v is due during the pause", l)
			}
		}
		return errors.Join(err, lerr)
	})
	w.update(func(tx store.Tx) error { return tx.PutEndpoint(&store.Endpoint{ID: "e1"}) }) // lifted
	w.due(day(1), "e1/a1", "e1/a3")
	w.absent("pausing the unknown", w.refused("unknown", func(tx store.Tx) error { return tx.PauseEndpoint("e9", day(1)) }))
}

func laneDisabled(w *World) {
	w.endpoints("e1", "e2")
	w.enqueue(delivery("d1", "e1", "a1", day(1)), delivery("d2", "e2", "a1", day(2)))
	w.update(func(tx store.Tx) error {
		return tx.PutEndpoint(&store.Endpoint{ID: "e1", Disabled: true, Reason: "gone"})
	})
	w.due(day(9), "e2/a1")
	w.nextDue(day(2))
	w.enqueue(delivery("d3", "e1", "a1", day(1)))
	w.due(day(9), "e2/a1")
	w.head("e1", "a1", "d1", "d3")
	w.update(func(tx store.Tx) error { return tx.PutEndpoint(&store.Endpoint{ID: "e1"}) })
	w.due(day(9), "e1/a1", "e2/a1")
	w.nextDue(day(1))
	w.update(func(tx store.Tx) error { return tx.DeleteEndpoint("e1") })
	w.due(day(9), "e2/a1")
	w.update(func(tx store.Tx) error { return tx.DeleteEndpoint("e1") })
}

func laneUnordered(w *World) {
	w.endpoints("e1")
	for i := range 5 {
		id := name("d", i)
		w.enqueue(delivery(id, "e1", id, day(5-i)))
	}
	w.due(day(2), "e1/d0004", "e1/d0003")
	w.settleAs("d0004", store.DeliveryDead)
	w.due(day(3), "e1/d0003", "e1/d0002")
	w.update(func(tx store.Tx) error { return tx.Requeue(delivery("d0004", "e1", "d0004", day(9))) })
	w.head("e1", "d0004", "d0004")
	w.nextDue(day(2))
}

func laneManyEndpoints(w *World) {
	const endpoints, lanes = 7, 9
	var want []store.Lane
	w.update(func(tx store.Tx) error {
		for e := range endpoints {
			if err := tx.PutEndpoint(&store.Endpoint{ID: name("e", e)}); err != nil {
				return err
			}
			for l := range lanes {
				d := delivery(name("d", e*lanes+l), name("e", e), name("a", l), Start.Add(time.Duration((l*endpoints+e*13)%41)*time.Minute))
				if err := tx.Enqueue(d); err != nil {
					return err
				}
				want = append(want, store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: d.NextAt})
			}
		}
		return nil
	})
	sortLanes(want)
	for _, limit := range []int{1, 5, 20, 63, 100} {
		w.view(func(tx store.Tx) error {
			got, err := tx.DueLanes(day(1), limit)
			w.same("due lanes", want[:min(limit, len(want))], got)
			return err
		})
	}
}

func lanePages(w *World) {
	w.endpoints("e1", "e2", "e3")
	var want []store.Lane
	for i := range 20 {
		d := delivery(name("d", i), name("e", 1+i%3)[:1]+string(rune('1'+i%3)), name("a", i/3), Start.Add(time.Duration(i%4)*time.Hour))
		w.enqueue(d)
		want = append(want, store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: d.NextAt})
	}
	w.enqueue(delivery("behind", "e1", "a0000", day(-9))) // behind a head: no lane of its own
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PauseEndpoint("e1", day(50)), tx.PutEndpoint(&store.Endpoint{ID: "e2", Disabled: true}))
	})
	sortLanes(want)
	for n := 1; n < 23; n += 3 {
		w.view(func(tx store.Tx) error {
			var got []store.Lane
			var after store.Lane
			for {
				page, err := tx.LanesAfter(after, n)
				if err != nil {
					return err
				}
				if len(page) > n {
					w.Errorf("a page of %d", len(page))
				}
				if len(page) == 0 {
					break
				}
				got = append(got, page...)
				after = page[len(page)-1]
			}
			w.same("all lanes", want, got)
			return nil
		})
	}
}
