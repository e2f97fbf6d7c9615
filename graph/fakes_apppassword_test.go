package graph_test

import (
	"context"
	"fmt"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func (f *fakes) AppPasswords(_ context.Context, account string) ([]*store.AppPassword, error) {
	return f.passwords[account], f.called("AppPasswords")
}

func (f *fakes) CreateAppPassword(_ context.Context, in service.AppPasswordInput) (*store.AppPassword, string, error) {
	if err := f.called("CreateAppPassword"); err != nil {
		return nil, "", err
	}
	f.newPassword = in
	p := &store.AppPassword{ID: fmt.Sprintf("p-%d", len(f.passwords[in.Account])+1), Account: in.Account, Name: in.Name, Scopes: in.Scopes,
		HideCaps: in.HideCaps, CreatedAt: epoch0, LastUsedAt: epoch0}
	f.passwords[in.Account] = append(f.passwords[in.Account], p)
	return p, "abcd-efgh", nil
}

func (f *fakes) RevokeAppPassword(_ context.Context, id string) error {
	if err := f.called("RevokeAppPassword"); err != nil {
		return err
	}
	for account, list := range f.passwords {
		for i, p := range list {
			if p.ID == id {
				f.passwords[account] = append(list[:i:i], list[i+1:]...)
				return nil
			}
		}
	}
	return mail.Errorf(mail.KindNotFound, "revoke app password", "no such app password")
}
