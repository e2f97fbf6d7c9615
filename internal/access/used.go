package access

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/postern-mail/postern/store"
)

// writeUses is how often the times of last use are written.
const writeUses = time.Minute

// uses remembers when app passwords were used last, until that is written.
type uses struct {
	clock func() time.Time
	mu    sync.Mutex
	m     map[string]time.Time
}

func (u *uses) now(id string) {
	if id == "" {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.m[id] = u.clock().UTC()
}

func (u *uses) of(id string) time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.m[id]
}

func (u *uses) all() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[string]time.Time, len(u.m))
	for id, t := range u.m {
		out[id] = t
	}
	return out
}

// written forgets what is in the store.
func (u *uses) written(done map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for id, t := range done {
		if u.m[id].Equal(t) {
			delete(u.m, id)
		}
	}
}

// Run writes when app passwords were used last, once a minute and at the end: a
// mail program that opens a connection every second is no reason for a
// commit every second.
func (a *Access) Run(ctx context.Context) error {
	ticker := time.NewTicker(writeUses)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			a.logged(ctx, a.writeUses(ctx))
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			a.logged(last, a.writeUses(last))
			return nil
		}
	}
}

func (a *Access) logged(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		a.opts.Log.LogAttrs(ctx, slog.LevelError, "last uses of app passwords not written", slog.Any("error", err))
	}
}

func (a *Access) writeUses(ctx context.Context) error {
	all := a.uses.all()
	for len(all) > 0 {
		step := map[string]time.Time{}
		for id, t := range all {
			if len(step) == store.MaxRecords/4 {
				break
			}
			step[id] = t
			delete(all, id)
		}
		err := a.store.UpdateSoon(ctx, func(tx store.Tx) error {
			for id, t := range step {
				p, err := tx.AppPassword(id)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				if p.LastUsedAt = t; p.Revoked.IsZero() {
					if err := tx.PutAppPassword(p); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		a.uses.written(step)
	}
	return nil
}
