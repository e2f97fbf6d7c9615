package table

import (
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

func (tx *Tx) delivery(id string) (d *store.Delivery, place uint64, err error) {
	b, _, err := tx.getSealed(bDelivery, key(id))
	if err != nil {
		return nil, 0, err
	}
	return record.DecodeDelivery(id, b)
}

func (tx *Tx) putDelivery(d *store.Delivery, place uint64) error {
	b, err := record.EncodeDelivery(d, place)
	return tx.putSealed(bDelivery, key(d.ID), 0, b, err)
}

// Delivery reads a delivery.
func (tx *Tx) Delivery(id string) (*store.Delivery, error) {
	d, _, err := tx.delivery(id)
	return d, err
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

func stateKey(code byte, d *store.Delivery) key {
	return key{code}.back(d.CreatedAt).last(d.ID)
}

func toKey(code byte, d *store.Delivery) key {
	return append(key(nil).str(d.Endpoint), code).back(d.CreatedAt).last(d.ID)
}

func ofKey(d *store.Delivery) key {
	return key(nil).str(d.Account).back(d.CreatedAt).last(d.ID)
}

func doneKey(code byte, d *store.Delivery) key { return key{code}.at(d.DoneAt).last(d.ID) }

// file puts a delivery into the indexes of its state, and counts it.
func (tx *Tx) file(d *store.Delivery) error {
	code, err := stateCode(d.State)
	if err != nil {
		return err
	}
	if err := tx.put(bDeliveryState, stateKey(code, d), nil); err != nil {
		return err
	}
	if err := tx.put(bDeliveryTo, toKey(code, d), nil); err != nil {
		return err
	}
	if d.State != store.DeliveryPending {
		if err := tx.put(bDeliveryDone, doneKey(code, d), nil); err != nil {
			return err
		}
	}
	return tx.tally(d.State, 1)
}

// unfile undoes file.
func (tx *Tx) unfile(d *store.Delivery) error {
	code, err := stateCode(d.State)
	if err != nil {
		return err
	}
	if err := tx.del(bDeliveryState, stateKey(code, d)); err != nil {
		return err
	}
	if err := tx.del(bDeliveryTo, toKey(code, d)); err != nil {
		return err
	}
	if d.State != store.DeliveryPending {
		if err := tx.del(bDeliveryDone, doneKey(code, d)); err != nil {
			return err
		}
	}
	return tx.tally(d.State, -1)
}

func (tx *Tx) tally(s store.DeliveryState, diff int) error {
	switch s {
	case store.DeliveryPending:
		return tx.add("pending", diff)
	case store.DeliveryDead:
		return tx.add("dead", diff)
	}
	return nil
}

// Enqueue appends a pending delivery to its lane.
func (tx *Tx) Enqueue(d *store.Delivery) error {
	for what, id := range map[string]string{"delivery": d.ID, "lane": d.Lane, "event": d.Event} {
		if err := checkID(what, id); err != nil {
			return err
		}
	}
	if v, err := tx.get(bEndpointState, key(d.Endpoint)); err != nil {
		return err
	} else if v == nil {
		return fmt.Errorf("enqueue for endpoint %s: %w", d.Endpoint, store.ErrNotFound)
	}
	if v, err := tx.get(bDelivery, key(d.ID)); err != nil || v != nil {
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
	place, err := tx.queue(ln, d)
	if err != nil {
		return err
	}
	if err := tx.holdBody(d.Event, d.Rendition, 1); err != nil {
		return err
	}
	if err := tx.put(bDeliveryOf, ofKey(d), nil); err != nil {
		return err
	}
	if err := tx.file(d); err != nil {
		return err
	}
	return tx.putDelivery(d, place)
}

// merge gives the stored delivery with what a caller may change of it.
func merge(stored, d *store.Delivery) *store.Delivery {
	m := *stored
	m.NextAt, m.Attempts, m.FirstFailAt = d.NextAt, d.Attempts, d.FirstFailAt
	m.LastStatus, m.LastError, m.Replays = d.LastStatus, d.LastError, d.Replays
	m.State, m.DoneAt = d.State, d.DoneAt
	return &m
}

// pending reads a delivery that has to be pending.
func (tx *Tx) pending(id string) (*store.Delivery, uint64, error) {
	d, place, err := tx.delivery(id)
	if err != nil {
		return nil, 0, fmt.Errorf("delivery %s: %w", id, err)
	}
	if d.State != store.DeliveryPending {
		return nil, 0, fmt.Errorf("delivery %s is %s, not in its lane: %w", id, d.State, store.ErrNotFound)
	}
	return d, place, nil
}

// Reschedule writes a pending delivery back.
func (tx *Tx) Reschedule(d *store.Delivery) error {
	stored, place, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	m := merge(stored, d)
	m.State, m.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(m.Endpoint, m.Lane)
	if err != nil {
		return err
	}
	if err := tx.put(bLaneItem, ln.itemKey(place), key(nil).at(m.NextAt).last(m.ID)); err != nil {
		return err
	}
	if ln.head == place {
		if err := tx.setHead(ln, place, m.NextAt); err != nil {
			return err
		}
	}
	return tx.putDelivery(m, place)
}

// Settle takes a delivery out of its lane.
func (tx *Tx) Settle(d *store.Delivery) error {
	if d.State != store.DeliveryDelivered && d.State != store.DeliveryDead {
		return fmt.Errorf("delivery %s cannot settle as %q", d.ID, d.State)
	}
	stored, place, err := tx.pending(d.ID)
	if err != nil {
		return err
	}
	m := merge(stored, d)
	if m.DoneAt.IsZero() {
		m.DoneAt = tx.t.now().UTC()
	}
	if err := tx.unqueue(stored, place); err != nil {
		return err
	}
	if err := tx.unfile(stored); err != nil {
		return err
	}
	if err := tx.file(m); err != nil {
		return err
	}
	return tx.putDelivery(m, 0)
}

// Requeue puts a settled delivery at the end of its lane.
func (tx *Tx) Requeue(d *store.Delivery) error {
	stored, _, err := tx.delivery(d.ID)
	if err != nil {
		return fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	if stored.State == store.DeliveryPending {
		return fmt.Errorf("delivery %s is pending already", d.ID)
	}
	if v, err := tx.get(bEndpointState, key(stored.Endpoint)); err != nil {
		return err
	} else if v == nil {
		return fmt.Errorf("requeue for endpoint %s: %w", stored.Endpoint, store.ErrNotFound)
	}
	if err := tx.unfile(stored); err != nil {
		return err
	}
	m := merge(stored, d)
	m.State, m.DoneAt = store.DeliveryPending, time.Time{}
	ln, err := tx.lane(m.Endpoint, m.Lane)
	if err != nil {
		return err
	}
	place, err := tx.queue(ln, m)
	if err != nil {
		return err
	}
	if err := tx.file(m); err != nil {
		return err
	}
	return tx.putDelivery(m, place)
}

// dropDelivery removes a delivery, its attempts, and its hold on the body.
func (tx *Tx) dropDelivery(id string) error {
	d, place, err := tx.delivery(id)
	if err != nil {
		return err
	}
	if d.State == store.DeliveryPending {
		if err := tx.unqueue(d, place); err != nil {
			return err
		}
	}
	if err := tx.unfile(d); err != nil {
		return err
	}
	if err := tx.del(bDeliveryOf, ofKey(d)); err != nil {
		return err
	}
	attempts, err := tx.prefix(bAttempt, key(nil).str(id), maxAttempts)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if err := tx.del(bAttempt, a.Key); err != nil {
			return err
		}
	}
	if err := tx.holdBody(d.Event, d.Rendition, -1); err != nil {
		return err
	}
	return tx.del(bDelivery, key(id))
}

// DropDeliveries removes what an endpoint was owed, and its lanes at last.
func (tx *Tx) DropDeliveries(endpoint string, limit int) (more bool, err error) {
	prefix := key(nil).str(endpoint)
	pairs, err := tx.prefix(bDeliveryTo, prefix, limit)
	if err != nil {
		return false, err
	}
	for _, p := range pairs {
		if err := tx.dropDelivery(string(p.Key[len(prefix)+1+timeSize:])); err != nil {
			return false, err
		}
	}
	left := limit - len(pairs)
	lanes, err := tx.prefix(bLane, prefix, left)
	if err != nil {
		return false, err
	}
	for _, p := range lanes {
		if err := tx.del(bLane, p.Key); err != nil {
			return false, err
		}
	}
	return len(lanes) == left, nil
}

// DropDeliveriesOf removes what is owed of an account's mail.
func (tx *Tx) DropDeliveriesOf(account string, limit int) (more bool, err error) {
	prefix := key(nil).str(account)
	pairs, err := tx.prefix(bDeliveryOf, prefix, limit)
	if err != nil {
		return false, err
	}
	for _, p := range pairs {
		if err := tx.dropDelivery(string(p.Key[len(prefix)+timeSize:])); err != nil {
			return false, err
		}
	}
	return len(pairs) == limit, nil
}

// OutboxStats counts what waits.
func (tx *Tx) OutboxStats() (store.OutboxStats, error) {
	var s store.OutboxStats
	pending, err := tx.number("pending")
	if err != nil {
		return s, err
	}
	dead, err := tx.number("dead")
	if err != nil {
		return s, err
	}
	s.Pending, s.Dead = int64(pending), int64(dead)
	code, err := stateCode(store.DeliveryPending)
	if err != nil {
		return s, err
	}
	oldest, ok, err := tx.first(bDeliveryState, key{code}, true)
	if ok {
		s.Oldest = readBack(oldest.Key[1:])
	}
	return s, err
}

// TrimOutbox drops what was settled long enough ago.
func (tx *Tx) TrimOutbox(delivered, dead time.Time, limit int) (dropped int, err error) {
	for _, trim := range []struct {
		state  store.DeliveryState
		before time.Time
	}{{store.DeliveryDelivered, delivered}, {store.DeliveryDead, dead}} {
		code, err := stateCode(trim.state)
		if err != nil {
			return dropped, err
		}
		pairs, err := tx.scan(bDeliveryDone, key{code}, key{code}.at(trim.before), false, limit-dropped)
		if err != nil {
			return dropped, err
		}
		for _, p := range pairs {
			if err := tx.dropDelivery(string(p.Key[1+timeSize:])); err != nil {
				return dropped, err
			}
			dropped++
		}
	}
	return dropped, nil
}
