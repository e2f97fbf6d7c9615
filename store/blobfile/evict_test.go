package blobfile_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
)

// age sets back the times of all files of blobs.
func (w *world) age(by time.Duration) {
	w.t.Helper()
	at := time.Now().Add(-by)
	err := filepath.WalkDir(filepath.Join(w.dir, "blobs"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) cache(b []byte, sync bool) store.BlobRef {
	w.t.Helper()
	ref, err := w.blobs().Put(context.Background(), "a1", bytes.NewReader(b), sync)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

func (w *world) has(ref store.BlobRef) bool {
	w.t.Helper()
	b, err := w.blobs().Open(context.Background(), "a1", ref.Digest)
	if errors.Is(err, store.ErrNotFound) {
		return false
	}
	if err != nil {
		w.t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		w.t.Fatal(err)
	}
	return true
}

// What was read last goes last, and only as much goes as has to.
func TestTrimGoesByUse(t *testing.T) {
	w := newWorld(t, "a1")
	var refs []store.BlobRef
	for i := range 4 {
		refs = append(refs, w.cache(random(100_000, uint64(i)), false))
	}
	w.age(24 * time.Hour)
	if !w.has(refs[1]) { // read: renewed
		t.Fatal("a blob is not there before trimming")
	}
	if _, err := w.blobs().Trim(context.Background(), 250_000); err != nil {
		t.Fatal(err)
	}
	left := 0
	for _, r := range refs {
		if w.has(r) {
			left++
		}
	}
	if !w.has(refs[1]) || left != 2 {
		t.Errorf("%d blobs are left, the one read last among them: %t", left, w.has(refs[1]))
	}
	if n := w.blobs().AtRest(); n > 250_000 || n < 200_000 {
		t.Errorf("%d bytes at rest", n)
	}
}

// Segments go whole, and what must stay of them moves.
func TestTrimMovesWhatStays(t *testing.T) {
	w := newWorld(t, "a1")
	w.blobs().SetSegmentSize(50_000)
	var cached, kept []store.BlobRef
	for i := range 40 {
		ref := w.cache(random(5_000, uint64(i)), i%20 == 0)
		if i%20 == 0 {
			kept = append(kept, ref)
		} else {
			cached = append(cached, ref)
		}
	}
	if _, err := w.blobs().Trim(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for _, r := range kept {
			if !w.has(r) {
				t.Error("a blob that must stay is gone")
			}
		}
		for _, r := range cached {
			if w.has(r) {
				t.Error("a cached blob is still there")
			}
		}
	}
	check()
	w.reopen(nil)
	check()
	if err := w.blobs().Tend(context.Background()); err != nil {
		t.Fatal(err)
	}
	check()
}

// Trimming races with everything else, and what must stay is always there.
func TestTrimRace(t *testing.T) {
	w := newWorld(t, "a1")
	w.blobs().SetSegmentSize(50_000)
	ctx, stop := context.WithCancel(context.Background())
	var trimmer sync.WaitGroup
	trimmer.Go(func() {
		for ctx.Err() == nil {
			if _, err := w.blobs().Trim(ctx, 0); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	var puts sync.WaitGroup
	for g := range 4 {
		puts.Go(func() {
			for i := range 30 {
				size := 4_000
				if i%5 == 0 {
					size = 70_000
				}
				b := random(size, uint64(i)) // the same for all, so that they meet
				ref, err := w.blobs().Put(context.Background(), "a1", bytes.NewReader(b), g%2 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				if g%2 == 0 && !w.has(ref) {
					t.Error("a blob that must stay was trimmed")
				}
			}
		})
	}
	puts.Wait()
	stop()
	trimmer.Wait()
}
