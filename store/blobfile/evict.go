package blobfile

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/postern-mail/postern/store/table"
)

const (
	// touchAfter is how old a file's time gets before reading renews it: the
	// order of last use is known that exactly.
	touchAfter = time.Hour
	// trimTo is the part of the limit that trimming leaves, so that it need
	// not begin again at once.
	trimTo = 0.9
)

// piece is something that eviction removes as a whole: a file, or what may go
// of a segment.
type piece struct {
	path    string
	size    int64
	used    time.Time
	segment uint32 // 0 for a file
	name    table.BlobName
}

// Trim removes what can be fetched again, the longest unused first, when more
// than limit bytes are at rest. Segments go whole, but for what was put with
// sync.
func (b *Blobs) Trim(ctx context.Context, limit int64) (dropped int64, err error) {
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	defer b.using.Done()
	b.trimming.Lock()
	defer b.trimming.Unlock()
	if b.atRest.Load() <= limit && b.counted {
		return 0, nil
	}
	before := b.atRest.Load()
	pieces, total, err := b.pieces()
	if err != nil {
		return 0, fmt.Errorf("trim blobs: %w", err)
	}
	b.atRest.Add(total - before)
	b.counted = true
	if total <= limit {
		return 0, nil
	}
	slices.SortFunc(pieces, func(x, y piece) int { return x.used.Compare(y.used) })
	goal := int64(float64(limit) * trimTo)
	for _, p := range pieces {
		if total <= goal {
			break
		}
		freed, err := b.evict(ctx, p)
		if err != nil {
			return dropped, fmt.Errorf("trim blobs: %w", err)
		}
		total -= freed
		dropped += freed
		b.atRest.Add(-freed)
	}
	return dropped, nil
}

// AtRest is how many bytes the blobs take, at the most: what was deleted since
// they were last counted may still be in it.
func (b *Blobs) AtRest() int64 { return b.atRest.Load() }

// pieces lists what is at rest.
func (b *Blobs) pieces() (out []piece, total int64, err error) {
	err = filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path == b.tmpDir() {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		p := piece{path: path, size: info.Size(), used: info.ModTime()}
		total += p.size
		if filepath.Dir(path) == b.packDir() {
			n, err := strconv.ParseUint(d.Name(), 16, 32)
			if err != nil {
				return nil
			}
			p.segment = uint32(n)
			out = append(out, p)
			return nil
		}
		name, ok := nameFrom(path)
		if ok {
			p.name = name
			out = append(out, p)
		}
		return nil
	})
	return out, total, err
}

// nameFrom reads a blob's name off its path, LIFE/XX/NAME.
func nameFrom(path string) (n table.BlobName, ok bool) {
	life, err := strconv.ParseUint(filepath.Base(filepath.Dir(filepath.Dir(path))), 16, 64)
	if err != nil {
		return n, false
	}
	mac, err := hex.DecodeString(filepath.Base(path))
	if err != nil || len(mac) != len(n.MAC) {
		return n, false
	}
	n.Life = life
	copy(n.MAC[:], mac)
	return n, true
}

// evict removes a piece and tells how much that freed.
func (b *Blobs) evict(ctx context.Context, p piece) (int64, error) {
	if p.segment != 0 {
		return b.packs.evict(ctx, p.segment)
	}
	b.keeping.Lock()
	defer b.keeping.Unlock()
	if kept, err := b.kept(ctx, p.name); err != nil || kept {
		return 0, err
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	return p.size, nil
}

// keep marks a blob as one that must stay. b.keeping is held for reading until
// its bytes are in place.
func (b *Blobs) keep(ctx context.Context, n table.BlobName) error {
	return b.index.Update(ctx, func(tx *table.Tx) error { return tx.KeepBlob(n) })
}

// release forgets that, where it was so.
func (b *Blobs) release(ctx context.Context, n table.BlobName) error {
	if kept, err := b.kept(ctx, n); err != nil || !kept {
		return err
	}
	return b.index.Update(ctx, func(tx *table.Tx) error { return tx.ReleaseBlob(n) })
}

// kept reports whether a blob must stay.
func (b *Blobs) kept(ctx context.Context, n table.BlobName) (kept bool, err error) {
	err = b.index.View(ctx, func(tx *table.Tx) (err error) {
		kept, err = tx.BlobKept(n)
		return err
	})
	return kept, err
}

// used renews a file's time, which the order of eviction goes by.
func used(path string, info fs.FileInfo, now time.Time) {
	if now.Sub(info.ModTime()) > touchAfter {
		_ = os.Chtimes(path, now, now) // a hint: without it the blob goes sooner
	}
}

// evict forgets what may go of a segment, and removes it; what must stay moves.
// A segment of which most must stay is left as it is, with all its places: to
// forget them would free nothing. The active segment is closed first, and goes
// like any other. New blobs that must stay wait for single steps of this, not
// for all of it.
func (p *packs) evict(ctx context.Context, number uint32) (freed int64, err error) {
	p.moving.Lock()
	defer p.moving.Unlock()
	if err := p.settleAll(ctx, 0); err != nil {
		return 0, err
	}
	if worth, err := p.worth(ctx, number); err != nil || !worth {
		return 0, err
	}
	if err := p.settleAll(ctx, number); err != nil {
		return 0, err
	}
	for offset, more := int64(0), true; more; {
		if offset, more, err = p.forget(ctx, number, offset); err != nil {
			return 0, err
		}
	}
	info, err := os.Stat(p.path(number))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	moved, err := p.move(ctx, number)
	if err != nil {
		return 0, err
	}
	// What was moved was counted anew when it was appended.
	p.blobs.atRest.Add(-moved)
	return info.Size() - moved, p.remove(number)
}

// settleAll brings all places into the index; those of a segment that is to be
// retired are then there for good.
func (p *packs) settleAll(ctx context.Context, retire uint32) error {
	p.flushing.Lock()
	defer p.flushing.Unlock()
	if retire != 0 {
		if err := p.retire(retire); err != nil {
			return err
		}
	}
	return p.flush(ctx, p.blobs.index.Update)
}

// worth reports whether evicting a segment frees a quarter of it at least.
func (p *packs) worth(ctx context.Context, number uint32) (bool, error) {
	info, err := os.Stat(p.path(number))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var stays int64
	for offset, more := int64(0), true; more; {
		err := p.blobs.index.View(ctx, func(tx *table.Tx) error {
			items, err := tx.SegmentItems(number, offset, flushStep)
			if more = len(items) == flushStep; err != nil {
				return err
			}
			for _, item := range items {
				offset = item.Place.Offset + 1
				kept, err := tx.BlobKept(item.Name)
				if err != nil {
					return err
				}
				if kept {
					stays += int64(item.Place.Length)
				}
			}
			return nil
		})
		if err != nil {
			return false, err
		}
	}
	return (info.Size()-stays)*4 >= info.Size() && info.Size() > 0, nil
}

// forget forgets the places from an offset on of what may go, some of them.
// Whoever was about to say of such a blob that it must stay has said so by
// now, or finds that it is gone.
func (p *packs) forget(ctx context.Context, number uint32, from int64) (offset int64, more bool, err error) {
	p.blobs.keeping.Lock()
	defer p.blobs.keeping.Unlock()
	err = p.blobs.index.Update(ctx, func(tx *table.Tx) error {
		offset = from
		items, err := tx.SegmentItems(number, from, flushStep)
		if more = len(items) == flushStep; err != nil {
			return err
		}
		for _, item := range items {
			offset = item.Place.Offset + 1
			if kept, err := tx.BlobKept(item.Name); err != nil {
				return err
			} else if kept {
				continue
			}
			if err := tx.DeleteBlobPlace(item.Name); err != nil {
				return err
			}
		}
		return nil
	})
	return offset, more, err
}

// retire begins a new segment where number is the active one.
func (p *packs) retire(number uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.number != number {
		return nil
	}
	return p.turn()
}
