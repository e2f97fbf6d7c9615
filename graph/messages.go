package graph

import (
	"context"
	"encoding/binary"
	"errors"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/store"
)

// listing is a list of messages in an index by date.
type listing struct {
	// name is the list's, in its cursors.
	name string
	read func(tx store.Tx, after store.DateKey, limit int) ([]store.DateKey, error)
	// count is how many it holds; nil where counting would mean reading.
	count func(tx store.Tx) (int64, error)
}

const (
	// scanChunk is how many messages one transaction looks at, maxScan how many one
	// page does: a filter that matches little answers in several pages.
	scanChunk = 250
	maxScan   = 5000
)

func (s *Server) accountMessages(ctx context.Context, account string, first *int, after *string, filter *generated.MessageFilter) (*generated.MessageConnection, error) {
	list := listing{
		name: "messages of " + account,
		read: func(tx store.Tx, after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesOf(account, after, limit)
		},
		count: func(tx store.Tx) (int64, error) { return tx.CountMessages(account) },
	}
	if filter != nil && filter.InMailbox != nil {
		byID, err := loadersOf(ctx).mailboxes.load(ctx, account)
		if err != nil {
			return nil, err
		}
		if byID[*filter.InMailbox] == nil {
			return nil, notFound("mailbox of this account", *filter.InMailbox)
		}
		list.read = func(tx store.Tx, after store.DateKey, limit int) ([]store.DateKey, error) {
			return tx.MessagesIn(*filter.InMailbox, after, limit)
		}
	}
	return s.messagePage(ctx, list, first, after, filter)
}

// messagePage reads a page of a listing. It looks one match further than the page
// holds, to know whether there is more; when it has looked at maxScan messages the
// page ends where it stands.
func (s *Server) messagePage(ctx context.Context, list listing, first *int, after *string, filter *generated.MessageFilter) (*generated.MessageConnection, error) {
	n, err := pageSize(first, 50)
	if err != nil {
		return nil, err
	}
	place, err := parseDateCursor(list.name, after)
	if err != nil {
		return nil, err
	}
	if filter != nil && filter.Until != nil && (place.Zero() || place.At.After(*filter.Until)) {
		place = store.DateKey{At: filter.Until.UTC()}
	}
	c := &generated.MessageConnection{Edges: make([]*generated.MessageEdge, 0, min(n, 64))}
	var total *int64
	more, scanned := true, 0
	for more && scanned < maxScan && len(c.Edges) <= n {
		limit := scanChunk
		if filter == nil {
			limit = min(limit, n+1-len(c.Edges))
		}
		var keys []store.DateKey
		var found []*store.Message
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			found = found[:0]
			if keys, err = list.read(tx, place, limit); err != nil {
				return err
			}
			if filter == nil && total == nil && list.count != nil && wants(ctx, "totalCount") {
				count, err := list.count(tx)
				if err != nil {
					return err
				}
				total = &count
			}
			for _, key := range keys {
				m, err := tx.Message(key.ID)
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				found = append(found, m)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		more = len(keys) == limit
		for i, key := range keys {
			scanned++
			place = key
			m := found[i]
			if filter != nil && filter.Since != nil && key.At.Before(*filter.Since) {
				more = false // newest first: nothing later in the list matches
				break
			}
			if m == nil || !matchMessage(filter, m) {
				continue
			}
			loadersOf(ctx).messages.prime(m.ID, m)
			c.Edges = append(c.Edges, &generated.MessageEdge{Cursor: dateCursor(list.name, key), Node: m})
			if len(c.Edges) > n {
				break
			}
		}
	}
	c.TotalCount = total
	end := ""
	switch {
	case len(c.Edges) > n:
		more = true
		c.Edges = c.Edges[:n]
		end = c.Edges[n-1].Cursor
	case more: // the scan ended before the list did
		end = dateCursor(list.name, place)
	case len(c.Edges) > 0:
		end = c.Edges[len(c.Edges)-1].Cursor
	}
	start := ""
	if len(c.Edges) > 0 {
		start = c.Edges[0].Cursor
	}
	c.PageInfo = pageInfo(after, more, start, end)
	return c, nil
}

// searchPage searches. A cursor holds the place that the searcher gave, and how many
// results behind it were read.
func (s *Server) searchPage(ctx context.Context, account, query string, first *int, after *string) (*generated.MessageConnection, error) {
	list := "search of " + account + " for " + query
	n, err := pageSize(first, 50)
	if err != nil {
		return nil, err
	}
	place, err := decodeCursor(list, after)
	if err != nil {
		return nil, err
	}
	var skip int
	var token string
	if place != nil {
		if len(place) < 2 {
			return nil, invalid("after is not a cursor")
		}
		skip, token = int(binary.BigEndian.Uint16(place)), string(place[2:])
	}
	ids, next, err := s.services.Reader.Search(ctx, account, query, n+skip, token)
	if err != nil {
		return nil, err
	}
	cursor := func(skip int, token string) string {
		return encodeCursor(list, append(binary.BigEndian.AppendUint16(nil, uint16(skip)), token...))
	}
	found, err := readEach(s, store.Tx.Message)(ctx, ids)
	if err != nil {
		return nil, err
	}
	c := &generated.MessageConnection{Edges: make([]*generated.MessageEdge, 0, len(ids))}
	for i, id := range ids {
		m := found[id]
		if i < skip || m == nil || m.Account != account {
			continue // not mirrored (yet)
		}
		if len(c.Edges) == n {
			break
		}
		c.Edges = append(c.Edges, &generated.MessageEdge{Cursor: cursor(i+1, token), Node: m})
	}
	start, end, more := "", "", next != ""
	if len(c.Edges) > 0 {
		start, end = c.Edges[0].Cursor, c.Edges[len(c.Edges)-1].Cursor
	}
	switch last := len(ids) - 1; {
	case len(c.Edges) == n && n > 0 && last >= 0 && c.Edges[n-1].Node.ID != ids[last]:
		more = true
	case more:
		end = cursor(0, next)
	}
	c.PageInfo = pageInfo(after, more, start, end)
	return c, nil
}
