package webhook

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// SendTest owes an endpoint a test and gives the delivery's id. It waits for
// nothing else the endpoint is owed.
//
// A test of another type than ping has a body that looks like one of that type
// and says `test: true`. The journal tells of it as the ping that it is, so
// that nobody takes it for something that happened.
func (s *Service) SendTest(ctx context.Context, id string, t event.Type) (delivery string, err error) {
	const op = "send test event"
	if t == "" {
		t = event.Ping
	}
	if !t.Valid() {
		return "", mail.Errorf(mail.KindInvalid, op, "there is no event type %q", t)
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		r, err := endpoint(tx, op, id)
		if err != nil {
			return err
		}
		if r.Disabled {
			return mail.Errorf(mail.KindConflict, op, "the endpoint is disabled (%s); enable it first", r.Reason)
		}
		e := event.Event{Type: event.Ping, Endpoint: id}
		if t == event.Ping {
			e, err = s.journal(tx, e)
			delivery = deliveryID(id, &e, PayloadThin)
		} else {
			delivery, err = s.oweSample(tx, r, e, t)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		return nil
	})
	return delivery, err
}

// oweSample owes an endpoint an example of a type.
func (s *Service) oweSample(tx store.Tx, r *store.Endpoint, e event.Event, t event.Type) (delivery string, err error) {
	c, err := decodeConfig(r.Config)
	if err != nil {
		return "", err
	}
	now := s.opts.Now().UTC()
	e.Time, e.Reason = now, "an example of "+string(t)
	if err := tx.AppendEvent(&e); err != nil {
		return "", err
	}
	told := sampleEvent(t, r.ID, now)
	told.ID, told.Epoch, told.Position, told.Sequence, told.Time = e.ID, e.Epoch, e.Position, e.Sequence, e.Time
	rendition := renditionOf(&told, c.Payload)
	w := sampleWriter(sampleRecords{t: t, endpoint: r, now: now})
	body, err := w.body(&told, rendition)
	if err != nil {
		return "", fmt.Errorf("write body: %w", err)
	}
	d := &store.Delivery{
		ID: deliveryID(r.ID, &e, rendition), Endpoint: r.ID, Event: e.ID, Type: string(t), Position: e.Position, Sequence: e.Sequence,
		Rendition: string(rendition), State: store.DeliveryPending, CreatedAt: now, NextAt: now,
	}
	d.Lane = d.ID
	if err := tx.Enqueue(d); err != nil {
		return "", fmt.Errorf("enqueue delivery: %w", err)
	}
	if err := tx.PutBody(d, body); err != nil {
		return "", fmt.Errorf("store webhook body: %w", err)
	}
	tx.AfterCommit(func() {
		s.opts.Bus.Publish([]event.Event{e})
		s.queue.Notice([]store.Lane{{Endpoint: r.ID, Lane: d.Lane, Due: now}})
	})
	return d.ID, nil
}

// verify asks a new endpoint for one signed ping before it is stored.
func (s *Service) verify(ctx context.Context, op string, r *store.Endpoint, now time.Time) error {
	if s.opts.Probe == nil {
		return mail.Errorf(mail.KindUnavailable, op, "endpoints cannot be verified here")
	}
	e := event.Event{ID: event.HashID("evt_verification_", r.ID), Type: event.Ping, Endpoint: r.ID, Time: now, Reason: "verification of a new endpoint"}
	w := sampleWriter(sampleRecords{t: event.Ping, endpoint: r, now: now})
	body, err := w.body(&e, PayloadThin)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	out := s.opts.Probe(ctx, r, &store.Delivery{ID: "verification", Event: e.ID, Endpoint: r.ID, Type: string(e.Type)}, body)
	if out.OK {
		return nil
	}
	return &mail.Error{Kind: mail.KindInvalid, Op: op, Message: "the endpoint did not accept a signed ping: " + came(out)}
}

// came says what an attempt came to, with the beginning of the answer.
func came(out outbox.Outcome) string {
	const most = 200
	answer := strings.TrimSpace(strings.ToValidUTF8(string(out.Answer[:min(len(out.Answer), most)]), "\ufffd"))
	if answer == "" {
		return out.Error
	}
	return fmt.Sprintf("%s, with %q", out.Error, answer)
}
