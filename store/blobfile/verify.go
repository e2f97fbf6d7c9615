package blobfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// Verify reads the blobs that nobody else has and tells of those that are
// missing or not what they were. The others are a cache, and mend themselves.
func (b *Blobs) Verify(ctx context.Context, snapshot *table.Tx, tell func(problem string)) (checked int, err error) {
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	defer b.using.Done()
	var after []byte
	for {
		names, err := snapshot.KeptBlobs(after, flushStep)
		if err != nil || len(names) == 0 {
			return checked, err
		}
		for _, n := range names {
			if err := ctx.Err(); err != nil {
				return checked, err
			}
			after = n.Key()
			checked++
			k, err := snapshot.LifeKey(n.Life)
			if err != nil {
				return checked, err
			}
			if err := b.verifyOne(ctx, n, k); err != nil {
				// Those of what has ended meanwhile go.
				if still, look := b.stillKept(ctx, n); look != nil {
					return checked, look
				} else if still {
					tell(fmt.Sprintf("blob %x of life %d: %v", n.MAC, n.Life, err))
				}
			}
		}
	}
}

func (b *Blobs) stillKept(ctx context.Context, n table.BlobName) (kept bool, err error) {
	err = b.index.View(ctx, func(tx *table.Tx) (err error) {
		kept, err = tx.BlobKept(n)
		return err
	})
	return kept, err
}

func (b *Blobs) verifyOne(ctx context.Context, n table.BlobName, k *seal.DataKey) error {
	blob, err := b.packs.open(ctx, n, k)
	if errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrDamaged) {
		blob, err = b.openFile(n, k)
	}
	if err != nil {
		return err
	}
	defer blob.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, blob); err != nil {
		return err
	}
	if table.NameOf(n.Life, k, hex.EncodeToString(sum.Sum(nil))) != n {
		return fmt.Errorf("its bytes are not those that were stored: %w", store.ErrDamaged)
	}
	return nil
}
