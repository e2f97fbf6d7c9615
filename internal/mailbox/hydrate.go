package mailbox

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Hydrate brings what is missing of messages: their bytes where only the
// provider has them, their exact size, the rows that IMAP tells, the header
// block and the text extract. It returns when all are here, or ctx ends, with
// the first of the failures there were; one that no longer exists is none. Calls
// share the fetches of messages that are asked for at the same time, here and by
// Raw.
func (s *Service) Hydrate(ctx context.Context, ids []string) error {
	var accounts []string
	lacking := map[string][]string{}
	for start := 0; start < len(ids); start += 200 {
		some := ids[start:min(start+200, len(ids))]
		var found []*store.Message
		err := s.store.View(ctx, func(tx store.Tx) error {
			found = found[:0]
			for _, id := range some {
				m, err := tx.Message(id)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				whole, err := hydrated(tx, m)
				if err != nil {
					return err
				}
				if !whole {
					found = append(found, m)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, m := range found {
			if lacking[m.Account] == nil {
				accounts = append(accounts, m.Account)
			}
			lacking[m.Account] = append(lacking[m.Account], m.ID)
		}
	}
	var failure error
	for _, account := range accounts {
		if err := s.land(ctx, account, lacking[account]); err != nil && mail.KindOf(err) != mail.KindNotFound && failure == nil {
			failure = err
		}
	}
	return failure
}
