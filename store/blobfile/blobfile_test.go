package blobfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/blobfile"
	"github.com/postern-mail/postern/store/bolt"
)

// world is a store whose blobs lie in dir.
type world struct {
	t    *testing.T
	dir  string
	ring *seal.Keyring
	s    *bolt.Store
}

func newWorld(t *testing.T, accounts ...string) *world {
	t.Helper()
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), ring: ring}
	w.open()
	t.Cleanup(func() { _ = w.s.Close() })
	err = w.s.Update(context.Background(), func(tx store.Tx) error {
		for _, a := range accounts {
			if err := tx.PutAccount(&store.Account{ID: a}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open() {
	w.t.Helper()
	s, err := bolt.Open(bolt.Options{Path: w.dir, Keyring: w.ring, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.s = s
}

func (w *world) reopen(between func()) {
	w.t.Helper()
	if err := w.s.Close(); err != nil {
		w.t.Fatal(err)
	}
	if between != nil {
		between()
	}
	w.open()
}

func (w *world) blobs() *blobfile.Blobs { return w.s.Blobs().(*blobfile.Blobs) }

func (w *world) put(account string, b []byte) string {
	w.t.Helper()
	ref, err := w.blobs().Put(context.Background(), account, bytes.NewReader(b), true)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref.Digest
}

func (w *world) read(account, digest string) ([]byte, error) {
	b, err := w.blobs().Open(context.Background(), account, digest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = b.Close() }()
	return io.ReadAll(b)
}

// files lists the files of larger blobs.
func (w *world) files() (out []string) {
	w.t.Helper()
	err := filepath.WalkDir(filepath.Join(w.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, "/pack/") {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func random(n int, seed uint64) []byte {
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestSegmentsThatAreMostlyDeadAreEmptied(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1", "a2")
	w.blobs().SetSegmentSize(64 << 10)
	const n = 120
	var all [][]byte
	var digests []string
	for i := range n {
		all = append(all, random(3000+i, uint64(i)))
		digests = append(digests, w.put([]string{"a1", "a2"}[i%2], all[i]))
	}
	before, err := w.blobs().Segments()
	if err != nil || len(before) < 5 {
		t.Fatalf("segments %v, %v", before, err)
	}
	kept := func(i int) bool { return i%10 == 0 || i > n-5 }
	for i := range n {
		if !kept(i) {
			if err := w.blobs().Delete(ctx, []string{"a1", "a2"}[i%2], digests[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.blobs().Tend(ctx); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for i := range n {
			got, err := w.read([]string{"a1", "a2"}[i%2], digests[i])
			if kept(i) && (err != nil || !bytes.Equal(got, all[i])) {
				t.Errorf("blob %d: %d bytes, %v", i, len(got), err)
			}
			if !kept(i) && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("deleted blob %d: %v", i, err)
			}
		}
	}
	check()
	after, err := w.blobs().Segments()
	if err != nil || len(after) > 2 {
		t.Errorf("segments %v after %v, %v", after, before, err)
	}
	w.reopen(nil)
	check()
}

func TestACutSegmentLosesOnlyWhatWasCut(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(20 << 10)
	size := func(i int) int {
		if i == 0 || i == 7 {
			return 150
		}
		return 2000
	}
	var digests []string
	for i := range 20 {
		digests = append(digests, w.put("a1", random(size(i), uint64(i))))
	}
	first := filepath.Join(w.dir, "blobs", "pack", "00000001")
	if err := os.Truncate(first, 3*2100); err != nil {
		t.Fatal(err)
	}
	for i := range 12 { // leaves number 0, and 7, which was cut off
		if size(i) > 150 {
			if err := w.blobs().Delete(ctx, "a1", digests[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.blobs().Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the cut segment is still there: %v", err)
	}
	if _, err := w.read("a1", digests[0]); err != nil {
		t.Errorf("before the cut: %v", err)
	}
	if _, err := w.read("a1", digests[7]); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("behind the cut: %v", err)
	}
	if d := w.put("a1", random(150, 7)); d != digests[7] {
		t.Errorf("digest %s", d)
	}
	if _, err := w.read("a1", digests[7]); err != nil {
		t.Errorf("put again: %v", err)
	}
}

func TestSegmentsOfADeletedAccountGo(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(16 << 10)
	for i := range 50 {
		w.put("a1", random(2000, uint64(i)))
	}
	if err := w.blobs().DeleteAccount(ctx, "a1"); err != nil {
		t.Fatal(err)
	}
	if err := w.blobs().Tend(ctx); err != nil {
		t.Fatal(err)
	}
	if left, err := w.blobs().Segments(); err != nil || len(left) != 1 {
		t.Errorf("segments %v, %v", left, err)
	}
}

func TestReadersMeetACompaction(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(8 << 10)
	keep := random(1500, 999)
	digest := w.put("a1", keep)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if got, err := w.read("a1", digest); err != nil || !bytes.Equal(got, keep) {
				done <- fmt.Errorf("read %d bytes: %w", len(got), err)
				return
			}
		}
	}()
	for i := range 60 {
		d := w.put("a1", random(2000, uint64(i)))
		if err := w.blobs().Delete(ctx, "a1", d); err != nil {
			t.Fatal(err)
		}
		if err := w.blobs().Tend(ctx); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTornFilesAreNotThere(t *testing.T) {
	w := newWorld(t, "a1")
	want := random(200_000, 1)
	digest := w.put("a1", want)
	path := w.files()[0]
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	spoil := map[string][]byte{
		"empty": {}, "header alone": whole[:24], "half": whole[:len(whole)/2], "without its last byte": whole[:len(whole)-1],
		"zeros": make([]byte, len(whole)), "longer": append(bytes.Clone(whole), 0),
		"without a chunk": append(bytes.Clone(whole[:24]), whole[24+65573:]...),
	}
	for name, b := range spoil {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := w.read("a1", digest); !errors.Is(err, store.ErrNotFound) || !errors.Is(err, store.ErrDamaged) || len(got) > 0 {
			t.Errorf("%s: read %d bytes, %v", name, len(got), err)
		}
		// Put again, it is whole.
		if again := w.put("a1", want); again != digest {
			t.Errorf("%s: digest %s", name, again)
		}
		if got, err := w.read("a1", digest); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: put again: %d bytes, %v", name, len(got), err)
		}
	}
}

func TestChunksStayInTheirPlace(t *testing.T) {
	w := newWorld(t, "a1", "a2")
	const chunk = 64<<10 + seal.Overhead + 1 // noise is stored as it is, behind one byte
	a, b := random(4*64<<10, 1), random(4*64<<10, 2)
	digest := map[string]string{"a": w.put("a1", a), "b": w.put("a1", b)}
	paths := w.files()
	read := func(p string) []byte {
		t.Helper()
		c, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	one, two := read(paths[0]), read(paths[1])
	at := func(b []byte, n int) []byte { return b[24+n*chunk : 24+(n+1)*chunk] }
	for name, spoil := range map[string]func() []byte{
		"two chunks swapped":         func() []byte { c := bytes.Clone(one); copy(at(c, 0), at(one, 1)); copy(at(c, 1), at(one, 0)); return c },
		"a chunk of another blob":    func() []byte { c := bytes.Clone(one); copy(at(c, 2), at(two, 2)); return c },
		"the last in the middle":     func() []byte { c := bytes.Clone(one); copy(at(c, 1), at(one, 3)); return c },
		"a middle one at the end":    func() []byte { c := bytes.Clone(one); copy(at(c, 3), at(one, 1)); return c },
		"another blob under my name": func() []byte { return two },
		"the table of another blob":  func() []byte { return append(bytes.Clone(one[:24+4*chunk]), two[24+4*chunk:]...) },
	} {
		if err := os.WriteFile(paths[0], spoil(), 0o600); err != nil {
			t.Fatal(err)
		}
		damaged := 0
		for which, want := range map[string][]byte{"a": a, "b": b} {
			got, err := w.read("a1", digest[which])
			if !bytes.HasPrefix(want, got) {
				t.Errorf("%s: blob %s gives wrong bytes", name, which)
			}
			if errors.Is(err, store.ErrDamaged) {
				damaged++
			}
		}
		if damaged != 1 {
			t.Errorf("%s: %d of 2 blobs are refused", name, damaged)
		}
	}
	// A file moved to another account's folder.
	d := w.put("a2", a)
	moved := ""
	for _, p := range w.files() {
		if p != paths[0] && p != paths[1] {
			moved = p
		}
	}
	if err := os.WriteFile(moved, one, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.read("a2", d); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("another account's file: %v", err)
	}
}

func TestOpeningCleansUp(t *testing.T) {
	w := newWorld(t, "a1")
	digest := w.put("a1", random(100_000, 1))
	w.reopen(func() {
		for name, content := range map[string]string{
			"tmp/put-123": "unfinished", "0000000000000099/ab/abcd": "of an account that is gone", "pack/00000063": "a segment without an index",
		} {
			path := filepath.Join(w.dir, "blobs", filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
	if files := w.files(); len(files) != 1 {
		t.Errorf("files %v", files)
	}
	small := w.put("a1", []byte("small"))
	for _, d := range []string{digest, small} {
		if _, err := w.read("a1", d); err != nil {
			t.Error(err)
		}
	}
}

// deleting deletes the account once it is read from.
type deleting struct {
	io.Reader
	then func()
}

func (d *deleting) Read(p []byte) (int, error) {
	if d.then != nil {
		d.then()
		d.then = nil
	}
	return d.Reader.Read(p)
}

func TestPutLosesAgainstDeletingItsAccount(t *testing.T) {
	for _, n := range []int{1000, 150_000} {
		ctx, w := context.Background(), newWorld(t, "a1")
		r := &deleting{bytes.NewReader(random(n, 1)), func() {
			if err := w.s.Update(ctx, func(tx store.Tx) error { return tx.DeleteAccount("a1") }); err != nil {
				t.Error(err)
			}
			if err := w.blobs().DeleteAccount(ctx, "a1"); err != nil {
				t.Error(err)
			}
		}}
		if _, err := w.blobs().Put(ctx, "a1", r, true); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%d bytes: %v", n, err)
		}
		if files := w.files(); len(files) != 0 {
			t.Errorf("%d bytes left %v", n, files)
		}
	}
}

func TestUnsyncedSmallBlobsReachTheIndex(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	var digests []string
	for i := range 600 {
		ref, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(50, uint64(i))), false)
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, ref.Digest)
	}
	w.reopen(nil)
	for _, d := range digests {
		if _, err := w.read("a1", d); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	key, err := seal.GenerateMasterKey()
	if err != nil {
		b.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		b.Fatal(err)
	}
	s, err := bolt.Open(bolt.Options{Path: b.TempDir(), Keyring: ring})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	ctx := context.Background()
	if err := s.Update(ctx, func(tx store.Tx) error { return tx.PutAccount(&store.Account{ID: "a1"}) }); err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{4 << 10, 100 << 10, 10 << 20} {
		for _, sync := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dKiB/sync=%v", n>>10, sync), func(b *testing.B) {
				body := random(n, uint64(time.Now().UnixNano()))
				b.SetBytes(int64(n))
				for i := 0; b.Loop(); i++ {
					copy(body, fmt.Sprint(i))
					if _, err := s.Blobs().Put(ctx, "a1", bytes.NewReader(body), sync); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
