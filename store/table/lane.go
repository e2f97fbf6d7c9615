package table

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// lane is the state of one queue. head is the place of its first delivery,
// 0 while it is empty; only then it has a row among the due lanes.
type lane struct {
	endpoint, name string
	due            time.Time
	head           uint64
	// last is the sequence of the newest delivery that was ever queued.
	last uint64
}

const laneSize = timeSize + 16

func (ln *lane) key() key { return key(nil).str(ln.endpoint).str(ln.name) }

func (ln *lane) itemKey(place uint64) key { return ln.key().u64(place) }

func (ln *lane) dueKey() key { return key(nil).str(ln.endpoint).at(ln.due).last(ln.name) }

func (tx *Tx) lane(endpoint, name string) (*lane, error) {
	ln := &lane{endpoint: endpoint, name: name}
	v, err := tx.get(bLane, ln.key())
	if err != nil || v == nil {
		return ln, err
	}
	if len(v) != laneSize {
		return nil, fmt.Errorf("lane %s of %s: %w", name, endpoint, errIncomplete)
	}
	ln.due = readAt(v)
	ln.head = binary.BigEndian.Uint64(v[timeSize:])
	ln.last = binary.BigEndian.Uint64(v[timeSize+8:])
	return ln, nil
}

// setHead makes a place the lane's head, due at t; place 0 empties the lane.
// An empty lane keeps its last sequence, for Previous, unless it has none.
func (tx *Tx) setHead(ln *lane, place uint64, t time.Time) error {
	moved := ln.head != place || !ln.due.Equal(t)
	if ln.head != 0 && moved {
		if err := tx.del(bLaneDue, ln.dueKey()); err != nil {
			return err
		}
	}
	fresh := ln.head == 0 || moved
	ln.head, ln.due = place, t
	if place == 0 {
		ln.due = time.Time{}
	}
	if place == 0 && ln.last == 0 {
		if err := tx.del(bLane, ln.key()); err != nil {
			return err
		}
	} else if err := tx.put(bLane, ln.key(), key(nil).at(ln.due).u64(place).u64(ln.last)); err != nil {
		return err
	}
	if !fresh {
		return nil
	}
	if place != 0 {
		if err := tx.put(bLaneDue, ln.dueKey(), nil); err != nil {
			return err
		}
	}
	tx.touchEndpoint(ln.endpoint)
	return nil
}

// queue appends delivery n to its lane and gives its place there.
func (tx *Tx) queue(ln *lane, d *store.Delivery, n uint64) (place uint64, err error) {
	if place, err = tx.count("place"); err != nil {
		return 0, err
	}
	if err := tx.put(bLaneItem, ln.itemKey(place), key(nil).at(d.NextAt).u64(n)); err != nil {
		return 0, err
	}
	if ln.head != 0 {
		return place, tx.put(bLane, ln.key(), key(nil).at(ln.due).u64(ln.head).u64(ln.last))
	}
	return place, tx.setHead(ln, place, d.NextAt)
}

// unqueue takes a place out of its lane. Where it was the head, the next one
// becomes it, due when its own delivery is.
func (tx *Tx) unqueue(d *store.Delivery, place uint64) error {
	ln, err := tx.lane(d.Endpoint, d.Lane)
	if err != nil {
		return err
	}
	if err := tx.del(bLaneItem, ln.itemKey(place)); err != nil {
		return err
	}
	if ln.head != place {
		return nil
	}
	prefix := ln.key()
	p, ok, err := tx.first(bLaneItem, prefix, false)
	if err != nil {
		return err
	}
	if !ok {
		return tx.setHead(ln, 0, time.Time{})
	}
	return tx.setHead(ln, number(p.Key[len(prefix):]), readAt(p.Value))
}

// Head gives a lane's first pending deliveries.
func (tx *Tx) Head(endpoint, name string, limit int) ([]*store.Delivery, error) {
	pairs, err := tx.prefix(bLaneItem, (&lane{endpoint: endpoint, name: name}).key(), limit)
	if err != nil {
		return nil, err
	}
	out := make([]*store.Delivery, 0, len(pairs))
	for _, p := range pairs {
		d, _, err := tx.numbered(number(p.Value[timeSize:]))
		if err != nil {
			return nil, fmt.Errorf("lane %s of %s: %w", name, endpoint, err)
		}
		out = append(out, d)
	}
	return out, nil
}

// NextDue is when DueLanes will list a lane.
func (tx *Tx) NextDue() (time.Time, error) {
	if err := tx.settle(); err != nil {
		return time.Time{}, err
	}
	pairs, err := tx.scan(bEndpointDue, nil, nil, false, 1)
	if err != nil || len(pairs) == 0 {
		return time.Time{}, err
	}
	return readAt(pairs[0].Key), nil
}
