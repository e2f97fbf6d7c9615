package table

import (
	"errors"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// From format 1 to 2: what is owed lies by the position of its event and no
// more under numbers of its own, bodies are not counted, deliveries are counted
// by endpoint, and a lane's row lies with its deliveries.

// moved is how many rows one transaction of this migration takes: each is some
// ten others.
const moved = 100

// outboxLanes moves the lanes; their deliveries follow them.
func (tx *Tx) outboxLanes(place []byte) ([]byte, bool, error) {
	return tx.each(bLane, place, func(p Pair) error {
		return errors.Join(tx.put(bOwedLane, p.Key, p.Value), tx.del(bLane, p.Key))
	})
}

// outboxDeliveries moves deliveries with their bodies and attempts.
func (tx *Tx) outboxDeliveries(place []byte) ([]byte, bool, error) {
	return tx.each(bDelivery, place, func(p Pair) error {
		n := number(p.Key)
		b, _, err := tx.open(bDelivery, p.Key, p.Value)
		if err != nil {
			return err
		}
		r := row{}
		if r.Delivery, r.place, _, err = record.DecodeDelivery(b); err != nil {
			return err
		}
		if err := tx.moveBody(r.Delivery); err != nil {
			return err
		}
		if err := tx.moveAttempts(n, r); err != nil {
			return err
		}
		if r.State == store.DeliveryPending {
			k := laneKey(r.Endpoint, r.Lane).u64(r.place)
			if err := tx.put(bOwedLane, k, item(r.Delivery)); err != nil {
				return err
			}
		}
		code, err := stateCode(r.State)
		if err != nil {
			return err
		}
		at := key(nil).u64(r.Position)
		err = errors.Join(tx.put(bOwedID, key(r.ID), at), tx.put(bOwedOf, ofKey(r.Delivery), at), tx.put(bOwedTo, toKey(code, r.Delivery), at))
		if err == nil && r.State != store.DeliveryPending {
			err = tx.put(bOwedDone, doneKey(code, r), nil)
		}
		if err == nil && r.State != store.DeliveryDelivered {
			name := "pending"
			if r.State == store.DeliveryDead {
				name = "dead"
			}
			err = tx.add(tallyOf(name, r.Endpoint), 1)
		}
		return errors.Join(err, tx.putOwed(r), tx.del(bDelivery, p.Key))
	})
}

// moveBody moves the body of a delivery, unless another one has.
func (tx *Tx) moveBody(d *store.Delivery) error {
	ref, err := tx.get(bBodyID, key(nil).str(d.Event).last(d.Rendition))
	if err != nil || len(ref) < 8 {
		return err
	}
	k := key(nil).u64(number(ref))
	v, err := tx.get(bBody, k)
	if err != nil || v == nil {
		return err
	}
	b, _, err := tx.open(bBody, k, v)
	if err != nil {
		return err
	}
	_, body, err := record.DecodeBody(b)
	return errors.Join(err, tx.PutBody(d, body), tx.del(bBody, k))
}

func (tx *Tx) moveAttempts(n uint64, r row) error {
	pairs, err := tx.prefix(bAttempt, key(nil).u64(n), maxAttempts)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		b, _, err := tx.open(bAttempt, p.Key, p.Value)
		if err != nil {
			return err
		}
		a, err := record.DecodeAttempt(r.ID, b)
		if err := errors.Join(err, tx.putAttempt(r, &a), tx.del(bAttempt, p.Key)); err != nil {
			return err
		}
	}
	return nil
}

// outboxIndexes removes what led to the numbers.
func (tx *Tx) outboxIndexes([]byte) ([]byte, bool, error) {
	for _, b := range []Bucket{bLaneItem, bBodyID, bBody, bDeliveryID, bDeliveryTo, bDeliveryOf, bDeliveryDone, bAttempt} {
		pairs, err := tx.scan(b, nil, nil, false, store.MaxRecords)
		if err != nil {
			return nil, false, err
		}
		for _, p := range pairs {
			if err := tx.del(b, p.Key); err != nil {
				return nil, false, err
			}
		}
		if len(pairs) > 0 {
			return nil, true, nil
		}
	}
	return nil, false, nil
}

// each calls fn with the next rows of a bucket.
func (tx *Tx) each(b Bucket, place []byte, fn func(Pair) error) ([]byte, bool, error) {
	var from []byte
	if place != nil {
		from = next(place)
	}
	pairs, err := tx.scan(b, from, nil, false, moved)
	if err != nil {
		return nil, false, err
	}
	for _, p := range pairs {
		place = append([]byte{}, p.Key...)
		if err := fn(Pair{place, append([]byte{}, p.Value...)}); err != nil {
			return nil, false, err
		}
	}
	return place, len(pairs) == moved, nil
}
