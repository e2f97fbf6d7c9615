package gateway

import (
	"context"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/store"
)

// appPasswords hands app passwords to the GraphQL door.
type appPasswords struct {
	access *access.Access
	// touch has an account looked at: what is brought ahead may be more now.
	touch func(ctx context.Context, account string)
}

func (a appPasswords) AppPasswords(ctx context.Context, account string) ([]*store.AppPassword, error) {
	return a.access.AppPasswords(ctx, account)
}

func (a appPasswords) CreateAppPassword(ctx context.Context, in service.AppPasswordInput) (*store.AppPassword, string, error) {
	p, secret, err := a.access.CreateAppPassword(ctx, access.CreateAppPassword{
		Account: in.Account, Name: in.Name, Scopes: scopes(in.Scopes), HideCaps: in.HideCaps})
	if err == nil {
		a.touch(ctx, in.Account)
	}
	return p, secret, err
}

func (a appPasswords) RevokeAppPassword(ctx context.Context, id string) error {
	_, err := a.access.RevokeAppPassword(ctx, id)
	return err
}

// scopes are those of words. None at all stay none, which an empty list is not.
func scopes(words []string) []access.Scope {
	if words == nil {
		return nil
	}
	out := []access.Scope{}
	for _, w := range words {
		out = append(out, access.Scope(w))
	}
	return out
}
