package storetest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

func outboxCases() []Case {
	return []Case{
		{Name: "an endpoint comes back as it was put", Run: endpointRoundTrip},
		{Name: "a delivery comes back as it was enqueued", Run: deliveryRoundTrip},
		{Name: "a body is shared and goes with its last delivery", Run: bodyShared},
		{Name: "a body stays until its last delivery goes, whichever was written first", Run: bodyHeld},
		{Name: "a body stays as it was first put", Run: bodyFixed},
		{Name: "deliveries are listed by what is asked for", Run: deliveriesFiltered},
		{Name: "attempts are listed in order and go with their delivery", Run: attempts},
		{Name: "the outbox counts what waits and what is dead", Run: outboxStats},
		{Name: "settled deliveries are trimmed, pending ones never", Run: outboxTrim},
		{Name: "what an endpoint was owed is dropped in bounded steps", Run: dropEndpoint},
		{Name: "what is owed of one account is dropped", Run: dropAccount},
	}
}

func sortLanes(lanes []store.Lane) {
	slices.SortFunc(lanes, func(a, b store.Lane) int {
		return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Endpoint, b.Endpoint), cmp.Compare(a.Lane, b.Lane))
	})
}

func endpointRoundTrip(w *World) {
	e := &store.Endpoint{
		ID: "e2", Config: []byte("config \x00"), Ordered: true, Disabled: true, Reason: "410", PausedUntil: day(1),
		Failing: day(2), Failures: 7, LastOKAt: day(3), CreatedAt: Start, Edition: 4,
	}
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutEndpoint(e), tx.PutEndpoint(&store.Endpoint{ID: "e3"}), tx.PutEndpoint(&store.Endpoint{ID: "e1"}))
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.Endpoint("e2")
		w.same("endpoint", e, got)
		_, missing := tx.Endpoint("e9")
		w.absent("unknown endpoint", missing)
		list, lerr := tx.Endpoints()
		if len(list) != 3 || list[0].ID != "e1" || list[1].ID != "e2" || list[2].ID != "e3" {
			w.Errorf("endpoints %v", list)
		}
		return errors.Join(err, lerr)
	})
	w.update(func(tx store.Tx) error { return tx.DeleteEndpoint("e2") })
	w.view(func(tx store.Tx) error {
		_, err := tx.Endpoint("e2")
		w.absent("deleted endpoint", err)
		list, err := tx.Endpoints()
		if len(list) != 2 {
			w.Errorf("endpoints %v", list)
		}
		return err
	})
}

func deliveryRoundTrip(w *World) {
	w.endpoints("e1")
	d := &store.Delivery{
		ID: "d1", Endpoint: "e1", Lane: "a1", Account: "a1", Event: "evt", Type: "message.created", Position: 5, Sequence: 4,
		Rendition: "full", CreatedAt: Start, NextAt: day(1), Attempts: 2, FirstFailAt: day(2), LastStatus: 500, LastError: "words", Replays: 3, RequeuedAt: day(3), Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	}
	w.enqueue(d)
	w.Reopen()
	d.State = store.DeliveryPending
	w.same("delivery", d, w.delivery("d1"))
	w.view(func(tx store.Tx) error {
		_, err := tx.Delivery("d9")
		w.absent("unknown delivery", err)
		return nil
	})
}

func (w *World) body(event, rendition, want string) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		got, err := tx.Body(&store.Delivery{Event: event, Rendition: rendition})
		if want == "" {
			w.absent("body "+event+" "+rendition, err)
		} else if err != nil || string(got) != want {
			w.Errorf("body %s %s: %q, %v", event, rendition, got, err)
		}
		return nil
	})
}

func bodyShared(w *World) {
	w.endpoints("e1", "e2")
	w.update(func(tx store.Tx) error {
		for id, spec := range map[string][2]string{"d1": {"e1", "thin"}, "d2": {"e2", "thin"}, "d3": {"e2", "full"}} {
			d := delivery(id, spec[0], "a1", Start)
			d.Event, d.Rendition = "evt", spec[1]
			if err := tx.PutBody(d, []byte("body "+spec[1])); err != nil {
				return err
			}
			if err := tx.Enqueue(d); err != nil {
				return err
			}
		}
		return nil
	})
	w.body("evt", "thin", "body thin")
	w.body("evt", "full", "body full")
	w.body("evt", "other", "")
	w.settleAs("d1", store.DeliveryDelivered)
	w.settleAs("d3", store.DeliveryDead)
	trim := func() {
		w.Helper()
		w.update(func(tx store.Tx) error { _, _, err := tx.TrimOutbox(day(9), day(-9), 100); return err })
	}
	trim()
	w.body("evt", "thin", "body thin") // d2 still needs it
	w.body("evt", "full", "body full") // dead, and may be redelivered
	w.settleAs("d2", store.DeliveryDelivered)
	w.body("evt", "thin", "body thin") // until it is trimmed
	trim()
	w.body("evt", "thin", "")
	w.update(func(tx store.Tx) error { _, _, err := tx.TrimOutbox(day(9), day(9), 100); return err })
	w.body("evt", "full", "")
	// A body of many kilobytes.
	big := string(bytes.Repeat([]byte("big "), 100_000))
	w.update(func(tx store.Tx) error {
		d := delivery("d4", "e1", "a1", Start)
		return errors.Join(tx.PutBody(d, []byte(big)), tx.Enqueue(d))
	})
	w.body("evt-d4", "thin", big)
}

// bodyHeld writes the delivery before its body, as well as after it.
func bodyHeld(w *World) {
	w.endpoints("e1", "e2", "e3")
	w.update(func(tx store.Tx) error {
		for i, id := range []string{"d1", "d2", "d3"} {
			d := delivery(id, fmt.Sprint("e", i+1), "a1", Start)
			d.Event = "evt"
			if err := errors.Join(tx.Enqueue(d), tx.PutBody(d, []byte("body"))); err != nil {
				return err
			}
		}
		return nil
	})
	for i, want := range []string{"body", "body", ""} {
		w.update(func(tx store.Tx) error { _, err := tx.DropDeliveries(fmt.Sprint("e", i+1), 10); return err })
		w.body("evt", "thin", want)
	}
}

func bodyFixed(w *World) {
	w.endpoints("e1")
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutBody(delivery("d1", "e1", "a1", Start), []byte("first")), tx.Enqueue(delivery("d1", "e1", "a1", Start)),
			tx.PutBody(delivery("d1", "e1", "a1", Start), []byte("second")))
	})
	w.update(func(tx store.Tx) error { return tx.PutBody(delivery("d1", "e1", "a1", Start), []byte("third")) })
	w.body("evt-d1", "thin", "first")
}

func deliveriesFiltered(w *World) {
	w.endpoints("e1", "e2", "e3")
	states := []store.DeliveryState{store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead}
	var all []*store.Delivery
	for i := range 48 {
		d := delivery(name("d", i), []string{"e1", "e2", "e3"}[i%3], []string{"a1", "a2"}[i%2], Start)
		d.CreatedAt, d.Type = Start.Add(time.Duration(i/2)*time.Hour), []string{"message.created", "message.updated"}[i/2%2]
		w.enqueue(d)
		if s := states[i/3%3]; s != store.DeliveryPending {
			w.settleAs(d.ID, s)
		}
		all = append(all, w.delivery(d.ID))
	}
	slices.SortFunc(all, func(a, b *store.Delivery) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	since, until := Start.Add(5*time.Hour), Start.Add(17*time.Hour)
	var filters []store.DeliveryFilter
	for _, e := range []string{"", "e2"} {
		for _, a := range []string{"", "a1"} {
			for _, s := range append([]store.DeliveryState{""}, states...) {
				for _, typ := range []string{"", "message.updated"} {
					filters = append(filters, store.DeliveryFilter{Endpoint: e, Account: a, State: s, Type: typ},
						store.DeliveryFilter{Endpoint: e, Account: a, State: s, Type: typ, Since: since, Until: until})
				}
			}
		}
	}
	filters = append(filters, store.DeliveryFilter{Endpoint: "unknown"}, store.DeliveryFilter{Since: until, Until: since}, store.DeliveryFilter{Until: Start})
	w.view(func(tx store.Tx) error {
		for _, f := range filters {
			var want []string
			for _, d := range all {
				if (f.Endpoint == "" || d.Endpoint == f.Endpoint) && (f.Account == "" || d.Account == f.Account) &&
					(f.State == "" || d.State == f.State) && (f.Type == "" || d.Type == f.Type) &&
					(f.Since.IsZero() || !d.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || d.CreatedAt.Before(f.Until)) {
					want = append(want, d.ID)
				}
			}
			for _, n := range []int{5, 100} {
				var got []string
				var after store.DateKey
				for {
					page, err := tx.Deliveries(f, after, n)
					if err != nil {
						return err
					}
					if len(page) > n {
						w.Errorf("a page of %d", len(page))
					}
					if len(page) == 0 {
						break
					}
					for _, d := range page {
						got = append(got, d.ID)
						after = store.DateKey{At: d.CreatedAt, ID: d.ID}
					}
				}
				if !slices.Equal(got, want) {
					w.Errorf("filter %+v, pages of %d:\n got %v\nwant %v", f, n, got, want)
				}
			}
		}
		return nil
	})
}

func attempts(w *World) {
	w.endpoints("e1")
	w.enqueue(delivery("d1", "e1", "a1", Start), delivery("d10", "e1", "a1", Start))
	want := []store.Attempt{
		{Delivery: "d1", Number: 1, At: day(1), Duration: time.Second, Status: 503, Error: "busy", Answer: []byte("no\x00"), Peer: "192.0.2.1:443"},
		{Delivery: "d1", Number: 2, At: day(2), Duration: 5, Status: 200},
		{Delivery: "d1", Number: 1, At: day(3), Status: 200}, // after a replay
	}
	w.update(func(tx store.Tx) error {
		return errors.Join(tx.PutAttempt(&want[1]), tx.PutAttempt(&want[0]), tx.PutAttempt(&want[2]),
			tx.PutAttempt(&store.Attempt{Delivery: "d10", Number: 1, At: Start}))
	})
	w.Reopen()
	w.view(func(tx store.Tx) error {
		got, err := tx.AttemptsOf("d1")
		w.same("attempts", want, got)
		return err
	})
	w.absent("an attempt of the unknown", w.refused("unknown", func(tx store.Tx) error {
		return tx.PutAttempt(&store.Attempt{Delivery: "d9", Number: 1, At: Start})
	}))
	w.settleAs("d1", store.DeliveryDelivered)
	w.update(func(tx store.Tx) error { _, _, err := tx.TrimOutbox(day(9), day(9), 10); return err })
	w.view(func(tx store.Tx) error {
		got, err := tx.AttemptsOf("d1")
		if len(got) != 0 {
			w.Errorf("attempts of what was trimmed: %v", got)
		}
		rest, rerr := tx.AttemptsOf("d10")
		if len(rest) != 1 {
			w.Errorf("attempts of another: %v", rest)
		}
		return errors.Join(err, rerr)
	})
}

func (w *World) stats(pending, dead int64, oldest time.Time) {
	w.Helper()
	w.view(func(tx store.Tx) error {
		got, err := tx.OutboxStats()
		w.same("stats", store.OutboxStats{Pending: pending, Dead: dead, Oldest: oldest}, got)
		return err
	})
}

func outboxStats(w *World) {
	w.endpoints("e1")
	w.stats(0, 0, time.Time{})
	for i := range 4 {
		d := delivery(name("d", i), "e1", "a1", Start)
		d.CreatedAt = day(i)
		w.enqueue(d)
	}
	w.stats(4, 0, day(0))
	w.settleAs("d0000", store.DeliveryDead)
	w.settleAs("d0001", store.DeliveryDelivered)
	w.stats(2, 1, day(2))
	w.update(func(tx store.Tx) error { return tx.Requeue(w.deliveryIn(tx, "d0000")) })
	w.stats(3, 0, day(0))
	_ = w.refused("abandoned", func(tx store.Tx) error {
		d := w.deliveryIn(tx, "d0000")
		d.State = store.DeliveryDead
		return errors.Join(tx.Settle(d), errOnPurpose)
	})
	w.stats(3, 0, day(0))
	w.Reopen()
	w.stats(3, 0, day(0))
}

func outboxTrim(w *World) {
	w.endpoints("e1")
	for i := range 8 {
		w.enqueue(delivery(name("d", i), "e1", "a1", Start))
		if i < 6 {
			w.settleAs(name("d", i), []store.DeliveryState{store.DeliveryDelivered, store.DeliveryDead}[i%2])
		}
		w.Advance(time.Hour)
	}
	// Delivered at hours 0, 2, 4; dead at 1, 3, 5; pending 6 and 7.
	trim := func(delivered, dead time.Duration, limit, want int) {
		w.Helper()
		w.update(func(tx store.Tx) error {
			n, _, err := tx.TrimOutbox(Start.Add(delivered), Start.Add(dead), limit)
			if n != want {
				w.Errorf("dropped %d, want %d", n, want)
			}
			return err
		})
	}
	trim(0, 0, 100, 0)
	trim(3*time.Hour, 0, 1, 1)
	trim(3*time.Hour, 0, 100, 1)
	trim(0, 4*time.Hour, 100, 2)
	w.view(func(tx store.Tx) error {
		list, err := tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 100)
		var left []string
		for _, d := range list {
			left = append(left, d.ID)
		}
		slices.Sort(left)
		w.same("left", []string{"d0004", "d0005", "d0006", "d0007"}, left)
		return err
	})
	w.update(func(tx store.Tx) error { return tx.Requeue(w.deliveryIn(tx, "d0004")) })
	trim(1000*time.Hour, 1000*time.Hour, 100, 1)
	w.head("e1", "a1", "d0006", "d0007", "d0004")
}

func dropEndpoint(w *World) {
	w.endpoints("e1", "e2")
	for i := range 20 {
		w.enqueue(delivery(name("d", i), "e1", name("a", i%3), Start))
		if i%4 == 0 {
			w.settleAs(name("d", i), store.DeliveryDead)
		}
	}
	w.update(func(tx store.Tx) error { return tx.PutBody(delivery("d0001", "e1", "a1", Start), []byte("x")) })
	w.enqueue(delivery("other", "e2", "a1", Start))
	w.update(func(tx store.Tx) error { return tx.DeleteEndpoint("e1") })
	steps := 0
	for more := true; more; steps++ {
		w.update(func(tx store.Tx) (err error) { more, err = tx.DropDeliveries("e1", 6); return err })
		if steps > 50 {
			w.Fatalf("dropping does not end")
		}
	}
	if steps < 4 {
		w.Errorf("20 deliveries in %d steps of 6", steps)
	}
	w.stats(1, 0, Start)
	w.body("evt-d0001", "thin", "")
	w.due(day(9), "e2/a1")
	w.view(func(tx store.Tx) error {
		list, err := tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 100)
		if len(list) != 1 || list[0].ID != "other" {
			w.Errorf("left: %v", list)
		}
		return err
	})
	// The same id again begins anew.
	w.endpoints("e1")
	w.head("e1", "a0000")
	d := delivery("fresh", "e1", "a0000", Start)
	w.enqueue(d)
	if d.Previous != 0 {
		w.Errorf("previous %d", d.Previous)
	}
}

func dropAccount(w *World) {
	w.endpoints("e1")
	for i := range 9 {
		w.enqueue(delivery(name("d", i), "e1", []string{"a1", "a2", "a3"}[i%3], Start))
	}
	w.settleAs("d0000", store.DeliveryDead)
	steps := 0
	for more := true; more; steps++ {
		w.update(func(tx store.Tx) (err error) { more, err = tx.DropDeliveriesOf("a1", 2); return err })
		if steps > 20 {
			w.Fatalf("dropping does not end")
		}
	}
	w.stats(6, 0, Start)
	w.due(day(9), "e1/a2", "e1/a3")
	w.head("e1", "a1")
}
