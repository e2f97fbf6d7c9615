package access

import (
	"context"
	"errors"
	"sync"

	"github.com/postern-mail/postern/store"
)

// session is somebody who has logged in and is there.
type session struct {
	account, password string
	once              sync.Once
	ended             chan struct{}
}

func (s *session) end() { s.once.Do(func() { close(s.ended) }) }

// sessions are those who are there.
type sessions struct {
	mu sync.Mutex
	m  map[*session]struct{}
}

// end ends those that match.
func (s *sessions) end(match func(*session) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for one := range s.m {
		if match(one) {
			one.end()
		}
	}
}

// Revoked gives a channel that is closed when the principal may no longer be
// here: its app password was revoked, its API key replaced, or its account
// disconnected. The second value says that it has left; it must be called.
func (a *Access) Revoked(p *Principal) (<-chan struct{}, func()) {
	s := &session{account: p.Account, password: p.Password, ended: make(chan struct{})}
	a.sessions.mu.Lock()
	a.sessions.m[s] = struct{}{}
	a.sessions.mu.Unlock()
	// Noted first and looked up then: what ends in between is seen by one of
	// them.
	if !a.holds(p) {
		s.end()
	}
	return s.ended, func() {
		a.sessions.mu.Lock()
		delete(a.sessions.m, s)
		a.sessions.mu.Unlock()
		a.uses.now(p.Password)
	}
}

// holds reports whether a principal still is one. Where the store cannot tell,
// it stays: what it does next will fail by itself.
func (a *Access) holds(p *Principal) bool {
	if p.Password == "" && p.keys != a.keys.Load() {
		return false
	}
	err := a.store.View(context.Background(), func(tx store.Tx) error {
		if _, err := tx.Account(p.Account); err != nil || p.Password == "" {
			return err
		}
		pw, err := tx.AppPassword(p.Password)
		if err == nil && !pw.Revoked.IsZero() {
			err = store.ErrNotFound
		}
		return err
	})
	return !errors.Is(err, store.ErrNotFound)
}

// Disconnected ends the connections of an account that is gone. Its app
// passwords went with it.
func (a *Access) Disconnected(account string) {
	a.readMu.Lock()
	delete(a.read, account)
	a.readMu.Unlock()
	a.sessions.end(func(s *session) bool { return s.account == account })
}
