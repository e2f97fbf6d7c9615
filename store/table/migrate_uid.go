package table

import (
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

// describeUIDs gives the rows of the UID tables the size and the date of their
// messages, which format 2 did not repeat there. The UIDs stay.
//
// Damage of before does not stop it. A row whose message is missing is taken
// away: that UID is gone, as after an expunge, and not given again, for what
// comes next stands with the mailbox. What cannot be opened stays as it is.
func (tx *Tx) describeUIDs(place []byte) ([]byte, bool, error) {
	var from []byte
	if place != nil {
		from = next(place)
	}
	const limit = store.MaxRecords
	rows, err := tx.scan(bUID, from, nil, false, limit)
	if err != nil {
		return nil, false, err
	}
	for _, r := range rows {
		place = r.Key
		err := tx.describeUID(r.Key)
		switch {
		case err == nil:
			continue
		case errors.Is(err, store.ErrNotFound):
			if err := tx.del(bUID, r.Key); err != nil {
				return nil, false, err
			}
		case !errors.Is(err, seal.ErrDamaged) && !errors.Is(err, store.ErrDamaged) && !errors.Is(err, errIncomplete):
			return nil, false, err
		}
		tx.met = append(tx.met, err)
	}
	return place, len(rows) == limit, nil
}

func (tx *Tx) describeUID(k key) error {
	if len(k) < 12 {
		return fmt.Errorf("%s: %w", bUID, errIncomplete)
	}
	l := number(k)
	if _, err := tx.dataKey(l); errors.Is(err, store.ErrNotFound) {
		return nil // its account is being deleted
	} else if err != nil {
		return err
	}
	mailbox, rest := readStr(k[8:])
	if len(rest) != 4 {
		return fmt.Errorf("%s: %w", bUID, errIncomplete)
	}
	m := &box{id: mailbox, life: l}
	uid := uint32(rest[0])<<24 | uint32(rest[1])<<16 | uint32(rest[2])<<8 | uint32(rest[3])
	row, err := tx.uidRow(m, uid)
	if err != nil {
		return fmt.Errorf("UID %d of mailbox %s: %w", uid, mailbox, err)
	}
	msg, err := tx.message(row.Message)
	if err != nil {
		return fmt.Errorf("message %s of UID %d in mailbox %s: %w", row.Message, uid, mailbox, err)
	}
	row.Size, row.Date = msg.Size, msg.ReceivedAt
	return tx.putUIDRow(m, &row)
}
