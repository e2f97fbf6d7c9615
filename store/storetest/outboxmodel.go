package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

func outboxModelCases() []Case {
	var cases []Case
	for seed := range uint64(3) {
		cases = append(cases, Case{
			Name: fmt.Sprintf("the outbox agrees with a naive model, seed %d", seed),
			Run:  func(w *World) { outboxModel(w, seed) },
		})
	}
	return cases
}

// outModel is the naive outbox: lists that are searched whole.
type outModel struct {
	endpoints  map[string]*store.Endpoint
	deliveries map[string]*store.Delivery
	// queue holds the pending ones in the order in which they were queued.
	queue []string
	last  map[string]uint64
	seq   uint64
}

func (m *outModel) clone() *outModel {
	c := &outModel{
		endpoints: map[string]*store.Endpoint{}, deliveries: map[string]*store.Delivery{},
		queue: slices.Clone(m.queue), last: maps.Clone(m.last), seq: m.seq,
	}
	for id, e := range m.endpoints {
		n := *e
		c.endpoints[id] = &n
	}
	for id, d := range m.deliveries {
		n := *d
		c.deliveries[id] = &n
	}
	return c
}

func (m *outModel) lanes() (lanes []store.Lane, queues map[string][]string) {
	queues = map[string][]string{}
	for _, id := range m.queue {
		d := m.deliveries[id]
		k := d.Endpoint + "/" + d.Lane
		if queues[k] == nil {
			lanes = append(lanes, store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: d.NextAt})
		}
		queues[k] = append(queues[k], id)
	}
	sortLanes(lanes)
	return lanes, queues
}

type outDump struct {
	Lanes, Due []store.Lane
	Next       time.Time
	Queues     map[string][]string
	Stats      store.OutboxStats
	All, Dead  []*store.Delivery
	Bodies     map[string]bool
}

func (m *outModel) dump(at time.Time) *outDump {
	lanes, queues := m.lanes()
	d := &outDump{Lanes: lanes, Queues: queues, Bodies: map[string]bool{}}
	for _, l := range lanes {
		e := m.endpoints[l.Endpoint]
		if e.Disabled {
			continue
		}
		if e.PausedUntil.After(l.Due) {
			l.Due = e.PausedUntil
		}
		if d.Next.IsZero() || l.Due.Before(d.Next) {
			d.Next = l.Due
		}
		if !l.Due.After(at) {
			d.Due = append(d.Due, l)
		}
	}
	slices.SortStableFunc(d.Due, func(a, b store.Lane) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Endpoint, b.Endpoint)) })
	for _, dl := range m.deliveries {
		d.All = append(d.All, dl)
		d.Bodies[dl.Event] = true
		switch dl.State {
		case store.DeliveryPending:
			d.Stats.Pending++
			if d.Stats.Oldest.IsZero() || dl.CreatedAt.Before(d.Stats.Oldest) {
				d.Stats.Oldest = dl.CreatedAt
			}
		case store.DeliveryDead:
			d.Stats.Dead++
			d.Dead = append(d.Dead, dl)
		}
	}
	newest := func(a, b *store.Delivery) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(d.All, newest)
	slices.SortFunc(d.Dead, newest)
	return d
}

// dumpOutbox asks the store the same.
func dumpOutbox(tx store.Tx, at time.Time, seq uint64) (*outDump, error) {
	d := &outDump{Queues: map[string][]string{}, Bodies: map[string]bool{}}
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	var err error
	for after := (store.Lane{}); ; {
		page, err := tx.LanesAfter(after, 3)
		note(err)
		if len(page) == 0 {
			break
		}
		d.Lanes = append(d.Lanes, page...)
		after = page[len(page)-1]
	}
	d.Due, err = tx.DueLanes(at, 1000)
	note(err)
	d.Next, err = tx.NextDue()
	note(err)
	for _, l := range d.Lanes {
		list, err := tx.Head(l.Endpoint, l.Lane, 1000)
		note(err)
		for _, dl := range list {
			d.Queues[l.Endpoint+"/"+l.Lane] = append(d.Queues[l.Endpoint+"/"+l.Lane], dl.ID)
		}
	}
	d.Stats, err = tx.OutboxStats()
	note(err)
	d.All, err = tx.Deliveries(store.DeliveryFilter{}, store.DateKey{}, 1000)
	note(err)
	d.Dead, err = tx.Deliveries(store.DeliveryFilter{State: store.DeliveryDead}, store.DateKey{}, 1000)
	note(err)
	for i := uint64(1); i <= seq; i++ {
		event := fmt.Sprintf("evt%d", i)
		if _, err := tx.Body(&store.Delivery{Event: event, Rendition: "thin"}); err == nil {
			d.Bodies[event] = true
		} else if !errors.Is(err, store.ErrNotFound) {
			note(err)
		}
	}
	return d, errors.Join(errs...)
}

func outboxModel(w *World, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 2))
	m := &outModel{endpoints: map[string]*store.Endpoint{}, deliveries: map[string]*store.Delivery{}, last: map[string]uint64{}}
	w.update(func(tx store.Tx) error {
		for _, id := range []string{"e1", "e2", "e3"} {
			m.endpoints[id] = &store.Endpoint{ID: id, Ordered: id != "e3", CreatedAt: Start}
			if err := tx.PutEndpoint(m.endpoints[id]); err != nil {
				return err
			}
		}
		return nil
	})
	for step := range 150 {
		w.Advance(time.Duration(r.IntN(30)) * time.Minute)
		abort := r.IntN(8) == 0
		trial := m.clone()
		var ops []func(store.Tx) error
		for range 1 + r.IntN(4) {
			ops = append(ops, trial.randomOp(r, w.Now()))
		}
		err := w.Store.Update(w.ctx(), func(tx store.Tx) error {
			for _, op := range ops {
				if err := op(tx); err != nil {
					return err
				}
			}
			if abort {
				return errOnPurpose
			}
			return nil
		})
		switch {
		case abort && !errors.Is(err, errOnPurpose):
			w.Fatalf("seed %d, step %d: aborting gave %v", seed, step, err)
		case !abort && err != nil:
			w.Fatalf("seed %d, step %d: %v", seed, step, err)
		case !abort:
			m = trial
		}
		if step == 70 {
			w.Reopen()
		}
		if step%3 != 2 {
			continue
		}
		w.view(func(tx store.Tx) error {
			got, err := dumpOutbox(tx, w.Now(), m.seq)
			if err != nil {
				return fmt.Errorf("seed %d, step %d: %w", seed, step, err)
			}
			w.same(fmt.Sprintf("seed %d, step %d", seed, step), m.dump(w.Now()), got)
			return nil
		})
	}
}

// randomOp changes the model and gives the same change for the store.
func (m *outModel) randomOp(r *rand.Rand, now time.Time) func(store.Tx) error {
	soon := func() time.Time { return now.Add(time.Duration(r.IntN(300)-60) * time.Minute) }
	pick := func(state store.DeliveryState) *store.Delivery {
		var list []string
		for _, id := range slices.Sorted(maps.Keys(m.deliveries)) {
			if d := m.deliveries[id]; (d.State == store.DeliveryPending) == (state == store.DeliveryPending) {
				list = append(list, id)
			}
		}
		if len(list) == 0 {
			return nil
		}
		d := *m.deliveries[list[r.IntN(len(list))]]
		return &d
	}
	pending, settled := pick(store.DeliveryPending), pick(store.DeliveryDead)
	e := *m.endpoints[fmt.Sprintf("e%d", 1+r.IntN(3))]
	switch n := r.IntN(20); {
	case n < 8 || pending == nil:
		return m.enqueue(r, e, now, soon())
	case n < 11:
		pending.State, pending.DoneAt = []store.DeliveryState{store.DeliveryDelivered, store.DeliveryDead}[r.IntN(2)], now
		pending.Attempts++
		m.deliveries[pending.ID] = pending
		m.queue = slices.DeleteFunc(m.queue, func(id string) bool { return id == pending.ID })
		d := *pending
		return func(tx store.Tx) error { return tx.Settle(&d) }
	case n < 14:
		pending.NextAt, pending.LastStatus = soon(), 500
		pending.Attempts++
		m.deliveries[pending.ID] = pending
		d := *pending
		return func(tx store.Tx) error { return tx.Reschedule(&d) }
	case n < 16 && settled != nil:
		settled.NextAt, settled.Attempts, settled.State, settled.DoneAt = soon(), 0, store.DeliveryPending, time.Time{}
		settled.Replays++
		m.deliveries[settled.ID] = settled
		m.queue = append(m.queue, settled.ID)
		d := *settled
		return func(tx store.Tx) error { return tx.Requeue(&d) }
	case n < 17:
		until := soon()
		if until.After(e.PausedUntil) {
			m.endpoints[e.ID].PausedUntil = until
		}
		return func(tx store.Tx) error { return tx.PauseEndpoint(e.ID, until) }
	case n < 18:
		e.Disabled, e.PausedUntil = !e.Disabled, time.Time{}
		m.endpoints[e.ID] = &e
		put := e
		return func(tx store.Tx) error { return tx.PutEndpoint(&put) }
	case n < 19:
		before := now.Add(-2 * time.Hour)
		for id, d := range m.deliveries {
			if d.State != store.DeliveryPending && d.DoneAt.Before(before) {
				delete(m.deliveries, id)
			}
		}
		return func(tx store.Tx) error { _, _, err := tx.TrimOutbox(before, before, 1000); return err }
	default:
		return m.drop(e.ID)
	}
}

func (m *outModel) enqueue(r *rand.Rand, e store.Endpoint, now, next time.Time) func(store.Tx) error {
	m.seq++
	d := &store.Delivery{
		ID: fmt.Sprintf("d%d", m.seq), Endpoint: e.ID, Lane: fmt.Sprintf("a%d", r.IntN(3)), Event: fmt.Sprintf("evt%d", m.seq),
		Rendition: "thin", Sequence: m.seq, CreatedAt: now, NextAt: next,
	}
	if !e.Ordered {
		d.Lane = d.ID
	}
	put := *d
	k := d.Endpoint + "/" + d.Lane
	d.State, d.Previous = store.DeliveryPending, m.last[k]
	m.last[k] = d.Sequence
	m.deliveries[d.ID] = d
	m.queue = append(m.queue, d.ID)
	return func(tx store.Tx) error {
		fresh := put
		if err := tx.PutBody(&fresh, []byte("body")); err != nil {
			return err
		}
		return tx.Enqueue(&fresh)
	}
}

func (m *outModel) drop(endpoint string) func(store.Tx) error {
	for id, d := range m.deliveries {
		if d.Endpoint == endpoint {
			delete(m.deliveries, id)
			m.queue = slices.DeleteFunc(m.queue, func(q string) bool { return q == id })
		}
	}
	for k := range m.last {
		if k[:len(endpoint)+1] == endpoint+"/" {
			delete(m.last, k)
		}
	}
	return func(tx store.Tx) error {
		for more := true; more; {
			var err error
			if more, err = tx.DropDeliveries(endpoint, 50); err != nil {
				return err
			}
		}
		return nil
	}
}
