package blobfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

// A file is
//
//	"PSTBLOB1"  id (16 random bytes)
//	chunks, each sealed
//	table, sealed: size (8), name (20), sealed length of each chunk (4 each)
//	length of the table (4)  "PSTBEND1"
//
// The id binds chunks and table together; the digest is known only when all
// chunks are written, so it is the table that binds them to their name.
const (
	headMagic  = "PSTBLOB1"
	endMagic   = "PSTBEND1"
	idSize     = 16
	headSize   = len(headMagic) + idSize
	footSize   = 4 + len(endMagic)
	tableFixed = 8 + 20
	// maxTable bounds what is read as a table: a blob of 64 GiB.
	maxTable = 4 << 20
)

// chunkAAD is what a chunk is: whose, of which file, which one, and whether
// the last.
func chunkAAD(life uint64, id []byte, number int, last bool) []byte {
	aad := append([]byte("blob chunk\x00"), id...)
	aad = binary.BigEndian.AppendUint64(aad, life)
	aad = binary.BigEndian.AppendUint64(aad, uint64(number))
	if last {
		return append(aad, 1)
	}
	return append(aad, 0)
}

func tableAAD(life uint64, id []byte) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("blob table\x00"), id...), life)
}

// putFile streams a blob into a file: head, then the rest of r.
func (b *Blobs) putFile(ctx context.Context, life uint64, k *seal.DataKey, head []byte, r io.Reader, sync bool) (ref store.BlobRef, err error) {
	f, err := os.CreateTemp(b.tmpDir(), "put-*") // 0600
	if err != nil {
		return ref, err
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	w := &fileWriter{blobs: b, ctx: ctx, life: life, key: k, out: f, hash: sha256.New()}
	if ref, err = w.write(io.MultiReader(bytes.NewReader(head), r)); err != nil {
		return ref, err
	}
	if sync {
		if err := b.fsync(f); err != nil {
			return ref, err // and the file goes
		}
	}
	return ref, b.place(ctx, f.Name(), table.NameOf(life, k, ref.Digest), sync)
}

// place gives a finished file its name. One that is there already is replaced:
// it is the same, or it was damaged.
func (b *Blobs) place(ctx context.Context, tmp string, n table.BlobName, sync bool) error {
	path := b.path(n)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if sync {
		b.keeping.RLock()
		defer b.keeping.RUnlock()
		if err := b.keep(ctx, n); err != nil {
			return err
		}
	}
	if info, err := os.Stat(tmp); err == nil {
		b.atRest.Add(info.Size())
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	if sync {
		if err := b.syncNames(path); err != nil {
			return err
		}
	}
	// The account may have been deleted meanwhile, and its folder with it.
	return b.index.View(ctx, func(tx *table.Tx) error {
		alive, err := tx.Living(n.Life)
		if err == nil && !alive {
			_ = os.RemoveAll(b.lifeDir(n.Life))
			err = store.ErrNotFound
		}
		return err
	})
}

// syncNames makes the names on the way to path durable, of a file that will be
// said to be stored. Where that fails nothing is written any more.
func (b *Blobs) syncNames(path string) error {
	for d := filepath.Dir(path); ; d = filepath.Dir(d) {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		err = b.fsync(f)
		_ = f.Close()
		if err != nil {
			return b.index.Fail(err)
		}
		if d == b.dir {
			return nil
		}
	}
}

// syncFolders makes the names on the way from root to path durable, of a folder
// that is not in use.
func syncFolders(root, path string) error {
	for d := filepath.Dir(path); ; d = filepath.Dir(d) {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		err = f.Sync()
		_ = f.Close()
		if err != nil || d == root || len(d) < len(root) {
			return err
		}
	}
}

// fileWriter writes one file.
type fileWriter struct {
	blobs   *Blobs
	ctx     context.Context
	life    uint64
	key     *seal.DataKey
	out     io.Writer
	hash    io.Writer
	id      [idSize]byte
	lengths []byte
	chunks  int
	// squeezed and sealed are buffers.
	squeezed, sealed []byte
}

func (w *fileWriter) write(r io.Reader) (ref store.BlobRef, err error) {
	sum := sha256.New()
	w.hash = sum
	if _, err := rand.Read(w.id[:]); err != nil {
		return ref, err
	}
	if _, err := w.out.Write(append([]byte(headMagic), w.id[:]...)); err != nil {
		return ref, err
	}
	// One chunk is read ahead, because the last one has to say that it is.
	chunk, ahead := make([]byte, chunkSize), make([]byte, chunkSize)
	n, err := readChunk(r, chunk)
	for {
		if err != nil {
			return ref, err
		}
		if err := w.ctx.Err(); err != nil {
			return ref, err
		}
		next := 0
		if n == chunkSize {
			if next, err = readChunk(r, ahead); err != nil {
				return ref, err
			}
		}
		if err := w.chunk(chunk[:n], next == 0); err != nil {
			return ref, err
		}
		ref.Size += int64(n)
		if next == 0 {
			break
		}
		chunk, ahead, n = ahead, chunk, next
	}
	ref.Digest = hex.EncodeToString(sum.Sum(nil))
	return ref, w.end(ref)
}

// readChunk fills p as far as r goes; 0 and no error is the end.
func readChunk(r io.Reader, p []byte) (int, error) {
	n, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

func (w *fileWriter) chunk(plain []byte, last bool) error {
	_, _ = w.hash.Write(plain)
	w.squeezed = w.blobs.squeezeChunk(w.squeezed, plain)
	w.sealed = w.key.Seal(w.sealed[:0], w.squeezed, chunkAAD(w.life, w.id[:], w.chunks, last))
	w.chunks++
	w.lengths = binary.BigEndian.AppendUint32(w.lengths, uint32(len(w.sealed)))
	_, err := w.out.Write(w.sealed)
	return err
}

func (w *fileWriter) end(ref store.BlobRef) error {
	if len(w.lengths)+tableFixed+seal.Overhead > maxTable {
		return errors.New("the blob is too large")
	}
	n := table.NameOf(w.life, w.key, ref.Digest)
	plain := binary.BigEndian.AppendUint64(nil, uint64(ref.Size))
	plain = append(append(plain, n.MAC[:]...), w.lengths...)
	sealed := w.key.Seal(nil, plain, tableAAD(w.life, w.id[:]))
	foot := binary.BigEndian.AppendUint32(nil, uint32(len(sealed)))
	_, err := w.out.Write(append(sealed, append(foot, endMagic...)...))
	return err
}

// openFile opens a blob's file. One that was torn before it was complete is
// not there.
func (b *Blobs) openFile(n table.BlobName, k *seal.DataKey) (*fileBlob, error) {
	f, err := os.Open(b.path(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	blob := &fileBlob{blobs: b, file: f, key: k, life: n.Life, cached: -1}
	if err := blob.load(n); err != nil {
		_ = f.Close()
		return nil, err
	}
	return blob, nil
}

// torn is what a file without a proper end is.
func torn(what string) error {
	return fmt.Errorf("%w: %s: %w", store.ErrNotFound, what, store.ErrDamaged)
}

func (f *fileBlob) load(n table.BlobName) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	used(f.file.Name(), info, time.Now())
	length := info.Size()
	if length < int64(headSize+footSize+seal.Overhead+tableFixed) {
		return torn("the file is cut")
	}
	head, foot := make([]byte, headSize), make([]byte, footSize)
	if _, err := f.file.ReadAt(head, 0); err != nil {
		return err
	}
	if _, err := f.file.ReadAt(foot, length-int64(footSize)); err != nil {
		return err
	}
	tableLen := int64(binary.BigEndian.Uint32(foot))
	if string(head[:len(headMagic)]) != headMagic || string(foot[4:]) != endMagic ||
		tableLen > maxTable || tableLen > length-int64(headSize+footSize) {
		return torn("the file has no end")
	}
	copy(f.id[:], head[len(headMagic):])
	sealed := make([]byte, tableLen)
	if _, err := f.file.ReadAt(sealed, length-int64(footSize)-tableLen); err != nil {
		return err
	}
	plain, err := f.key.Open(nil, sealed, tableAAD(f.life, f.id[:]))
	if err != nil || len(plain) < tableFixed || !bytes.Equal(plain[8:tableFixed], n.MAC[:]) {
		return torn("the table does not open")
	}
	f.size = int64(binary.BigEndian.Uint64(plain))
	f.offsets = []int64{int64(headSize)}
	for rest := plain[tableFixed:]; len(rest) >= 4; rest = rest[4:] {
		f.offsets = append(f.offsets, f.offsets[len(f.offsets)-1]+int64(binary.BigEndian.Uint32(rest)))
	}
	chunks := int64(len(f.offsets) - 1)
	if (f.size+chunkSize-1)/chunkSize != chunks || f.offsets[chunks] != length-int64(footSize)-tableLen {
		return torn("the table does not fit the file")
	}
	return nil
}
