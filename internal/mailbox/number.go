package mailbox

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-mail/postern/store"
)

// numberedPerTx is how many messages one transaction numbers: each writes its
// row and its place in the mailbox.
const numberedPerTx = store.MaxRecords / 5

// Number gives the messages that were just put into a mailbox their UIDs there,
// where its first listing is not complete and they would wait for that: whoever
// copied or moved them is told the UIDs (RFC 4315, 3). Results of what failed, or
// is not in the mailbox, stay as they are. It was done at the provider already,
// so it goes on when ctx ends.
func (s *Service) Number(ctx context.Context, mailbox string, rs []Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleLimit)
	defer cancel()
	var wait []int
	for i, r := range rs {
		if r.Err == nil && r.Message != nil && slices.Contains(r.Message.In, mailbox) && r.Message.UIDs[mailbox] == 0 {
			wait = append(wait, i)
		}
	}
	for chunk := range slices.Chunk(wait, numberedPerTx) {
		numbered := make([]*store.Message, len(chunk))
		err := s.store.Update(ctx, func(tx store.Tx) error {
			for n, i := range chunk {
				numbered[n] = nil
				m, err := tx.Message(rs[i].Message.ID) // a copy is another message
				if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(m.In, mailbox) {
					continue // somebody has moved it on
				}
				if err != nil {
					return err
				}
				if _, err := tx.GiveUID(mailbox, m.ID); err != nil {
					return err
				}
				if numbered[n], err = tx.Message(m.ID); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return notFound(err, "mailbox")
		}
		for n, i := range chunk {
			if numbered[n] != nil {
				rs[i].Message = numbered[n]
			}
		}
	}
	return nil
}
