package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/blobfile"
	"github.com/postern-mail/postern/store/table"
)

const (
	// partDir is where a backup is unpacked, inside the data folder. A killed
	// restore leaves it, and the next one removes it.
	partDir = "restore.part"
	// readyDir is what it is called, with a time, once nothing can fail any
	// more: whoever finds it moves it into place.
	readyDir = "restore.ready-"
	// asideDir is where what was there before goes, with the same time.
	asideDir = "before-restore-"
)

// NotEmptyError says that a data folder holds a store already.
type NotEmptyError struct{ Path string }

// Error says what to do.
func (e *NotEmptyError) Error() string {
	return fmt.Sprintf("the data folder %s holds a store already; with --force it is kept aside", e.Path)
}

// Restored says what a restore has done.
type Restored struct {
	Manifest Manifest
	// Epoch is the new life of the store, Aside the folder where the data that
	// was there before is kept, empty where there was none.
	Epoch uint32
	Aside string
}

// Restore makes a data folder's store from a backup. The backup is unpacked
// and checked apart; its store is opened, migrated where it is of an earlier
// format, begins a new epoch, and is given to settle, which adapts it to what
// has happened since. Only then it takes its place, in one step: a rename, and
// what follows from it, which the next Open finishes after a crash. What was
// there is kept aside with force, and without it is a NotEmptyError.
func Restore(ctx context.Context, opts Options, r io.Reader, force bool, settle func(context.Context, *Store) error) (Restored, error) {
	done, err := restore(ctx, opts, r, force, settle)
	if err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	return done, nil
}

func restore(ctx context.Context, opts Options, r io.Reader, force bool, settle func(context.Context, *Store) error) (done Restored, err error) {
	now := opts.Now
	if now == nil {
		now = time.Now
	}
	if err := privateFolder(opts.Path); err != nil {
		return done, err
	}
	lock, err := lockFolder(opts.Path)
	if err != nil {
		return done, err
	}
	defer lock.release()
	pid, err := writePID(opts.Path)
	if err != nil {
		return done, err
	}
	defer pid.remove()
	if err := install(opts.Path); err != nil { // of a restore that was killed
		return done, err
	}
	before, release, err := occupants(opts.Path)
	if err != nil {
		return done, err
	}
	defer release()
	if len(before) > 0 && !force {
		return done, &NotEmptyError{opts.Path}
	}
	part := filepath.Join(opts.Path, partDir)
	if err := os.RemoveAll(part); err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(part)) }()
	if done.Manifest, err = unpack(r, part); err != nil {
		return done, err
	}
	if done.Epoch, err = awaken(ctx, opts, part, done.Manifest, settle); err != nil {
		return done, err
	}
	stamp := now().UTC().Format("20060102T150405.000Z")
	if err := os.Rename(part, filepath.Join(opts.Path, readyDir+stamp)); err != nil {
		return done, err
	}
	if len(before) > 0 {
		done.Aside = filepath.Join(opts.Path, asideDir+stamp)
	}
	if err := syncFolder(opts.Path); err != nil {
		return done, err
	}
	return done, install(opts.Path)
}

// occupants lists what stands in a data folder of a store's. The database must
// not be in use, by a Postern that knows of no lock on the folder, and is not
// while release was not called.
func occupants(path string) (names []string, release func(), err error) {
	release = func() {}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, release, err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case name == fileName:
			db, err := bbolt.Open(filepath.Join(path, fileName), 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockWait})
			if errors.Is(err, berrors.ErrTimeout) {
				return nil, release, &InUseError{Path: path, PID: readPID(path)}
			}
			if err == nil { // a damaged one can be kept aside, too
				release = func() { _ = db.Close() }
			}
			names = append(names, name)
		case name == blobsDir, strings.HasPrefix(name, fileName+".format"):
			names = append(names, name)
		}
	}
	return names, release, nil
}

// unpack writes a backup's files into a folder and checks them.
func unpack(r io.Reader, dir string) (Manifest, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Manifest{}, err
	}
	complete := false
	m, err := ReadBackup(r,
		func(m Manifest) error {
			if known := table.Current().Format; m.Format > known {
				return &table.NewerError{Format: m.Format, Known: known, Version: m.Postern}
			}
			return nil
		},
		func(name string, _ int64, r io.Reader) error {
			if name == fileName {
				complete = true
				return writeFile(filepath.Join(dir, fileName), r)
			}
			rest, sync := strings.CutPrefix(name, blobPrefix)
			return blobfile.Place(filepath.Join(dir, blobsDir), strings.TrimPrefix(rest, cachePrefix), r, sync)
		})
	if err == nil && !complete {
		err = fmt.Errorf("%w: it has no database", errBackup)
	}
	return m, err
}

func writeFile(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, r); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// awaken opens what was unpacked, begins its new life and lets it be settled.
func awaken(ctx context.Context, opts Options, part string, m Manifest, settle func(context.Context, *Store) error) (epoch uint32, err error) {
	if err := os.MkdirAll(filepath.Join(part, blobsDir), 0o700); err != nil {
		return 0, err
	}
	opts.Path = part
	s, err := Open(opts)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if err := s.RaiseEpoch(ctx); err != nil {
		return 0, err
	}
	if !m.AllBlobs {
		var place, next []byte
		for more := true; more; place = next {
			err := s.writer.do(ctx, func(tx *table.Tx) (err error) {
				next, more, err = tx.DropCachedPlaces(place, store.MaxRecords/4)
				return err
			}, false)
			if err != nil {
				return 0, err
			}
		}
	}
	return s.Epoch(), settle(ctx, s)
}

// install moves a restored store that is ready into its place, and what was
// there aside. A process that is killed meanwhile leaves the rest to the next
// one that opens the store. Where nothing is ready it does nothing.
func install(path string) error {
	ready, err := filepath.Glob(filepath.Join(path, readyDir+"*"))
	if err != nil || len(ready) == 0 {
		return err
	}
	from := ready[len(ready)-1]
	aside := filepath.Join(path, asideDir+strings.TrimPrefix(filepath.Base(from), readyDir))
	old, err := filepath.Glob(filepath.Join(path, fileName+".format*"))
	if err != nil {
		return err
	}
	for _, name := range old { // of the database that goes
		if err := moveAside(name, aside); err != nil {
			return err
		}
	}
	for _, name := range []string{blobsDir, fileName} {
		if _, err := os.Lstat(filepath.Join(from, name)); errors.Is(err, os.ErrNotExist) {
			continue // moved already
		} else if err != nil {
			return err
		}
		if err := moveAside(filepath.Join(path, name), aside); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(from, name), filepath.Join(path, name)); err != nil {
			return err
		}
	}
	if err := syncFolder(path); err != nil {
		return err
	}
	return os.RemoveAll(from)
}

// moveAside moves what is there, if it is, into a folder.
func moveAside(name, aside string) error {
	if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Rename(name, filepath.Join(aside, filepath.Base(name))); err != nil {
		return err
	}
	return syncFolder(aside)
}
