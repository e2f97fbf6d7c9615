package graph

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func (r accountResolver) Name(_ context.Context, a *store.Account) (*string, error) {
	return optional(a.Name), nil
}

func (r accountResolver) ExternalID(_ context.Context, a *store.Account) (*string, error) {
	return optional(a.ExternalID), nil
}

// StateReason says it, too, where it is the account's provider that cannot
// work: nobody's consent is needed then, so the account's state is as it was.
// While all is well it says when that will end, if it is known to.
func (r accountResolver) StateReason(ctx context.Context, a *store.Account) (*string, error) {
	if a.StateReason != "" {
		return &a.StateReason, nil
	}
	list, err := r.services.Providers.Providers(ctx)
	for _, p := range list {
		if p.ID == a.Provider && p.State == service.ProviderMisconfigured {
			why := "provider " + p.ID + " is misconfigured: " + p.Reason
			return &why, err
		}
	}
	return optional(a.Ending()), err
}

func (r accountResolver) Identities(ctx context.Context, a *store.Account) ([]*mail.Identity, error) {
	list, err := r.services.Accounts.Identities(ctx, a)
	out := make([]*mail.Identity, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out, err
}

func (identityResolver) ReplyTo(_ context.Context, i *mail.Identity) (*string, error) {
	return optional(i.ReplyTo), nil
}

func (r accountResolver) Mailboxes(ctx context.Context, a *store.Account) ([]*store.Mailbox, error) {
	byID, err := loadersOf(ctx).mailboxes.load(ctx, a.ID)
	list := make([]*store.Mailbox, 0, len(byID))
	paths := make(map[string]string, len(byID))
	for id, m := range byID {
		list = append(list, m)
		paths[id] = pathOf(m, byID)
	}
	slices.SortFunc(list, func(a, b *store.Mailbox) int {
		return cmp.Or(strings.Compare(paths[a.ID], paths[b.ID]), strings.Compare(a.ID, b.ID))
	})
	return list, err
}

func (r accountResolver) Messages(ctx context.Context, a *store.Account, first *int, after *string, filter *generated.MessageFilter) (*generated.MessageConnection, error) {
	return r.accountMessages(ctx, a.ID, first, after, filter)
}

func (r accountResolver) Threads(ctx context.Context, a *store.Account, first *int, after *string) (*generated.ThreadConnection, error) {
	return r.threadPage(ctx, a.ID, first, after)
}

func (r accountResolver) Search(ctx context.Context, a *store.Account, query string, first *int, after *string) (*generated.MessageConnection, error) {
	return r.searchPage(ctx, a.ID, query, first, after)
}

func (r accountResolver) Progress(_ context.Context, a *store.Account) (*generated.Progress, error) {
	return &generated.Progress{Done: a.Done, Total: a.Total}, nil
}

// State tells from the channel's id and expiry how changes come to be known.
func (r watchResolver) State(_ context.Context, w *store.Watch) (service.WatchState, error) {
	switch {
	case w.ID == "":
		return service.WatchPolling, nil
	case !w.Expires.IsZero() && w.Expires.Before(r.opts.Now()):
		return service.WatchRenewing, nil
	}
	return service.WatchPush, nil
}

// accountPage lists accounts by id.
func (s *Server) accountPage(ctx context.Context, first *int, after *string, filter *generated.AccountFilter) (*generated.AccountConnection, error) {
	const list = "accounts"
	n, err := pageSize(first, 50)
	if err != nil {
		return nil, err
	}
	place, err := decodeCursor(list, after)
	if err != nil {
		return nil, err
	}
	var found []*store.Account
	if err := s.eachAccount(ctx, string(place), filter, func(a *store.Account) bool {
		found = append(found, a)
		return len(found) <= n
	}); err != nil {
		return nil, err
	}
	more := len(found) > n
	if more {
		found = found[:n]
	}
	c := &generated.AccountConnection{Edges: make([]*generated.AccountEdge, 0, len(found))}
	var start, end string
	for _, a := range found {
		loadersOf(ctx).accounts.prime(a.ID, a)
		end = encodeCursor(list, []byte(a.ID))
		if start == "" {
			start = end
		}
		c.Edges = append(c.Edges, &generated.AccountEdge{Cursor: end, Node: a})
	}
	c.PageInfo = pageInfo(after, more, start, end)
	if wants(ctx, "totalCount") {
		var total int64
		if err := s.eachAccount(ctx, "", filter, func(*store.Account) bool { total++; return true }); err != nil {
			return nil, err
		}
		c.TotalCount = &total
	}
	return c, nil
}

// eachAccount reads accounts that match, in short transactions, while each says so.
func (s *Server) eachAccount(ctx context.Context, after string, filter *generated.AccountFilter, each func(*store.Account) bool) error {
	const chunk = 200
	for {
		var list []*store.Account
		if err := s.store.View(ctx, func(tx store.Tx) (err error) {
			list, err = tx.AccountsAfter(after, chunk)
			return err
		}); err != nil {
			return err
		}
		for _, a := range list {
			after = a.ID
			if matchAccount(filter, a) && !each(a) {
				return nil
			}
		}
		if len(list) < chunk {
			return nil
		}
	}
}

func matchAccount(f *generated.AccountFilter, a *store.Account) bool {
	return f == nil ||
		(f.Provider == nil || *f.Provider == a.Provider) &&
			(f.Address == nil || strings.EqualFold(*f.Address, a.Address)) &&
			(f.ExternalID == nil || *f.ExternalID == a.ExternalID) &&
			(f.States == nil || slices.Contains(f.States, a.State))
}

// account reads an account past the loaders, NOT_FOUND where there is none.
func (s *Server) account(ctx context.Context, id string) (*store.Account, error) {
	found, err := readEach(s, store.Tx.Account)(ctx, []string{id})
	if err != nil {
		return nil, err
	}
	if found[id] == nil {
		return nil, notFound("account", id)
	}
	return found[id], nil
}

// ownerOf loads the account of something that always has one.
func ownerOf(ctx context.Context, id string) (*store.Account, error) {
	a, err := loadersOf(ctx).accounts.load(ctx, id)
	if err == nil && a == nil {
		err = notFound("account", id)
	}
	return a, err
}

// maybeAccount loads the account of something that may have none any more.
func maybeAccount(ctx context.Context, id string) (*store.Account, error) {
	if id == "" {
		return nil, nil
	}
	return loadersOf(ctx).accounts.load(ctx, id)
}
