package account

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// What an account may send from (RFC 8621, 6) is kept with it, so that reading
// it costs nothing and a message can be taken while the provider is away. It is
// asked for when an account was connected, after rounds of syncing, and when
// somebody sends from an address that is not in the list: it may have been
// added a moment ago.
const (
	// identitiesFresh is how long a list is not asked for again after a round.
	identitiesFresh = time.Hour
	// identitiesAgain is how long it is not asked for again because an address
	// is missing: who tries them out is not to cost a request each.
	identitiesAgain = 10 * time.Second
	// identitiesWait bounds one question.
	identitiesWait = 15 * time.Second
)

// CodeNotPermitted refuses a message from an address that the account may not
// send from.
const CodeNotPermitted = "from_not_permitted"

// senders knows whose identities were asked for when, and whose are to be.
type senders struct {
	wake chan struct{}
	mu   sync.Mutex
	// asked is when the provider was asked last, failed when it last gave no
	// answer, by account.
	asked, failed map[string]time.Time
	wanted        map[string]bool
}

func newSenders() *senders {
	return &senders{wake: make(chan struct{}, 1), asked: map[string]time.Time{}, failed: map[string]time.Time{}, wanted: map[string]bool{}}
}

// due has an account's identities asked for, if they were not for a while.
func (n *senders) due(account string, now time.Time) {
	n.mu.Lock()
	last, known := n.asked[account]
	stale := !known || now.Sub(last).Abs() >= identitiesFresh
	n.mu.Unlock()
	if stale {
		n.anew(account)
	}
}

// anew has them asked for in any case.
func (n *senders) anew(account string) {
	n.mu.Lock()
	n.wanted[account] = true
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *senders) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for account := range n.wanted {
		out = append(out, account)
	}
	clear(n.wanted)
	return out
}

// asking notes that an account's identities are asked for now.
func (n *senders) asking(account string, now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[account] = now
}

// justAsked reports whether asking again could hardly tell anything new.
func (n *senders) justAsked(account string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.asked[account]
	return known && now.Sub(last).Abs() < identitiesAgain
}

// answered notes whether an answer came.
func (n *senders) answered(account string, now time.Time, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.failed[account] = now
	} else {
		delete(n.failed, account)
	}
}

// justFailed reports whether no answer came a moment ago.
func (n *senders) justFailed(account string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.failed[account]
	return known && now.Sub(last).Abs() < identitiesAgain
}

func (n *senders) forget(account string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.failed, account)
	delete(n.asked, account)
	delete(n.wanted, account)
}

// keepIdentities asks for what is due, until ctx ends.
func (s *Service) keepIdentities(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 4)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.senders.wake:
		}
		for _, id := range s.senders.take() {
			select {
			case <-ctx.Done():
				return
			case slots <- struct{}{}:
			}
			wg.Go(func() {
				defer func() { <-slots }()
				a, err := s.get(ctx, id)
				if err == nil && !a.Paused && a.State != store.AccountGrantExpired {
					_, _, err = s.askIdentities(ctx, a, provider.Backfill)
				}
				if err != nil && ctx.Err() == nil && mail.KindOf(err) != mail.KindNotFound {
					// The next round asks again, and who sends meanwhile does.
					s.log.DebugContext(ctx, "identities not read", "account", id, "error", err)
				}
			})
		}
	}
}

// Identities are the addresses that an account may send from: what the provider
// told, or the account's own where it tells nothing.
func (s *Service) Identities(ctx context.Context, a *store.Account) ([]mail.Identity, error) {
	if len(a.Identities) > 0 {
		return a.Identities, nil
	}
	var list []mail.Identity
	var err error
	if !s.senders.justFailed(a.ID, s.now()) { // who reads on waits once for a provider that is away
		list, _, err = s.askIdentities(ctx, a, provider.Interactive)
	}
	if err != nil || len(list) == 0 {
		if err != nil && ctx.Err() == nil {
			s.log.DebugContext(ctx, "identities not read", "account", a.ID, "error", err)
		}
		list = []mail.Identity{{Email: a.Address, Name: a.Name, Default: true}}
	}
	return list, ctx.Err()
}

// MaySend refuses an address that the account may not send from, as far as its
// provider tells beforehand: some only judge what is sent, and one that merely
// rewrites it would have the wrong person say it.
func (s *Service) MaySend(ctx context.Context, a *store.Account, from string) error {
	info, err := s.providers.Info(a.Provider)
	if err != nil {
		return err
	}
	list, partial := a.Identities, a.IdentitiesPartial
	if !info.Has(provider.CapIdentities) || permits(list, from) || len(list) > 0 && partial {
		return nil
	}
	if len(list) == 0 || !s.senders.justAsked(a.ID, s.now()) {
		fresh, open, err := s.askIdentities(ctx, a, provider.Interactive)
		switch {
		case err == nil:
			list, partial = fresh, open
		case len(list) == 0:
			return err
		}
	}
	if partial || permits(list, from) {
		return nil
	}
	return &mail.Error{Kind: mail.KindForbidden, Op: "submit message", Code: CodeNotPermitted,
		Message: "the account may not send from this address; its identities are those that it may send from"}
}

func permits(list []mail.Identity, from string) bool {
	return slices.ContainsFunc(list, func(i mail.Identity) bool { return strings.EqualFold(i.Email, from) })
}

// askIdentities asks the provider and keeps what is new. It gives nothing where
// the provider tells none.
func (s *Service) askIdentities(ctx context.Context, a *store.Account, p provider.Priority) (list []mail.Identity, partial bool, err error) {
	info, err := s.providers.Info(a.Provider)
	if err != nil || !info.Has(provider.CapIdentities) {
		return nil, true, err
	}
	s.senders.asking(a.ID, s.now())
	plugin, err := s.providers.Provider(a.Provider)
	if err != nil {
		return nil, false, err
	}
	asking, cancel := context.WithTimeout(ctx, identitiesWait)
	defer cancel()
	resp, err := plugin.Identities(asking, &provider.IdentitiesRequest{Call: provider.Call{Account: a.ID, Priority: p}})
	s.senders.answered(a.ID, s.now(), err)
	if err != nil {
		return nil, false, err
	}
	if resp.Partial == a.IdentitiesPartial && slices.Equal(resp.Identities, a.Identities) {
		return resp.Identities, resp.Partial, nil
	}
	err = s.store.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(a.ID)
		if errors.Is(err, store.ErrNotFound) {
			return nil // disconnected meanwhile
		}
		if err != nil {
			return err
		}
		a.Identities, a.IdentitiesPartial = resp.Identities, resp.Partial
		return tx.PutAccount(a)
	})
	return resp.Identities, resp.Partial, err
}
