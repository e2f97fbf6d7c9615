package bolt

import (
	"context"

	"github.com/postern-mail/postern/store/table"
)

// BlobKept reports whether a blob is marked as one that must stay.
func (s *Store) BlobKept(account, digest string) (kept bool, err error) {
	err = s.view(context.Background(), func(tx *table.Tx) error {
		l, k, err := tx.BlobKey(account)
		if err != nil {
			return err
		}
		kept, err = tx.BlobKept(table.NameOf(l, k, digest))
		return err
	})
	return kept, err
}

// Migrated sets what is told after each transaction of a migration.
func Migrated(o Options, fn func()) Options {
	o.migrated = fn
	return o
}
