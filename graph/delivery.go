package graph

import (
	"context"
	"strings"
	"time"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func (r deliveryResolver) Event(ctx context.Context, d *store.Delivery) (*event.Event, error) {
	return loadersOf(ctx).events.load(ctx, d.Event)
}

func (r deliveryResolver) Endpoint(ctx context.Context, d *store.Delivery) (*service.Endpoint, error) {
	return r.endpoint(ctx, d.Endpoint)
}

func (r deliveryResolver) AccountID(_ context.Context, d *store.Delivery) (*string, error) {
	return optional(d.Account), nil
}

func (r deliveryResolver) Account(ctx context.Context, d *store.Delivery) (*store.Account, error) {
	return maybeAccount(ctx, d.Account)
}

func (r deliveryResolver) Attempts(ctx context.Context, d *store.Delivery) ([]*store.Attempt, error) {
	list, err := loadersOf(ctx).attempts.load(ctx, d.ID)
	attempts := make([]*store.Attempt, len(list))
	for i := range list {
		attempts[i] = &list[i]
	}
	return attempts, err
}

// NextAt is null for what is not tried any more, and for what waits for its
// endpoint to be enabled again.
func (r deliveryResolver) NextAt(ctx context.Context, d *store.Delivery) (*time.Time, error) {
	if d.State != store.DeliveryPending {
		return nil, nil
	}
	e, err := r.endpoint(ctx, d.Endpoint)
	if err != nil || e == nil || e.State == service.EndpointDisabled {
		return nil, err
	}
	return &d.NextAt, nil
}

func (r deliveryResolver) LastStatus(_ context.Context, d *store.Delivery) (*int, error) {
	return optionalNumber(d.LastStatus), nil
}

func (r deliveryResolver) LastError(_ context.Context, d *store.Delivery) (*string, error) {
	return optional(d.LastError), nil
}

func (r deliveryResolver) ReplayID(_ context.Context, d *store.Delivery) (*string, error) {
	return optional(d.Replay), nil
}

func (r attemptResolver) DurationMs(_ context.Context, a *store.Attempt) (int64, error) {
	return a.Duration.Milliseconds(), nil
}

func (r attemptResolver) Status(_ context.Context, a *store.Attempt) (*int, error) {
	return optionalNumber(a.Status), nil
}

func (r attemptResolver) Error(_ context.Context, a *store.Attempt) (*string, error) {
	return optional(a.Error), nil
}

// milliseconds is null for what did not take place.
func milliseconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	ms := float64(d) / float64(time.Millisecond)
	return &ms
}

func (r attemptResolver) DNSMs(_ context.Context, a *store.Attempt) (*float64, error) {
	return milliseconds(a.DNS), nil
}

func (r attemptResolver) ConnectMs(_ context.Context, a *store.Attempt) (*float64, error) {
	return milliseconds(a.Connect), nil
}

func (r attemptResolver) TLSMs(_ context.Context, a *store.Attempt) (*float64, error) {
	return milliseconds(a.TLS), nil
}

func (r attemptResolver) FirstByteMs(_ context.Context, a *store.Attempt) (*float64, error) {
	return milliseconds(a.FirstByte), nil
}

// Answer shows the receiver's bytes as text, whatever they are.
func (r attemptResolver) Answer(_ context.Context, a *store.Attempt) (*string, error) {
	return optional(strings.ToValidUTF8(string(a.Answer), "\ufffd")), nil
}

func (r attemptResolver) Peer(_ context.Context, a *store.Attempt) (*string, error) {
	return optional(a.Peer), nil
}

// deliveryPage lists deliveries, newest first.
func (s *Server) deliveryPage(ctx context.Context, first *int, after *string, filter store.DeliveryFilter) (*generated.DeliveryConnection, error) {
	found, err := dated(ctx, s, "deliveries", first, after, func(tx store.Tx, place store.DateKey, n int) ([]*store.Delivery, error) {
		return tx.Deliveries(filter, place, n)
	}, func(d *store.Delivery) store.DateKey { return store.DateKey{At: d.CreatedAt, ID: d.ID} })
	if err != nil {
		return nil, err
	}
	c := &generated.DeliveryConnection{Edges: make([]*generated.DeliveryEdge, len(found.nodes)), PageInfo: found.info}
	for i, d := range found.nodes {
		c.Edges[i] = &generated.DeliveryEdge{Cursor: found.cursors[i], Node: d}
	}
	return c, nil
}
