package blobfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// TestTrimForgetsNothingInVain: a segment is forgotten only with what that
// frees, however much of it must stay, and the rest of the cache is left alone.
func TestTrimForgetsNothingInVain(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(50_000)
	kept := [...]int{4, 8, 0, 0, 0} // of ten in each segment
	var segments [5][]store.BlobRef
	for n := range segments {
		for i := range 10 {
			segments[n] = append(segments[n], w.cache(random(5_000, uint64(10*n+i)), i < kept[n]))
		}
	}
	there := func() (out [5]int) {
		for n, refs := range segments {
			for _, r := range refs {
				if w.has(r) {
					out[n]++
				}
			}
		}
		return out
	}
	path := func(n int) string { return filepath.Join(w.dir, "blobs", "pack", fmt.Sprintf("%08x", n+1)) }
	for n := range segments { // the first is unused for longest
		at := time.Now().Add(time.Duration(n-10) * time.Hour)
		if err := os.Chtimes(path(n), at, at); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		limit   int64
		freed   int64
		want    [5]int
		segment int
	}{
		{250_000, 30_000, [5]int{4, 10, 10, 10, 10}, 0},
		{220_000, 50_000, [5]int{4, 10, 0, 10, 10}, 2}, // the second would free too little
	} {
		if _, err := os.Stat(path(c.segment)); err != nil {
			t.Fatal(err)
		}
		dropped, err := w.blobs().Trim(ctx, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		if got := there(); got != c.want || dropped < c.freed || dropped > c.freed+2_000 {
			t.Errorf("trimmed to %d: %d bytes dropped, there are %v, want %v", c.limit, dropped, got, c.want)
		}
		if _, err := os.Stat(path(c.segment)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("segment %d is still there: %v", c.segment, err)
		}
		var size int64
		left, err := filepath.Glob(filepath.Join(w.dir, "blobs", "pack", "*"))
		for _, p := range left {
			if info, statErr := os.Stat(p); statErr == nil {
				size += info.Size()
			}
		}
		if at := w.blobs().AtRest(); err != nil || at != size {
			t.Errorf("%d bytes are said to be at rest, %d are; %v", at, size, err)
		}
	}
}
