package gateway

import (
	"context"
	"net/url"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/internal/webhook"
	"github.com/postern-mail/postern/store"
)

type endpoints struct {
	hooks  *webhook.Service
	public *url.URL
}

func (e endpoints) Endpoints(ctx context.Context) ([]*service.Endpoint, error) {
	list, err := e.hooks.ListEndpoints(ctx)
	out := make([]*service.Endpoint, len(list))
	for i, w := range list {
		out[i] = e.endpoint(w)
	}
	return out, err
}

func (e endpoints) CreateEndpoint(ctx context.Context, in service.EndpointInput) (*service.Endpoint, string, error) {
	w, secret, err := e.hooks.CreateEndpoint(ctx, webhook.Create{
		URL: in.URL, Events: in.Events, Accounts: in.Accounts, Description: in.Description,
		Unordered: !in.Ordered, Payload: webhook.Payload(in.Payload), Backfill: in.Backfill, Attempts: in.Attempts,
		Signature: webhook.Signature(in.Signature), Secret: in.Secret, InFlight: in.InFlight, PerSecond: in.PerSecond,
		Halt:    in.OnExhausted == service.ExhaustionHalt,
		Headers: headers(in.Headers), ClientCertificate: in.ClientCertificate, ClientKey: in.ClientKey, Verify: in.Verify,
		OAuth: oauth(in.OAuth),
	})
	if err != nil {
		return nil, "", err
	}
	return e.endpoint(w), secret, nil
}

func (e endpoints) UpdateEndpoint(ctx context.Context, id string, ch service.EndpointChange) (*service.Endpoint, error) {
	u := webhook.Update{ID: id, URL: ch.URL, Description: ch.Description, Events: ch.Events, Accounts: ch.Accounts,
		Ordered: ch.Ordered, Backfill: ch.Backfill, Attempts: ch.Attempts, Enabled: ch.Enabled}
	if ch.Payload != nil {
		p := webhook.Payload(*ch.Payload)
		u.Payload = &p
	}
	u.InFlight, u.PerSecond, u.ClientCertificate, u.ClientKey = ch.InFlight, ch.PerSecond, ch.ClientCertificate, ch.ClientKey
	u.OAuth = oauth(ch.OAuth)
	if ch.Signature != nil {
		s := webhook.Signature(*ch.Signature)
		u.Signature = &s
	}
	if ch.OnExhausted != nil {
		halt := *ch.OnExhausted == service.ExhaustionHalt
		u.Halt = &halt
	}
	if ch.Headers != nil {
		list := headers(*ch.Headers)
		u.Headers = &list
	}
	w, err := e.hooks.UpdateEndpoint(ctx, u)
	if err != nil {
		return nil, err
	}
	return e.endpoint(w), nil
}

func (e endpoints) DeleteEndpoint(ctx context.Context, id string) error {
	return e.hooks.DeleteEndpoint(ctx, id)
}

func (e endpoints) RotateSecret(ctx context.Context, id string, how service.Rotation) (*service.Endpoint, string, error) {
	w, secret, err := e.hooks.RotateSecret(ctx, id, webhook.Rotate{Signature: webhook.Signature(how.Signature), Overlap: how.Overlap})
	if err != nil {
		return nil, "", err
	}
	return e.endpoint(w), secret, nil
}

func (e endpoints) ExpireKey(ctx context.Context, id, key string) (*service.Endpoint, error) {
	w, err := e.hooks.ExpireKey(ctx, id, key)
	if err != nil {
		return nil, err
	}
	return e.endpoint(w), nil
}

func oauth(in *service.EndpointOAuth) *webhook.OAuth {
	if in == nil {
		return nil
	}
	o := webhook.OAuth(*in)
	return &o
}

func headers(in []service.EndpointHeader) []webhook.Header {
	list := make([]webhook.Header, len(in))
	for i, h := range in {
		list[i] = webhook.Header(h)
	}
	return list
}

// endpoint adds what the schema tells beside what the service knows.
func (e endpoints) endpoint(w *webhook.Endpoint) *service.Endpoint {
	s := endpoint(w)
	if w.OAuth != nil {
		o := service.EndpointOAuth(*w.OAuth)
		s.OAuth = &o
	}
	s.OnExhausted = service.ExhaustionDeadLetter
	if w.Halt {
		s.OnExhausted = service.ExhaustionHalt
	}
	for _, k := range w.Keys {
		s.Keys = append(s.Keys, service.EndpointKey{ID: k.ID, Kind: service.SignatureKind(k.Kind), PublicKey: k.Public,
			CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt})
		if k.Public != "" {
			s.KeysURL = e.public.JoinPath(webhook.KeysPath, w.ID).String()
		}
	}
	return s
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
		Signature: service.SignatureKind(w.Signature), InFlight: w.InFlight, PerSecond: w.PerSecond,
		HeaderNames: w.Headers, ClientCertificate: w.ClientCertificate,
		Health: service.EndpointHealth{FailingSince: w.FailingSince, Failures: w.Failures,
			LastSuccessAt: w.LastSuccessAt, PausedUntil: w.PausedUntil},
	}
}

type deliverer struct {
	hooks  *webhook.Service
	outbox *outbox.Outbox
}

func (d deliverer) SendTest(ctx context.Context, endpoint string, t event.Type) (*store.Delivery, error) {
	id, err := d.hooks.SendTest(ctx, endpoint, t)
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
