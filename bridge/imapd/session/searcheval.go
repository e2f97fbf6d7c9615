package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/store"
)

// searcher evaluates one SEARCH: criteria narrow lists of places in messages,
// cheap ones first, so that the text of few messages is looked at.
type searcher struct {
	ctx      context.Context
	s        *Session
	messages []message
}

// all gives those of in for which all criteria hold.
func (e *searcher) all(criteria []*criterion, in []int32) ([]int32, error) {
	for _, c := range criteria {
		if len(in) == 0 {
			return nil, nil
		}
		var err error
		if in, err = e.eval(c, in); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// eval gives those of in, which are in order, for which a criterion holds.
func (e *searcher) eval(c *criterion, in []int32) ([]int32, error) {
	if err := e.ctx.Err(); err != nil {
		return nil, err
	}
	if len(in) == 0 {
		return nil, nil
	}
	if c.cost() == 0 {
		t, err := e.row(c)
		if err != nil {
			return nil, err
		}
		return keep(in, func(_ int, k int32) bool { return t(&e.messages[k]) }), nil
	}
	switch c.op {
	case searchAnd:
		kids := slices.SortedStableFunc(slices.Values(c.kids), func(a, b *criterion) int { return a.cost() - b.cost() })
		return e.all(kids, in)
	case searchNot:
		out, err := e.eval(c.kids[0], in)
		return without(in, out), err
	case searchOr:
		a, b := c.kids[0], c.kids[1]
		if b.cost() < a.cost() {
			a, b = b, a
		}
		first, err := e.eval(a, in)
		if err != nil {
			return nil, err
		}
		second, err := e.eval(b, without(in, first))
		both := slices.Concat(first, second)
		slices.Sort(both)
		return both, err
	case searchSent:
		return e.sent(c, in)
	}
	return e.text(c, in)
}

// keep gives those of in for which test, which gets place and value, holds.
func keep(in []int32, test func(i int, k int32) bool) []int32 {
	out := make([]int32, 0, len(in))
	for i, k := range in {
		if test(i, k) {
			out = append(out, k)
		}
	}
	return out
}

// without gives those of in that are not in out; both are in order.
func without(in, out []int32) []int32 {
	i := 0
	return keep(in, func(_ int, k int32) bool {
		if i < len(out) && out[i] == k {
			i++
			return false
		}
		return true
	})
}

func (e *searcher) ids(in []int32) []string {
	ids := make([]string, len(in))
	for i, k := range in {
		ids[i] = e.messages[k].row.Message
	}
	return ids
}

func (e *searcher) texts() TextSearcher {
	if t := e.s.server.opts.Text; t != nil {
		return t
	}
	return noTexts{}
}

// noTexts is where no text is kept: the metadata decides.
type noTexts struct{}

func (noTexts) Search(_ context.Context, _ string, _ textindex.Query, messages []string) ([]textindex.Result, error) {
	results := make([]textindex.Result, len(messages))
	for i := range results {
		results[i] = textindex.Unknown
	}
	return results, nil
}

func (noTexts) Fields(_ context.Context, _, _ string, messages []string) ([]textindex.Field, error) {
	return make([]textindex.Field, len(messages)), nil
}

// text evaluates the keys with a string. What is not here is looked for in the
// metadata: header fields of which the provider told, and no body.
func (e *searcher) text(c *criterion, in []int32) ([]int32, error) {
	q := textindex.Query{Where: textindex.InHeader, Field: c.field, Text: c.text}
	switch c.op {
	case searchBody:
		q.Where = textindex.InBody
	case searchText:
		q.Where = textindex.InText
	}
	ids := e.ids(in)
	results, err := e.texts().Search(e.ctx, e.s.account, q, ids)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	for i := range results {
		// Without bytes, what is remembered of its text is of others that it had.
		if e.messages[in[i]].row.Size == 0 && (results[i] == textindex.No || q.Where == textindex.InHeader) {
			results[i] = textindex.Unknown
		}
	}
	err = e.metadata(ids, func(i int) bool { return results[i] == textindex.Unknown }, func(i int, m *store.Message) {
		if textindex.InMetadata(m, q) {
			results[i] = textindex.Yes
		}
	})
	return keep(in, func(i int, _ int32) bool { return results[i] == textindex.Yes }), err
}

// sent evaluates SENTSINCE, SENTBEFORE and SENTON: by the day in the Date field as its
// writer wrote it, "disregarding time and timezone" (RFC 9051, 6.4.4). A
// message without one was sent on no day.
func (e *searcher) sent(c *criterion, in []int32) ([]int32, error) {
	ids := e.ids(in)
	fields, err := e.texts().Fields(e.ctx, e.s.account, "date", ids)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	days := make([]time.Time, len(ids))
	for i, f := range fields {
		if len(f.Values) > 0 {
			days[i] = writtenDay(f.Values[0])
		}
	}
	err = e.metadata(ids, func(i int) bool { return !fields[i].Here || e.messages[in[i]].row.Size == 0 }, func(i int, m *store.Message) {
		if !m.SentAt.IsZero() {
			days[i] = m.SentAt.UTC().Truncate(24 * time.Hour)
		}
	})
	return keep(in, func(i int, _ int32) bool {
		day := days[i]
		return !day.IsZero() && !day.Before(c.day) && (c.end.IsZero() || day.Before(c.end))
	}), err
}

// metadata reads messages' records in short transactions. Those that are gone
// meanwhile are left out.
func (e *searcher) metadata(ids []string, want func(int) bool, each func(int, *store.Message)) error {
	var which []int
	for i := range ids {
		if want(i) {
			which = append(which, i)
		}
	}
	for chunk := range slices.Chunk(which, 100) {
		got := make([]*store.Message, len(chunk))
		err := e.s.server.opts.Store.View(e.ctx, func(tx store.Tx) error {
			for n, i := range chunk {
				m, err := tx.Message(ids[i])
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
				got[n] = m
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("search metadata: %w", err)
		}
		for n, i := range chunk {
			if got[n] != nil {
				each(i, got[n])
			}
		}
	}
	return nil
}
