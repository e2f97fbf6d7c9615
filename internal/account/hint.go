package account

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Hint takes what a provider told by push: something happened to an account.
// A hint for nobody we know is dropped.
func (s *Service) Hint(ctx context.Context, instance string, h *provider.Hint) {
	account := h.Account
	if account == "" {
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			account, err = tx.AccountByLookup(instance, h.LookupKey)
			return err
		})
		if err != nil {
			s.log.DebugContext(ctx, "hint for an unknown account", "provider", instance)
			return
		}
	}
	switch h.Kind {
	case provider.HintRemoved:
		if err := s.lost(ctx, account); err != nil {
			s.log.ErrorContext(ctx, "loss of a push channel not noted", "account", account, "error", err)
		}
		s.watches.due(account)
	case provider.HintRenew:
		s.watches.due(account)
	}
	if h.Kind == provider.HintChanged {
		s.mirror.Hinted(ctx, account)
	} else {
		s.mirror.Touch(ctx, account)
	}
	select {
	case s.hinted <- hinted{account, s.now()}:
	default: // so many that one more time says nothing
	}
}

// hinted is when push told of an account.
type hinted struct {
	account string
	at      time.Time
}

// noteHints notes when accounts were told of, until ctx ends. Nobody waits for
// that: the provider wants its answer, the owner the mail.
func (s *Service) noteHints(ctx context.Context) {
	for {
		last := map[string]time.Time{}
		select {
		case h := <-s.hinted:
			last[h.account] = h.at
		case <-ctx.Done():
			return
		}
		for more := true; more && len(last) < store.MaxRecords/2; {
			select {
			case h := <-s.hinted:
				last[h.account] = h.at
			default:
				more = false
			}
		}
		err := s.store.UpdateSoon(ctx, func(tx store.Tx) error {
			for account, at := range last {
				a, err := tx.Account(account)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				a.Watch.LastHintAt = at
				if err := tx.PutAccount(a); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "times of hints not noted", "error", err)
		}
	}
}

// lost forgets a channel that the provider has ended.
func (s *Service) lost(ctx context.Context, account string) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		a.Watch = store.Watch{LastHintAt: a.Watch.LastHintAt}
		return tx.PutAccount(a)
	})
}
