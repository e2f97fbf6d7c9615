package mailbox

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// made writes a message that a call of ours has made, with keywords that we
// alone keep. A feed may have told of it before. It gives nil where too little
// is known of it.
func (a *applier) made(it *mail.Item, local []string) (*store.Message, error) {
	id := MessageID(a.acct.ID, it.Message.ProviderID)
	if len(local) > 0 {
		a.local = map[string][]string{id: local}
	}
	if err := a.present(it); err != nil {
		return nil, err
	}
	m, err := a.keepLocal(id, local)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return m, err
}

// keepLocal adds keywords that we alone keep to a message, and gives it.
func (a *applier) keepLocal(id string, local []string) (*store.Message, error) {
	old, err := a.known(id)
	if err != nil {
		return nil, err
	}
	if len(local) == 0 {
		return old, nil
	}
	next := clone(old)
	for _, k := range local {
		next.Local = withKeyword(next.Local, k, true)
	}
	if err := a.update(old, next); err != nil {
		return nil, err
	}
	if slices.Equal(old.Local, next.Local) {
		return old, nil
	}
	return a.tx.Message(id)
}

// keepLocal is the same in a transaction of its own; nil where there is nothing
// to keep.
func (s *Service) keepLocal(ctx context.Context, acct *store.Account, id string, local []string) (m *store.Message, err error) {
	if len(local) == 0 {
		return nil, nil
	}
	err = s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		m, err = s.applier(tx, b, acct, s.now()).keepLocal(id, local)
		return err
	})
	return m, err
}
