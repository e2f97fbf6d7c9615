// Package blobfile keeps blobs as files in a folder: compressed, then sealed
// under their account's data key.
//
//	tmp/           what is being written
//	pack/N         segments that small blobs are appended to
//	LIFE/XX/NAME   one file for each larger blob of one account's life
//
// What is kept true. A name is a MAC of the digest under the account's key, so
// that neither names nor bytes tell two accounts' equal blobs alike, and one
// account's blob cannot be opened through another. A blob is in chunks that
// know their number and whether they are the last: swapped, cut or changed
// ones do not open. Reading a range reads its chunks alone, and neither
// reading nor writing holds more than some chunks in memory.
//
// What was put with sync stays until it is deleted. The rest is a cache: Trim
// removes of it what was not read for longest.
//
// How it fails. What was put without sync may be lost, or torn, by a power
// cut. After a failed sync nothing is written any more, here and in the whole
// store: a second sync would not say again what the first one has lost. What is found to be damaged when it is opened is ErrNotFound and
// ErrDamaged at once, since there is nothing to read; a chunk that is found to
// be so later is ErrDamaged. Putting it again mends it.
//
// Where to start: Blobs, then file.go, pack.go and evict.go.
package blobfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

const (
	// chunkSize is how much of a blob one seal covers.
	chunkSize = 64 << 10
	// smallSize is from where on a blob has a file of its own: most mail is
	// smaller, and ten thousand messages are then one read each and no file.
	smallSize = chunkSize
)

// Index runs transactions over the tables that know accounts' keys and the
// places of small blobs.
type Index interface {
	View(ctx context.Context, fn func(*table.Tx) error) error
	Update(ctx context.Context, fn func(*table.Tx) error) error
	UpdateSoon(ctx context.Context, fn func(*table.Tx) error) error
	// Fail ends all updates: nobody knows any more what is on the disk. It gives
	// the error with which they are refused from now on.
	Fail(err error) error
}

// Blobs is store.Blobs over a folder.
type Blobs struct {
	dir   string
	index Index
	log   *slog.Logger
	// fsync makes a file or a folder durable; a test may let it fail. The kernel
	// tells of what it could not write once, and takes it for written then: a
	// second sync of the same bytes succeeds, and says nothing.
	fsync func(*os.File) error
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	packs *packs
	// rooms are *room, smalls *smallBlob.
	rooms, smalls sync.Pool

	// keeping is held while a blob that must stay gets its mark and its place,
	// for reading, and while it is looked whether one may go, for writing.
	keeping sync.RWMutex
	// trimming is held by the one Trim that works. counted says that atRest,
	// the bytes at rest, has been counted.
	trimming sync.Mutex
	counted  bool
	atRest   atomic.Int64

	mu     sync.Mutex
	closed bool
	using  sync.WaitGroup
}

var _ store.Blobs = (*Blobs)(nil)

// Open opens a folder of blobs, made where it is missing. What was being
// written when the process ended is removed, and so is what belongs to
// accounts that are gone.
func Open(dir string, index Index, log *slog.Logger) (*Blobs, error) {
	b := &Blobs{dir: filepath.Clean(dir), index: index, log: log, fsync: (*os.File).Sync}
	for _, d := range []string{dir, b.tmpDir(), b.packDir()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open blobs: %w", err)
		}
	}
	// Whoever puts with sync syncs the names from dir downwards.
	if err := syncFolders(filepath.Dir(b.dir), filepath.Join(b.packDir(), "any")); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	var err error
	if b.enc, err = zstd.NewWriter(nil, zstd.WithWindowSize(chunkSize), zstd.WithEncoderConcurrency(2), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if b.dec, err = zstd.NewReader(nil, zstd.WithDecoderMaxMemory(4*chunkSize), zstd.WithDecoderConcurrency(2)); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	if err := b.clean(); err != nil {
		return nil, fmt.Errorf("clean blobs: %w", err)
	}
	if b.packs, err = openPacks(b); err != nil {
		return nil, fmt.Errorf("open packs: %w", err)
	}
	return b, nil
}

// room is what unsealing needs beside what it gives.
type room struct{ sealed, opened []byte }

func (b *Blobs) room() *room {
	if r, ok := b.rooms.Get().(*room); ok {
		return r
	}
	return &room{}
}

func (b *Blobs) tmpDir() string  { return filepath.Join(b.dir, "tmp") }
func (b *Blobs) packDir() string { return filepath.Join(b.dir, "pack") }

func (b *Blobs) lifeDir(life uint64) string {
	return filepath.Join(b.dir, fmt.Sprintf("%016x", life))
}

func (b *Blobs) path(n table.BlobName) string {
	name := hex.EncodeToString(n.MAC[:])
	return filepath.Join(b.lifeDir(n.Life), name[:2], name)
}

// clean removes what an earlier process left unfinished.
func (b *Blobs) clean() error {
	left, err := os.ReadDir(b.tmpDir())
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(b.tmpDir(), e.Name())); err != nil {
			return err
		}
	}
	folders, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	return b.index.View(context.Background(), func(tx *table.Tx) error {
		for _, e := range folders {
			life, err := strconv.ParseUint(e.Name(), 16, 64)
			if err != nil || len(e.Name()) != 16 {
				continue
			}
			if alive, err := tx.Living(life); err != nil {
				return err
			} else if alive {
				continue
			}
			if err := os.RemoveAll(filepath.Join(b.dir, e.Name())); err != nil {
				return err
			}
		}
		return nil
	})
}

// enter counts a user in, unless the blobs are closed.
func (b *Blobs) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return store.ErrClosed
	}
	b.using.Add(1)
	return nil
}

// Close writes what is held back of the index, then closes.
func (b *Blobs) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.using.Wait()
	err := b.packs.close()
	_ = b.enc.Close()
	b.dec.Close()
	return err
}

// key gives the life and the data key of an account.
func (b *Blobs) key(ctx context.Context, account string) (life uint64, k *seal.DataKey, err error) {
	err = b.index.View(ctx, func(tx *table.Tx) (err error) {
		life, k, err = tx.BlobKey(account)
		return err
	})
	return life, k, err
}

// Put stores what r gives.
func (b *Blobs) Put(ctx context.Context, account string, r io.Reader, sync bool) (store.BlobRef, error) {
	if err := b.enter(ctx); err != nil {
		return store.BlobRef{}, err
	}
	defer b.using.Done()
	ref, err := b.put(ctx, account, r, sync)
	if err != nil {
		return store.BlobRef{}, fmt.Errorf("put blob: %w", err)
	}
	return ref, nil
}

func (b *Blobs) put(ctx context.Context, account string, r io.Reader, sync bool) (store.BlobRef, error) {
	life, k, err := b.key(ctx, account)
	if err != nil {
		return store.BlobRef{}, err
	}
	head := make([]byte, smallSize)
	n, err := io.ReadFull(r, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		sum := sha256.Sum256(head[:n])
		ref := store.BlobRef{Digest: hex.EncodeToString(sum[:]), Size: int64(n)}
		return ref, b.packs.put(ctx, table.NameOf(life, k, ref.Digest), k, head[:n], sync)
	}
	if err != nil {
		return store.BlobRef{}, err
	}
	return b.putFile(ctx, life, k, head, r, sync)
}

// Open reads a blob.
func (b *Blobs) Open(ctx context.Context, account, digest string) (store.Blob, error) {
	if err := b.enter(ctx); err != nil {
		return nil, err
	}
	defer b.using.Done()
	var n table.BlobName
	var k *seal.DataKey
	var place table.Place
	found := false
	err := b.index.View(ctx, func(tx *table.Tx) (err error) {
		var life uint64
		if life, k, err = tx.BlobKey(account); err != nil {
			return err
		}
		n = table.NameOf(life, k, digest)
		place, err = tx.BlobPlace(n)
		if found = err == nil; errors.Is(err, store.ErrNotFound) {
			err = nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	var blob store.Blob
	if found {
		blob, err = b.packs.openAt(ctx, n, k, place)
	} else {
		blob, err = b.packs.open(ctx, n, k) // it may not be in the index yet
	}
	if err == nil {
		return blob, nil
	}
	if !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		return nil, fmt.Errorf("open blob %s: %w", digest, err)
	}
	f, err := b.openFile(n, k)
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", digest, err)
	}
	return f, nil
}

// Delete forgets a blob.
func (b *Blobs) Delete(ctx context.Context, account, digest string) error {
	return b.without(ctx, account, digest, b.delete)
}

// Drop forgets a blob that need not stay.
func (b *Blobs) Drop(ctx context.Context, account, digest string) error {
	return b.without(ctx, account, digest, b.drop)
}

// without has a blob removed.
func (b *Blobs) without(ctx context.Context, account, digest string, remove func(context.Context, table.BlobName) error) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.using.Done()
	life, k, err := b.key(ctx, account)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = remove(ctx, table.NameOf(life, k, digest))
	}
	if err != nil {
		return fmt.Errorf("delete blob: %w", err)
	}
	return nil
}

func (b *Blobs) delete(ctx context.Context, n table.BlobName) error {
	if err := b.release(ctx, n); err != nil {
		return err
	}
	return b.remove(ctx, n)
}

// drop is delete of what need not stay. Nobody says meanwhile that it must.
func (b *Blobs) drop(ctx context.Context, n table.BlobName) error {
	b.keeping.Lock()
	defer b.keeping.Unlock()
	if kept, err := b.kept(ctx, n); err != nil || kept {
		return err
	}
	return b.remove(ctx, n)
}

func (b *Blobs) remove(ctx context.Context, n table.BlobName) error {
	if err := os.Remove(b.path(n)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return b.packs.delete(ctx, n)
}

// Retain deletes what an account's blobs that must stay are too many.
func (b *Blobs) Retain(ctx context.Context, account string, digests []string) (deleted int, err error) {
	if err := b.enter(ctx); err != nil {
		return 0, err
	}
	defer b.using.Done()
	wanted := map[table.BlobName]bool{}
	var kept []table.BlobName
	err = b.index.View(ctx, func(tx *table.Tx) error {
		life, k, err := tx.BlobKey(account)
		if err != nil {
			return err
		}
		for _, d := range digests {
			wanted[table.NameOf(life, k, d)] = true
		}
		kept, err = tx.KeptBlobsOf(life)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	for _, n := range kept {
		if err != nil {
			break
		}
		if wanted[n] {
			continue
		}
		if err = b.delete(ctx, n); err == nil {
			deleted++
		}
	}
	if err != nil {
		return deleted, fmt.Errorf("retain blobs: %w", err)
	}
	return deleted, nil
}

// DeleteAccount forgets all blobs of an account, of all its lives.
func (b *Blobs) DeleteAccount(ctx context.Context, account string) error {
	return b.dropLives(ctx, account, (*table.Tx).BlobLives)
}

// DropEnded forgets what is left of an account's lives that have ended.
func (b *Blobs) DropEnded(ctx context.Context, account string) error {
	return b.dropLives(ctx, account, (*table.Tx).EndedBlobLives)
}

func (b *Blobs) dropLives(ctx context.Context, account string, which func(*table.Tx, string) ([]uint64, error)) error {
	if err := b.enter(ctx); err != nil {
		return err
	}
	defer b.using.Done()
	var lives []uint64
	err := b.index.View(ctx, func(tx *table.Tx) (err error) {
		lives, err = which(tx, account)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete blobs of an account: %w", err)
	}
	for _, life := range lives {
		if err := b.deleteLife(ctx, account, life); err != nil {
			return fmt.Errorf("delete blobs of an account: %w", err)
		}
	}
	return nil
}

func (b *Blobs) deleteLife(ctx context.Context, account string, life uint64) error {
	if err := os.RemoveAll(b.lifeDir(life)); err != nil {
		return err
	}
	if err := b.packs.deleteLife(ctx, life); err != nil {
		return err
	}
	return b.index.Update(ctx, func(tx *table.Tx) error { return tx.BlobsDropped(account, life) })
}
