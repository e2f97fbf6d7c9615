package table

import (
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// endpointState is what lanes need of an endpoint, beside its sealed record,
// and its row in the index of due endpoints.
type endpointState struct {
	disabled bool
	paused   time.Time
	// due is the row's time, zero where there is none.
	due time.Time
}

const endpointStateSize = 1 + 2*timeSize

func (tx *Batch) endpointState(id string) (*endpointState, error) {
	v, err := tx.must(bEndpointState, key(id))
	if err != nil {
		return nil, err
	}
	if len(v) != endpointStateSize {
		return nil, fmt.Errorf("endpoint %s: %w", id, errIncomplete)
	}
	return &endpointState{disabled: v[0] == 1, paused: readAt(v[1:]), due: readAt(v[1+timeSize:])}, nil
}

func (tx *Batch) putEndpointState(id string, s *endpointState) error {
	k := key{0}
	if s.disabled {
		k[0] = 1
	}
	return tx.put(bEndpointState, key(id), k.at(s.paused).at(s.due))
}

// touchEndpoint says that the endpoint's lanes have changed: settle brings its
// row among the due ones up to date.
func (tx *Batch) touchEndpoint(id string) {
	if tx.touched == nil {
		tx.touched = map[string]bool{}
	}
	tx.touched[id] = true
}

// settle brings the touched endpoints' rows up to date.
func (tx *Batch) settle() error {
	if err := tx.flushLanes(); err != nil {
		return err
	}
	for id := range tx.touched {
		s, err := tx.endpointState(id)
		gone, err := missing(err)
		if err == nil && !gone {
			err = tx.refreshEndpoint(id, s, false)
		}
		if err != nil {
			return err
		}
	}
	clear(tx.touched)
	return nil
}

// refreshEndpoint brings the endpoint's row up to date: the first of its lanes
// that is due, not before the pause is over, and none at all while the
// endpoint is disabled.
func (tx *Batch) refreshEndpoint(id string, s *endpointState, write bool) error {
	var due time.Time
	if err := tx.flushLanes(); err != nil {
		return err
	}
	if !s.disabled {
		prefix := key(nil).str(id)
		p, ok, err := tx.first(bLaneDue, prefix, false)
		if err != nil {
			return err
		}
		if ok {
			due = later(readAt(p.Key[len(prefix):]), s.paused)
		}
	}
	if !due.Equal(s.due) {
		if !s.due.IsZero() {
			if err := tx.del(bEndpointDue, key(nil).at(s.due).last(id)); err != nil {
				return err
			}
		}
		if !due.IsZero() {
			if err := tx.put(bEndpointDue, key(nil).at(due).last(id), nil); err != nil {
				return err
			}
		}
		s.due, write = due, true
	}
	if !write {
		return nil
	}
	return tx.putEndpointState(id, s)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Endpoint reads an endpoint.
func (tx *Tx) Endpoint(id string) (*store.Endpoint, error) {
	b, _, err := tx.getSealed(bEndpoint, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeEndpoint(id, b)
}

// maxEndpoints bounds the listing of endpoints.
const maxEndpoints = 100_000

// Endpoints lists all endpoints by id.
func (tx *Tx) Endpoints() ([]*store.Endpoint, error) {
	pairs, err := tx.scan(bEndpoint, nil, nil, false, maxEndpoints)
	if err != nil {
		return nil, err
	}
	var out []*store.Endpoint
	for _, p := range pairs {
		b, _, err := tx.open(bEndpoint, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		e, err := record.DecodeEndpoint(string(p.Key), b)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// PutEndpoint writes an endpoint. What it says of being disabled and paused
// holds for its lanes at once.
func (tx *Tx) PutEndpoint(e *store.Endpoint) error {
	if err := checkID("endpoint", e.ID); err != nil {
		return err
	}
	s, err := tx.endpointState(e.ID)
	fresh, err := missing(err)
	if err != nil {
		return err
	}
	if fresh {
		s = &endpointState{}
	}
	s.disabled, s.paused = e.Disabled, e.PausedUntil
	if err := tx.refreshEndpoint(e.ID, s, true); err != nil {
		return err
	}
	b, err := record.EncodeEndpoint(e)
	return tx.putSealed(bEndpoint, key(e.ID), 0, b, err)
}

// PauseEndpoint holds back all lanes of an endpoint until t. The pause is one
// value beside the lanes: it costs the same for one event and for a million.
func (tx *Tx) PauseEndpoint(id string, t time.Time) error {
	e, err := tx.Endpoint(id)
	if err != nil {
		return err
	}
	if !t.After(e.PausedUntil) {
		return nil
	}
	e.PausedUntil = t
	return tx.PutEndpoint(e)
}

// DeleteEndpoint removes an endpoint. Its lanes are due no more.
func (tx *Tx) DeleteEndpoint(id string) error {
	s, err := tx.endpointState(id)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	s.disabled = true
	if err := tx.refreshEndpoint(id, s, false); err != nil {
		return err
	}
	if err := tx.del(bEndpointState, key(id)); err != nil {
		return err
	}
	return tx.del(bEndpoint, key(id))
}
