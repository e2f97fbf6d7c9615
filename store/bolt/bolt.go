// Package bolt is the store in one file of one process: store/table over
// bbolt, with a group-commit writer of its own, blobs as files beside it, and
// leases in memory.
//
// What is kept true. Updates that wait at the same time share one commit; one
// that fails is rolled back and the others run again without it. A commit is
// two fdatasyncs (bbolt writes data pages, then its meta page), and Update
// returns after both. The data folder belongs to one process at a time.
//
// How it fails. A full disk fails the updates of that commit and nothing
// else. Any other failure of a commit ends writing for good (ErrBroken), since
// after a failed fsync nobody knows what is on the disk; what was acknowledged
// is there when the store is opened again.
//
// Where to start: Open in open.go, then writer.go; migrate.go for data of an
// earlier format.
package bolt

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/blobfile"
	"github.com/postern-mail/postern/store/table"
)

const (
	fileName = "postern.db"
	blobsDir = "blobs"
	// lockWait is how long Open waits for another process to let go.
	lockWait = time.Second
	// firstMmap is mapped at once: growing the map stops all readers.
	firstMmap = 1 << 30
)

// Options of a store. Path and Keyring are needed.
type Options struct {
	// Path is the data folder. It is made with mode 0700.
	Path string
	// Keyring holds the master keys that wrap the data keys.
	Keyring *seal.Keyring
	// Now is the clock, time.Now where nil.
	Now func() time.Time
	// Log is where trouble is told that no caller hears of, slog.Default
	// where nil.
	Log *slog.Logger
	// Observe is told what happens, for metrics.
	Observe Observer
	// Version is the running Postern's, which the store remembers.
	Version string

	// layout is another one than the build's, and migrated is told after each
	// transaction of a migration, in tests.
	layout   *table.Layout
	migrated func()
}

// Observer is told what happens. Each function may be nil; none may block.
type Observer struct {
	// Commit is told of each commit: how long it took from the first member's
	// start to the disk's answer, how many updates shared it, and how it ended.
	Commit func(took time.Duration, members int, err error)
	// Rerun is told how many updates ran again because one of their group
	// failed.
	Rerun func(members int)
}

// Store is the backend.
type Store struct {
	opts   Options
	lock   *folderLock
	db     *bbolt.DB
	tables *table.Tables
	writer *writer
	blobs  *blobfile.Blobs
	leases *leases
	pid    *pidFile
	epoch  atomic.Uint32

	mu       sync.Mutex
	closed   bool
	readers  sync.WaitGroup
	closing  sync.Once
	closeErr error

	// stop ends the janitor, which closes swept.
	stop  context.CancelFunc
	swept chan struct{}
}

var _ store.Store = (*Store)(nil)

// View runs fn in a read-only transaction.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	return s.view(ctx, func(tx *table.Tx) error { return fn(tx) })
}

func (s *Store) view(ctx context.Context, fn func(*table.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.enter() {
		return store.ErrClosed
	}
	defer s.readers.Done()
	btx, err := s.db.Begin(false)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = btx.Rollback() }()
	return fn(s.tables.Begin(newKV(btx), false).Tx())
}

// enter counts a reader in, unless the store is closed.
func (s *Store) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers.Add(1)
	return true
}

// Update runs fn in a transaction, as a member of the next commit.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.writer.do(ctx, func(tx *table.Tx) error { return fn(tx) }, false)
}

// UpdateSoon is Update that may wait for company.
func (s *Store) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	return s.writer.do(ctx, func(tx *table.Tx) error { return fn(tx) }, true)
}

// Blobs are the files beside the database.
func (s *Store) Blobs() store.Blobs { return s.blobs }

// Leases are those of this process.
func (s *Store) Leases() store.Leases { return s.leases }

// Epoch is the life of the store.
func (s *Store) Epoch() uint32 { return s.epoch.Load() }

// Close flushes what is held back, waits for running transactions, and
// closes.
func (s *Store) Close() error {
	s.closing.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	s.stop()
	<-s.swept
	// The blobs still write their index, so they go first.
	err := s.blobs.Close()
	s.writer.close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.readers.Wait()
	if dbErr := s.db.Close(); err == nil && dbErr != nil {
		err = fmt.Errorf("close store: %w", dbErr)
	}
	s.pid.remove()
	s.lock.release()
	return err
}
