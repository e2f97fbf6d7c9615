package table

import (
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// trimName is where bMeta keeps how far the last trim has come.
const trimName = "outbox trimmed"

// trimMark is the key in bOwed that a trim has come to. What was delivered by
// then and lies before it has a row in bOwedDone, or is gone.
func (tx *Batch) trimMark() ([]byte, error) {
	if tx.trimmed != nil {
		return tx.trimmed, nil
	}
	v, err := tx.get(bMeta, key(trimName))
	if err != nil {
		return nil, err
	}
	tx.trimmed = append([]byte{}, v...)
	return tx.trimmed, nil
}

// TrimOutbox drops what was settled long enough ago: what has a row with its
// time, and then what was delivered, in the order in which it came to be. So
// the many that are delivered at once need no row.
func (tx *Tx) TrimOutbox(delivered, dead time.Time, limit int) (dropped int, more bool, err error) {
	for _, trim := range []struct {
		state  store.DeliveryState
		before time.Time
	}{{store.DeliveryDelivered, delivered}, {store.DeliveryDead, dead}} {
		code, err := stateCode(trim.state)
		if err != nil {
			return dropped, false, err
		}
		pairs, err := tx.scan(bOwedDone, key{code}, key{code}.at(trim.before), false, limit-dropped)
		if err != nil {
			return dropped, false, err
		}
		for _, p := range pairs {
			at := p.Key[1+timeSize:]
			r, err := tx.owedAt(number(at), string(at[8:]))
			if err != nil {
				return dropped, false, err
			}
			if err := tx.dropDelivery(r); err != nil {
				return dropped, false, err
			}
			dropped++
		}
	}
	n, more, err := tx.trimOnwards(delivered, limit-dropped)
	return dropped + n, more || dropped+n >= limit, err
}

// trimOnwards goes on where the last trim has ended, up to what is too young
// with all that is behind it.
func (tx *Tx) trimOnwards(before time.Time, limit int) (dropped int, more bool, err error) {
	mark, err := tx.trimMark()
	if err != nil || limit <= 0 {
		return 0, limit <= 0, err
	}
	from := mark
	if len(mark) > 0 {
		from = next(mark)
	}
	pairs, err := tx.scan(bOwed, from, nil, false, limit)
	if err != nil {
		return 0, false, err
	}
	more = len(pairs) == limit
	for _, p := range pairs {
		r, err := tx.readOwed(p)
		if err != nil {
			return dropped, false, err
		}
		late := tx.outOfOrder(r)
		if !r.CreatedAt.Before(before) && !late {
			more = false
			break
		}
		mark = p.Key
		if r.State != store.DeliveryDelivered {
			continue // it gets its row when it settles, or has one
		}
		if late || !r.DoneAt.Before(before) {
			if err := tx.put(bOwedDone, doneKey('o', r), nil); err != nil {
				return dropped, false, err
			}
			continue
		}
		if err := tx.dropDelivery(r); err != nil {
			return dropped, false, err
		}
		dropped++
	}
	if len(pairs) == 0 || string(mark) == string(tx.trimmed) {
		return dropped, more, nil
	}
	tx.trimmed = append([]byte{}, mark...)
	return dropped, more, tx.put(bMeta, key(trimName), tx.trimmed)
}

// outOfOrder reports whether a delivery's time says nothing of those behind it:
// a replay owes old positions anew, and a clock may have been ahead. Such a one
// must not end the trim, or nothing behind it would go before it does.
func (tx *Tx) outOfOrder(r row) bool {
	return r.Replay != "" || r.Replays > 0 || r.CreatedAt.After(tx.t.now())
}

// dropDelivery removes a delivery, its attempts, and its hold on the body.
func (tx *Tx) dropDelivery(r row) error {
	if r.State == store.DeliveryPending {
		if err := tx.unqueue(r.Delivery, r.place); err != nil {
			return err
		}
	}
	if err := tx.unfile(r); err != nil {
		return err
	}
	if err := tx.del(bOwedOf, ofKey(r.Delivery)); err != nil {
		return err
	}
	if err := tx.dropAttempts(r); err != nil {
		return err
	}
	if !tells(r.ID, r.Position) {
		if err := tx.del(bOwedID, key(r.ID)); err != nil {
			return err
		}
	}
	if err := tx.del(bOwed, owedKey(r.Position, r.ID)); err != nil {
		return err
	}
	return tx.dropBody(r.Delivery)
}

// dropRange removes the deliveries that an index lists under a prefix; dates
// is the length of what stands before the dates.
func (tx *Tx) dropRange(b Bucket, prefix key, dates, limit int) (dropped int, err error) {
	pairs, err := tx.prefix(b, prefix, limit)
	if err != nil {
		return 0, err
	}
	for _, p := range pairs {
		r, err := tx.owedAt(number(p.Value), string(p.Key[dates+timeSize:]))
		if err != nil {
			return 0, err
		}
		if err := tx.dropDelivery(r); err != nil {
			return 0, err
		}
	}
	return len(pairs), nil
}

// DropDeliveries removes what an endpoint was owed, and its lanes at last.
func (tx *Tx) DropDeliveries(endpoint string, limit int) (more bool, err error) {
	prefix := key(nil).str(endpoint)
	dropped, err := tx.dropRange(bOwedTo, prefix, len(prefix)+1, limit)
	if err != nil {
		return false, err
	}
	if dropped == limit {
		return true, nil
	}
	if err := tx.flushLanes(); err != nil {
		return false, err
	}
	clear(tx.lanes)
	left := limit - dropped
	lanes, err := tx.prefix(bOwedLane, prefix, left)
	if err != nil {
		return false, err
	}
	for _, p := range lanes {
		if err := tx.del(bOwedLane, p.Key); err != nil {
			return false, err
		}
	}
	return len(lanes) == left, nil
}

// DropDeliveriesOf removes what is owed of an account's mail.
func (tx *Tx) DropDeliveriesOf(account string, limit int) (more bool, err error) {
	prefix := key(nil).str(account)
	dropped, err := tx.dropRange(bOwedOf, prefix, len(prefix), limit)
	return err == nil && dropped == limit, err
}

// datedAhead reports whether an event bears a time that is yet to come, from a
// clock that was ahead, though one behind it is older than t, and it with it.
// It gives that one's position, which serves the next call as proven; 0 is no.
// Where the clock was right again is found by halves: thousands may have been
// dated so.
func (tx *Tx) datedAhead(e *event.Event, position uint64, t time.Time, proven uint64) (uint64, error) {
	now := tx.t.now()
	if !e.Time.After(now) {
		return 0, nil
	}
	if position < proven {
		return proven, nil
	}
	end, err := tx.number("position")
	if err != nil {
		return 0, err
	}
	for end++; end-position > 1; {
		middle := position + (end-position)/2
		pairs, err := tx.scan(bJournal, key(nil).u64(middle), key(nil).u64(end), false, 1)
		if err != nil {
			return 0, err
		}
		if len(pairs) == 0 {
			end = middle
			continue
		}
		at := number(pairs[0].Key)
		behind, _, _, err := record.DecodeEvent(at, pairs[0].Value)
		switch {
		case err != nil:
			return 0, err
		case behind.Time.After(now):
			position = at
		case behind.Time.Before(t):
			return at, nil
		default:
			end = middle
		}
	}
	return 0, nil
}
