package bolt

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// sweep removes what is left of accounts whose deletion a crash cut short.
func (s *Store) sweep(ctx context.Context) {
	defer close(s.swept)
	for {
		var account string
		var ok bool
		err := s.view(ctx, func(tx *table.Tx) (err error) {
			account, ok, err = tx.Ended()
			return err
		})
		if err == nil && !ok {
			return
		}
		if err == nil {
			err = s.dropEnded(ctx, account)
		}
		if err != nil {
			if ctx.Err() == nil {
				s.opts.Log.Error("records of a deleted account are not removed", "account", account, "error", err)
			}
			return
		}
	}
}

func (s *Store) dropEnded(ctx context.Context, account string) error {
	for more := true; more; {
		err := s.writer.do(ctx, func(tx *table.Tx) (err error) {
			more, err = tx.DropAccountRecords(account, store.MaxRecords)
			return err
		}, true)
		if err != nil {
			return err
		}
	}
	return s.blobs.DropEnded(ctx, account)
}

// RaiseEpoch begins a new life of the store, after a restore from a backup:
// cursors of the life before are refused from then on.
func (s *Store) RaiseEpoch(ctx context.Context) error {
	return s.writer.do(ctx, func(tx *table.Tx) error {
		epoch, err := tx.RaiseEpoch(s.opts.Now())
		if err == nil {
			tx.AfterCommit(func() { s.epoch.Store(epoch) })
		}
		return err
	}, false)
}

// Rewrap wraps every data key under the first master key of the ring, while
// the store works. progress, which may be nil, is told how many are done.
// When it has returned, the other master keys are needed no more.
func (s *Store) Rewrap(ctx context.Context, progress func(done int)) error {
	const step = 200
	var place []byte
	total := 0
	for more := true; more; {
		var done int
		var after []byte
		err := s.writer.do(ctx, func(tx *table.Tx) (err error) {
			after, done, more, err = tx.Rewrap(place, step)
			return err
		}, false)
		if err != nil {
			return fmt.Errorf("wrap data keys: %w", err)
		}
		place, total = after, total+done
		if progress != nil {
			progress(total)
		}
	}
	return nil
}

// Stats are sizes of the store.
type Stats struct {
	// FileSize is the length of the database, FreePages how much of it, in
	// pages, is free to be used again.
	FileSize  int64
	FreePages int
	// BlobBytes is how much blobs take, at the most.
	BlobBytes int64
}

// Stats reads the sizes of the store.
func (s *Store) Stats() (Stats, error) {
	info, err := os.Stat(filepath.Join(s.opts.Path, fileName))
	if err != nil {
		return Stats{}, err
	}
	st := s.db.Stats()
	return Stats{FileSize: info.Size(), FreePages: st.FreePageN, BlobBytes: s.blobs.AtRest()}, nil
}
