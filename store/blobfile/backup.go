package blobfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// In a backup every file has its path below the folder as its name. A small
// blob is a piece of a segment: pack/N@OFFSET.

// Each takes one file of a backup, or a piece of one.
type Each func(name string, size int64, r io.Reader) error

// CopyKept hands out the sealed bytes of the blobs that nobody else has, as a
// snapshot of the tables knows them. One that was deleted since is left out:
// what it was for has ended.
func (b *Blobs) CopyKept(ctx context.Context, snapshot *table.Tx, each Each) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.using.Done()
	var after []byte
	for {
		names, err := snapshot.KeptBlobs(after, flushStep)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, n := range names {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.copyOne(ctx, snapshot, n, each); err != nil {
				return fmt.Errorf("copy blob: %w", err)
			}
			after = n.Key()
		}
	}
}

func (b *Blobs) copyOne(ctx context.Context, snapshot *table.Tx, n table.BlobName, each Each) error {
	place, err := snapshot.BlobPlace(n)
	if errors.Is(err, store.ErrNotFound) {
		return b.copyFile(b.path(n), each)
	}
	if err != nil {
		return err
	}
	sealed, err := b.packs.read(place, nil)
	if errors.Is(err, fs.ErrNotExist) {
		// Moved to another segment since the snapshot; the bytes are the same.
		now, found := b.packs.find(ctx, n)
		if errors.Is(found, store.ErrNotFound) {
			return nil
		}
		if found != nil {
			return found
		}
		sealed, err = b.packs.read(now, nil)
	}
	if err != nil {
		return err
	}
	return each(fmt.Sprintf("pack/%08x@%d", place.Segment, place.Offset), int64(len(sealed)), bytes.NewReader(sealed))
}

// copyFile hands out a file as it is now, unless it is gone.
func (b *Blobs) copyFile(path string, each Each) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	name, err := filepath.Rel(b.dir, path)
	if err != nil {
		return err
	}
	return each(filepath.ToSlash(name), info.Size(), io.LimitReader(f, info.Size()))
}

// Flush writes down where small blobs lie that were put a moment ago.
func (b *Blobs) Flush(ctx context.Context) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.using.Done()
	b.packs.flushing.Lock()
	defer b.packs.flushing.Unlock()
	return b.packs.flush(ctx, b.index.Update)
}

// CopyAll hands out every file there is, segments whole. What is removed
// meanwhile is left out: it can be fetched again, or CopyKept has it.
func (b *Blobs) CopyAll(ctx context.Context, each Each) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.using.Done()
	err := filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir() && path == b.tmpDir():
			return filepath.SkipDir
		case d.IsDir():
			return ctx.Err()
		}
		return b.copyFile(path, each)
	})
	if err != nil {
		return fmt.Errorf("copy blobs: %w", err)
	}
	return nil
}

// Place writes a file of a backup into the folder dir, which is not in use;
// with sync it is durable then. Names that no backup has are refused.
func Place(dir, name string, r io.Reader, sync bool) error {
	file, offset, ok := placeOf(name)
	if !ok {
		return fmt.Errorf("%q is no name of a blob", name)
	}
	path := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, offset), r)
	if sync && err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil || !sync {
		return err
	}
	return syncFolders(dir, path)
}

// placeOf takes a name apart.
func placeOf(name string) (file string, offset int64, ok bool) {
	if rest, ok := strings.CutPrefix(name, "pack/"); ok {
		segment, at, piece := strings.Cut(rest, "@")
		if piece {
			if _, err := fmt.Sscanf(at, "%d", &offset); err != nil || fmt.Sprint(offset) != at || offset < 0 || offset > 2*fullSegment {
				return "", 0, false
			}
		}
		return "pack/" + segment, offset, hexDigits(segment, 8)
	}
	part := strings.Split(name, "/")
	ok = len(part) == 3 && hexDigits(part[0], 16) && hexDigits(part[1], 2) && hexDigits(part[2], 40) && strings.HasPrefix(part[2], part[1])
	return name, 0, ok
}

func hexDigits(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
