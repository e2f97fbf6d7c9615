package pluginhost

import (
	"context"
	"sync"
	"time"
)

// accounts knows which accounts are open in one plugin process. Opening and
// closing one account excludes each other and its calls; a new process starts
// with none.
type accounts struct {
	now func() time.Time
	mu  sync.Mutex
	m   map[string]*openAccount
}

type openAccount struct {
	open  bool
	gen   int           // counts the openings
	busy  chan struct{} // not nil while it is being opened or closed
	calls int
	last  time.Time // when the last call ended
}

func newAccounts(now func() time.Time) *accounts {
	return &accounts{now: now, m: map[string]*openAccount{}}
}

// claim waits until nobody opens or closes the account, and returns it with
// the lock held.
func (a *accounts) claim(ctx context.Context, id string) (*openAccount, error) {
	for {
		a.mu.Lock()
		acct := a.m[id]
		if acct == nil {
			acct = &openAccount{}
			a.m[id] = acct
		}
		busy := acct.busy
		if busy == nil {
			return acct, nil
		}
		a.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// change runs f, which opens or closes the account, with the lock released and
// the account busy. It is called with the lock held and returns without it.
func (a *accounts) change(id string, acct *openAccount, f func() error, open bool) error {
	busy := make(chan struct{})
	acct.busy = busy
	a.mu.Unlock()
	err := f()
	a.mu.Lock()
	defer a.mu.Unlock()
	acct.busy = nil
	close(busy)
	if err == nil {
		acct.open, acct.last = open, a.now()
		acct.gen++
	}
	if !acct.open && acct.calls == 0 {
		delete(a.m, id)
	}
	return err
}

// enter begins a call on the account, opening it first where it is not. It
// tells which opening the call relies on.
func (a *accounts) enter(ctx context.Context, id string, open func() error) (gen int, err error) {
	for {
		acct, err := a.claim(ctx, id)
		if err != nil {
			return 0, err
		}
		if acct.open {
			acct.calls++
			gen = acct.gen
			a.mu.Unlock()
			return gen, nil
		}
		if err := a.change(id, acct, open, true); err != nil {
			return 0, err
		}
	}
}

// leave ends what enter began.
func (a *accounts) leave(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if acct := a.m[id]; acct != nil {
		acct.calls--
		acct.last = a.now()
		if !acct.open && acct.calls == 0 && acct.busy == nil {
			delete(a.m, id)
		}
	}
}

// set runs a caller's own Open or Close.
func (a *accounts) set(ctx context.Context, id string, f func() error, open bool) error {
	acct, err := a.claim(ctx, id)
	if err != nil {
		return err
	}
	return a.change(id, acct, f, open)
}

// notOpen has the account opened anew, because a call found the plugin not to
// know it; unless that was done since.
func (a *accounts) notOpen(id string, gen int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if acct := a.m[id]; acct != nil && acct.gen == gen {
		acct.open = false
	}
}

// forget has the account opened anew before its next call, because the grant
// that the plugin has is refused.
func (a *accounts) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if acct := a.m[id]; acct != nil {
		acct.open = false
	}
}

// closeIdle closes the accounts that nobody has used since before.
func (a *accounts) closeIdle(before time.Time, closeAccount func(id string) error) {
	a.mu.Lock()
	var idle []string
	for id, acct := range a.m {
		if acct.idle(before) {
			idle = append(idle, id)
		}
	}
	a.mu.Unlock()
	for _, id := range idle {
		a.mu.Lock()
		acct := a.m[id]
		if acct == nil || !acct.idle(before) { // used meanwhile
			a.mu.Unlock()
			continue
		}
		// An account that would not close stays, and is tried again.
		_ = a.change(id, acct, func() error { return closeAccount(id) }, false)
	}
}

func (o *openAccount) idle(before time.Time) bool {
	return o.open && o.busy == nil && o.calls == 0 && o.last.Before(before)
}
