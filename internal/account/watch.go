package account

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// watches knows when each account's push channel wants attention.
type watches struct {
	now  func() time.Time
	wake chan struct{}
	mu   sync.Mutex
	next map[string]time.Time
	fail map[string]int
	// running are those that are worked on, each by one at a time.
	running map[string]bool
}

func newWatches(now func() time.Time) *watches {
	return &watches{now: now, wake: make(chan struct{}, 1), next: map[string]time.Time{}, fail: map[string]int{}, running: map[string]bool{}}
}

func (w *watches) due(account string) { w.at(account, w.now()) }

func (w *watches) at(account string, t time.Time) {
	w.mu.Lock()
	w.next[account] = t
	w.mu.Unlock()
	w.nudge()
}

// done ends work on an account that take gave; what became due meanwhile comes
// next.
func (w *watches) done(account string) {
	w.mu.Lock()
	delete(w.running, account)
	w.mu.Unlock()
	w.nudge()
}

func (w *watches) nudge() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watches) forget(account string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.next, account)
	delete(w.fail, account)
}

// take gives the accounts that are due and that nobody works on, or how long
// there are none. Each is worked on until done is called.
func (w *watches) take() (due []string, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, wait := w.now(), time.Hour
	for account, t := range w.next {
		if w.running[account] {
			continue // done nudges
		}
		if d := t.Sub(now); d > 0 {
			wait = min(wait, d)
			continue
		}
		due = append(due, account)
		delete(w.next, account)
		w.running[account] = true
	}
	return due, wait
}

// Run keeps the push channels of all accounts alive until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.noteHints(ctx) })
	wg.Go(func() { s.keepIdentities(ctx) })
	wg.Go(func() { s.listen(ctx) })
	slots := make(chan struct{}, 8)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, wait := s.watches.take()
		for _, account := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			wg.Go(func() {
				defer func() { <-slots }()
				defer s.watches.done(account)
				s.watchOne(ctx, account)
			})
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.watches.wake:
		case instance := <-s.started:
			if err := s.resume(ctx, instance); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "accounts not resumed", "provider", instance, "error", err)
			}
		}
	}
}

// renewAt is when a channel is renewed: after three quarters of what is left
// of its life, a little spread.
func (s *Service) renewAt(expires time.Time) time.Time {
	left := expires.Sub(s.now())
	if left <= 0 {
		return s.now()
	}
	return s.now().Add(time.Duration(float64(left) * (0.65 + 0.1*rand.Float64())))
}

// watchOne makes or renews one account's channel.
func (s *Service) watchOne(ctx context.Context, account string) {
	expires, err := s.watch(ctx, account)
	s.watches.mu.Lock()
	if err == nil {
		delete(s.watches.fail, account)
	} else {
		s.watches.fail[account]++
	}
	failures := s.watches.fail[account]
	s.watches.mu.Unlock()
	switch {
	case ctx.Err() != nil, errors.Is(err, store.ErrNotFound):
		return
	case err == nil && expires.IsZero():
		return // this account has no push
	case err == nil:
		s.watches.at(account, s.renewAt(expires))
	default:
		s.log.WarnContext(ctx, "push channel not made", "account", account, "error", err)
		wait := max(min(time.Second<<min(failures, 12), time.Hour), mail.RetryAfter(err))
		s.watches.at(account, s.now().Add(wait))
	}
}

func (s *Service) watch(ctx context.Context, account string) (time.Time, error) {
	a, err := s.get(ctx, account)
	if err != nil {
		return time.Time{}, err
	}
	if !s.watched(a.Provider) {
		return time.Time{}, s.unwatch(ctx, a)
	}
	if a.Paused || a.State == store.AccountGrantExpired {
		return time.Time{}, nil
	}
	info, err := s.providers.Info(a.Provider)
	if err != nil {
		return time.Time{}, err
	}
	if !info.Has(provider.CapWatch) {
		return time.Time{}, nil
	}
	p, err := s.providers.Provider(a.Provider)
	if err != nil {
		return time.Time{}, err
	}
	resp, err := p.Watch(ctx, &provider.WatchRequest{
		Call: provider.Call{Account: account, Priority: provider.Write}, ID: a.Watch.ID, State: a.Watch.State})
	if mail.KindOf(err) == mail.KindInvalid {
		// The provider's settings give it no way to push. New ones come with
		// Reconfigured.
		s.log.DebugContext(ctx, "account is polled alone", "account", account, "error", err)
		if a.Watch.ID == "" {
			return time.Time{}, nil
		}
		return time.Time{}, s.lost(ctx, account)
	}
	if err != nil {
		// A channel that cannot be made, for whatever setting, leaves polling:
		// it is no fault of the provider as a whole.
		if mail.KindOf(err) == mail.KindGrantExpired {
			s.GrantRefused(ctx, account, err)
		}
		return time.Time{}, err
	}
	renewed := resp.ID == a.Watch.ID
	err = s.store.Update(ctx, func(tx store.Tx) error {
		a, err := tx.Account(account)
		if err != nil || a.State == store.AccountGrantExpired {
			return err // the grant ended meanwhile: nothing is pulled, whatever the channel tells
		}
		a.Watch.ID, a.Watch.State, a.Watch.Expires, a.Watch.LookupKeys = resp.ID, resp.State, resp.Expires, resp.LookupKeys
		return tx.PutAccount(a)
	})
	if err == nil && !renewed {
		// What happened while there was no channel nobody told us.
		s.mirror.Touch(ctx, account)
	}
	return resp.Expires, err
}

// unwatch ends a channel of before push was turned off: what it would tell
// reaches us no more, and the account is polled.
func (s *Service) unwatch(ctx context.Context, a *store.Account) error {
	if a.Watch.ID == "" {
		return nil
	}
	p, err := s.providers.Provider(a.Provider)
	if err == nil && a.State != store.AccountGrantExpired {
		err = p.Unwatch(ctx, &provider.UnwatchRequest{
			Call: provider.Call{Account: a.ID, Priority: provider.Write}, ID: a.Watch.ID, State: a.Watch.State})
	}
	if err != nil { // it runs out by itself
		s.log.InfoContext(ctx, "push channel not ended", "account", a.ID, "error", err)
	}
	if err := s.lost(ctx, a.ID); err != nil {
		return err
	}
	s.mirror.Touch(ctx, a.ID) // it is polled more often from now on
	return nil
}
