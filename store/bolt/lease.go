package bolt

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/postern-mail/postern/store"
)

// leases are kept in memory: the database's lock makes this process the only
// gateway, so a lease that it does not remember is nobody's. Tokens grow over
// restarts, since they begin with how often the store was opened.
type leases struct {
	store *Store
	mu    sync.Mutex
	held  map[string]lease
	token uint64
}

type lease struct {
	owner   string
	token   uint64
	expires time.Time
}

func newLeases(s *Store, opened uint64) *leases {
	return &leases{store: s, held: map[string]lease{}, token: opened << 32}
}

// Acquire takes or renews a lease.
func (l *leases) Acquire(ctx context.Context, name, owner string, ttl time.Duration) (bool, uint64, error) {
	if err := l.check(ctx); err != nil {
		return false, 0, err
	}
	if name == "" || owner == "" || ttl <= 0 {
		return false, 0, errors.New("acquire lease: name, owner and a time to live are needed")
	}
	now := l.store.opts.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	have, ok := l.held[name]
	if ok && now.Before(have.expires) && have.owner != owner {
		return false, have.token, nil
	}
	if !ok || have.owner != owner || !now.Before(have.expires) {
		l.token++
		have = lease{owner: owner, token: l.token}
	}
	have.expires = now.Add(ttl)
	l.held[name] = have
	return true, have.token, nil
}

// Release gives a lease back.
func (l *leases) Release(ctx context.Context, name, owner string) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name].owner == owner {
		delete(l.held, name)
	}
	return nil
}

func (l *leases) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	if l.store.closed {
		return store.ErrClosed
	}
	return nil
}
