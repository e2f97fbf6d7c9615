package blobfile

import (
	"context"
	"os"
)

// SetSync puts a function in the place of a file's Sync.
func (b *Blobs) SetSync(fn func(*os.File) error) {
	b.packs.syncing.Lock()
	defer b.packs.syncing.Unlock()
	b.packs.mu.Lock()
	defer b.packs.mu.Unlock()
	b.fsync = fn
}

// SetSegmentSize makes segments end earlier.
func (b *Blobs) SetSegmentSize(n int64) {
	b.packs.mu.Lock()
	defer b.packs.mu.Unlock()
	b.packs.segmentSize = n
}

// Tend does what goes on in the background.
func (b *Blobs) Tend(ctx context.Context) error { return b.packs.tend(ctx) }

// Segments lists the segments.
func (b *Blobs) Segments() ([]uint32, error) { return b.packs.segments() }
