package blobfile_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

// lossy is a disk that loses something once: as Linux does, it says so once,
// and every later sync succeeds.
func (w *world) lossy(part string) (told *int) {
	told = new(int)
	w.blobs().SetSync(func(f *os.File) error {
		if *told == 0 && strings.HasPrefix(f.Name(), filepath.Join(w.dir, "blobs", part)) {
			*told++
			return &os.PathError{Op: "sync", Path: f.Name(), Err: syscall.EIO}
		}
		return f.Sync()
	})
	return told
}

// watch waits until the store is broken.
func (w *world) watch() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.s.Watch(ctx)
}

// TestALostWriteIsToldOnceAndNothingIsStoredAfter: what the failed sync was to
// make durable is not acknowledged by the next one, which succeeds.
func TestALostWriteIsToldOnceAndNothingIsStoredAfter(t *testing.T) {
	for _, c := range []struct {
		name, part string
		bytes      int
	}{
		{"a segment", "pack/0", 1000},
		{"a folder of files", "0", 100_000},
	} {
		ctx, w := context.Background(), newWorld(t, "a1")
		safe := w.put("a1", random(900, 1))
		told := w.lossy(c.part)
		lost := random(c.bytes, 3)
		for try := range 3 {
			if _, err := w.blobs().Put(ctx, "a1", bytes.NewReader(lost), true); !errors.Is(err, bolt.ErrBroken) {
				t.Errorf("%s: try %d to put what was lost: %v", c.name, try, err)
			}
		}
		if *told != 1 {
			t.Fatalf("%s: the disk failed %d times", c.name, *told)
		}
		if _, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(902, 4)), true); !errors.Is(err, bolt.ErrBroken) {
			t.Errorf("%s: another blob: %v", c.name, err)
		}
		if err := w.s.Update(ctx, func(tx store.Tx) error { return tx.PutSetting("x", nil) }); !errors.Is(err, bolt.ErrBroken) {
			t.Errorf("%s: an update: %v", c.name, err)
		}
		if err := w.watch(); !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: whoever watches the store hears %v", c.name, err)
		}
		if _, err := w.read("a1", safe); err != nil {
			t.Errorf("%s: what was stored before: %v", c.name, err)
		}
		_ = w.s.Close() // it cannot write what waits
		w.open()
		if _, err := w.read("a1", safe); err != nil {
			t.Errorf("%s: what was stored before, started again: %v", c.name, err)
		}
		w.put("a1", lost)
	}
}

// TestWhatIsWrittenBehindIsLostWithItsSegment: its place is not recorded, and
// who wants the same bytes to stay is not told that they do.
func TestWhatIsWrittenBehindIsLostWithItsSegment(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.lossy("pack/0")
	ref, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(900, 1)), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.watch(); !errors.Is(err, syscall.EIO) { // the sync behind it has failed
		t.Fatal(err)
	}
	if _, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(900, 1)), true); !errors.Is(err, bolt.ErrBroken) {
		t.Errorf("the same bytes, to stay: %v", err)
	}
	_ = w.s.Close()
	w.open()
	if _, err := w.read("a1", ref.Digest); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a place in a segment that is not durable was recorded: %v", err)
	}
}

// TestASegmentThatIsLostWhenItIsFullIsNoneThatIsStored: the sync that fails is
// the one that ends a segment, for the next blob's sake.
func TestASegmentThatIsLostWhenItIsFullIsNoneThatIsStored(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(1000)
	w.put("a1", random(1500, 1))
	told := w.lossy("pack/0")
	for i := range 3 {
		if _, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(1500, 2)), true); !errors.Is(err, bolt.ErrBroken) {
			t.Errorf("try %d: %v", i, err)
		}
	}
	if *told != 1 {
		t.Errorf("the disk failed %d times", *told)
	}
}

// TestASegmentThatCannotBeOpenedIsTriedAgain: there is no room for a moment, or
// no file can be opened.
func TestASegmentThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	ctx, w := context.Background(), newWorld(t, "a1")
	w.blobs().SetSegmentSize(1000)
	first := w.put("a1", random(1500, 1))
	next := filepath.Join(w.dir, "blobs", "pack", "00000002")
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := w.blobs().Put(ctx, "a1", bytes.NewReader(random(1500, 2)), true); err == nil {
		t.Error("put into a segment that is a folder")
	}
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{first, w.put("a1", random(1500, 2))} {
		if _, err := w.read("a1", d); err != nil {
			t.Error(err)
		}
	}
}
