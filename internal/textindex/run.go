package textindex

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/store"
)

const (
	// gather is how long Run waits between two looks: extracts come in crowds.
	gather = 250 * time.Millisecond
	// again is when it looks at every account, touched or not: new mail waits for
	// it, and is scanned meanwhile.
	again = time.Minute
)

// Run keeps the indexes up to date until ctx is done. A store has one Run.
func (x *Index) Run(ctx context.Context) error {
	every := time.NewTicker(again)
	defer every.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	if err := x.touchAll(ctx); err != nil {
		x.log.WarnContext(ctx, "accounts were not read for the search index", "error", err)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			if err := x.touchAll(ctx); err != nil {
				x.log.WarnContext(ctx, "accounts were not read for the search index", "error", err)
			}
			continue
		case <-x.wake:
		}
		for _, account := range x.touched() {
			if ctx.Err() != nil {
				return nil
			}
			if x.hold() == nil {
				x.tend(ctx, account)
			}
		}
		pause.Reset(gather)
		select {
		case <-ctx.Done():
			return nil
		case <-pause.C:
		}
	}
}

// tend does all that there is to do for one account.
func (x *Index) tend(ctx context.Context, account string) {
	err := x.update(ctx, account)
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrNotFound):
		// The account is gone, and its index with it.
		delete(x.stay, account)
		x.mu.Lock()
		delete(x.broken, account)
		delete(x.searched, account)
		x.mu.Unlock()
		x.views.drop(account)
	case errors.Is(err, store.ErrDamaged):
		x.log.WarnContext(ctx, "search index is damaged: building it anew", "account", account, "error", err)
		if err := x.reset(ctx, account); err != nil {
			x.log.WarnContext(ctx, "search index was not reset", "account", account, "error", err)
			return
		}
		x.Touch(account)
	default:
		// What is not indexed is scanned; the next touch tries again.
		x.log.WarnContext(ctx, "search index was not updated", "account", account, "error", err)
	}
}

// update brings an account's index up to date.
func (x *Index) update(ctx context.Context, account string) error {
	err := x.store.View(ctx, func(tx store.Tx) error {
		_, err := tx.Account(account)
		return err
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	broken, least := x.broken[account], x.fresh
	if x.searched[account] {
		least = x.crowd()
	}
	delete(x.broken, account)
	delete(x.searched, account)
	x.mu.Unlock()
	if broken {
		if err := x.reset(ctx, account); err != nil {
			return err
		}
	}
	if err := x.collect(ctx, account); err != nil {
		return err
	}
	fold := func() (bool, error) { return x.fold(ctx, account, least) }
	compact := func() (bool, error) { return x.compact(ctx, account) }
	for _, step := range []func() (bool, error){fold, compact} {
		for more := true; more; {
			var err error
			if more, err = step(); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// distrust has an account's index built anew.
func (x *Index) distrust(account string) {
	x.mu.Lock()
	x.broken[account] = true
	x.mu.Unlock()
	x.Touch(account)
}

func (x *Index) touchAll(ctx context.Context) error {
	after := ""
	for {
		n := 0
		err := x.store.View(ctx, func(tx store.Tx) error {
			accounts, err := tx.AccountsAfter(after, 500)
			n = len(accounts)
			for _, a := range accounts {
				x.Touch(a.ID)
				after = a.ID
			}
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
