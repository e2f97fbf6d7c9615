package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

const (
	// openLimit and giveBackLimit bound what is asked of a provider whose
	// account ends: it may be down for good.
	openLimit     = 5 * time.Second
	giveBackLimit = 15 * time.Second
	// dropLimit bounds deleting what is left of an account.
	dropLimit = time.Minute
)

// Disconnect ends an account. One transaction tells the event and destroys the
// account's key, which makes what is left of it unreadable at once; after that
// there is no way back, and whoever asked need not wait: erase (where there is
// one) is called, the mirror forgets the account, the push channel and, if
// asked, the grant are given back, and what is left is deleted. What a crash
// leaves of that the store sweeps when it is opened.
func (s *Service) Disconnect(ctx context.Context, id string, revoke bool, erase func(ctx context.Context) error) error {
	a, err := s.get(ctx, id)
	if err != nil {
		return err
	}
	giveBack := s.farewell(ctx, a, revoke)
	ctx = context.WithoutCancel(ctx)
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		now, err := tx.Account(id)
		if err != nil {
			return err
		}
		if _, err := b.Add(&event.Event{Type: event.AccountDisconnected, Account: id}); err != nil {
			return err
		}
		if err := s.dropGrant(tx, now); err != nil {
			return err
		}
		b.Finally(func() error { return tx.DeleteAccount(id) })
		return nil
	})
	if err != nil {
		return notFound(err)
	}
	var errs []error
	if erase != nil {
		errs = append(errs, erase(ctx))
	}
	s.mirror.Forget(id)
	s.watches.forget(id)
	s.senders.forget(id)
	s.faults.leave(id)
	giveBack(ctx)
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	errs = append(errs, s.store.Blobs().DeleteAccount(ctx, id), s.dropRecords(ctx, id))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the account is disconnected, but something of it is left: %w", err)
	}
	return nil
}

// farewell prepares giving back what the provider holds for us. The plugin gets
// the grant now, since the store will not have it any more. It is best effort:
// an account whose provider does not answer can be disconnected all the same.
func (s *Service) farewell(ctx context.Context, a *store.Account, revoke bool) func(context.Context) {
	log := func(msg string, err error) {
		if err != nil {
			s.log.WarnContext(ctx, msg, "account", a.ID, "error", err)
		}
	}
	p, err := s.providers.Provider(a.Provider)
	if err != nil {
		return func(context.Context) {}
	}
	if revoke || a.Watch.ID != "" {
		ctx, cancel := context.WithTimeout(ctx, openLimit)
		defer cancel()
		req, err := s.OpenRequest(ctx, a.ID)
		if err == nil {
			err = p.Open(ctx, req)
		}
		log("plugin did not open the account", err)
	}
	return func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, giveBackLimit)
		defer cancel()
		call := provider.Call{Account: a.ID, Priority: provider.Write}
		if a.Watch.ID != "" {
			log("push channel not ended", p.Unwatch(ctx, &provider.UnwatchRequest{Call: call, ID: a.Watch.ID, State: a.Watch.State}))
		}
		if revoke {
			log("grant not revoked", p.Revoke(ctx, &provider.RevokeRequest{Call: call}))
		}
		log("plugin did not close the account", p.Close(ctx, &provider.CloseRequest{Account: a.ID}))
	}
}

func (s *Service) dropGrant(tx store.Tx, a *store.Account) error {
	g, err := tx.Grant(a.Grant)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	var left []string
	for _, other := range g.Accounts {
		if other != a.ID {
			left = append(left, other)
		}
	}
	if g.Accounts = left; len(left) > 0 {
		return tx.PutGrant(g)
	}
	return tx.DeleteGrant(g.ID)
}

func (s *Service) dropRecords(ctx context.Context, id string) error {
	for more := true; more; {
		err := s.store.Update(ctx, func(tx store.Tx) (err error) {
			more, err = tx.DropAccountRecords(id, store.MaxRecords)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
