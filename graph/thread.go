package graph

import (
	"context"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/store"
)

func (r threadResolver) Account(ctx context.Context, t *store.Thread) (*store.Account, error) {
	return ownerOf(ctx, t.Account)
}

func (r threadResolver) Subject(ctx context.Context, t *store.Thread) (string, error) {
	m, err := loadersOf(ctx).first.load(ctx, t.ID)
	if err != nil || m == nil {
		return "", err
	}
	return m.Subject, nil
}

func (r threadResolver) Messages(ctx context.Context, t *store.Thread, first *int, after *string) (*generated.MessageConnection, error) {
	return r.messagePage(ctx, listing{
		name: "messages of " + t.ID,
		read: func(tx store.Tx, after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesOfThread(t.ID, after, limit)
		},
		count: func(store.Tx) (int64, error) { return int64(t.Count), nil },
	}, first, after, nil)
}

// threadPage lists an account's threads by their newest message.
func (s *Server) threadPage(ctx context.Context, account string, first *int, after *string) (*generated.ThreadConnection, error) {
	list := "threads of " + account
	n, err := pageSize(first, 50)
	if err != nil {
		return nil, err
	}
	place, err := parseDateCursor(list, after)
	if err != nil {
		return nil, err
	}
	var found []*store.Thread
	if err := s.store.View(ctx, func(tx store.Tx) (err error) {
		found, err = tx.ThreadsOf(account, place, n+1)
		return err
	}); err != nil {
		return nil, err
	}
	more := len(found) > n
	if more {
		found = found[:n]
	}
	c := &generated.ThreadConnection{Edges: make([]*generated.ThreadEdge, 0, len(found))}
	var start, end string
	for _, t := range found {
		loadersOf(ctx).threads.prime(t.ID, t)
		end = dateCursor(list, store.DateKey{At: t.LastAt, ID: t.ID})
		if start == "" {
			start = end
		}
		c.Edges = append(c.Edges, &generated.ThreadEdge{Cursor: end, Node: t})
	}
	c.PageInfo = pageInfo(after, more, start, end)
	return c, nil
}
