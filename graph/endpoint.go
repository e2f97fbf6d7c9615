package graph

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func (r endpointResolver) Description(_ context.Context, e *service.Endpoint) (*string, error) {
	return optional(e.Description), nil
}

// Events spells out which types, where it is all of them too.
func (r endpointResolver) Events(_ context.Context, e *service.Endpoint) ([]event.Type, error) {
	if len(e.Events) == 0 {
		return event.Types(), nil
	}
	return e.Events, nil
}

// Accounts leaves out those that are gone; null stands for all there are.
func (r endpointResolver) Accounts(ctx context.Context, e *service.Endpoint) ([]*store.Account, error) {
	if len(e.AccountIDs) == 0 {
		return nil, nil
	}
	list := make([]*store.Account, 0, len(e.AccountIDs))
	for _, id := range e.AccountIDs {
		a, err := loadersOf(ctx).accounts.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if a != nil {
			list = append(list, a)
		}
	}
	return list, nil
}

func (r endpointResolver) StateReason(_ context.Context, e *service.Endpoint) (*string, error) {
	return optional(e.StateReason), nil
}

func (r endpointResolver) KeysURL(_ context.Context, e *service.Endpoint) (*string, error) {
	return optional(e.KeysURL), nil
}

func (r endpointResolver) InFlight(_ context.Context, e *service.Endpoint) (*int, error) {
	return optionalNumber(e.InFlight), nil
}

func (r endpointResolver) PerSecond(_ context.Context, e *service.Endpoint) (*float64, error) {
	return optionalNumber(e.PerSecond), nil
}

func (r endpointResolver) ClientCertificate(_ context.Context, e *service.Endpoint) (*string, error) {
	return optional(e.ClientCertificate), nil
}

func (r endpointKeyResolver) PublicKey(_ context.Context, k *service.EndpointKey) (*string, error) {
	return optional(k.PublicKey), nil
}

// endpoint loads an endpoint, nil where there is none.
func (s *Server) endpoint(ctx context.Context, id string) (*service.Endpoint, error) {
	byID, err := loadersOf(ctx).endpoints.load(ctx, "")
	return byID[id], err
}

func (r endpointResolver) Pending(ctx context.Context, e *service.Endpoint) (int64, error) {
	stats, err := r.endpointStats(ctx, e.ID)
	return stats.Pending, err
}

func (r endpointResolver) DeadLetters(ctx context.Context, e *service.Endpoint) (int64, error) {
	stats, err := r.endpointStats(ctx, e.ID)
	return stats.Dead, err
}

// endpointStats are counts that the store keeps, so that they cost one read.
func (s *Server) endpointStats(ctx context.Context, id string) (stats store.OutboxStats, err error) {
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		stats, err = tx.EndpointStats(id)
		return err
	})
	return stats, err
}

func (r mutationResolver) CreateEndpoint(ctx context.Context, in generated.CreateEndpointInput) (*generated.EndpointWithSecret, error) {
	if err := r.checkAccounts(ctx, in.Accounts); err != nil {
		return nil, err
	}
	payload := service.PayloadThin
	if in.Payload != nil {
		payload = *in.Payload
	}
	e, secret, err := r.services.Endpoints.CreateEndpoint(ctx, service.EndpointInput{
		URL:         in.URL,
		Description: value(in.Description),
		Events:      in.Events,
		Accounts:    in.Accounts,
		Ordered:     in.Ordered == nil || *in.Ordered,
		Payload:     payload,
		Backfill:    value(in.Backfill),
		Attempts:    value(in.Attempts),
		Signature:   value(in.Signature),
		Secret:      value(in.Secret),
		InFlight:    value(in.InFlight),
		PerSecond:   value(in.PerSecond),
		OnExhausted: value(in.OnExhausted),
		Headers:     value(headersOf(in.Headers)),

		ClientCertificate: value(in.ClientCertificate),
		ClientKey:         value(in.ClientKey),
		OAuth:             oauthOf(in.Oauth),
		Verify:            value(in.Verify),
	})
	return &generated.EndpointWithSecret{Endpoint: e, Secret: optional(secret)}, err
}

// headersOf gives nil where none are given, which is not the same as an empty
// list of them.
func headersOf(in []*generated.HeaderInput) *[]service.EndpointHeader {
	if in == nil {
		return nil
	}
	list := make([]service.EndpointHeader, len(in))
	for i, h := range in {
		list[i] = service.EndpointHeader{Name: h.Name, Value: h.Value}
	}
	return &list
}

func oauthOf(in *generated.EndpointOAuthInput) *service.EndpointOAuth {
	if in == nil {
		return nil
	}
	return &service.EndpointOAuth{TokenURL: in.TokenURL, ClientID: in.ClientID, ClientSecret: in.ClientSecret, Scopes: in.Scopes}
}

func (r mutationResolver) UpdateEndpoint(ctx context.Context, in generated.UpdateEndpointInput) (*service.Endpoint, error) {
	if err := r.checkNewAccounts(ctx, in.ID, in.Accounts.Value()); err != nil {
		return nil, err
	}
	return r.services.Endpoints.UpdateEndpoint(ctx, in.ID, service.EndpointChange{
		URL:         in.URL,
		Description: in.Description,
		Events:      given(in.Events),
		Accounts:    given(in.Accounts),
		Ordered:     in.Ordered,
		Payload:     in.Payload,
		Backfill:    in.Backfill,
		Attempts:    in.Attempts,
		Enabled:     in.Enabled,
		Signature:   in.Signature,
		InFlight:    in.InFlight,
		PerSecond:   in.PerSecond,
		OnExhausted: in.OnExhausted,
		Headers:     headersOf(in.Headers),

		ClientCertificate: in.ClientCertificate,
		ClientKey:         in.ClientKey,
		OAuth:             oauthOf(in.Oauth),
	})
}

// checkNewAccounts lets an endpoint keep accounts that are gone.
func (s *Server) checkNewAccounts(ctx context.Context, id string, accounts []string) error {
	if len(accounts) == 0 {
		return nil
	}
	e, err := s.endpoint(ctx, id)
	if err != nil {
		return err
	}
	if e != nil {
		accounts = slices.DeleteFunc(slices.Clone(accounts), func(a string) bool { return slices.Contains(e.AccountIDs, a) })
	}
	return s.checkAccounts(ctx, accounts)
}

// given tells a field that was left out from one that is null.
func given[T any](o graphql.Omittable[T]) *T {
	v, ok := o.ValueOK()
	if !ok {
		return nil
	}
	return &v
}

func (r mutationResolver) DeleteEndpoint(ctx context.Context, id string) (string, error) {
	return id, r.services.Endpoints.DeleteEndpoint(ctx, id)
}

func (r mutationResolver) RotateEndpointSecret(ctx context.Context, id string, kind *service.SignatureKind, overlapSeconds *int) (*generated.EndpointWithSecret, error) {
	how := service.Rotation{Signature: value(kind)}
	if overlapSeconds != nil {
		// What is no duration any more is refused like every other that is too long.
		overlap := time.Duration(max(-1, min(*overlapSeconds, math.MaxInt32))) * time.Second
		how.Overlap = &overlap
	}
	e, secret, err := r.services.Endpoints.RotateSecret(ctx, id, how)
	return &generated.EndpointWithSecret{Endpoint: e, Secret: optional(secret)}, err
}

func (r mutationResolver) ExpireEndpointKey(ctx context.Context, id, key string) (*service.Endpoint, error) {
	return r.services.Endpoints.ExpireKey(ctx, id, key)
}

func (r mutationResolver) SendTestEvent(ctx context.Context, id string, t *event.Type) (*store.Delivery, error) {
	return r.services.Deliverer.SendTest(ctx, id, value(t))
}
