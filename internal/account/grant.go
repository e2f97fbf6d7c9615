package account

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// OpenRequest gives what a plugin needs to open an account.
func (s *Service) OpenRequest(ctx context.Context, account string) (*provider.OpenRequest, error) {
	var req *provider.OpenRequest
	err := s.store.View(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		g, err := tx.Grant(a.Grant)
		if err != nil {
			return err
		}
		req = &provider.OpenRequest{Account: a.ID, Subject: a.Subject, Address: a.Address, Grant: g.Bytes}
		return nil
	})
	return req, notFound(err)
}

// SaveGrant stores new grant bytes; they are durable when it returns.
func (s *Service) SaveGrant(ctx context.Context, instance, account string, grant []byte) error {
	err := s.store.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		if a.Provider != instance {
			return mail.Errorf(mail.KindForbidden, "save grant", "the account belongs to another provider")
		}
		g, err := tx.Grant(a.Grant)
		if err != nil {
			return err
		}
		g.Bytes, g.UpdatedAt = grant, s.now()
		return tx.PutGrant(g)
	})
	if err == nil {
		s.refreshes.WithLabelValues(instance).Inc()
		s.works(ctx, instance, account, true)
	}
	return notFound(err)
}

// GrantRefused takes what a plugin or a failed call says of an account's
// grant. An expired one stops the account and is told once; a refusal of the
// application is its provider's state, and no grant's.
func (s *Service) GrantRefused(ctx context.Context, account string, reason error) {
	s.refused.WithLabelValues(string(mail.KindOf(reason))).Inc()
	var err error
	switch mail.KindOf(reason) {
	case mail.KindGrantExpired:
		err = s.expire(ctx, account, reason)
	case mail.KindMisconfigured:
		var a *store.Account
		if a, err = s.get(ctx, account); err == nil {
			err = s.misconfigured(ctx, a.Provider, account, reason)
		}
	case mail.KindNotFound:
		err = s.orphaned(ctx, account)
	default:
		return
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.ErrorContext(ctx, "refusal of a grant not noted", "account", account, "error", err)
	}
}

func (s *Service) expire(ctx context.Context, account string, reason error) error {
	err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		a, err := tx.Account(account)
		if err != nil || a.State == store.AccountGrantExpired {
			return err
		}
		a.State, a.StateReason = store.AccountGrantExpired, publicReason(reason)
		// Nothing is pulled, whatever the channel tells; connecting again makes
		// another one.
		a.Watch = store.Watch{LastHintAt: a.Watch.LastHintAt}
		if _, err := b.Add(&event.Event{Type: event.AccountGrantExpired, Account: account, Reason: a.StateReason}); err != nil {
			return err
		}
		return tx.PutAccount(a)
	})
	if err == nil {
		s.faults.leave(account)
		s.log.WarnContext(ctx, "grant expired", "account", account, "error", reason)
	}
	return err
}

// publicReason is code and words of an error, without what lies below.
func publicReason(err error) string {
	var e *mail.Error
	if !errors.As(err, &e) {
		return string(mail.KindOf(err))
	}
	shown := *e
	shown.Op, shown.Err = "", nil
	return shown.Error()
}
