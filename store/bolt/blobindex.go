package bolt

import (
	"context"

	"github.com/postern-mail/postern/store/table"
)

// blobIndex lets the blobs use the store's transactions.
type blobIndex struct{ store *Store }

// View runs fn in a read-only transaction.
func (i *blobIndex) View(ctx context.Context, fn func(*table.Tx) error) error {
	return i.store.view(ctx, fn)
}

// Update runs fn in a transaction.
func (i *blobIndex) Update(ctx context.Context, fn func(*table.Tx) error) error {
	return i.store.writer.do(ctx, fn, false)
}

// UpdateSoon runs fn in a transaction that may wait for company.
func (i *blobIndex) UpdateSoon(ctx context.Context, fn func(*table.Tx) error) error {
	return i.store.writer.do(ctx, fn, true)
}

// Fail ends writing: what the blobs have on the disk is not known any more.
func (i *blobIndex) Fail(err error) error { return i.store.writer.breakOff(err) }
