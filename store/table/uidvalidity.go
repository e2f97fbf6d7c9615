package table

import (
	"errors"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// A mailbox that comes under a name of before must have another UIDVALIDITY than
// ever stood under that name (RFC 9051, 2.3.1.1), be it made again, under
// whatever id, or renamed. Nothing is kept of deleted ones and of former names,
// so there is one mark for the whole store, which is above all that was ever
// given. Stores of before have none until a mailbox is written or deleted: what
// is there counts at the latest when it goes.

// uidValidityFloor is the name of the mark.
const uidValidityFloor = "uid_validity_floor"

// UIDValidityFloor is the least that a new mailbox may have.
func (tx *Tx) UIDValidityFloor() (uint32, error) {
	n, err := tx.number(uidValidityFloor)
	return uint32(n), err
}

func (tx *Tx) raiseUIDValidity(to uint32) error {
	n, err := tx.number(uidValidityFloor)
	if err != nil || uint64(to) <= n {
		return err
	}
	return tx.setNumber(uidValidityFloor, uint64(to))
}

// outliveUIDValidity raises the mark above mailboxes'.
func (tx *Tx) outliveUIDValidity(boxes ...*store.Mailbox) error {
	var to uint32
	for _, m := range boxes {
		to = max(to, m.UIDValidity+1)
	}
	return tx.raiseUIDValidity(to)
}

// outliveMailboxesOf raises the mark above the mailboxes of a life that ends:
// they may come again with their account, under other ids. One that is damaged
// does not keep the account from being erased: it counts as one that was made
// now, since a new mailbox has the time for its UIDVALIDITY.
func (tx *Tx) outliveMailboxesOf(l uint64) error {
	pairs, err := tx.prefix(bMailboxOf, key(nil).u64(l), maxMailboxes)
	if err != nil {
		return err
	}
	var gone []*store.Mailbox
	for _, p := range pairs {
		m, err := tx.Mailbox(string(p.Key[8:]))
		switch {
		case err == nil:
			gone = append(gone, m)
		case errors.Is(err, seal.ErrDamaged), errors.Is(err, store.ErrDamaged), errors.Is(err, errIncomplete), errors.Is(err, store.ErrNotFound):
			gone = append(gone, &store.Mailbox{UIDValidity: uint32(tx.t.now().Unix())})
		default:
			return err
		}
	}
	return tx.outliveUIDValidity(gone...)
}
