package bolt

import (
	"context"
	"fmt"
	"io"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/blobfile"
)

// Backup writes a backup of the store to w while the store works: the database
// as one transaction sees it, and the blobs that nobody else has, or all of
// them. It holds up no writer. But as long as it runs no page that it sees is
// used again, so the database's file grows by what is written meanwhile: w
// should be as fast as a disk.
func (s *Store) Backup(ctx context.Context, w io.Writer, allBlobs bool) (Manifest, error) {
	m, err := s.backup(ctx, w, allBlobs)
	if err != nil {
		return m, fmt.Errorf("back up: %w", err)
	}
	return m, nil
}

func (s *Store) backup(ctx context.Context, w io.Writer, allBlobs bool) (Manifest, error) {
	if !s.enter() {
		return Manifest{}, store.ErrClosed
	}
	defer s.readers.Done()
	if allBlobs {
		if err := s.blobs.Flush(ctx); err != nil {
			return Manifest{}, err
		}
	}
	btx, err := s.db.Begin(false)
	if err != nil {
		return Manifest{}, fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = btx.Rollback() }()
	snapshot := s.tables.Begin(newKV(btx), false).Tx()

	m := Manifest{Kind: archiveKind, Version: archiveVersion, Postern: s.opts.Version, Created: s.opts.Now().UTC(),
		AllBlobs: allBlobs, Database: btx.Size()}
	state, err := s.tables.State(snapshot.Batch)
	if err != nil {
		return m, err
	}
	m.Format = state.Format
	if m.Epoch, err = snapshot.Epoch(); err != nil {
		return m, err
	}
	if _, m.Position, err = snapshot.JournalBounds(); err != nil {
		return m, err
	}
	a := newArchiveWriter(w, m.Created)
	if err := a.addJSON(manifestName, m); err != nil {
		return m, err
	}
	under := func(prefix string) blobfile.Each {
		return func(name string, size int64, r io.Reader) error {
			return a.add(prefix+name, size, func(w io.Writer) error { _, err := io.Copy(w, r); return err })
		}
	}
	// The blobs first: those that are deleted as time goes on are then few.
	if allBlobs {
		if err := s.blobs.CopyAll(ctx, under(cachePrefix)); err != nil {
			return m, err
		}
	}
	if err := s.blobs.CopyKept(ctx, snapshot, under(blobPrefix)); err != nil {
		return m, err
	}
	err = a.add(fileName, m.Database, func(w io.Writer) error {
		_, err := btx.WriteTo(&interruptible{ctx, w})
		return err
	})
	if err != nil {
		return m, err
	}
	return m, a.close()
}

// interruptible ends writing when its context does.
type interruptible struct {
	ctx context.Context
	w   io.Writer
}

// Write writes unless the context has ended.
func (i *interruptible) Write(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.w.Write(p)
}
