package table

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Thread reads a thread.
func (tx *Tx) Thread(id string) (*store.Thread, error) {
	t, _, err := tx.thread(id)
	return t, err
}

func (tx *Tx) thread(id string) (*store.Thread, uint64, error) {
	l, err := tx.lifeOf(bThread, key(id))
	if err != nil {
		return nil, 0, err
	}
	if l == 0 {
		return nil, 0, store.ErrNotFound
	}
	v, err := tx.must(bThread, key(id))
	if err != nil {
		return nil, 0, err
	}
	_, n := binary.Uvarint(v)
	if n <= 0 {
		return nil, 0, fmt.Errorf("%s: %w", bThread, seal.ErrDamaged)
	}
	t, err := record.DecodeThread(id, v[n:])
	return t, l, err
}

func threadKey(l uint64, t *store.Thread) key { return key(nil).u64(l).back(t.LastAt).last(t.ID) }

func messagesKey(l uint64, thread string) key { return key(nil).u64(l).str(thread) }

func (tx *Tx) putThread(l uint64, t *store.Thread) error {
	b, err := record.EncodeThread(t)
	if err != nil {
		return err
	}
	if err := tx.put(bThreadOf, threadKey(l, t), nil); err != nil {
		return err
	}
	return tx.put(bThread, key(t.ID), append(binary.AppendUvarint(nil, l), b...))
}

// joinThread counts a message in its thread. One without a thread id is in
// none.
func (tx *Tx) joinThread(l uint64, m *store.Message) error {
	if m.Thread == "" {
		return nil
	}
	t, was, err := tx.thread(m.Thread)
	fresh, err := missing(err)
	switch {
	case err != nil:
		return err
	case fresh:
		t = &store.Thread{ID: m.Thread, Account: m.Account, LastAt: m.ReceivedAt}
	case was != l:
		return fmt.Errorf("thread %s belongs to another account", m.Thread)
	case m.ReceivedAt.After(t.LastAt):
		if err := tx.del(bThreadOf, threadKey(l, t)); err != nil {
			return err
		}
		t.LastAt = m.ReceivedAt
	}
	t.Count++
	if err := tx.put(bByThread, messagesKey(l, m.Thread).at(m.ReceivedAt).last(m.ID), nil); err != nil {
		return err
	}
	return tx.putThread(l, t)
}

// leaveThread takes a message, as it was, out of its thread. The last one
// takes the thread along.
func (tx *Tx) leaveThread(l uint64, m *store.Message) error {
	if m.Thread == "" {
		return nil
	}
	t, _, err := tx.thread(m.Thread)
	if err != nil {
		return fmt.Errorf("thread %s: %w", m.Thread, err)
	}
	prefix := messagesKey(l, m.Thread)
	if err := tx.del(bByThread, slices.Clone(prefix).at(m.ReceivedAt).last(m.ID)); err != nil {
		return err
	}
	if err := tx.del(bThreadOf, threadKey(l, t)); err != nil {
		return err
	}
	newest, ok, err := tx.first(bByThread, prefix, true)
	if err != nil {
		return err
	}
	if !ok {
		return tx.del(bThread, key(m.Thread))
	}
	t.Count--
	t.LastAt = readAt(newest.Key[len(prefix):])
	return tx.putThread(l, t)
}

// ThreadsOf lists an account's threads, newest first.
func (tx *Tx) ThreadsOf(account string, after store.DateKey, limit int) ([]*store.Thread, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	keys, err := tx.newestFirst(bThreadOf, key(nil).u64(l), after, limit)
	if err != nil {
		return nil, err
	}
	out := make([]*store.Thread, 0, len(keys))
	for _, k := range keys {
		t, err := tx.Thread(k.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// MessagesOfThread lists a thread's messages, oldest first.
func (tx *Tx) MessagesOfThread(thread string, after store.DateKey, limit int) ([]store.DateKey, error) {
	l, err := tx.lifeOf(bThread, key(thread))
	if err != nil || l == 0 {
		return nil, err
	}
	prefix := messagesKey(l, thread)
	from := []byte(prefix)
	if !after.Zero() {
		from = next(slices.Clone(prefix).at(after.At).last(after.ID))
	}
	pairs, err := tx.scan(bByThread, from, end(prefix), false, limit)
	return dateKeys(pairs, len(prefix), readAt), err
}
