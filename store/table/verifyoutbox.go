package table

import (
	"bytes"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// outbox checks endpoints, deliveries with their bodies and attempts, and
// lanes.
func (v *verifier) outbox() error {
	if err := v.endpoints(); err != nil {
		return err
	}
	queued, err := v.deliveries()
	if err != nil {
		return err
	}
	if err := v.lanes(queued); err != nil {
		return err
	}
	if err := v.bodies(); err != nil {
		return err
	}
	return v.records(bOwedAttempt, func(k key, _ uint64, plain []byte) error {
		id, _ := readStr(k[8:])
		_, err := record.DecodeAttempt(id, plain)
		if v.bad(bOwedAttempt, k, err) {
			return nil
		}
		got, err := v.get(bOwed, owedKey(number(k), id))
		if err == nil && got == nil {
			v.tellf("an attempt of delivery %s is there, the delivery is not", id)
		}
		return err
	})
}

func (v *verifier) endpoints() error {
	return v.records(bEndpoint, func(k key, _ uint64, plain []byte) error {
		e, err := record.DecodeEndpoint(string(k), plain)
		if v.bad(bEndpoint, k, err) {
			return nil
		}
		of := "endpoint " + e.ID
		if err := v.row(bEndpointState, k, nil, of); err != nil {
			return err
		}
		s, err := v.endpointState(e.ID)
		if err != nil {
			v.tellf("%s has no state that can be read: %v", of, err)
			return nil
		}
		if s.due.IsZero() {
			return nil
		}
		return v.row(bEndpointDue, key(nil).at(s.due).last(e.ID), nil, of)
	})
}

// deliveries checks each with its rows, and counts those that are in lanes.
func (v *verifier) deliveries() (queued int, err error) {
	mark, err := v.trimMark()
	if err != nil {
		return 0, err
	}
	tally := map[string]uint64{}
	err = v.each(bOwed, func(p Pair) error {
		v.checked.Records++
		r, err := v.readOwed(p)
		if v.bad(bOwed, p.Key, err) {
			return nil
		}
		of := "delivery " + r.ID
		switch r.State {
		case store.DeliveryPending:
			queued++
			tally["pending"]++
			tally[tallyOf("pending", r.Endpoint)]++
		case store.DeliveryDead:
			tally["dead"]++
			tally[tallyOf("dead", r.Endpoint)]++
		}
		return v.deliveryRows(r, mark, of)
	})
	if err != nil {
		return 0, err
	}
	for name, n := range tally {
		if err := v.number64(name, n); err != nil {
			return 0, err
		}
	}
	for _, name := range []string{"pending", "dead"} {
		if tally[name] == 0 {
			if err := v.number64(name, 0); err != nil {
				return 0, err
			}
		}
	}
	return queued, nil
}

// number64 compares a number that is kept with one that was counted.
func (v *verifier) number64(name string, counted uint64) error {
	kept, err := v.number(name)
	if err == nil && kept != counted {
		v.tellf("the outbox counts %d deliveries as %s, it has %d", kept, name, counted)
	}
	return err
}

func (v *verifier) deliveryRows(r row, mark []byte, of string) error {
	code, err := stateCode(r.State)
	if v.bad(bOwed, owedKey(r.Position, r.ID), err) {
		return nil
	}
	at := key(nil).u64(r.Position)
	if !tells(r.ID, r.Position) {
		if err := v.row(bOwedID, key(r.ID), at, of); err != nil {
			return err
		}
	}
	if err := v.row(bOwedOf, ofKey(r.Delivery), at, of); err != nil {
		return err
	}
	if err := v.row(bOwedTo, toKey(code, r.Delivery), at, of); err != nil {
		return err
	}
	if r.State != store.DeliveryPending {
		k := doneKey(code, r)
		got, err := v.get(bOwedDone, k)
		if err != nil {
			return err
		}
		// What was delivered needs its row only where the trim has passed by.
		if got != nil || r.State == store.DeliveryDead || bytes.Compare(owedKey(r.Position, r.ID), mark) <= 0 {
			return v.row(bOwedDone, k, nil, of)
		}
		return nil
	}
	got, err := v.get(bOwedLane, laneKey(r.Endpoint, r.Lane).u64(r.place))
	if err == nil && !bytes.Equal(got, item(r.Delivery)) {
		v.tellf("%s is pending, but not in its place in the lane", of)
	}
	if err != nil {
		return err
	}
	if got, err = v.get(bOwedBody, bodyKey(r.Delivery)); err == nil && got == nil {
		v.tellf("%s is pending, but its body is not there", of)
	}
	return err
}

// lanes checks that each lane's head is its first delivery.
func (v *verifier) lanes(queued int) error {
	var ln laneState
	var prefix []byte
	items := 0
	err := v.each(bOwedLane, func(p Pair) error {
		endpoint, rest := readStr(p.Key)
		name, rest := readStr(rest)
		if len(rest) > 0 {
			items++
			if first := !bytes.HasPrefix(p.Key, prefix) || prefix == nil; first {
				v.tellf("a delivery is in lane %s to %s, which has no row", name, endpoint)
			} else if ln.head != 0 {
				if number(rest) != ln.head {
					v.tellf("the head of lane %s to %s is not its first delivery", name, endpoint)
				}
				ln.head = 0 // looked at
			}
			return nil
		}
		v.danglingHead(ln, prefix)
		var err error
		prefix = bytes.Clone(p.Key)
		if ln, err = readLane(p.Value); err != nil {
			v.tellf("lane %s to %s cannot be read: %v", name, endpoint, err)
			ln = laneState{}
		}
		if ln.head == 0 {
			return nil
		}
		return v.row(bLaneDue, dueKey(endpoint, ln.due, name), nil, "lane "+name+" to "+endpoint)
	})
	if err != nil {
		return err
	}
	v.danglingHead(ln, prefix)
	if items != queued {
		v.tellf("the lanes hold %d deliveries, %d are pending", items, queued)
	}
	return nil
}

// danglingHead tells of a lane whose head was never met.
func (v *verifier) danglingHead(ln laneState, prefix []byte) {
	if ln.head != 0 {
		endpoint, rest := readStr(prefix)
		name, _ := readStr(rest)
		v.tellf("the head of lane %s to %s is not there", name, endpoint)
	}
}

// bodies checks that each is needed by a delivery beside it.
func (v *verifier) bodies() error {
	return v.records(bOwedBody, func(k key, _ uint64, _ []byte) error {
		position := key(nil).u64(number(k))
		ev, rendition := readStr(k[8:])
		for from := []byte(position); ; {
			pairs, err := v.scan(bOwed, from, end(position), false, 64)
			if err != nil {
				return err
			}
			for _, p := range pairs {
				if r, err := v.readOwed(p); err == nil && r.Event == ev && r.Rendition == string(rendition) {
					return nil
				}
			}
			if len(pairs) < 64 {
				v.tellf("the body of event %s (%s) is there, but no delivery of it", ev, rendition)
				return nil
			}
			from = next(pairs[len(pairs)-1].Key)
		}
	})
}
