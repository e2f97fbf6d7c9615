package account

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// PluginStarted tells that an instance's plugin serves calls: a new process,
// which holds no tokens. It does not block; what it missed is found by the next
// poll.
func (s *Service) PluginStarted(instance string) {
	s.faults.renewed(instance)
	s.begin(instance)
}

// Reconfigured tells that the provider instances were configured anew: the
// accounts of those named are tried at once. Who is not configured any more is
// found out by trying.
func (s *Service) Reconfigured(ctx context.Context, instances []string) {
	for _, instance := range instances {
		s.faults.mu.Lock()
		had := s.faults.m[instance]
		nobody := had != nil && len(had.met) == 0
		s.faults.mu.Unlock()
		// Only somebody who wanted to connect met it; who comes next will see.
		// And a provider that is gone has no faults.
		switch _, err := s.providers.Info(instance); {
		case had != nil && mail.KindOf(err) == mail.KindNotFound:
			s.endFault(ctx, instance, notConfigured)
		case nobody:
			s.endFault(ctx, instance, configuredNew)
		}
		s.begin(instance)
	}
}

func (s *Service) begin(instance string) {
	s.listeners.begin(instance)
	select {
	case s.started <- instance:
	default:
	}
}

// resume goes on with the accounts of an instance whose plugin has begun to
// serve, or was configured anew: everything that failed meanwhile is tried at
// once.
func (s *Service) resume(ctx context.Context, instance string) error {
	after := ""
	for {
		var list []*store.Account
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			list, err = tx.AccountsAfter(after, 500)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, a := range list {
			if a.Provider != instance {
				continue
			}
			s.mirror.Anew(a.ID)
			at := s.renewAt(a.Watch.Expires)
			if !s.watched(instance) {
				at = s.now() // to end a channel that is left
			}
			s.watches.at(a.ID, at)
		}
		after = list[len(list)-1].ID
	}
}

// orphaned stops the accounts of a provider that is not configured. When it is
// back, their next round heals them.
func (s *Service) orphaned(ctx context.Context, account string) error {
	a, err := s.get(ctx, account)
	if err != nil {
		return err
	}
	if _, err := s.providers.Info(a.Provider); mail.KindOf(err) != mail.KindNotFound {
		return nil
	}
	reason := fmt.Sprintf("the settings have no provider %q any more", a.Provider)
	return s.store.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil {
			return err
		}
		switch a.State {
		case store.AccountConnecting, store.AccountSyncing, store.AccountReady:
			a.State, a.StateReason = store.AccountError, reason
			// The channel stays at the provider until it runs out there.
			a.Watch = store.Watch{LastHintAt: a.Watch.LastHintAt}
			return tx.PutAccount(a)
		}
		return nil
	})
}
