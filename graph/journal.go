package graph

import (
	"context"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

const (
	// journalChunk is how many entries one transaction reads, maxEntries how many
	// one page of a query looks at.
	journalChunk = 250
	maxEntries   = 10_000
)

// eventFilter says which events a reader wants. The cursor is the store's, whatever
// the filter, so filters may change between two reads.
type eventFilter struct {
	accounts []string     // nil: of all
	types    []event.Type // nil: all
	backfill bool
}

func (f *eventFilter) match(e *event.Event) bool {
	return !e.Internal &&
		(f.backfill || !e.Backfill) &&
		(f.accounts == nil || slices.Contains(f.accounts, e.Account)) &&
		(f.types == nil || slices.Contains(f.types, e.Type))
}

// checkAccounts refuses a filter with an account that is not there.
func (s *Server) checkAccounts(ctx context.Context, ids []string) error {
	found, err := readEach(s, store.Tx.Account)(ctx, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if found[id] == nil {
			return notFound("account", id)
		}
	}
	return nil
}

// place reads where a reader of the journal begins: after the cursor, or without
// one at the journal's oldest entry or its end.
func (s *Server) place(ctx context.Context, after *string, oldest bool) (event.Cursor, error) {
	if after != nil && *after != "" {
		return event.ParseCursor(*after)
	}
	at := event.Cursor{Epoch: s.store.Epoch()}
	err := s.store.View(ctx, func(tx store.Tx) error {
		first, last, err := tx.JournalBounds()
		at.Position = last
		if oldest {
			at.Position = first - 1
		}
		return err
	})
	return at, err
}

// readJournal reads one chunk of what follows a place: the events that match, the
// place behind the last entry it looked at, and whether more follow. A place that
// the journal cannot be read from without a gap is refused.
func (s *Server) readJournal(ctx context.Context, from event.Cursor, filter *eventFilter) (events []event.Event, at event.Cursor, more bool, err error) {
	err = s.store.View(ctx, func(tx store.Tx) error {
		events, at, more = nil, from, false
		oldest, newest, err := tx.JournalBounds()
		if err != nil {
			return fmt.Errorf("read the journal's bounds: %w", err)
		}
		begin := event.Cursor{Epoch: s.store.Epoch(), Position: oldest - 1}
		switch {
		case from.Epoch != begin.Epoch:
			return &cursorExpired{"the store was restored from a backup since this cursor was given", begin}
		case from.Position < begin.Position:
			return &cursorExpired{"the cursor is older than the journal", begin}
		case from.Position > newest:
			return &cursorExpired{"the cursor is ahead of the journal: it is not of this store", begin}
		}
		list, err := tx.EventsAfter(from.Position, journalChunk)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		for i := range list {
			at.Position = list[i].Position
			if filter.match(&list[i]) {
				events = append(events, list[i])
			}
		}
		more = len(list) == journalChunk
		return nil
	})
	return events, at, more, err
}

// eventPage is a page of the journal. Its end is the place it has looked at, even
// when nothing there matched, so that whoever polls gets on.
func (s *Server) eventPage(ctx context.Context, filter eventFilter, after *string, first *int) (*generated.EventConnection, error) {
	n, err := pageSize(first, 100)
	if err != nil {
		return nil, err
	}
	if err := s.checkAccounts(ctx, filter.accounts); err != nil {
		return nil, err
	}
	at, err := s.place(ctx, after, true)
	if err != nil {
		return nil, err
	}
	c := &generated.EventConnection{Edges: []*generated.EventEdge{}}
	more := true
	for looked := 0; more && len(c.Edges) < n && looked < maxEntries; looked += journalChunk {
		var events []event.Event
		if events, at, more, err = s.readJournal(ctx, at, &filter); err != nil {
			return nil, err
		}
		for i := range events {
			if len(c.Edges) == n {
				at, more = events[i-1].Cursor(), true
				break
			}
			c.Edges = append(c.Edges, &generated.EventEdge{Cursor: events[i].Cursor().String(), Node: &events[i]})
		}
	}
	start := ""
	if len(c.Edges) > 0 {
		start = c.Edges[0].Cursor
	}
	c.PageInfo = pageInfo(after, more, start, at.String())
	return c, nil
}
