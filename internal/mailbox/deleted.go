package mailbox

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/store"
)

// deletedPerTx is how many rows one transaction marks: each writes its row, its
// mailbox's counts and an entry of the journal with its index.
const deletedPerTx = store.MaxRecords / 5

// SetDeleted sets or clears IMAP's \Deleted on rows of a mailbox's UID table.
// No provider holds it, and nobody outside is told: the entry that numbers the
// change is internal, and names message and mailbox. UIDs that are not there
// (any more) are left out, and those that are so already.
func (s *Service) SetDeleted(ctx context.Context, mailbox string, uids []uint32, deleted bool) error {
	box, err := s.mailboxByID(ctx, mailbox)
	if err != nil {
		return err
	}
	uids = slices.Compact(slices.Sorted(slices.Values(uids)))
	for chunk := range slices.Chunk(uids, deletedPerTx) {
		err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
			for _, uid := range chunk {
				rows, err := tx.UIDs(mailbox, uid, uid, 1)
				if err != nil {
					return err
				}
				if len(rows) == 0 || rows[0].Deleted == deleted {
					continue
				}
				seq, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: box.Account, Message: rows[0].Message, Mailbox: mailbox, Internal: true})
				if err != nil {
					return err
				}
				if err := tx.SetDeleted(mailbox, uid, deleted, seq); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return notFound(err, "mailbox")
		}
	}
	return nil
}
