package bolt

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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

// Archive writes a backup of a data folder that is not in use, as a build of
// another format would have.
func Archive(w io.Writer, m Manifest, data string) error {
	m.Kind, m.Version = archiveKind, archiveVersion
	a := newArchiveWriter(w, m.Created)
	if err := a.addJSON(manifestName, m); err != nil {
		return err
	}
	return errors.Join(filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			return err
		}
		name = strings.Replace(filepath.ToSlash(name), blobPrefix, cachePrefix, 1)
		return a.add(name, int64(len(b)), func(w io.Writer) error { _, err := w.Write(b); return err })
	}), a.close())
}
