package table

import (
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

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
	err = tx.owed(func(prefix key) error {
		of := append(slices.Clone(prefix), code)
		p, ok, err := tx.first(bDeliveryTo, of, true)
		if ok {
			if at := readBack(p.Key[len(of):]); s.Oldest.IsZero() || at.Before(s.Oldest) {
				s.Oldest = at
			}
		}
		return err
	})
	return s, err
}

// EndpointStats counts what waits for one endpoint.
func (tx *Tx) EndpointStats(endpoint string) (store.OutboxStats, error) {
	var s store.OutboxStats
	pending, err := tx.number(tallyOf("pending", endpoint))
	if err != nil {
		return s, err
	}
	dead, err := tx.number(tallyOf("dead", endpoint))
	if err != nil {
		return s, err
	}
	s.Pending, s.Dead = int64(pending), int64(dead)
	code, err := stateCode(store.DeliveryPending)
	if err != nil {
		return s, err
	}
	of := append(key(nil).str(endpoint), code)
	p, ok, err := tx.first(bDeliveryTo, of, true)
	if ok {
		s.Oldest = readBack(p.Key[len(of):])
	}
	return s, err
}

// owed calls fn with the prefix of every endpoint that has deliveries.
func (tx *Tx) owed(fn func(prefix key) error) error {
	var from []byte
	for {
		pairs, err := tx.scan(bDeliveryTo, from, nil, false, 1)
		if err != nil || len(pairs) == 0 {
			return err
		}
		endpoint, _ := readStr(pairs[0].Key)
		prefix := key(nil).str(endpoint)
		if err := fn(prefix); err != nil {
			return err
		}
		from = end(prefix)
	}
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
			if err := tx.dropDelivery(number(p.Key[1+timeSize:])); err != nil {
				return dropped, err
			}
			dropped++
		}
	}
	return dropped, nil
}

// dropDelivery removes a delivery, its attempts, and its hold on the body.
func (tx *Tx) dropDelivery(n uint64) error {
	d, place, err := tx.numbered(n)
	if err != nil {
		return err
	}
	r := row{d, n, place}
	if r.State == store.DeliveryPending {
		if err := tx.unqueue(d, place); err != nil {
			return err
		}
	}
	if err := tx.unfile(r); err != nil {
		return err
	}
	if err := tx.del(bDeliveryOf, ofKey(d)); err != nil {
		return err
	}
	attempts, err := tx.prefix(bAttempt, key(nil).u64(n), maxAttempts)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if err := tx.del(bAttempt, a.Key); err != nil {
			return err
		}
	}
	if err := tx.dropBody(d.Event, d.Rendition); err != nil {
		return err
	}
	if err := tx.del(bDeliveryID, key(d.ID)); err != nil {
		return err
	}
	return tx.del(bDelivery, key(nil).u64(n))
}

// dropRange removes the deliveries that an index lists under a prefix.
func (tx *Tx) dropRange(b Bucket, prefix key, limit int) (dropped int, err error) {
	pairs, err := tx.prefix(b, prefix, limit)
	if err != nil {
		return 0, err
	}
	for _, p := range pairs {
		if err := tx.dropDelivery(number(p.Value)); err != nil {
			return 0, err
		}
	}
	return len(pairs), nil
}

// DropDeliveries removes what an endpoint was owed, and its lanes at last.
func (tx *Tx) DropDeliveries(endpoint string, limit int) (more bool, err error) {
	prefix := key(nil).str(endpoint)
	dropped, err := tx.dropRange(bDeliveryTo, prefix, limit)
	if err != nil {
		return false, err
	}
	left := limit - dropped
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
	dropped, err := tx.dropRange(bDeliveryOf, key(nil).str(account), limit)
	return err == nil && dropped == limit, err
}
