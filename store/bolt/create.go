package bolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// create makes an empty database where there is none. bbolt writes the first
// pages in place, so that a power cut in that moment leaves a file that is no
// database and never opens again (etcd-io/bbolt#567). It therefore gets its
// name only once it is whole. The name is given by a link and not by a rename:
// of two processes that start at once, the second must not replace what the
// first has already opened.
func create(path string) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	left, err := filepath.Glob(path + ".new-*")
	if err != nil {
		return err
	}
	for _, name := range left { // of a process that did not come so far
		_ = os.Remove(name)
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // 0600
	if err != nil {
		return err
	}
	tmp := f.Name()
	defer func() { err = errors.Join(err, remove(tmp)) }()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(tmp, 0o600, &bbolt.Options{Timeout: lockWait})
	if err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	if err := db.Close(); err != nil {
		return fmt.Errorf("make a database: %w", err)
	}
	switch err := os.Link(tmp, path); {
	case err == nil || errors.Is(err, fs.ErrExist): // there, or another process was faster
	case errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM):
		// A file system without links.
		if err := os.Rename(tmp, path); err != nil {
			return err
		}
	default:
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// remove removes a file that may be gone already.
func remove(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
