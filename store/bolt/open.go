package bolt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/postern-mail/postern/store/blobfile"
	"github.com/postern-mail/postern/store/table"
)

// Open opens the store of a data folder, and makes it where there is none. One
// of an earlier format is migrated first. A folder that another process holds,
// with a store or with a restore, is an InUseError.
func Open(opts Options) (_ *Store, err error) {
	if opts.Path == "" || opts.Keyring == nil {
		return nil, errors.New("open store: a path and a keyring are needed")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if err := privateFolder(opts.Path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := lockFolder(opts.Path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lock.release()
		}
	}()
	if err := install(opts.Path); err != nil {
		return nil, fmt.Errorf("open store: finish a restore: %w", err)
	}
	db, err := openFile(opts.Path, opts.Log)
	if err != nil {
		return nil, err
	}
	layout := table.Current()
	if opts.layout != nil {
		layout = *opts.layout
	}
	s := &Store{opts: opts, lock: lock, db: db, tables: table.NewWith(opts.Keyring, opts.Now, layout)}
	if err := s.start(); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open store %s: %w", opts.Path, err)
	}
	return s, nil
}

// privateFolder makes the folder and keeps others out of it.
func privateFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	return os.Chmod(path, 0o700)
}

// syncNames makes it durable that the folder and the database are there.
func syncNames(folder string) error {
	for _, d := range []string{folder, filepath.Dir(filepath.Clean(folder))} {
		err := syncFolder(d)
		if errors.Is(err, os.ErrPermission) && d != folder {
			return nil // whoever made the folder saw to it
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes the names in a folder durable.
func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	err = f.Sync()
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("sync folder %s: %w", folder, err)
	}
	return nil
}

func openFile(folder string, log *slog.Logger) (*bbolt.DB, error) {
	path := filepath.Join(folder, fileName)
	err := create(path)
	if err == nil {
		err = intact(path, log)
	}
	var db *bbolt.DB
	if err == nil {
		db, err = openWhole(path, &bbolt.Options{
			Timeout:         lockWait,
			NoFreelistSync:  true,
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: firstMmap,
		})
	}
	var broken *DamagedError
	switch {
	case errors.As(err, &broken):
		return nil, err
	case errors.Is(err, berrors.ErrTimeout):
		return nil, &InUseError{Path: folder, PID: readPID(folder)}
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// start brings an opened file to life.
func (s *Store) start() (err error) {
	if s.pid, err = writePID(s.opts.Path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.pid.remove()
		}
	}()
	if err := s.migrate(); err != nil {
		return err
	}
	var opened uint64
	err = s.db.Update(func(btx *bbolt.Tx) error {
		b, err := s.prepare(btx)
		if err != nil {
			return err
		}
		epoch, err := b.Tx().Epoch()
		if err != nil {
			return err
		}
		s.epoch.Store(epoch)
		if opened, err = b.Tx().Opened(s.opts.Version); err != nil {
			return err
		}
		return b.Finish()
	})
	if err != nil {
		return err
	}
	if err := syncNames(s.opts.Path); err != nil {
		return err
	}
	s.leases = newLeases(s, opened)
	s.writer = newWriter(s)
	index := &blobIndex{s}
	if s.blobs, err = blobfile.Open(filepath.Join(s.opts.Path, blobsDir), index, s.opts.Log); err != nil {
		s.writer.close()
		return err
	}
	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.swept = make(chan struct{})
	go s.sweep(ctx)
	return nil
}

// prepare sees to it that all buckets are there, and begins a transaction on
// them.
func (s *Store) prepare(btx *bbolt.Tx) (*table.Batch, error) {
	for _, name := range table.BucketNames() {
		if _, err := btx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return nil, fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	b := s.tables.Begin(newKV(btx), true)
	return b, s.tables.Init(b)
}
