package table

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

func unseen(m *store.Message) bool {
	return !m.HasKeyword(mail.Seen) && !slices.Contains(m.Local, mail.Seen)
}

// message reads a message without its UIDs.
func (tx *Tx) message(id string) (*store.Message, error) {
	b, _, err := tx.getSealed(bMessage, key(id))
	if err != nil {
		return nil, err
	}
	return record.DecodeMessage(id, b)
}

func (tx *Tx) putMessage(m *store.Message) error {
	l, err := tx.needLife(m.Account)
	if err != nil {
		return err
	}
	b, err := record.EncodeMessage(m)
	return tx.putSealed(bMessage, key(m.ID), l, b, err)
}

// Message reads a message.
func (tx *Tx) Message(id string) (*store.Message, error) {
	m, err := tx.message(id)
	if err != nil {
		return nil, err
	}
	l, err := tx.life(m.Account)
	if err != nil {
		return nil, err
	}
	for _, mailbox := range m.In {
		in := &box{id: mailbox, life: l}
		v, err := tx.must(bByMailbox, in.dateKey(m.ReceivedAt, id))
		if err != nil {
			return nil, fmt.Errorf("message %s in mailbox %s: %w", id, mailbox, errIncomplete)
		}
		if uid := uidOf(v); uid != 0 {
			if m.UIDs == nil {
				m.UIDs = map[string]uint32{}
			}
			m.UIDs[mailbox] = uid
		}
	}
	return m, nil
}

// errIncomplete: an index has lost what its record promises.
var errIncomplete = errors.New("the store's index is incomplete")

// PutMessage writes a message and everything that follows from it.
func (tx *Tx) PutMessage(m *store.Message) error {
	if err := checkID("message", m.ID); err != nil {
		return err
	}
	if len(m.In) == 0 {
		return fmt.Errorf("message %s is in no mailbox", m.ID)
	}
	l, err := tx.needLife(m.Account)
	if err != nil {
		return err
	}
	old, err := tx.message(m.ID)
	fresh, err := missing(err)
	if err != nil {
		return err
	}
	if !fresh && old.Account != m.Account {
		return fmt.Errorf("message %s belongs to another account", m.ID)
	}
	msg := *m
	msg.In = slices.Compact(slices.Sorted(slices.Values(m.In)))
	var was []string
	if !fresh {
		was = old.In
	}
	if err := tx.placeMessage(l, old, &msg, was); err != nil {
		return err
	}
	if fresh || !old.ReceivedAt.Equal(msg.ReceivedAt) {
		if !fresh {
			if err := tx.del(bByAccount, key(nil).u64(l).back(old.ReceivedAt).last(msg.ID)); err != nil {
				return err
			}
		}
		if err := tx.put(bByAccount, key(nil).u64(l).back(msg.ReceivedAt).last(msg.ID), nil); err != nil {
			return err
		}
	}
	if !fresh && old.Blob != "" && old.Blob != msg.Blob {
		if err := tx.dropDerived(l, msg.ID); err != nil {
			return err
		}
	}
	if fresh {
		if err := tx.addCount(l, 1); err != nil {
			return err
		}
	}
	if fresh || old.Thread != msg.Thread || !old.ReceivedAt.Equal(msg.ReceivedAt) {
		if !fresh {
			if err := tx.leaveThread(l, old); err != nil {
				return err
			}
		}
		if err := tx.joinThread(l, &msg); err != nil {
			return err
		}
	}
	return tx.putMessage(&msg)
}

// placeMessage changes the mailboxes from was to msg.In.
func (tx *Tx) placeMessage(l uint64, old, msg *store.Message, was []string) error {
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(was, msg.In))))
	for _, id := range all {
		m, err := tx.box(id)
		if err != nil {
			return err
		}
		if m.life != l {
			return fmt.Errorf("mailbox %s belongs to another account", id)
		}
		before, after := slices.Contains(was, id), slices.Contains(msg.In, id)
		switch {
		case before && after:
			err = tx.stay(m, old, msg)
		case before:
			err = tx.leave(m, old)
		default:
			err = tx.enter(m, msg)
		}
		if err != nil {
			return err
		}
		m.state.ModSeq = max(m.state.ModSeq, msg.ModSeq)
		if err := tx.putBox(m); err != nil {
			return err
		}
	}
	return nil
}

// DeleteMessage removes a message and everything that follows from it.
func (tx *Tx) DeleteMessage(id string, modSeq uint64) error {
	old, err := tx.message(id)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	l, err := tx.needLife(old.Account)
	if err != nil {
		return err
	}
	if err := tx.placeMessage(l, old, &store.Message{ID: id, ModSeq: modSeq}, old.In); err != nil {
		return err
	}
	if err := tx.del(bByAccount, key(nil).u64(l).back(old.ReceivedAt).last(id)); err != nil {
		return err
	}
	if err := tx.addCount(l, -1); err != nil {
		return err
	}
	if err := tx.leaveThread(l, old); err != nil {
		return err
	}
	if err := tx.dropDerived(l, id); err != nil {
		return err
	}
	return tx.del(bMessage, key(id))
}

// MessagesOf lists an account's messages, newest first.
func (tx *Tx) MessagesOf(account string, after store.DateKey, limit int) ([]store.DateKey, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	return tx.newestFirst(bByAccount, key(nil).u64(l), after, limit)
}

// MessagesIn lists a mailbox's messages, newest first.
func (tx *Tx) MessagesIn(mailbox string, after store.DateKey, limit int) ([]store.DateKey, error) {
	l, err := tx.lifeOf(bMailbox, key(mailbox))
	if err != nil || l == 0 {
		return nil, err
	}
	return tx.newestFirst(bByMailbox, (&box{id: mailbox, life: l}).key(), after, limit)
}

func (tx *Tx) newestFirst(b Bucket, prefix key, after store.DateKey, limit int) ([]store.DateKey, error) {
	from := []byte(prefix)
	if !after.Zero() {
		from = next(slices.Clone(prefix).back(after.At).last(after.ID))
	}
	pairs, err := tx.scan(b, from, end(prefix), false, limit)
	return dateKeys(pairs, len(prefix), readBack), err
}

// MessagesOldestFirst lists a mailbox's messages backwards.
func (tx *Tx) MessagesOldestFirst(mailbox string, after store.DateKey, limit int) ([]store.DateKey, error) {
	l, err := tx.lifeOf(bMailbox, key(mailbox))
	if err != nil || l == 0 {
		return nil, err
	}
	prefix := (&box{id: mailbox, life: l}).key()
	to := end(prefix)
	if !after.Zero() {
		to = slices.Clone(prefix).back(after.At).last(after.ID)
	}
	pairs, err := tx.scan(bByMailbox, prefix, to, true, limit)
	return dateKeys(pairs, len(prefix), readBack), err
}

// dateKeys reads times and ids that follow a prefix of n bytes.
func dateKeys(pairs []Pair, n int, read func([]byte) time.Time) []store.DateKey {
	if len(pairs) == 0 {
		return nil
	}
	out := make([]store.DateKey, len(pairs))
	for i, p := range pairs {
		out[i] = store.DateKey{At: read(p.Key[n:]), ID: string(p.Key[n+timeSize:])}
	}
	return out
}

// CountMessages is how many messages the account has.
func (tx *Tx) CountMessages(account string) (int64, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return 0, err
	}
	v, err := tx.get(bCount, key(nil).u64(l))
	return int64(number(v)), err
}

func (tx *Tx) addCount(l uint64, diff int64) error {
	k := key(nil).u64(l)
	v, err := tx.get(bCount, k)
	if err != nil {
		return err
	}
	return tx.put(bCount, k, key(nil).u64(uint64(int64(number(v))+diff)))
}
