// Package session is what a plugin keeps of the host's session: the host
// itself, for those who need it (Host), and the calls that run, so that the
// end of the session ends them (Calls).
//
// A plugin's Session is usually no more than Run.
//
// Kept true: a host that has left is handed to nobody; a session that begins
// before the last one has wound up is not disturbed by it; a call that begins
// after the end of the session is cancelled at once.
package session

import (
	"context"
	"errors"
	"sync"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Run keeps the host and lets calls run until the session ends with ctx.
func Run(ctx context.Context, host provider.Host, hosts *Host, calls *Calls) {
	calls.Open()
	hosts.Set(host)
	<-ctx.Done()
	hosts.Clear(host)
	calls.CancelAll()
}

// Host holds the host of the running session. Those who need one wait for it:
// a plugin may be asked something before its session has begun. The zero value
// holds none.
type Host struct {
	mu    sync.Mutex
	host  provider.Host
	ready chan struct{} // closed when there is one; made by who waits
}

// Set takes the host of a session that begins.
func (s *Host) Set(h provider.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = h
	if s.ready != nil {
		close(s.ready)
		s.ready = nil
	}
}

// Clear forgets the host of a session that ends, unless a newer one has begun.
func (s *Host) Clear(h provider.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == h {
		s.host = nil
	}
}

// ErrNoHost answers who waited for a session in vain.
var ErrNoHost = errors.New("no session with the host")

// Get gives the host, waiting for one until ctx ends.
func (s *Host) Get(ctx context.Context) (provider.Host, error) {
	for {
		s.mu.Lock()
		h := s.host
		if h == nil && s.ready == nil {
			s.ready = make(chan struct{})
		}
		ready := s.ready
		s.mu.Unlock()
		if h != nil {
			return h, nil
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil, ErrNoHost
		}
	}
}

// Calls knows the running calls, so that the end of the session ends them. The
// zero value is open.
type Calls struct {
	mu    sync.Mutex
	next  uint64
	calls map[uint64]context.CancelFunc
	ended bool
}

// Open lets calls run from now on.
func (s *Calls) Open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = false
}

// Add ties a call to the session's life. done must be called at its end.
func (s *Calls) Add(ctx context.Context) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		cancel()
		return ctx, func() {}
	}
	if s.calls == nil {
		s.calls = make(map[uint64]context.CancelFunc)
	}
	s.next++
	id := s.next
	s.calls[id] = cancel
	return ctx, func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.calls, id)
	}
}

// CancelAll ends the running calls, and those that begin before Open.
func (s *Calls) CancelAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, cancel := range s.calls {
		cancel()
	}
}
