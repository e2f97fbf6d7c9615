package account

import (
	"context"
	"errors"
	"sync"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// faults remembers which provider instances are misconfigured, so that it is
// told once.
type faults struct {
	mu      sync.Mutex
	reasons map[string]string
}

// set notes a fault (or none) and reports whether that is news.
func (f *faults) set(instance, reason string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.reasons == nil {
		f.reasons = map[string]string{}
	}
	had := f.reasons[instance]
	if reason == "" {
		delete(f.reasons, instance)
	} else {
		f.reasons[instance] = reason
	}
	return (had == "") != (reason == "")
}

// Misconfigured gives why a provider instance cannot work, empty while it can.
func (s *Service) Misconfigured(instance string) string {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	return s.faults.reasons[instance]
}

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
		s.healthy(ctx, instance)
	}
	return notFound(err)
}

// healthy notes that an instance's credentials were accepted.
func (s *Service) healthy(ctx context.Context, instance string) {
	if s.faults.set(instance, "") {
		s.log.InfoContext(ctx, "provider works again", "provider", instance)
	}
}

// GrantRefused takes what a plugin or a failed call says of an account's
// grant. An expired one stops the account and is told once.
func (s *Service) GrantRefused(ctx context.Context, account string, reason error) {
	s.refused.WithLabelValues(string(mail.KindOf(reason))).Inc()
	var err error
	switch mail.KindOf(reason) {
	case mail.KindGrantExpired:
		err = s.expire(ctx, account, reason)
	case mail.KindMisconfigured:
		err = s.misconfigured(ctx, account, reason)
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
		if _, err := b.Add(&event.Event{Type: event.AccountGrantExpired, Account: account, Reason: a.StateReason}); err != nil {
			return err
		}
		return tx.PutAccount(a)
	})
	if err == nil {
		s.log.WarnContext(ctx, "grant expired", "account", account, "error", reason)
	}
	return err
}

func (s *Service) misconfigured(ctx context.Context, account string, reason error) error {
	a, err := s.get(ctx, account)
	if err != nil {
		return err
	}
	if !s.faults.set(a.Provider, publicReason(reason)) {
		return nil
	}
	s.log.ErrorContext(ctx, "provider misconfigured", "provider", a.Provider, "error", reason)
	return s.journal.Update(ctx, func(_ store.Tx, b *journal.Batch) error {
		_, err := b.Add(&event.Event{Type: event.ProviderMisconfigured, Reason: a.Provider + ": " + publicReason(reason)})
		return err
	})
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
