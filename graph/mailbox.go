package graph

import (
	"context"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/store"
)

func (r mailboxResolver) Account(ctx context.Context, m *store.Mailbox) (*store.Account, error) {
	return ownerOf(ctx, m.Account)
}

func (r mailboxResolver) Path(ctx context.Context, m *store.Mailbox) (string, error) {
	byID, err := loadersOf(ctx).mailboxes.load(ctx, m.Account)
	return pathOf(m, byID), err
}

func (r mailboxResolver) Parent(ctx context.Context, m *store.Mailbox) (*store.Mailbox, error) {
	if m.Parent == "" {
		return nil, nil
	}
	byID, err := loadersOf(ctx).mailboxes.load(ctx, m.Account)
	return byID[m.Parent], err
}

func (r mailboxResolver) Messages(ctx context.Context, m *store.Mailbox, first *int, after *string, filter *generated.MessageFilter) (*generated.MessageConnection, error) {
	if filter != nil && filter.InMailbox != nil && *filter.InMailbox != m.ID {
		return nil, invalid("a mailbox's messages are in that mailbox: leave inMailbox out")
	}
	return r.messagePage(ctx, listing{
		name: "messages of " + m.ID,
		read: func(tx store.Tx, after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesIn(m.ID, after, limit)
		},
		count: func(tx store.Tx) (int64, error) {
			now, err := tx.Mailbox(m.ID)
			if err != nil {
				return 0, err
			}
			return now.Total, nil
		},
	}, first, after, filter)
}

// maxNesting bounds how deep mailboxes lie in each other, should a provider tell
// of a circle.
const maxNesting = 50

// pathOf joins the names from the top down.
func pathOf(m *store.Mailbox, byID map[string]*store.Mailbox) string {
	path := m.Name
	for range maxNesting {
		parent := byID[m.Parent]
		if m.Parent == "" || parent == nil {
			break
		}
		path = parent.Name + "/" + path
		m = parent
	}
	return path
}

// mailboxesOf loads mailboxes of an account by their ids, leaving out those that
// are gone.
func mailboxesOf(ctx context.Context, account string, ids []string) ([]*store.Mailbox, error) {
	if len(ids) == 0 {
		return []*store.Mailbox{}, nil
	}
	byID, err := loadersOf(ctx).mailboxes.load(ctx, account)
	list := make([]*store.Mailbox, 0, len(ids))
	for _, id := range ids {
		if m := byID[id]; m != nil {
			list = append(list, m)
		}
	}
	return list, err
}
