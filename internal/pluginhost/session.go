package pluginhost

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Sink takes what plugins tell by themselves. Its methods may be called at
// once, and while Run drains.
type Sink interface {
	// SaveGrant stores new grant bytes durably before it returns nil.
	SaveGrant(ctx context.Context, instance, account string, grant []byte) error
	// GrantRefused tells that the provider refuses an account's grant.
	GrantRefused(ctx context.Context, instance, account string, reason error) error
	// Hint tells that something changed.
	Hint(ctx context.Context, instance string, h *provider.Hint) error
	// Started tells that an instance serves calls, after every start of its
	// process: what was running on the one before is not any more. It must
	// not block.
	Started(instance string)
}

// Grants opens accounts.
type Grants interface {
	// OpenRequest gives an account's address and newest grant.
	OpenRequest(ctx context.Context, account string) (*provider.OpenRequest, error)
}

// sessionHost is the provider.Host of one process.
type sessionHost struct {
	instance string
	sink     Sink
	accounts *accounts
	opened   chan struct{}
}

func (h *sessionHost) SessionOpened() { close(h.opened) }

func (h *sessionHost) SaveGrant(ctx context.Context, account string, grant []byte) error {
	if h.sink == nil {
		return nil
	}
	return h.sink.SaveGrant(ctx, h.instance, account, grant)
}

func (h *sessionHost) GrantRefused(ctx context.Context, account string, reason error) error {
	// The next call hands over whatever grant is the newest by then.
	h.accounts.forget(account)
	if h.sink == nil {
		return nil
	}
	return h.sink.GrantRefused(ctx, h.instance, account, reason)
}

func (h *sessionHost) Hint(ctx context.Context, hint *provider.Hint) error {
	if h.sink == nil {
		return nil
	}
	return h.sink.Hint(ctx, h.instance, hint)
}
