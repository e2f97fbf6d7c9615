package table

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// row is a delivery with its place in the lane while it is pending, and with
// the attempt that settled it.
type row struct {
	*store.Delivery
	place uint64
	last  []byte
}

func owedKey(position uint64, id string) key { return key(nil).u64(position).last(id) }

// tells reports whether an id says by itself where its delivery lies.
func tells(id string, position uint64) bool {
	const size = 14
	return len(id) > size && id[0] == 'd' && id[1:size] == event.Number(position)
}

// told gives the position that an id says.
func told(id string) (position uint64, ok bool) {
	const size = 14
	if len(id) <= size || id[0] != 'd' {
		return 0, false
	}
	return event.ParseNumber(id[1:size])
}

// readOwed opens a delivery's record.
func (tx *Tx) readOwed(p Pair) (r row, err error) {
	b, _, err := tx.open(bOwed, p.Key, p.Value)
	if err != nil {
		return row{}, err
	}
	if r.Delivery, r.place, r.last, err = record.DecodeDelivery(b); err != nil {
		return row{}, err
	}
	if number(p.Key) != r.Position || string(p.Key[8:]) != r.ID {
		return row{}, fmt.Errorf("delivery %s: %w", r.ID, seal.ErrDamaged)
	}
	return r, nil
}

func (tx *Tx) owedAt(position uint64, id string) (row, error) {
	k := owedKey(position, id)
	v, err := tx.must(bOwed, k)
	if err != nil {
		return row{}, err
	}
	return tx.readOwed(Pair{k, v})
}

// owed reads a delivery by its id.
func (tx *Tx) owed(id string) (row, error) {
	if position, ok := told(id); ok {
		r, err := tx.owedAt(position, id)
		if gone, _ := missing(err); !gone {
			return r, err
		}
	}
	v, err := tx.must(bOwedID, key(id))
	if err != nil {
		return row{}, err
	}
	return tx.owedAt(number(v), id)
}

func (tx *Tx) putOwed(r row) error {
	b, err := record.EncodeDelivery(r.Delivery, r.place, r.last)
	return tx.putSealed(bOwed, owedKey(r.Position, r.ID), 0, b, err)
}

// Delivery reads a delivery.
func (tx *Tx) Delivery(id string) (*store.Delivery, error) {
	r, err := tx.owed(id)
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

func doneKey(code byte, r row) key {
	return append(key(nil).grow(), code).at(r.DoneAt).u64(r.Position).last(r.ID)
}

// file puts a delivery into the indexes of its state, and counts it. What was
// delivered is found by the trim in the order of positions, unless that has
// passed by it.
func (tx *Tx) file(r row) error {
	code, err := stateCode(r.State)
	if err != nil {
		return err
	}
	if err := tx.put(bOwedTo, toKey(code, r.Delivery), key(nil).u64(r.Position)); err != nil {
		return err
	}
	passed := r.State == store.DeliveryDead
	if r.State == store.DeliveryDelivered {
		mark, err := tx.trimMark()
		if err != nil {
			return err
		}
		passed = bytes.Compare(owedKey(r.Position, r.ID), mark) <= 0
	}
	if passed {
		if err := tx.put(bOwedDone, doneKey(code, r), nil); err != nil {
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
	if err := tx.del(bOwedTo, toKey(code, r.Delivery)); err != nil {
		return err
	}
	if r.State != store.DeliveryPending {
		if err := tx.del(bOwedDone, doneKey(code, r)); err != nil {
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

// known reports whether a delivery is there.
func (tx *Tx) known(d *store.Delivery) (bool, error) {
	b, k := bOwedID, key(d.ID)
	if tells(d.ID, d.Position) {
		b, k = bOwed, owedKey(d.Position, d.ID)
	}
	v, err := tx.get(b, k)
	return v != nil, err
}

// Enqueue appends a pending delivery to its lane.
func (tx *Tx) Enqueue(d *store.Delivery) error {
	if err := errors.Join(checkID("delivery", d.ID), checkID("lane", d.Lane), checkID("event", d.Event)); err != nil {
		return err
	}
	if err := tx.needEndpoint(d.Endpoint); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	if known, err := tx.known(d); err != nil || known {
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
	// What a replay owes late takes no part in the row of sequences: the lane
	// is past it, and what is owed next follows what was owed last.
	last := ln.last
	d.Previous = 0
	if d.Sequence > last {
		d.Previous = last
		if d.Lane != d.ID {
			last = d.Sequence
		}
	}
	r := row{Delivery: d}
	if r.place, err = tx.queue(ln, d, last); err != nil {
		return err
	}
	if !tells(d.ID, d.Position) {
		if err := tx.put(bOwedID, key(d.ID), key(nil).u64(d.Position)); err != nil {
			return err
		}
	}
	if err := tx.put(bOwedOf, ofKey(d), key(nil).u64(d.Position)); err != nil {
		return err
	}
	if err := tx.file(r); err != nil {
		return err
	}
	return tx.putOwed(r)
}

// merge gives the stored delivery with what a caller may change of it.
func merge(stored, d *store.Delivery) *store.Delivery {
	m := *stored
	m.NextAt, m.Attempts, m.FirstFailAt = d.NextAt, d.Attempts, d.FirstFailAt
	m.LastStatus, m.LastError, m.Replays, m.Replay = d.LastStatus, d.LastError, d.Replays, d.Replay
	m.State, m.DoneAt, m.RequeuedAt = d.State, d.DoneAt, d.RequeuedAt
	return &m
}

// pending reads a delivery that has to be in its lane.
func (tx *Tx) pending(id string) (row, error) {
	r, err := tx.owed(id)
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
	return tx.reschedule(r, d)
}

func (tx *Tx) reschedule(r row, d *store.Delivery) error {
	r.Delivery = merge(r.Delivery, d)
	r.State, r.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(r.Endpoint, r.Lane)
	if err != nil {
		return err
	}
	if err := tx.put(bOwedLane, ln.itemKey(r.place), item(r.Delivery)); err != nil {
		return err
	}
	if ln.head == r.place {
		s := ln.laneState
		s.due = r.NextAt
		tx.set(ln, s)
	}
	return tx.putOwed(r)
}

// Detach gives a pending delivery a lane of its own.
func (tx *Tx) Detach(d *store.Delivery) error {
	r, err := tx.pending(d.ID)
	if err != nil || r.Lane == r.ID {
		return err
	}
	if err := tx.unqueue(r.Delivery, r.place); err != nil {
		return err
	}
	r.Delivery = merge(r.Delivery, d)
	r.State, r.DoneAt = store.DeliveryPending, time.Time{}
	r.Lane = r.ID
	ln, err := tx.lane(r.Endpoint, r.Lane)
	if err != nil {
		return err
	}
	if r.place, err = tx.queue(ln, r.Delivery, ln.last); err != nil {
		return err
	}
	return tx.putOwed(r)
}

// Settle takes a delivery out of its lane.
func (tx *Tx) Settle(d *store.Delivery) error { return tx.conclude(d, nil) }

// Conclude settles or reschedules a delivery, with its last attempt.
func (tx *Tx) Conclude(d *store.Delivery, a *store.Attempt) error {
	if d.State != store.DeliveryPending {
		return tx.conclude(d, a)
	}
	r, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	if err := tx.putAttempt(r, a); err != nil {
		return err
	}
	return tx.reschedule(r, d)
}

func (tx *Tx) conclude(d *store.Delivery, a *store.Attempt) error {
	if d.State != store.DeliveryDelivered && d.State != store.DeliveryDead {
		return fmt.Errorf("delivery %s cannot settle as %q", d.ID, d.State)
	}
	r, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	if a != nil {
		if r.last, err = record.EncodeAttempt(a); err != nil {
			return err
		}
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
	return tx.putOwed(r)
}

// Requeue puts a settled delivery at the end of its lane.
func (tx *Tx) Requeue(d *store.Delivery) error {
	r, err := tx.owed(d.ID)
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
	if err := tx.unfold(&r); err != nil {
		return err
	}
	r.Delivery = merge(r.Delivery, d)
	r.State, r.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(r.Endpoint, r.Lane)
	if err != nil {
		return err
	}
	if r.place, err = tx.queue(ln, r.Delivery, ln.last); err != nil {
		return err
	}
	if err := tx.file(r); err != nil {
		return err
	}
	return tx.putOwed(r)
}
