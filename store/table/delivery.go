package table

import (
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// row is a delivery with its number, and its place in the lane while it is
// pending.
type row struct {
	*store.Delivery
	n, place uint64
}

// numbered reads a delivery by its number.
func (tx *Tx) numbered(n uint64) (d *store.Delivery, place uint64, err error) {
	b, _, err := tx.getSealed(bDelivery, key(nil).u64(n))
	if err != nil {
		return nil, 0, err
	}
	return record.DecodeDelivery(b)
}

func (tx *Tx) delivery(id string) (row, error) {
	v, err := tx.must(bDeliveryID, key(id))
	if err != nil {
		return row{}, err
	}
	r := row{n: number(v)}
	if r.Delivery, r.place, err = tx.numbered(r.n); err != nil {
		return row{}, err
	}
	if r.ID != id {
		return row{}, fmt.Errorf("delivery %s: %w", id, seal.ErrDamaged)
	}
	return r, nil
}

func (tx *Tx) putDelivery(r row) error {
	b, err := record.EncodeDelivery(r.Delivery, r.place)
	return tx.putSealed(bDelivery, key(nil).u64(r.n), 0, b, err)
}

// Delivery reads a delivery.
func (tx *Tx) Delivery(id string) (*store.Delivery, error) {
	r, err := tx.delivery(id)
	return r.Delivery, err
}

// stateCode is a delivery's state in keys.
func stateCode(s store.DeliveryState) (byte, error) {
	switch s {
	case store.DeliveryPending:
		return 'p', nil
	case store.DeliveryDelivered:
		return 'o', nil
	case store.DeliveryDead:
		return 'x', nil
	}
	return 0, fmt.Errorf("%q is no state of a delivery", s)
}

func toKey(code byte, d *store.Delivery) key {
	return append(key(nil).str(d.Endpoint), code).back(d.CreatedAt).last(d.ID)
}

func ofKey(d *store.Delivery) key {
	return key(nil).str(d.Account).back(d.CreatedAt).last(d.ID)
}

func doneKey(code byte, r row) key { return key{code}.at(r.DoneAt).u64(r.n) }

// file puts a delivery into the indexes of its state, and counts it.
func (tx *Tx) file(r row) error {
	code, err := stateCode(r.State)
	if err != nil {
		return err
	}
	if err := tx.put(bDeliveryTo, toKey(code, r.Delivery), key(nil).u64(r.n)); err != nil {
		return err
	}
	if r.State != store.DeliveryPending {
		if err := tx.put(bDeliveryDone, doneKey(code, r), nil); err != nil {
			return err
		}
	}
	return tx.tally(r, 1)
}

// unfile undoes file.
func (tx *Tx) unfile(r row) error {
	code, err := stateCode(r.State)
	if err != nil {
		return err
	}
	if err := tx.del(bDeliveryTo, toKey(code, r.Delivery)); err != nil {
		return err
	}
	if r.State != store.DeliveryPending {
		if err := tx.del(bDeliveryDone, doneKey(code, r)); err != nil {
			return err
		}
	}
	return tx.tally(r, -1)
}

// tally counts what waits and what is dead, in all and by endpoint.
func (tx *Tx) tally(r row, diff int) error {
	name := "pending"
	switch r.State {
	case store.DeliveryDelivered:
		return nil
	case store.DeliveryDead:
		name = "dead"
	}
	if err := tx.add(name, diff); err != nil {
		return err
	}
	return tx.add(tallyOf(name, r.Endpoint), diff)
}

// tallyOf names an endpoint's share of a number.
func tallyOf(name, endpoint string) string { return name + "/" + endpoint }

// needEndpoint refuses to queue anything for an endpoint that is not there.
func (tx *Tx) needEndpoint(id string) error {
	_, err := tx.must(bEndpointState, key(id))
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("endpoint %s: %w", id, err)
	}
	return err
}

// Enqueue appends a pending delivery to its lane.
func (tx *Tx) Enqueue(d *store.Delivery) error {
	if err := errors.Join(checkID("delivery", d.ID), checkID("lane", d.Lane), checkID("event", d.Event)); err != nil {
		return err
	}
	if err := tx.needEndpoint(d.Endpoint); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	if v, err := tx.get(bDeliveryID, key(d.ID)); err != nil || v != nil {
		return err
	}
	ln, err := tx.lane(d.Endpoint, d.Lane)
	if err != nil {
		return err
	}
	d.State = store.DeliveryPending
	if d.CreatedAt.IsZero() {
		d.CreatedAt = tx.t.now().UTC()
	}
	d.Previous = ln.last
	if d.Lane != d.ID {
		ln.last = d.Sequence
	}
	r := row{Delivery: d}
	if r.n, err = tx.count("number"); err != nil {
		return err
	}
	if r.place, err = tx.queue(ln, d, r.n); err != nil {
		return err
	}
	if err := tx.holdBody(d.Event, d.Rendition); err != nil {
		return err
	}
	if err := tx.put(bDeliveryID, key(d.ID), key(nil).u64(r.n)); err != nil {
		return err
	}
	if err := tx.put(bDeliveryOf, ofKey(d), key(nil).u64(r.n)); err != nil {
		return err
	}
	if err := tx.file(r); err != nil {
		return err
	}
	return tx.putDelivery(r)
}

// merge gives the stored delivery with what a caller may change of it.
func merge(stored, d *store.Delivery) *store.Delivery {
	m := *stored
	m.NextAt, m.Attempts, m.FirstFailAt = d.NextAt, d.Attempts, d.FirstFailAt
	m.LastStatus, m.LastError, m.Replays, m.Replay = d.LastStatus, d.LastError, d.Replays, d.Replay
	m.State, m.DoneAt = d.State, d.DoneAt
	return &m
}

// pending reads a delivery that has to be in its lane.
func (tx *Tx) pending(id string) (row, error) {
	r, err := tx.delivery(id)
	if err != nil {
		return row{}, fmt.Errorf("delivery %s: %w", id, err)
	}
	if r.State != store.DeliveryPending {
		return row{}, fmt.Errorf("delivery %s is %s, not in its lane: %w", id, r.State, store.ErrNotFound)
	}
	return r, nil
}

// Reschedule writes a pending delivery back.
func (tx *Tx) Reschedule(d *store.Delivery) error {
	r, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	r.Delivery = merge(r.Delivery, d)
	r.State, r.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(r.Endpoint, r.Lane)
	if err != nil {
		return err
	}
	if err := tx.put(bLaneItem, ln.itemKey(r.place), key(nil).at(r.NextAt).u64(r.n)); err != nil {
		return err
	}
	if ln.head == r.place {
		if err := tx.setHead(ln, r.place, r.NextAt); err != nil {
			return err
		}
	}
	return tx.putDelivery(r)
}

// Settle takes a delivery out of its lane.
func (tx *Tx) Settle(d *store.Delivery) error {
	if d.State != store.DeliveryDelivered && d.State != store.DeliveryDead {
		return fmt.Errorf("delivery %s cannot settle as %q", d.ID, d.State)
	}
	r, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	if err := tx.unqueue(r.Delivery, r.place); err != nil {
		return err
	}
	if err := tx.unfile(r); err != nil {
		return err
	}
	r.Delivery, r.place = merge(r.Delivery, d), 0
	if r.DoneAt.IsZero() {
		r.DoneAt = tx.t.now().UTC()
	}
	if err := tx.file(r); err != nil {
		return err
	}
	return tx.putDelivery(r)
}

// Requeue puts a settled delivery at the end of its lane.
func (tx *Tx) Requeue(d *store.Delivery) error {
	r, err := tx.delivery(d.ID)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	if r.State == store.DeliveryPending {
		return fmt.Errorf("delivery %s is pending already", d.ID)
	}
	if err := tx.needEndpoint(r.Endpoint); err != nil {
		return fmt.Errorf("requeue: %w", err)
	}
	if err := tx.unfile(r); err != nil {
		return err
	}
	r.Delivery = merge(r.Delivery, d)
	r.State, r.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(r.Endpoint, r.Lane)
	if err != nil {
		return err
	}
	if r.place, err = tx.queue(ln, r.Delivery, r.n); err != nil {
		return err
	}
	if err := tx.file(r); err != nil {
		return err
	}
	return tx.putDelivery(r)
}
