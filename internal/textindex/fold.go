package textindex

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// writeChunk is how many records one transaction of a fold writes or removes.
const writeChunk = 100

// plan is what one fold puts into a new segment.
type plan struct {
	olds  []segment
	ids   []string          // of the olds, then of the marks
	marks map[string][]byte // the marks as they were when the plan was made
	// kept are messages that another segment goes on to hold.
	kept map[string]bool
}

// fold makes one segment of an account's marked messages, where there are least of
// them, and of small segments, and reports whether there is more to do. What is not whole at the
// end is garbage, which the manifest knows.
func (x *Index) fold(ctx context.Context, account string, least int) (more bool, err error) {
	p, err := x.plan(ctx, account, least)
	if err != nil || p == nil {
		return false, err
	}
	return true, x.build(ctx, account, p)
}

// plan decides what to fold; nil: nothing.
func (x *Index) plan(ctx context.Context, account string, least int) (*plan, error) {
	var p *plan
	err := x.store.View(ctx, func(tx store.Tx) error {
		p = nil
		rows, err := tx.DerivedAfter(account, store.DerivedGrams, "", maxDocs)
		if err != nil {
			return err
		}
		if len(rows)-x.stay[account] < least {
			return nil
		}
		m, err := readManifest(tx, account)
		if err != nil {
			return err
		}
		v, err := x.views.get(tx, account, m)
		if err != nil {
			return err
		}
		p = &plan{olds: choose(m.live, len(rows), x.postings/2), marks: map[string][]byte{}, kept: map[string]bool{}}
		for _, r := range rows {
			p.marks[r.Key] = r.Value
			if at, known := v.place[r.Key]; known && !slices.Contains(p.olds, v.live[at.segment]) {
				p.kept[r.Key] = true
			}
		}
		if err := p.take(tx, account); err != nil {
			return err
		}
		for _, r := range rows {
			p.ids = append(p.ids, r.Key)
		}
		return nil
	})
	return p, err
}

// take lists the messages of the old segments that are not marked.
func (p *plan) take(tx store.Derived, account string) error {
	seen := map[string]bool{}
	for _, s := range p.olds {
		d, err := readDocs(tx, account, s)
		if err != nil {
			return err
		}
		for _, id := range d.ids {
			if p.marks[id] == nil && !seen[id] {
				seen[id] = true
				p.ids = append(p.ids, id)
			}
		}
	}
	return nil
}

// choose takes small segments along, so that their number grows with the
// logarithm of what there is: every message is folded a few times in all.
func choose(live []segment, fresh, most int) (olds []segment) {
	bySize := slices.SortedFunc(slices.Values(live), func(a, b segment) int { return cmp.Compare(a.docs, b.docs) })
	total, postings := fresh, 0
	for _, s := range bySize {
		postings += s.postings
		if s.docs > 2*total || total+s.docs > maxDocs || postings > most {
			break
		}
		total += s.docs
		olds = append(olds, s)
	}
	return olds
}

// build makes the segment of a plan and puts it in the place of the olds.
func (x *Index) build(ctx context.Context, account string, p *plan) error {
	id, err := x.reserve(ctx, account)
	if err != nil {
		return err
	}
	b := newBuilder(x.postings)
	done, stay, err := x.read(ctx, account, p, b)
	if err != nil {
		return err
	}
	s := segment{id: id, bits: groupBits(len(b.post)), docs: len(b.docs.ids), postings: len(b.post)}
	if s.docs > 0 {
		b.sort()
		if err := x.write(ctx, account, s, b); err != nil {
			return err
		}
	}
	if err := x.publish(ctx, account, s, p.olds); err != nil {
		return err
	}
	if err := x.unmark(ctx, account, p, done); err != nil {
		return err
	}
	if len(p.marks) > 0 {
		x.stay[account] = stay
	}
	return x.collect(ctx, account)
}

// reserve takes a number for a segment, which is garbage until it is whole.
func (x *Index) reserve(ctx context.Context, account string) (id uint32, err error) {
	err = x.store.Update(ctx, func(tx store.Tx) error {
		m, err := readManifest(tx, account)
		if err != nil {
			return err
		}
		if m.next == 0 {
			// An account that is connected again must not use numbers of its former
			// life, of which views may be in memory.
			m.next = 1 + rand.Uint32()>>2
		}
		id = m.next
		m.next++
		m.garbage = append(m.garbage, segment{id: id, bits: maxGroupBits, docs: maxDocs})
		return m.put(tx, account)
	})
	return id, err
}

// read takes the extracts of a plan in short transactions. done are the
// messages whose marks may go: the segment holds them, or they are gone, or they
// have no text and no segment says otherwise. stay is how many remain marked
// because one does.
func (x *Index) read(ctx context.Context, account string, p *plan, b *builder) (done []string, stay int, err error) {
	var d mime.ExtractDecoder
	for chunk := range slices.Chunk(p.ids, scanChunk) {
		extracts := make([][]byte, len(chunk))
		gone := make([]bool, len(chunk))
		err := x.store.View(ctx, func(tx store.Tx) error {
			for i, id := range chunk {
				gone[i] = false
				extracts[i], err = tx.Derived(account, store.DerivedText, id)
				if errors.Is(err, store.ErrNotFound) {
					extracts[i] = nil
					_, err = tx.Message(id)
					gone[i] = errors.Is(err, store.ErrNotFound)
				}
				if err != nil && !gone[i] {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, 0, fmt.Errorf("read extracts: %w", err)
		}
		for i, id := range chunk {
			marked := p.marks[id] != nil
			switch {
			case extracts[i] == nil && marked && (gone[i] || !p.kept[id]):
				done = append(done, id)
			case extracts[i] == nil && marked:
				stay++
			case extracts[i] == nil:
			case marked && b.full():
				return done, stay, nil // the rest comes with the next segment
			default:
				e, err := d.Decode(extracts[i])
				if err != nil {
					// It stays marked, so that every search meets and tells it.
					x.log.WarnContext(ctx, "extract is damaged", "account", account, "message", id, "error", err)
					if marked {
						stay++
					}
					continue
				}
				b.add(id, e)
				if marked {
					done = append(done, id)
				}
			}
		}
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
	}
	return done, stay, nil
}

// write keeps the records of a segment that does not count yet.
func (x *Index) write(ctx context.Context, account string, s segment, b *builder) error {
	type record struct {
		key   string
		value []byte
	}
	var records []record
	flush := func() error {
		err := x.store.UpdateSoon(ctx, func(tx store.Tx) error {
			for _, r := range records {
				if err := tx.PutDerived(account, store.DerivedSegment, r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
		records = records[:0]
		return err
	}
	records = append(records, record{docsKey(s.id), b.docs.encode()})
	for page := range pages(s.docs) {
		records = append(records, record{pageKey(s.id, page), encodePage(b.kept[page*pageDocs : min(s.docs, (page+1)*pageDocs)])})
	}
	err := b.groups(s.bits, func(n int, encoded []byte) error {
		records = append(records, record{groupKey(s.id, n), bytes.Clone(encoded)})
		if len(records) < writeChunk {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return fmt.Errorf("write segment: %w", err)
	}
	return nil
}

var errOvertaken = errors.New("the search index was changed by somebody else")

// publish makes a segment count and its olds garbage, in one transaction.
func (x *Index) publish(ctx context.Context, account string, s segment, olds []segment) error {
	return x.store.Update(ctx, func(tx store.Tx) error {
		m, err := readManifest(tx, account)
		if err != nil {
			return err
		}
		for _, o := range olds {
			i := slices.Index(m.live, o)
			if i < 0 {
				return errOvertaken
			}
			m.live = slices.Delete(m.live, i, i+1)
			m.garbage = append(m.garbage, o)
		}
		if s.docs > 0 {
			i := slices.IndexFunc(m.garbage, func(g segment) bool { return g.id == s.id })
			if i < 0 {
				return errOvertaken
			}
			m.garbage = slices.Delete(m.garbage, i, i+1)
			m.live = append(m.live, s)
		}
		return m.put(tx, account)
	})
}

// unmark takes marks away that are still those that the plan saw. A crash
// before it leaves messages that are both indexed and scanned.
func (x *Index) unmark(ctx context.Context, account string, p *plan, done []string) error {
	for chunk := range slices.Chunk(done, writeChunk) {
		err := x.store.UpdateSoon(ctx, func(tx store.Tx) error {
			for _, id := range chunk {
				b, err := tx.Derived(account, store.DerivedGrams, id)
				if errors.Is(err, store.ErrNotFound) || err == nil && !bytes.Equal(b, p.marks[id]) {
					continue
				}
				if err == nil {
					err = tx.DeleteDerived(account, store.DerivedGrams, id)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("take marks away: %w", err)
		}
	}
	return nil
}
