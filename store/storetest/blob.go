package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/postern-mail/postern/store"
)

func blobCases() []Case {
	return []Case{
		{Name: "a blob comes back byte by byte, of any size", Run: blobSizes},
		{Name: "a blob reads any range", Run: blobRanges},
		{Name: "a large blob streams in bounded memory", Run: blobStream},
		{Name: "a blob is stored once", Run: blobOnce, Files: true},
		{Name: "a blob is its account's alone", Run: blobAccounts},
		{Name: "a changed byte is refused", Run: blobTampered, Files: true},
		{Name: "a synced blob survives, whoever put it first", Run: blobSynced},
		{Name: "a deleted blob is gone", Run: blobDelete},
		{Name: "an account's blobs go together", Run: blobDeleteAccount},
		{Name: "a blob that fails on the way leaves nothing", Run: blobFails},
		{Name: "blobs are put and read by many at once", Run: blobConcurrent},
	}
}

// noise gives n bytes that do not compress, text n that do.
func noise(n int, seed uint64) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func text(n int) []byte {
	return bytes.Repeat([]byte("Received: from mx.example.org by mail\r\n"), n/39+1)[:n]
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (w *World) putBlob(acct string, b []byte, sync bool) store.BlobRef {
	w.Helper()
	ref, err := w.Store.Blobs().Put(w.ctx(), acct, bytes.NewReader(b), sync)
	if err != nil {
		w.Fatalf("put %d bytes: %v", len(b), err)
	}
	if ref.Digest != digest(b) || ref.Size != int64(len(b)) {
		w.Errorf("put %d bytes: %+v", len(b), ref)
	}
	return ref
}

// readBlob opens and reads a blob whole.
func (w *World) readBlob(acct, digest string) ([]byte, error) {
	b, err := w.Store.Blobs().Open(w.ctx(), acct, digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close() }()
	got, err := io.ReadAll(b)
	if err == nil && int64(len(got)) != b.Size() {
		w.Errorf("read %d of %d bytes", len(got), b.Size())
	}
	return got, err
}

func (w *World) expectBlob(acct string, want []byte) {
	w.Helper()
	got, err := w.readBlob(acct, digest(want))
	if err != nil || !bytes.Equal(got, want) {
		w.Errorf("blob of %d bytes: read %d, %v", len(want), len(got), err)
	}
}

var blobSizeList = []int{0, 1, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 300_001}

func blobSizes(w *World) {
	w.settle("a1")
	for i, n := range blobSizeList {
		for _, b := range [][]byte{noise(n, uint64(i)), text(n)} {
			w.putBlob("a1", b, i%2 == 0)
			w.expectBlob("a1", b)
		}
	}
	w.Reopen()
	for i, n := range blobSizeList {
		w.expectBlob("a1", noise(n, uint64(i)))
		w.expectBlob("a1", text(n))
	}
	_, err := w.readBlob("a1", digest([]byte("unknown")))
	w.absent("unknown blob", err)
	_, err = w.readBlob("a1", "")
	w.absent("blob without a digest", err)
}

func blobRanges(w *World) {
	w.settle("a1")
	r := rand.New(rand.NewPCG(1, 3))
	for _, n := range []int{1000, 200_000} {
		want := append(noise(n/2, 9), text(n-n/2)...)
		ref := w.putBlob("a1", want, false)
		b, err := w.Store.Blobs().Open(w.ctx(), "a1", ref.Digest)
		if err != nil {
			w.Fatalf("open: %v", err)
		}
		if b.Size() != int64(n) {
			w.Errorf("size %d of %d", b.Size(), n)
		}
		for range 60 {
			off, length := r.IntN(n), 1+r.IntN(n)
			p := make([]byte, length)
			got, err := b.ReadAt(p, int64(off))
			end := min(off+length, n)
			if got != end-off || !bytes.Equal(p[:got], want[off:end]) || (got < length) != errors.Is(err, io.EOF) || (err != nil && !errors.Is(err, io.EOF)) {
				w.Fatalf("read %d at %d of %d: %d, %v", length, off, n, got, err)
			}
		}
		if got, err := b.ReadAt(make([]byte, 1), int64(n)); got != 0 || !errors.Is(err, io.EOF) {
			w.Errorf("reading at the end: %d, %v", got, err)
		}
		for _, s := range []struct {
			offset int64
			whence int
			want   int64
		}{{10, io.SeekStart, 10}, {5, io.SeekCurrent, 16}, {-7, io.SeekEnd, int64(n) - 7}} {
			at, err := b.Seek(s.offset, s.whence)
			one := make([]byte, 1)
			if _, rerr := io.ReadFull(b, one); err != nil || rerr != nil || at != s.want || one[0] != want[at] {
				w.Errorf("seek %+v: %d, %v, %v", s, at, err, rerr)
			}
		}
		if _, err := b.Seek(-1, io.SeekStart); err == nil {
			w.Errorf("seeking before the beginning: no error")
		}
		if err := b.Close(); err != nil {
			w.Errorf("close: %v", err)
		}
	}
}

// endless gives n bytes without having them.
type endless struct{ left, at int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left, 4096)
	for i := range n {
		p[i] = byte((e.at + i) * 2654435761 >> 13)
	}
	e.at, e.left = e.at+n, e.left-n
	return n, nil
}

// heapOf is how much live memory grew while fn ran, looked at now and then.
type heapWatch struct {
	io.Reader
	base, peak uint64
	reads      int
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func (h *heapWatch) Read(p []byte) (int, error) {
	if h.reads++; h.reads%1500 == 0 {
		h.peak = max(h.peak, heap())
	}
	return h.Reader.Read(p)
}

func blobStream(w *World) {
	const size, bound = 20 << 20, 8 << 20
	w.settle("a1")
	sum := sha256.New()
	h := &heapWatch{Reader: io.TeeReader(&endless{left: size}, sum)}
	h.base = heap()
	ref, err := w.Store.Blobs().Put(w.ctx(), "a1", h, true)
	if err != nil {
		w.Fatalf("put: %v", err)
	}
	if ref.Digest != hex.EncodeToString(sum.Sum(nil)) || ref.Size != size {
		w.Errorf("put: %+v", ref)
	}
	if grown := int64(h.peak) - int64(h.base); grown > bound {
		w.Errorf("writing %d MB held %d MB", size>>20, grown>>20)
	}
	b, err := w.Store.Blobs().Open(w.ctx(), "a1", ref.Digest)
	if err != nil {
		w.Fatalf("open: %v", err)
	}
	defer func() { _ = b.Close() }()
	again := sha256.New()
	h = &heapWatch{Reader: b}
	h.base = heap()
	if n, err := io.CopyBuffer(struct{ io.Writer }{again}, struct{ io.Reader }{h}, make([]byte, 8<<10)); err != nil || n != size || !bytes.Equal(again.Sum(nil), sum.Sum(nil)) {
		w.Errorf("read %d bytes, %v", n, err)
	}
	if grown := int64(h.peak) - int64(h.base); grown > bound {
		w.Errorf("reading %d MB held %d MB", size>>20, grown>>20)
	}
}

// diskUsage sums the files.
func (w *World) diskUsage() (sum int64) {
	w.Helper()
	err := filepath.WalkDir(w.Dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		w.Errorf("walk: %v", err)
	}
	return sum
}

func blobOnce(w *World) {
	w.settle("a1")
	big, small := noise(3<<20, 1), noise(9000, 2)
	w.putBlob("a1", big, true)
	w.putBlob("a1", small, true)
	before := w.diskUsage()
	for range 5 {
		w.putBlob("a1", big, true)
		w.putBlob("a1", small, true)
	}
	if grown := w.diskUsage() - before; grown > 1<<20 {
		w.Errorf("putting the same again took %d bytes", grown)
	}
	w.expectBlob("a1", big)
	w.expectBlob("a1", small)
}

func blobAccounts(w *World) {
	w.settle("a1")
	w.settle("a2")
	for _, b := range [][]byte{text(500), noise(100_000, 1)} {
		w.putBlob("a1", b, true)
		_, err := w.readBlob("a2", digest(b))
		w.absent("another's blob", err)
		_, err = w.readBlob("unknown", digest(b))
		w.absent("blob of nobody", err)
		w.putBlob("a2", b, true)
		if err := w.Store.Blobs().Delete(w.ctx(), "a1", digest(b)); err != nil {
			w.Errorf("delete: %v", err)
		}
		w.expectBlob("a2", b)
	}
}

func blobTampered(w *World) {
	w.settle("a1")
	small, big := noise(9_000, 1), noise(200_000, 2)
	w.putBlob("a1", small, true)
	w.putBlob("a1", big, true)
	if err := w.Store.Close(); err != nil {
		w.Fatalf("close: %v", err)
	}
	spoilt := 0
	err := filepath.WalkDir(filepath.Join(w.Dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || len(b) == 0 {
			return err
		}
		for at := 200; at < len(b); at += 4000 {
			b[at] ^= 1
		}
		spoilt++
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil || spoilt < 2 {
		w.Fatalf("spoilt %d files: %v", spoilt, err)
	}
	w.open()
	for _, want := range [][]byte{small, big} {
		got, err := w.readBlob("a1", digest(want))
		if err == nil {
			w.Errorf("spoilt blob of %d bytes reads without an error", len(want))
		}
		if !errors.Is(err, store.ErrDamaged) && !errors.Is(err, store.ErrNotFound) {
			w.Errorf("spoilt blob of %d bytes: %v", len(want), err)
		}
		if !bytes.HasPrefix(want, got) {
			w.Errorf("spoilt blob of %d bytes gave wrong bytes", len(want))
		}
		// Put again it is whole.
		w.putBlob("a1", want, true)
		w.expectBlob("a1", want)
	}
}

func blobSynced(w *World) {
	w.settle("a1")
	for i, b := range [][]byte{text(700), noise(90_000, 4)} {
		w.putBlob("a1", b, false)
		w.expectBlob("a1", b)
		w.putBlob("a1", b, true)
		w.putBlob("a1", noise(500+i*100_000, 5), true)
	}
	w.Reopen()
	w.expectBlob("a1", text(700))
	w.expectBlob("a1", noise(90_000, 4))
	w.expectBlob("a1", noise(500, 5))
	w.expectBlob("a1", noise(100_500, 5))
}

func blobDelete(w *World) {
	w.settle("a1")
	for i, b := range [][]byte{text(800), text(900), noise(90_000, 4), noise(95_000, 4)} {
		w.putBlob("a1", b, i%2 == 0)
		open, err := w.Store.Blobs().Open(w.ctx(), "a1", digest(b))
		if err != nil {
			w.Fatalf("open: %v", err)
		}
		for range 2 { // twice is no error
			if err := w.Store.Blobs().Delete(w.ctx(), "a1", digest(b)); err != nil {
				w.Errorf("delete: %v", err)
			}
		}
		_, err = w.readBlob("a1", digest(b))
		w.absent("deleted blob", err)
		if got, err := io.ReadAll(open); err != nil || !bytes.Equal(got, b) {
			w.Errorf("one that was open: %d bytes, %v", len(got), err)
		}
		_ = open.Close()
	}
	if err := w.Store.Blobs().Delete(w.ctx(), "unknown", digest(nil)); err != nil {
		w.Errorf("delete for nobody: %v", err)
	}
	w.Reopen()
	for _, b := range [][]byte{text(800), text(900), noise(90_000, 4), noise(95_000, 4)} {
		_, err := w.readBlob("a1", digest(b))
		w.absent("deleted blob after reopening", err)
	}
	w.putBlob("a1", text(800), false)
	w.expectBlob("a1", text(800))
}

func blobDeleteAccount(w *World) {
	w.settle("a1")
	w.settle("a2")
	var all [][]byte
	for i := range 20 {
		all = append(all, noise(100+i*3000, uint64(i)))
		w.putBlob("a1", all[i], i%3 == 0)
		w.putBlob("a2", all[i], false)
	}
	if err := w.Store.Blobs().DeleteAccount(w.ctx(), "a1"); err != nil {
		w.Fatalf("delete: %v", err)
	}
	for _, b := range all {
		_, err := w.readBlob("a1", digest(b))
		w.absent("blob", err)
		w.expectBlob("a2", b)
	}
	w.update(func(tx store.Tx) error { return tx.DeleteAccount("a2") })
	for range 2 {
		if err := w.Store.Blobs().DeleteAccount(w.ctx(), "a2"); err != nil {
			w.Fatalf("delete: %v", err)
		}
	}
	w.putBlob("a1", all[0], false)
	w.expectBlob("a1", all[0])
}

// failing gives some bytes, then an error.
type failing struct {
	io.Reader
	err error
}

func (f failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.err
	}
	return n, err
}

func blobFails(w *World) {
	w.settle("a1")
	for _, b := range [][]byte{text(600), noise(150_000, 1)} {
		_, err := w.Store.Blobs().Put(w.ctx(), "a1", failing{bytes.NewReader(b), errOnPurpose}, true)
		if !errors.Is(err, errOnPurpose) {
			w.Errorf("put of %d bytes that fail: %v", len(b), err)
		}
		_, err = w.readBlob("a1", digest(b))
		w.absent("a blob that failed", err)
	}
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	if _, err := w.Store.Blobs().Put(ctx, "a1", strings.NewReader("x"), false); !errors.Is(err, context.Canceled) {
		w.Errorf("cancelled put: %v", err)
	}
	if _, err := w.Store.Blobs().Open(ctx, "a1", "x"); !errors.Is(err, context.Canceled) {
		w.Errorf("cancelled open: %v", err)
	}
}

func blobConcurrent(w *World) {
	w.settle("a1")
	w.settle("a2")
	w.none(each(32, func(i int) error {
		acct := []string{"a1", "a2"}[i%2]
		for j := range 6 {
			b := noise(200+(i/4*j)*2500, uint64(j)) // some alike
			ref, err := w.Store.Blobs().Put(w.ctx(), acct, bytes.NewReader(b), j%3 == 0)
			if err != nil {
				return err
			}
			got, err := w.readBlob(acct, ref.Digest)
			if err != nil || !bytes.Equal(got, b) {
				return fmt.Errorf("blob of %d bytes: read %d, %w", len(b), len(got), err)
			}
		}
		return nil
	}))
}
