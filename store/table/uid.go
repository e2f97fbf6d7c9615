package table

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// A message in a mailbox stands in bByMailbox, with its UID as the value, or 0
// and a row in bUIDWait while the mailbox's list is not complete.

func (m *box) uidKey(uid uint32) key { return m.key().u32(uid) }

func (m *box) dateKey(at time.Time, message string) key { return m.key().back(at).last(message) }

func (m *box) waitKey(at time.Time, message string) key { return m.key().at(at).last(message) }

// nextUID gives a UID; none is given twice (RFC 9051, 2.3.1.1).
func (m *box) nextUID() (uint32, error) {
	if m.state.UIDNext == math.MaxUint32 {
		return 0, fmt.Errorf("mailbox %s has no UID left", m.id)
	}
	m.state.UIDNext++
	return m.state.UIDNext - 1, nil
}

func (tx *Tx) putUIDRow(m *box, u *store.UID) error {
	b, err := record.EncodeUID(u)
	return tx.putSealed(bUID, m.uidKey(u.UID), m.life, b, err)
}

func (tx *Tx) uidRow(m *box, uid uint32) (store.UID, error) {
	b, _, err := tx.getSealed(bUID, m.uidKey(uid))
	if err != nil {
		return store.UID{}, err
	}
	return record.DecodeUID(uid, b)
}

// giveUID gives the message a UID in the mailbox and writes both rows.
func (tx *Tx) giveUID(m *box, msg *store.Message, modSeq uint64) error {
	uid, err := m.nextUID()
	if err != nil {
		return err
	}
	if err := tx.put(bByMailbox, m.dateKey(msg.ReceivedAt, msg.ID), putUID(uid)); err != nil {
		return err
	}
	return tx.putUIDRow(m, &store.UID{UID: uid, Message: msg.ID, Keywords: msg.AllKeywords(), ModSeq: modSeq, Size: msg.Size, Date: msg.ReceivedAt})
}

// enter puts a message into a mailbox.
func (tx *Tx) enter(m *box, msg *store.Message) error {
	m.state.Total++
	if unseen(msg) {
		m.state.Unread++
	}
	if m.state.UIDListed {
		return tx.giveUID(m, msg, msg.ModSeq)
	}
	if err := tx.put(bUIDWait, m.waitKey(msg.ReceivedAt, msg.ID), nil); err != nil {
		return err
	}
	return tx.put(bByMailbox, m.dateKey(msg.ReceivedAt, msg.ID), putUID(0))
}

// leave takes a message, as it was, out of a mailbox.
func (tx *Tx) leave(m *box, msg *store.Message) error {
	m.state.Total--
	if unseen(msg) {
		m.state.Unread--
	}
	k := m.dateKey(msg.ReceivedAt, msg.ID)
	v, err := tx.must(bByMailbox, k)
	if err != nil {
		return fmt.Errorf("message %s in mailbox %s: %w", msg.ID, m.id, err)
	}
	if uid := uidOf(v); uid != 0 {
		err = tx.del(bUID, m.uidKey(uid))
	} else {
		err = tx.del(bUIDWait, m.waitKey(msg.ReceivedAt, msg.ID))
	}
	if err != nil {
		return err
	}
	return tx.del(bByMailbox, k)
}

// stay brings the rows of a message that stays in a mailbox up to date.
func (tx *Tx) stay(m *box, old, msg *store.Message) error {
	if unseen(old) {
		m.state.Unread--
	}
	if unseen(msg) {
		m.state.Unread++
	}
	k := m.dateKey(old.ReceivedAt, old.ID)
	v, err := tx.must(bByMailbox, k)
	if err != nil {
		return fmt.Errorf("message %s in mailbox %s: %w", msg.ID, m.id, err)
	}
	uid := uidOf(v)
	if !old.ReceivedAt.Equal(msg.ReceivedAt) {
		if err := tx.del(bByMailbox, k); err != nil {
			return err
		}
		if err := tx.put(bByMailbox, m.dateKey(msg.ReceivedAt, msg.ID), putUID(uid)); err != nil {
			return err
		}
		if uid == 0 {
			if err := tx.del(bUIDWait, m.waitKey(old.ReceivedAt, old.ID)); err != nil {
				return err
			}
			if err := tx.put(bUIDWait, m.waitKey(msg.ReceivedAt, msg.ID), nil); err != nil {
				return err
			}
		}
	}
	keywords := msg.AllKeywords()
	if uid == 0 || (old.ModSeq == msg.ModSeq && old.Size == msg.Size && old.ReceivedAt.Equal(msg.ReceivedAt) && slices.Equal(old.AllKeywords(), keywords)) {
		return nil
	}
	row, err := tx.uidRow(m, uid)
	if err != nil {
		return err
	}
	row.Keywords, row.ModSeq = keywords, max(row.ModSeq, msg.ModSeq)
	row.Size, row.Date = msg.Size, msg.ReceivedAt
	return tx.putUIDRow(m, &row)
}

// GiveUIDs gives UIDs to messages that have none, oldest first.
func (tx *Tx) GiveUIDs(mailbox string, limit int) (more bool, err error) {
	m, err := tx.box(mailbox)
	if err != nil {
		return false, err
	}
	if limit <= 0 {
		return false, fmt.Errorf("give UIDs: limit %d", limit)
	}
	prefix := m.key()
	pairs, err := tx.prefix(bUIDWait, prefix, limit+1)
	if err != nil {
		return false, err
	}
	for i, p := range pairs {
		if i == limit {
			return true, tx.putBox(m)
		}
		msg, err := tx.message(string(p.Key[len(prefix)+timeSize:]))
		if err != nil {
			return false, err
		}
		if err := tx.giveUID(m, msg, msg.ModSeq); err != nil {
			return false, err
		}
		if err := tx.del(bUIDWait, p.Key); err != nil {
			return false, err
		}
	}
	m.state.UIDListed = true
	return false, tx.putBox(m)
}

// GiveUID gives one message its UID, unless it has one.
func (tx *Tx) GiveUID(mailbox, message string) (uint32, error) {
	m, err := tx.box(mailbox)
	if err != nil {
		return 0, err
	}
	msg, err := tx.message(message)
	if err != nil {
		return 0, err
	}
	v, err := tx.must(bByMailbox, m.dateKey(msg.ReceivedAt, message))
	if err != nil {
		return 0, fmt.Errorf("message %s in mailbox %s: %w", message, mailbox, err)
	}
	if uid := uidOf(v); uid != 0 {
		return uid, nil
	}
	if err := tx.giveUID(m, msg, msg.ModSeq); err != nil {
		return 0, err
	}
	if err := tx.del(bUIDWait, m.waitKey(msg.ReceivedAt, message)); err != nil {
		return 0, err
	}
	return m.state.UIDNext - 1, tx.putBox(m)
}

// UIDs lists rows of a mailbox's UID table.
func (tx *Tx) UIDs(mailbox string, first, last uint32, limit int) ([]store.UID, error) {
	l, err := tx.lifeOf(bMailbox, key(mailbox))
	if err != nil || l == 0 || first > last {
		return nil, err
	}
	m := &box{id: mailbox, life: l}
	pairs, err := tx.scan(bUID, m.uidKey(first), next(m.uidKey(last)), false, limit)
	if err != nil {
		return nil, err
	}
	rows := record.NewUIDs(len(pairs))
	for _, p := range pairs {
		b, _, err := tx.open(bUID, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		if err := rows.Add(binary.BigEndian.Uint32(p.Key[len(p.Key)-4:]), b); err != nil {
			return nil, err
		}
	}
	return rows.Rows(), nil
}

// SetDeleted sets IMAP's \Deleted on a row.
func (tx *Tx) SetDeleted(mailbox string, uid uint32, deleted bool, modSeq uint64) error {
	m, err := tx.box(mailbox)
	if err != nil {
		return err
	}
	row, err := tx.uidRow(m, uid)
	if err != nil {
		return err
	}
	row.Deleted, row.ModSeq = deleted, max(row.ModSeq, modSeq)
	if err := tx.putUIDRow(m, &row); err != nil {
		return err
	}
	m.state.ModSeq = max(m.state.ModSeq, modSeq)
	return tx.putBox(m)
}

// RenewUIDs gives a message new UIDs wherever it has some.
func (tx *Tx) RenewUIDs(id string, modSeq uint64) error {
	msg, err := tx.message(id)
	if err != nil {
		return err
	}
	msg.ModSeq = max(msg.ModSeq, modSeq)
	for _, mailbox := range msg.In {
		m, err := tx.box(mailbox)
		if err != nil {
			return err
		}
		v, err := tx.must(bByMailbox, m.dateKey(msg.ReceivedAt, id))
		if err != nil {
			return err
		}
		if uid := uidOf(v); uid != 0 {
			if err := tx.del(bUID, m.uidKey(uid)); err != nil {
				return err
			}
			if err := tx.giveUID(m, msg, msg.ModSeq); err != nil {
				return err
			}
		}
		m.state.ModSeq = max(m.state.ModSeq, modSeq)
		if err := tx.putBox(m); err != nil {
			return err
		}
	}
	return tx.putMessage(msg)
}
