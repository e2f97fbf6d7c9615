package graph

import (
	"context"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/store"
)

func (r accountResolver) AppPasswords(ctx context.Context, a *store.Account) ([]*store.AppPassword, error) {
	return r.services.AppPasswords.AppPasswords(ctx, a.ID)
}

// HideCapabilities is a list, where there are none too.
func (r appPasswordResolver) HideCapabilities(_ context.Context, p *store.AppPassword) ([]string, error) {
	return append([]string{}, p.HideCaps...), nil
}

func (r mutationResolver) CreateAppPassword(ctx context.Context, in generated.CreateAppPasswordInput) (*generated.AppPasswordWithSecret, error) {
	p, secret, err := r.services.AppPasswords.CreateAppPassword(ctx, service.AppPasswordInput{
		Account: in.Account, Name: in.Name, Scopes: in.Scopes, HideCaps: in.HideCapabilities})
	if err != nil {
		return nil, err
	}
	return &generated.AppPasswordWithSecret{AppPassword: p, Password: secret}, nil
}

func (r mutationResolver) RevokeAppPassword(ctx context.Context, id string) (string, error) {
	return id, r.services.AppPasswords.RevokeAppPassword(ctx, id)
}
