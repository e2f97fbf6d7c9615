package textindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// Where says in which part of a message a Query looks.
type Where uint8

// Parts of a message.
const (
	InText   Where = iota // header and body (RFC 9051, 6.4.4: TEXT)
	InBody                // decoded text parts (BODY)
	InHeader              // fields of one name (HEADER, SUBJECT, FROM...)
)

// Query is one string to look for.
type Query struct {
	Where Where
	Field string // name of the header field, any case, for InHeader
	Text  string // any case; for InHeader empty means that the field is there
}

// Result is what became of a message in a search.
type Result uint8

// Results.
const (
	No  Result = iota
	Yes        // it holds the text
	// Unknown: its extract is not here. Where one was there before, that may be
	// No.
	Unknown
)

// few messages are scanned without asking the index.
const few = 16

// Search looks through messages of an account and gives a Result for each.
func (x *Index) Search(ctx context.Context, account string, q Query, messages []string) ([]Result, error) {
	results := make([]Result, len(messages))
	needle := mime.Fold(q.Text)
	field := -1
	if q.Where == InHeader {
		field = keptField(q.Field)
	}
	which, err := x.ask(ctx, account, queryGrams(needle), field, messages, func(i int, value []byte) {
		if bytes.Contains(value, []byte(needle)) {
			results[i] = Yes
		}
	})
	if err == nil {
		err = x.scan(ctx, account, &q, needle, messages, which, results)
	}
	if err != nil {
		return nil, fmt.Errorf("search text: %w", err)
	}
	return results, nil
}

// ask gives the places in messages of those whose extracts are to be scanned:
// all where the index is of no use. The others are answered: they have not all
// grams, or the field is a kept one and value was called with its values.
func (x *Index) ask(ctx context.Context, account string, grams []uint32, field int, messages []string, value func(int, []byte)) ([]int, error) {
	if len(messages) <= few || len(grams) == 0 && field < 0 {
		return all(messages), ctx.Err()
	}
	a := &asked{account: account, messages: messages, field: field, value: value}
	err := x.store.View(ctx, func(tx store.Tx) error { return a.ask(tx, &x.views, grams) })
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		// The index may be wrong; the extracts are what counts.
		x.log.WarnContext(ctx, "search index is damaged: scanning", "account", account, "error", err)
		x.distrust(account)
		return all(messages), nil
	}
	if a.waiting >= x.crowd() {
		x.mu.Lock()
		x.searched[account] = true
		x.mu.Unlock()
		x.Touch(account)
	}
	return a.scan, nil
}

// asked is one question to the index.
type asked struct {
	account  string
	messages []string
	field    int // -1: none that is kept
	value    func(int, []byte)

	scan    []int
	waiting int // messages that are marked
	kept    []candidate
}

// candidate is a message that a kept field decides of.
type candidate struct {
	place
	i int32
}

func (a *asked) ask(tx store.Derived, views *cache, grams []uint32) error {
	m, err := readManifest(tx, a.account)
	if err != nil {
		return err
	}
	v, err := views.get(tx, a.account, m)
	if err != nil {
		return err
	}
	marked, err := marks(tx, a.account)
	if err != nil {
		return err
	}
	a.waiting = len(marked)
	found := make([]set, len(v.live))
	for i, s := range v.live {
		if err := match(tx, a.account, s, grams, &found[i]); err != nil {
			return err
		}
		for w := range found[i] {
			found[i][w] |= v.open[i][w]
		}
	}
	for i, id := range a.messages {
		at, known := v.place[id]
		switch {
		case !known || len(marked) > 0 && marked[id]:
			a.scan = append(a.scan, i)
		case !found[at.segment].has(uint32(at.ord)):
		case a.field < 0:
			a.scan = append(a.scan, i)
		default:
			a.kept = append(a.kept, candidate{at, int32(i)})
		}
	}
	return a.decide(tx, v)
}

// decide reads the kept fields of candidates, page by page.
func (a *asked) decide(tx store.Derived, v *view) error {
	number := func(c candidate) int { return int(c.segment)<<docBits | int(c.ord) }
	slices.SortFunc(a.kept, func(b, c candidate) int { return number(b) - number(c) })
	var page [][]byte
	last := -1
	for _, c := range a.kept {
		if n := number(c) / pageDocs; n != last {
			var err error
			if page, err = readPage(tx, a.account, v.live[c.segment], int(c.ord)/pageDocs); err != nil {
				return err
			}
			last = n
		}
		ok, err := values(page[int(c.ord)%pageDocs], a.field, func(value []byte) { a.value(int(c.i), value) })
		if err != nil {
			return err
		}
		if !ok {
			a.scan = append(a.scan, int(c.i))
		}
	}
	return nil
}

// match finds the messages of a segment that have all grams.
func match(tx store.Derived, account string, s segment, grams []uint32, out *set) error {
	for i := range out {
		out[i] = ^uint64(0)
	}
	// In order of groups, so that two grams of one group read it once.
	grams = slices.Clone(grams)
	slices.Sort(grams)
	var group []byte
	last := -1
	for _, g := range grams {
		n := int(g >> (gramBits - s.bits))
		if n != last {
			b, err := tx.Derived(account, store.DerivedSegment, groupKey(s.id, n))
			if errors.Is(err, store.ErrNotFound) {
				err = errGroup
			}
			if err != nil {
				return err
			}
			group, last = b, n
		}
		var have set
		if err := find(group, g, &have); err != nil {
			return err
		}
		if !out.and(&have) {
			return nil
		}
	}
	return nil
}

// marks gives the messages that the index does not know as they are now.
func marks(tx store.Derived, account string) (map[string]bool, error) {
	out := map[string]bool{}
	after := ""
	for {
		rows, err := tx.DerivedAfter(account, store.DerivedGrams, after, 1000)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out[r.Key] = true
			after = r.Key
		}
		if len(rows) < 1000 {
			return out, nil
		}
	}
}
