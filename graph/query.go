package graph

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

func (r queryResolver) Viewer(ctx context.Context) (*service.Principal, error) {
	return principalOf(ctx)
}

func (r queryResolver) Providers(ctx context.Context) ([]*service.Provider, error) {
	return r.services.Providers.Providers(ctx)
}

func (r queryResolver) Account(ctx context.Context, id string) (*store.Account, error) {
	return loadersOf(ctx).accounts.load(ctx, id)
}

func (r queryResolver) Accounts(ctx context.Context, first *int, after *string, filter *generated.AccountFilter) (*generated.AccountConnection, error) {
	return r.accountPage(ctx, first, after, filter)
}

// Mailbox finds a mailbox by its id alone, so it is the one read that goes past
// the loader of an account's mailboxes.
func (r queryResolver) Mailbox(ctx context.Context, id string) (*store.Mailbox, error) {
	found, err := readEach(r.Server, store.Tx.Mailbox)(ctx, []string{id})
	return found[id], err
}

func (r queryResolver) Message(ctx context.Context, id string) (*store.Message, error) {
	return loadersOf(ctx).messages.load(ctx, id)
}

func (r queryResolver) Thread(ctx context.Context, id string) (*store.Thread, error) {
	return loadersOf(ctx).threads.load(ctx, id)
}

func (r queryResolver) Events(ctx context.Context, accounts []string, types []event.Type, after *string, first *int, backfill *bool) (*generated.EventConnection, error) {
	return r.eventPage(ctx, eventFilter{accounts: accounts, types: types, backfill: backfill == nil || *backfill}, after, first)
}

// Endpoints lists by age: there are few.
func (r queryResolver) Endpoints(ctx context.Context) ([]*service.Endpoint, error) {
	byID, err := loadersOf(ctx).endpoints.load(ctx, "")
	list := make([]*service.Endpoint, 0, len(byID))
	for _, e := range byID {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *service.Endpoint) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, err
}

func (r queryResolver) Endpoint(ctx context.Context, id string) (*service.Endpoint, error) {
	return r.endpoint(ctx, id)
}

func (r queryResolver) Deliveries(ctx context.Context, first *int, after *string, filter *store.DeliveryFilter) (*generated.DeliveryConnection, error) {
	return r.deliveryPage(ctx, first, after, value(filter))
}

func (r queryResolver) Delivery(ctx context.Context, id string) (*store.Delivery, error) {
	found, err := readEach(r.Server, store.Tx.Delivery)(ctx, []string{id})
	return found[id], err
}

func (r queryResolver) Submission(ctx context.Context, id string) (*store.Submission, error) {
	return loadersOf(ctx).submissions.load(ctx, id)
}

func (r providerResolver) StateReason(_ context.Context, p *service.Provider) (*string, error) {
	return optional(p.Reason), nil
}

func (r providerResolver) Reason(_ context.Context, p *service.Provider) (*string, error) {
	return optional(p.Reason), nil
}
