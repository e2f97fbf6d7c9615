package webhook

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// Wanted gives what an endpoint is owed for the events of the journal after a
// position. A replay that reads the journal asks it (outbox.Owing): it writes
// nothing, and leaves out what the endpoint does not want, as Owe does.
func (s *Service) Wanted(tx store.Tx, endpoint string, after uint64, limit int) (list []outbox.Wanted, last uint64, err error) {
	t, err := s.target(tx, endpoint)
	if err != nil {
		return nil, after, err
	}
	events, err := tx.EventsAfter(after, limit)
	if err != nil {
		return nil, after, fmt.Errorf("read the journal: %w", err)
	}
	last = after
	for i := range events {
		e := &events[i]
		last = e.Position
		if !t.wants(e) {
			continue
		}
		d, err := s.owed(tx, t, e)
		if err != nil {
			return nil, after, err
		}
		list = append(list, outbox.Wanted{Delivery: d, At: e.Time})
	}
	return list, last, nil
}

// owed gives the delivery of an event as it is, or as it would be now. It may
// be there with a body that the endpoint no longer asks for.
func (s *Service) owed(tx store.Tx, t *target, e *event.Event) (*store.Delivery, error) {
	want := renditionOf(e, t.config.Payload)
	for _, r := range []Payload{PayloadThin, PayloadFull} {
		if r == want {
			continue
		}
		d, err := tx.Delivery(deliveryID(t.id, e, r))
		if !errors.Is(err, store.ErrNotFound) {
			return d, err
		}
	}
	d := &store.Delivery{
		ID: deliveryID(t.id, e, want), Endpoint: t.id, Account: e.Account,
		Event: e.ID, Type: string(e.Type), Position: e.Position, Sequence: e.Sequence, Rendition: string(want),
	}
	d.Lane = laneOf(t, e, d.ID)
	return d, nil
}

// Body fixes the body of a delivery that Wanted gave, unless it is there: from
// the journal's entry, and for the rest from what is known now.
func (s *Service) Body(tx store.Tx, d *store.Delivery) error {
	if _, err := tx.Body(d); !errors.Is(err, store.ErrNotFound) {
		return err
	}
	e, err := tx.EventByID(d.Event)
	if err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	w := s.writer(tx)
	body, err := w.body(e, Payload(d.Rendition))
	if err != nil {
		return fmt.Errorf("write webhook body of %s: %w", e.Type, err)
	}
	return tx.PutBody(d, body)
}

// Moved gives the delivery by which another endpoint is owed what a delivery
// holds, whatever that endpoint asks for otherwise.
func (s *Service) Moved(tx store.Tx, to string, d *store.Delivery) (*store.Delivery, error) {
	t, err := s.target(tx, to)
	if err != nil {
		return nil, err
	}
	e := &event.Event{ID: d.Event, Type: event.Type(d.Type), Account: d.Account, Position: d.Position}
	m := &store.Delivery{
		ID: deliveryID(to, e, Payload(d.Rendition)), Endpoint: to, Account: d.Account,
		Event: d.Event, Type: d.Type, Position: d.Position, Sequence: d.Sequence, Rendition: d.Rendition, Trace: d.Trace,
	}
	m.Lane = laneOf(t, e, m.ID)
	return m, nil
}

func (s *Service) target(tx store.Tx, id string) (*target, error) {
	targets, err := s.targets(tx)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	for _, t := range targets {
		if t.id == id {
			return t, nil
		}
	}
	return nil, store.ErrNotFound
}
