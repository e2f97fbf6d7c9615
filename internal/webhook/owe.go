package webhook

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// gatewayLane is the lane of events that concern no account.
const gatewayLane = "gateway"

// Owe writes down which endpoint is owed which of the events, with their
// bodies. It is called inside the transaction that journals them, after its
// changes, and wakes the outbox once that is committed. Disabled endpoints are
// owed like the others: they get everything when they are enabled again.
func (s *Service) Owe(tx store.Tx, events []event.Event) error {
	targets, err := s.targets(tx)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	if len(targets) == 0 {
		return nil
	}
	w := s.writer(tx)
	now := s.opts.Now().UTC()
	var owed []outbox.Handed
	for i := range events {
		e := &events[i]
		var bodies [2][]byte // thin, full
		for _, t := range targets {
			if !t.wants(e) {
				continue
			}
			rendition := renditionOf(e, t.config.Payload)
			d := &store.Delivery{
				ID: deliveryID(t.id, e, rendition), Endpoint: t.id, Account: e.Account,
				Event: e.ID, Type: string(e.Type), Position: e.Position, Sequence: e.Sequence,
				Rendition: string(rendition), State: store.DeliveryPending, CreatedAt: now, NextAt: now, Trace: e.Trace,
			}
			d.Lane = laneOf(t, e, d.ID)
			if err := tx.Enqueue(d); errors.Is(err, store.ErrNotFound) {
				continue // the endpoint was deleted by a transaction just before this one
			} else if err != nil {
				return fmt.Errorf("enqueue delivery: %w", err)
			}
			n := index(rendition)
			if bodies[n] == nil {
				if bodies[n], err = w.body(e, rendition); err != nil {
					return fmt.Errorf("write webhook body of %s: %w", e.Type, err)
				}
				if err := tx.PutBody(d, bodies[n]); err != nil {
					return fmt.Errorf("store webhook body: %w", err)
				}
			}
			owed = append(owed, outbox.Handed{Delivery: d, Body: bodies[n]})
		}
	}
	if len(owed) > 0 {
		tx.AfterCommit(func() { s.queue.Hand(owed) })
	}
	return nil
}

// laneOf keeps in order what must stay so: the events of one account, where
// the endpoint wants that. A ping asks whether the endpoint answers now, and so
// waits for nobody.
func laneOf(t *target, e *event.Event, delivery string) string {
	switch {
	case !t.ordered || e.Type == event.Ping:
		return delivery
	case e.Account == "":
		return gatewayLane
	}
	return e.Account
}

// renditionOf says which body an event has for a payload: only messages that
// are there have content.
func renditionOf(e *event.Event, p Payload) Payload {
	if p == PayloadFull && (e.Type == event.MessageCreated || e.Type == event.MessageUpdated) {
		return PayloadFull
	}
	return PayloadThin
}

func index(p Payload) int {
	if p == PayloadFull {
		return 1
	}
	return 0
}

// deliveryID begins with the event's place: what is owed at the same time lies
// together in the store.
func deliveryID(endpoint string, e *event.Event, rendition Payload) string {
	return "d" + event.Number(e.Position) + "_" + event.HashID("", endpoint, e.ID, string(rendition))[:16]
}
