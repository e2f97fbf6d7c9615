package textindex

import (
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
	var which []int
	grams := queryGrams(needle)
	indexed := len(grams) > 0 && len(messages) > few
	if indexed {
		var err error
		which, err = x.candidates(ctx, account, grams, messages)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			// The index may be wrong; the extracts are what counts.
			x.log.WarnContext(ctx, "search index is damaged: scanning", "account", account, "error", err)
			x.distrust(account)
			indexed = false
		}
	}
	if !indexed {
		which = all(messages)
	}
	if err := x.scan(ctx, account, &q, needle, messages, which, results); err != nil {
		return nil, fmt.Errorf("search text: %w", err)
	}
	return results, nil
}

// candidates gives the places in messages of all that may have the grams:
// what the index says, and what it does not know.
func (x *Index) candidates(ctx context.Context, account string, grams []uint32, messages []string) ([]int, error) {
	var which []int
	waiting := 0
	err := x.store.View(ctx, func(tx store.Tx) error {
		which = nil
		m, err := readManifest(tx, account)
		if err != nil {
			return err
		}
		v, err := x.views.get(tx, account, m)
		if err != nil {
			return err
		}
		marked, err := marks(tx, account)
		if err != nil {
			return err
		}
		waiting = len(marked)
		found := make([]set, len(v.live))
		for i, s := range v.live {
			if err := match(tx, account, s, grams, &found[i]); err != nil {
				return err
			}
			for w := range found[i] {
				found[i][w] |= v.open[i][w]
			}
		}
		for i, id := range messages {
			at, known := v.place[id]
			if !known || found[at.segment].has(uint32(at.ord)) || marked[id] {
				which = append(which, i)
			}
		}
		return nil
	})
	if err == nil && waiting >= x.fresh {
		x.Touch(account)
	}
	return which, err
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
