// Package plugintest is what the tests of the plugins have in common: a host
// that keeps grants in memory, a clock that can be put forward, a sink, and a
// person at a sign-in page of the sandbox.
package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Host keeps grants in memory, and what a provider says of them. The zero value
// works.
type Host struct {
	mu      sync.Mutex
	grants  map[string][]byte
	saves   int
	failure error
	refused []error
}

// Hold keeps a grant as a connection gave it.
func (h *Host) Hold(account string, grant []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.grants == nil {
		h.grants = map[string][]byte{}
	}
	h.grants[account] = grant
}

// Grant gives what is kept, and how often a grant was saved.
func (h *Host) Grant(account string) (grant []byte, saves int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.grants[account], h.saves
}

// Fail makes saving fail, until it is called with nil.
func (h *Host) Fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failure = err
}

// Refused are the refusals that were told.
func (h *Host) Refused() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]error(nil), h.refused...)
}

// SaveGrant keeps a grant.
func (h *Host) SaveGrant(_ context.Context, account string, grant []byte) error {
	h.mu.Lock()
	failure := h.failure
	h.mu.Unlock()
	if failure != nil {
		return failure
	}
	h.Hold(account, grant)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saves++
	return nil
}

// GrantRefused notes a refusal.
func (h *Host) GrantRefused(_ context.Context, account string, reason error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refused = append(h.refused, fmt.Errorf("%s: %w", account, reason))
	return nil
}

// Hint takes a hint.
func (h *Host) Hint(context.Context, *provider.Hint) error { return nil }

// Clock runs with real time plus what it was put forward by.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration
}

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

// Forward puts the clock forward.
func (c *Clock) Forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// Sink takes what Fetch reads. It refuses two calls at once.
type Sink struct {
	mu       sync.Mutex
	Messages map[string]mail.Message
	Raws     map[string][]byte
	Failures map[string]error
}

var errAtOnce = errors.New("the sink is called twice at once")

func (s *Sink) take(f func() error) error {
	if !s.mu.TryLock() {
		return errAtOnce
	}
	defer s.mu.Unlock()
	if s.Messages == nil {
		s.Messages, s.Raws, s.Failures = map[string]mail.Message{}, map[string][]byte{}, map[string]error{}
	}
	return f()
}

// Message keeps metadata.
func (s *Sink) Message(m *mail.Message) error {
	return s.take(func() error { s.Messages[m.ProviderID] = *m; return nil })
}

// Raw keeps bytes.
func (s *Sink) Raw(id, _ string, r io.Reader) error {
	return s.take(func() (err error) { s.Raws[id], err = io.ReadAll(r); return err })
}

// Failed keeps an error.
func (s *Sink) Failed(id string, err error) error {
	return s.take(func() error { s.Failures[id] = err; return nil })
}

// SignIn answers a sign-in page of the sandbox as a form would, and gives what
// the browser is sent back with.
func SignIn(ctx context.Context, client *http.Client, authorize string, form url.Values) (url.Values, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, authorize, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	stay := *client
	stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := stay.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		page, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return nil, fmt.Errorf("the sign-in page did not redirect: %s: %w\n%s", resp.Status, err, page)
	}
	return to.Query(), nil
}
