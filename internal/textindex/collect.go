package textindex

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/store"
)

// collect removes the records of an account's garbage.
func (x *Index) collect(ctx context.Context, account string) error {
	for {
		var s segment
		none := false
		err := x.store.View(ctx, func(tx store.Tx) error {
			m, err := readManifest(tx, account)
			if none = err != nil || len(m.garbage) == 0; !none {
				s = m.garbage[0]
			}
			return err
		})
		if err != nil || none {
			return err
		}
		keys := []string{docsKey(s.id)}
		for n := range 1 << s.bits {
			keys = append(keys, groupKey(s.id, n))
		}
		for page := range pages(s.docs) {
			keys = append(keys, pageKey(s.id, page))
		}
		for chunk := range slices.Chunk(keys, writeChunk) {
			if err := x.remove(ctx, account, chunk); err != nil {
				return err
			}
		}
		err = x.store.UpdateSoon(ctx, func(tx store.Tx) error {
			m, err := readManifest(tx, account)
			if err != nil {
				return err
			}
			m.garbage = slices.DeleteFunc(m.garbage, func(g segment) bool { return g.id == s.id })
			return m.put(tx, account)
		})
		if err != nil {
			return fmt.Errorf("collect garbage: %w", err)
		}
	}
}

func (x *Index) remove(ctx context.Context, account string, keys []string) error {
	err := x.store.UpdateSoon(ctx, func(tx store.Tx) error {
		for _, k := range keys {
			if err := tx.DeleteDerived(account, store.DerivedSegment, k); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove segment: %w", err)
	}
	return nil
}

// compact rewrites segments of which half or more are no longer so, and reports
// whether there was one. It looks only when that can be: there are more entries
// than one and a half times the account's messages.
func (x *Index) compact(ctx context.Context, account string) (bool, error) {
	var m *manifest
	var v *view
	var count int64
	err := x.store.View(ctx, func(tx store.Tx) (err error) {
		if m, err = readManifest(tx, account); err != nil {
			return err
		}
		if count, err = tx.CountMessages(account); err != nil {
			return err
		}
		entries := 0
		for _, s := range m.live {
			entries += s.docs
		}
		if v = nil; int64(entries) > count+count/2+int64(x.fresh) {
			v, err = x.views.get(tx, account, m)
		}
		return err
	})
	if err != nil || v == nil {
		return false, err
	}
	p := &plan{marks: map[string][]byte{}}
	for i, s := range m.live {
		ids, err := x.alive(ctx, account, v, i)
		if err != nil {
			return false, err
		}
		if 2*len(ids) <= s.docs && len(p.ids)+len(ids) <= maxDocs {
			p.olds = append(p.olds, s)
			p.ids = append(p.ids, ids...)
		}
	}
	if len(p.olds) == 0 {
		return false, nil
	}
	return true, x.build(ctx, account, p)
}

// alive lists the messages that a segment is still the place of.
func (x *Index) alive(ctx context.Context, account string, v *view, segment int) ([]string, error) {
	var all, ids []string
	for id, at := range v.place {
		if int(at.segment) == segment {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	for chunk := range slices.Chunk(all, scanChunk) {
		var some []string
		err := x.store.View(ctx, func(tx store.Tx) error {
			some = some[:0]
			for _, id := range chunk {
				_, err := tx.Message(id)
				if err == nil {
					some = append(some, id)
				} else if !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	return ids, nil
}

// reset throws an account's index away and marks all its messages, so that it
// is built anew. The segments stop to count first: from then on everything is
// scanned. Of a manifest that cannot be read the segments are not known: their
// records stay, and numbers begin anew.
func (x *Index) reset(ctx context.Context, account string) error {
	err := x.store.Update(ctx, func(tx store.Tx) error {
		m, err := readManifest(tx, account)
		if errors.Is(err, store.ErrDamaged) {
			m, err = &manifest{}, nil
		}
		if err != nil {
			return err
		}
		m.garbage = append(m.garbage, m.live...)
		m.live = nil
		return m.put(tx, account)
	})
	if err != nil {
		return fmt.Errorf("reset search index: %w", err)
	}
	x.views.drop(account)
	var after store.DateKey
	for {
		var keys []store.DateKey
		err := x.store.UpdateSoon(ctx, func(tx store.Tx) (err error) {
			if keys, err = tx.MessagesOf(account, after, writeChunk); err != nil {
				return err
			}
			for _, k := range keys {
				if err := tx.PutDerived(account, store.DerivedGrams, k.ID, []byte("again")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("mark all messages: %w", err)
		}
		if len(keys) == 0 {
			return nil
		}
		after = keys[len(keys)-1]
	}
}
