package gateway

import (
	"context"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/store"
)

type endpoints struct{ hooks *webhook.Service }

func (e endpoints) Endpoints(ctx context.Context) ([]*service.Endpoint, error) {
	list, err := e.hooks.ListEndpoints(ctx)
	out := make([]*service.Endpoint, len(list))
	for i, w := range list {
		out[i] = endpoint(w)
	}
	return out, err
}

func (e endpoints) CreateEndpoint(ctx context.Context, in service.EndpointInput) (*service.Endpoint, string, error) {
	w, secret, err := e.hooks.CreateEndpoint(ctx, webhook.Create{
		URL: in.URL, Events: in.Events, Accounts: in.Accounts, Description: in.Description,
		Unordered: !in.Ordered, Payload: webhook.Payload(in.Payload), Backfill: in.Backfill, Attempts: in.Attempts,
	})
	if err != nil {
		return nil, "", err
	}
	return endpoint(w), secret, nil
}

func (e endpoints) UpdateEndpoint(ctx context.Context, id string, ch service.EndpointChange) (*service.Endpoint, error) {
	u := webhook.Update{ID: id, URL: ch.URL, Description: ch.Description, Events: ch.Events, Accounts: ch.Accounts,
		Ordered: ch.Ordered, Backfill: ch.Backfill, Attempts: ch.Attempts, Enabled: ch.Enabled}
	if ch.Payload != nil {
		p := webhook.Payload(*ch.Payload)
		u.Payload = &p
	}
	w, err := e.hooks.UpdateEndpoint(ctx, u)
	if err != nil {
		return nil, err
	}
	return endpoint(w), nil
}

func (e endpoints) DeleteEndpoint(ctx context.Context, id string) error {
	return e.hooks.DeleteEndpoint(ctx, id)
}

func (e endpoints) RotateSecret(ctx context.Context, id string) (*service.Endpoint, string, error) {
	w, secret, err := e.hooks.RotateSecret(ctx, id, webhook.Rotate{})
	if err != nil {
		return nil, "", err
	}
	return endpoint(w), secret, nil
}

func endpoint(w *webhook.Endpoint) *service.Endpoint {
	state := service.EndpointActive
	switch w.State {
	case webhook.StateFailing:
		state = service.EndpointFailing
	case webhook.StateDisabled:
		state = service.EndpointDisabled
	}
	attempts := w.Attempts
	if attempts == 0 {
		attempts = len(outbox.DefaultPolicy().Schedule)
	}
	return &service.Endpoint{
		ID: w.ID, URL: w.URL, Description: w.Description, Events: w.Events, AccountIDs: w.Accounts,
		State: state, StateReason: w.Reason, Ordered: w.Ordered, Payload: service.PayloadMode(w.Payload),
		Backfill: w.Backfill, Attempts: attempts, CreatedAt: w.CreatedAt,
		Health: service.EndpointHealth{FailingSince: w.FailingSince, Failures: w.Failures,
			LastSuccessAt: w.LastSuccessAt, PausedUntil: w.PausedUntil},
	}
}

type deliverer struct {
	hooks  *webhook.Service
	outbox *outbox.Outbox
}

func (d deliverer) SendTest(ctx context.Context, endpoint string) (*store.Delivery, error) {
	id, err := d.hooks.SendTest(ctx, endpoint, "")
	if err != nil {
		return nil, err
	}
	sent, _, err := d.outbox.Delivery(ctx, id)
	return sent, err
}

func (d deliverer) Redeliver(ctx context.Context, ids []string) (int, error) {
	return d.outbox.Redeliver(ctx, ids)
}

// content serves full payloads from what the mirror has at hand.
type content struct{ g *Gateway }

func (c content) Full(_ store.Tx, message string) (webhook.Full, bool) {
	m, ok := c.g.mirror.At(message)
	if !ok {
		return webhook.Full{}, false
	}
	return webhook.Full{Headers: m.Headers, Text: m.Text, HTML: m.HTML, Truncated: m.Truncated}, true
}
