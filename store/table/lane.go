package table

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// lane is the state of one queue. head is the place of its first delivery,
// 0 while it is empty; only then it has a row among the due lanes. Its row in
// bOwedLane stands in front of those of its deliveries.
type lane struct {
	endpoint, name string
	laneState
	// stored is what stands in the store, there whether anything does.
	stored laneState
	there  bool
	dirty  bool
}

type laneState struct {
	due  time.Time
	head uint64
	// last is the sequence of the newest delivery that was ever queued.
	last uint64
}

const laneSize = timeSize + 16

func laneKey(endpoint, name string) key { return key(nil).str(endpoint).str(name) }

func (ln *lane) key() key { return laneKey(ln.endpoint, ln.name) }

func (ln *lane) itemKey(place uint64) key { return ln.key().u64(place) }

// items is the range of the lane's deliveries.
func (ln *lane) items() (from, to []byte) { k := ln.key(); return next(k), end(k) }

func dueKey(endpoint string, due time.Time, name string) key {
	return key(nil).str(endpoint).at(due).last(name)
}

func (tx *Batch) lane(endpoint, name string) (*lane, error) {
	k := laneKey(endpoint, name)
	if ln := tx.lanes[string(k)]; ln != nil {
		return ln, nil
	}
	ln := &lane{endpoint: endpoint, name: name}
	v, err := tx.get(bOwedLane, k)
	if err != nil {
		return nil, err
	}
	if v != nil {
		if ln.stored, err = readLane(v); err != nil {
			return nil, fmt.Errorf("lane %s of %s: %w", name, endpoint, err)
		}
		ln.laneState, ln.there = ln.stored, true
	}
	if tx.lanes == nil {
		tx.lanes = map[string]*lane{}
	}
	tx.lanes[string(k)] = ln
	return ln, nil
}

func readLane(v []byte) (s laneState, err error) {
	if len(v) != laneSize {
		return s, errIncomplete
	}
	s.due = readAt(v)
	s.head = binary.BigEndian.Uint64(v[timeSize:])
	s.last = binary.BigEndian.Uint64(v[timeSize+8:])
	return s, nil
}

// set changes a lane; flushLanes writes it. What a transaction has changed in
// memory alone counts as written: when it fails, the batch is thrown away.
func (tx *Batch) set(ln *lane, s laneState) {
	if s.head == 0 {
		s.due = time.Time{}
	}
	ln.laneState, ln.dirty = s, true
	tx.writes++
}

// flushLanes writes what has changed of lanes. An empty lane keeps its last
// sequence, for Previous, unless it has none.
func (tx *Batch) flushLanes() error {
	for _, ln := range tx.lanes {
		if !ln.dirty {
			continue
		}
		if err := tx.flushLane(ln); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Batch) flushLane(ln *lane) error {
	was, is := ln.stored, ln.laneState
	moved := (was.head == 0) != (is.head == 0) || !was.due.Equal(is.due)
	if moved && was.head != 0 {
		if err := tx.del(bLaneDue, dueKey(ln.endpoint, was.due, ln.name)); err != nil {
			return err
		}
	}
	if moved && is.head != 0 {
		if err := tx.put(bLaneDue, dueKey(ln.endpoint, is.due, ln.name), nil); err != nil {
			return err
		}
	}
	if moved {
		tx.touchEndpoint(ln.endpoint)
	}
	there := is.head != 0 || is.last != 0
	if there && (!ln.there || was.head != is.head || was.last != is.last || moved) {
		if err := tx.put(bOwedLane, ln.key(), key(nil).at(is.due).u64(is.head).u64(is.last)); err != nil {
			return err
		}
	} else if !there && ln.there {
		if err := tx.del(bOwedLane, ln.key()); err != nil {
			return err
		}
	}
	ln.stored, ln.there, ln.dirty = is, there, false
	return nil
}

// item is a delivery in its lane: when it is due, and where its record lies.
func item(d *store.Delivery) key {
	return key(nil).at(d.NextAt).u64(d.Position).last(d.ID)
}

// readItem gives what item was made of.
func readItem(v []byte) (at time.Time, position uint64, id string, err error) {
	if len(v) < timeSize+8 {
		return at, 0, "", errIncomplete
	}
	return readAt(v), number(v[timeSize:]), string(v[timeSize+8:]), nil
}

// queue appends a delivery to its lane and gives its place there. last is the
// lane's new last sequence.
func (tx *Batch) queue(ln *lane, d *store.Delivery, last uint64) (place uint64, err error) {
	if place, err = tx.count("place"); err != nil {
		return 0, err
	}
	if err := tx.put(bOwedLane, ln.itemKey(place), item(d)); err != nil {
		return 0, err
	}
	s := ln.laneState
	s.last = last
	if s.head == 0 {
		s.head, s.due = place, d.NextAt
	}
	tx.set(ln, s)
	return place, nil
}

// unqueue takes a place out of its lane. Where it was the head, the next one
// becomes it, due when its own delivery is.
func (tx *Batch) unqueue(d *store.Delivery, place uint64) error {
	ln, err := tx.lane(d.Endpoint, d.Lane)
	if err != nil {
		return err
	}
	if err := tx.del(bOwedLane, ln.itemKey(place)); err != nil {
		return err
	}
	if ln.head != place {
		return nil
	}
	from, to := ln.items()
	pairs, err := tx.scan(bOwedLane, from, to, false, 1)
	if err != nil {
		return err
	}
	s := ln.laneState
	s.head = 0
	if len(pairs) > 0 {
		s.head = number(pairs[0].Key[len(from)-1:])
		if s.due, _, _, err = readItem(pairs[0].Value); err != nil {
			return err
		}
	}
	tx.set(ln, s)
	return nil
}

// Head gives a lane's first pending deliveries.
func (tx *Tx) Head(endpoint, name string, limit int) ([]*store.Delivery, error) {
	from, to := (&lane{endpoint: endpoint, name: name}).items()
	pairs, err := tx.scan(bOwedLane, from, to, false, limit)
	if err != nil {
		return nil, err
	}
	out := make([]*store.Delivery, 0, len(pairs))
	for _, p := range pairs {
		_, position, id, err := readItem(p.Value)
		if err != nil {
			return nil, err
		}
		r, err := tx.owedAt(position, id)
		if err != nil {
			return nil, fmt.Errorf("lane %s of %s: %w", name, endpoint, err)
		}
		out = append(out, r.Delivery)
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
