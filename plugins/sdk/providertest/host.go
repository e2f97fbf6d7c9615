package providertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// inbox is a list that can be waited on.
type inbox[V any] struct {
	mu   sync.Mutex
	all  []V
	more chan struct{}
}

func newInbox[V any]() *inbox[V] { return &inbox[V]{more: make(chan struct{})} }

func (b *inbox[V]) put(v V) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, v)
	close(b.more)
	b.more = make(chan struct{})
}

func (b *inbox[V]) list() []V {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// await waits until one of the values is what is looked for.
func (b *inbox[V]) await(ctx context.Context, limit time.Duration, is func(V) bool) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		b.mu.Lock()
		found, more := slices.ContainsFunc(b.all, is), b.more
		b.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-more:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// host is the gateway's side of a session.
type host struct {
	grants *inbox[savedGrant]
	hints  *inbox[provider.Hint]
	refuse *inbox[refusal]

	mu       sync.Mutex
	reject   error // what SaveGrant answers
	rejected int
}

type savedGrant struct {
	account string
	grant   []byte
}

type refusal struct {
	account string
	reason  error
}

func newHost() *host {
	return &host{grants: newInbox[savedGrant](), hints: newInbox[provider.Hint](), refuse: newInbox[refusal]()}
}

func (h *host) SaveGrant(_ context.Context, account string, grant []byte) error {
	h.mu.Lock()
	reject := h.reject
	if reject != nil {
		h.rejected++
	}
	h.mu.Unlock()
	if reject != nil {
		return reject
	}
	h.grants.put(savedGrant{account, slices.Clone(grant)})
	return nil
}

func (h *host) GrantRefused(_ context.Context, account string, reason error) error {
	h.refuse.put(refusal{account, reason})
	return nil
}

func (h *host) Hint(_ context.Context, hint *provider.Hint) error {
	h.hints.put(*hint)
	return nil
}

// rejecting lets SaveGrant fail until it is called with nil, and tells how
// often it has failed.
func (h *host) rejecting(err error) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reject = err
	return h.rejected
}

// saved gives the newest grant of an account, nil where none was saved.
func (h *host) saved(account string) []byte {
	var out []byte
	for _, g := range h.grants.list() {
		if g.account == account {
			out = g.grant
		}
	}
	return out
}
