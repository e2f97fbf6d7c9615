package table

import (
	"encoding/binary"
	"fmt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// box is a mailbox while a transaction works on it.
type box struct {
	id    string
	life  uint64
	state record.MailboxState
}

// key is the beginning of all keys of the mailbox.
func (m *box) key() key { return key(nil).u64(m.life).str(m.id) }

func (tx *Tx) box(id string) (*box, error) {
	l, err := tx.lifeOf(bMailbox, key(id))
	if err != nil {
		return nil, err
	}
	if l == 0 {
		return nil, fmt.Errorf("mailbox %s: %w", id, store.ErrNotFound)
	}
	m := &box{id: id, life: l}
	v, err := tx.must(bMailboxState, m.key())
	if err != nil {
		return nil, err
	}
	m.state, err = record.DecodeMailboxState(v)
	return m, err
}

func (tx *Tx) putBox(m *box) error {
	b, err := record.EncodeMailboxState(m.state)
	if err != nil {
		return err
	}
	return tx.put(bMailboxState, m.key(), b)
}

// Mailbox reads a mailbox.
func (tx *Tx) Mailbox(id string) (*store.Mailbox, error) {
	b, l, err := tx.getSealed(bMailbox, key(id))
	if err != nil {
		return nil, err
	}
	m, err := record.DecodeMailbox(id, b)
	if err != nil {
		return nil, err
	}
	v, err := tx.must(bMailboxState, key(nil).u64(l).str(id))
	if err != nil {
		return nil, err
	}
	s, err := record.DecodeMailboxState(v)
	if err != nil {
		return nil, err
	}
	m.UIDNext, m.UIDListed, m.Total, m.Unread, m.ModSeq = s.UIDNext, s.UIDListed, s.Total, s.Unread, s.ModSeq
	return m, nil
}

// maxMailboxes bounds one account's mailboxes in a listing.
const maxMailboxes = 100_000

// MailboxesOf lists an account's mailboxes by id.
func (tx *Tx) MailboxesOf(account string) ([]*store.Mailbox, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	pairs, err := tx.prefix(bMailboxOf, key(nil).u64(l), maxMailboxes)
	if err != nil {
		return nil, err
	}
	var out []*store.Mailbox
	for _, p := range pairs {
		m, err := tx.Mailbox(string(p.Key[8:]))
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	return out, nil
}

// PutMailbox writes what is told of a mailbox; its counts stay the store's.
func (tx *Tx) PutMailbox(m *store.Mailbox) error {
	if err := checkID("mailbox", m.ID); err != nil {
		return err
	}
	l, err := tx.needLife(m.Account)
	if err != nil {
		return err
	}
	b, err := tx.box(m.ID)
	gone, err := missing(err)
	if err != nil {
		return err
	}
	switch {
	case gone:
		b = &box{id: m.ID, life: l, state: record.MailboxState{UIDNext: 1}}
		if err := tx.put(bMailboxOf, key(nil).u64(l).last(m.ID), nil); err != nil {
			return err
		}
	case b.life != l:
		return fmt.Errorf("mailbox %s belongs to another account", m.ID)
	}
	if err := tx.outliveUIDValidity(m); err != nil {
		return err
	}
	b.state.ModSeq = max(b.state.ModSeq, m.ModSeq)
	if err := tx.putBox(b); err != nil {
		return err
	}
	rec, err := record.EncodeMailbox(m)
	return tx.putSealed(bMailbox, key(m.ID), l, rec, err)
}

// DeleteMailbox removes an empty mailbox.
func (tx *Tx) DeleteMailbox(id string) error {
	m, err := tx.box(id)
	if gone, err := missing(err); gone || err != nil {
		return err
	}
	if m.state.Total > 0 {
		return fmt.Errorf("mailbox %s still holds %d messages", id, m.state.Total)
	}
	old, err := tx.Mailbox(id)
	if err != nil {
		return err
	}
	if err := tx.outliveUIDValidity(old); err != nil {
		return err
	}
	if err := tx.del(bMailboxState, m.key()); err != nil {
		return err
	}
	if err := tx.del(bMailboxOf, key(nil).u64(m.life).last(id)); err != nil {
		return err
	}
	return tx.del(bMailbox, key(id))
}

// uidOf reads the value of a row of bByMailbox.
func uidOf(v []byte) uint32 {
	n, _ := binary.Uvarint(v)
	return uint32(n)
}

func putUID(uid uint32) []byte { return binary.AppendUvarint(nil, uint64(uid)) }
