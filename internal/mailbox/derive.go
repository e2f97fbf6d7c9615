package mailbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

// derived is what is made of a message's bytes when they come, so that nobody
// has to look through them again: the rows that IMAP tells, the header block,
// and the text for search. It goes into the transaction that notes the bytes,
// and stays when those are evicted.
type derived struct {
	rows, header, extract []byte
}

func (d *derived) size() int { return len(d.rows) + len(d.header) + len(d.extract) }

// derived is derive, which for mail that it panics over gives a *guard.Panic.
func (s *Service) derived(ctx context.Context, account, digest string) (d *derived, err error) {
	err = guard.Do(ctx, s.log, "derive rows", func() error {
		d, err = s.derive(ctx, account, digest)
		return err
	}, "account", account, "blob", digest)
	return d, err
}

// derive looks through a blob. It is ErrNotFound where that is not here.
func (s *Service) derive(ctx context.Context, account, digest string) (*derived, error) {
	blob, err := s.store.Blobs().Open(ctx, account, digest)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	scanned, err := mime.Scan(blob, blob.Size())
	if err != nil {
		return nil, err
	}
	scanned.Rows.Digest = digest
	return &derived{rows: scanned.Rows.Encode(), header: scanned.Header, extract: scanned.Text.Encode()}, nil
}

// put writes it for a message that was just written with the bytes it is from.
func (s *Service) putDerived(tx store.Tx, m *store.Message, d *derived) error {
	if d == nil {
		return nil
	}
	if err := tx.PutDerived(m.Account, store.DerivedRows, m.ID, d.rows); err != nil {
		return fmt.Errorf("keep rows: %w", err)
	}
	if err := tx.PutDerived(m.Account, store.DerivedHeader, m.ID, d.header); err != nil {
		return fmt.Errorf("keep header: %w", err)
	}
	put := s.opts.PutExtract
	if put == nil {
		put = func(tx store.Tx, account, message string, extract []byte) error {
			return tx.PutDerived(account, store.DerivedText, message, extract)
		}
	}
	if err := put(tx, m.Account, m.ID, d.extract); err != nil {
		return fmt.Errorf("keep text: %w", err)
	}
	if s.opts.Hydrated != nil {
		hydrated := *m
		tx.AfterCommit(func() { s.opts.Hydrated(&hydrated) })
	}
	return nil
}

// dropText has searches forget the text of a message that changed: nobody knows
// what it says now.
func (s *Service) dropText(tx store.Tx, m *store.Message) error {
	if s.opts.PutExtract == nil {
		return nil
	}
	if err := s.opts.PutExtract(tx, m.Account, m.ID, nil); err != nil {
		return fmt.Errorf("drop text: %w", err)
	}
	return nil
}

// hydrated reports whether everything that is derived of a message is here and
// of the present form. All of it is written together, so the rows tell.
func hydrated(tx store.Tx, m *store.Message) (bool, error) {
	if m.Blob == "" {
		return false, nil
	}
	b, err := tx.Derived(m.Account, store.DerivedRows, m.ID)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		return false, nil
	}
	return err == nil && mime.RowsCurrent(b), err
}

// remade is what was derived anew of bytes that were here already.
type remade struct {
	id, blob string
	*derived
}

// keepRemade writes what was derived of messages that have the same bytes still.
func (s *Service) keepRemade(ctx context.Context, list []remade) error {
	if len(list) == 0 {
		return nil
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		for _, r := range list {
			m, err := tx.Message(r.id)
			if errors.Is(err, store.ErrNotFound) || err == nil && m.Blob != r.blob {
				continue // it changed meanwhile
			}
			if err != nil {
				return err
			}
			if err := s.putDerived(tx, m, r.derived); err != nil {
				return err
			}
		}
		return nil
	})
}
