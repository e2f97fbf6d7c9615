package table

import (
	"slices"

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
	err = tx.eachOwed(func(prefix key) error {
		of := append(slices.Clone(prefix), code)
		p, ok, err := tx.first(bOwedTo, of, true)
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
	p, ok, err := tx.first(bOwedTo, of, true)
	if ok {
		s.Oldest = readBack(p.Key[len(of):])
	}
	return s, err
}

// eachOwed calls fn with the prefix of every endpoint that has deliveries.
func (tx *Tx) eachOwed(fn func(prefix key) error) error {
	var from []byte
	for {
		pairs, err := tx.scan(bOwedTo, from, nil, false, 1)
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
