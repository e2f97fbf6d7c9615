package mailbox

import (
	"context"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// Rows gives what IMAP tells of a message's structure; kind not_found where that
// is not here: Hydrate brings it.
func (s *Service) Rows(ctx context.Context, id string) (*mime.Rows, error) {
	m, err := s.message(ctx, id)
	if err != nil {
		return nil, err
	}
	var b []byte
	err = s.store.View(ctx, func(tx store.Tx) (err error) {
		b, err = tx.Derived(m.Account, store.DerivedRows, id)
		return err
	})
	if err != nil {
		return nil, notFound(err, "rows")
	}
	return mime.DecodeRows(b)
}
