package textindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

func bytesReader(s string) io.Reader { return bytes.NewReader([]byte(s)) }

var errStop = errors.New("stopped here")

// stopping is a store whose updates fail after some, as those of a process
// that ends do.
type stopping struct {
	store.Store
	left int
}

func (s *stopping) update(fn func() error) error {
	if s.left == 0 {
		return errStop
	}
	s.left--
	return fn()
}

func (s *stopping) Update(ctx context.Context, fn func(store.Tx) error) error {
	return s.update(func() error { return s.Store.Update(ctx, fn) })
}

func (s *stopping) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	return s.update(func() error { return s.Store.UpdateSoon(ctx, fn) })
}

// A fold that is interrupted after any of its transactions loses nothing and
// leaves nothing behind.
func TestInterruptedFold(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(9, 10))
	all := map[string]*mime.Extract{}
	interrupted := 0
	for step := 0; ; step++ {
		some := generate(r, fmt.Sprintf("s%d-", step), 260)
		maps.Copy(all, some)
		w.put(some)
		healthy := w.store
		w.index.store = &stopping{healthy, step}
		err := w.index.update(w.ctx, acct)
		if err != nil && !errors.Is(err, errStop) {
			t.Fatal(err)
		}
		w.index = New(healthy, Options{})
		w.check(r, all, 6)
		if err == nil {
			break
		}
		interrupted++
		w.settle()
		w.check(r, all, 6)
		want := 1
		m := w.manifest()
		for _, s := range m.live {
			want += 1 + 1<<s.bits + pages(s.docs)
		}
		if got := w.records(); got != want || len(m.garbage) > 0 || w.marked() >= w.index.fresh {
			t.Fatalf("step %d: %d records, want %d; garbage %v; %d marked", step, got, want, m.garbage, w.marked())
		}
	}
	if interrupted < 4 {
		t.Errorf("only %d interruptions", interrupted)
	}
}

// What does not fit into one segment goes into the next: nothing waits that
// could be indexed. Neither does what has no text keep the rest from it.
func TestSegmentsFillUp(t *testing.T) {
	w := newWorld(t)
	w.index.postings = 20_000
	r := rand.New(rand.NewPCG(19, 20))
	all := generate(r, "m", 1000)
	w.put(all)
	w.settle()
	if n := w.marked(); n >= w.index.fresh || len(w.manifest().live) < 3 {
		t.Errorf("%d of 1000 are not indexed; segments %v", n, w.manifest().live)
	}
	w.check(r, all, 20)
	w.update(func(tx store.Tx) error {
		for _, id := range slices.Sorted(maps.Keys(all))[:300] {
			if err := Put(tx, acct, id, nil); err != nil {
				return err
			}
			if err := tx.DeleteDerived(acct, store.DerivedText, id); err != nil {
				return err
			}
			all[id] = nil
		}
		return nil
	})
	w.settle()
	before := w.manifest().next
	w.settle()
	if after := w.manifest().next; after != before {
		t.Errorf("segment %d was made of nothing", after)
	}
	more := generate(r, "n", 500)
	maps.Copy(all, more)
	w.put(more)
	w.settle()
	if n := w.marked(); n < 300 || n >= 300+w.index.fresh {
		t.Errorf("%d are marked, 300 of which have no text", n)
	}
	w.check(r, more, 20)
}

// meeting is a store in whose first UpdateSoon, the one that writes a
// segment, something else happens.
type meeting struct {
	store.Store
	once sync.Once
	then func()
}

func (s *meeting) UpdateSoon(ctx context.Context, fn func(store.Tx) error) error {
	s.once.Do(s.then)
	return s.Store.UpdateSoon(ctx, fn)
}

// A message that is renewed while a segment with its old text is built keeps
// its mark, and is found by what it says.
func TestRenewedDuringFold(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(25, 26))
	all := generate(r, "m", 300)
	w.put(all)
	healthy := w.store
	w.index.store = &meeting{Store: healthy, then: func() {
		renewed := generate(r, "m", 20)
		maps.Copy(all, renewed)
		w.put(renewed)
	}}
	w.settle()
	w.index.store = healthy
	if n := w.marked(); n != 20 {
		t.Errorf("%d are marked, want those 20 that were renewed", n)
	}
	for id := range generate(r, "m", 20) {
		for i, res := range w.search(Query{Where: InHeader, Field: "subject", Text: all[id].Headers[0].Value}, slices.Sorted(maps.Keys(all))) {
			if other := fmt.Sprintf("m%05d", i); other == id && res != Yes {
				t.Errorf("%s is not found by its new subject", id)
			}
		}
	}
}

// Deleted messages leave the index when half of a segment is gone.
func TestCompact(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(11, 12))
	all := generate(r, "m", 1500)
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(all)), 300) {
		some := map[string]*mime.Extract{}
		for _, id := range chunk {
			some[id] = all[id]
		}
		w.put(some)
		w.settle()
	}
	before := w.records()
	gone := slices.Sorted(maps.Keys(all))[:1200]
	for _, id := range gone {
		w.update(func(tx store.Tx) error { return tx.DeleteMessage(id, 1) })
		delete(all, id)
	}
	w.check(r, all, 20)
	w.settle()
	w.check(r, all, 20)
	if slices.Contains(w.search(Query{Text: "example"}, gone), Yes) {
		t.Error("a deleted message was found")
	}
	entries := 0
	for _, s := range w.manifest().live {
		entries += s.docs
	}
	if entries > 300+150+w.index.fresh || w.records() >= before {
		t.Errorf("%d entries for 300 messages, %d records (%d before)", entries, w.records(), before)
	}
}

// A damaged index is built anew, and answers meanwhile.
func TestDamage(t *testing.T) {
	for _, what := range []string{"manifest", "docs", "group", "lost group", "page", "lost page"} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			r := rand.New(rand.NewPCG(13, 14))
			all := generate(r, "m", 400)
			w.put(all)
			w.settle()
			s := w.manifest().live[0]
			w.update(func(tx store.Tx) error {
				switch what {
				case "manifest":
					return tx.PutDerived(acct, store.DerivedSegment, manifestKey, []byte{9, 9})
				case "docs":
					return tx.PutDerived(acct, store.DerivedSegment, docsKey(s.id), []byte{9, 9})
				case "page":
					return tx.PutDerived(acct, store.DerivedSegment, pageKey(s.id, 0), []byte{9, 9})
				case "lost page":
					return tx.DeleteDerived(acct, store.DerivedSegment, pageKey(s.id, 1))
				}
				for n := range 1 << s.bits {
					err := tx.DeleteDerived(acct, store.DerivedSegment, groupKey(s.id, n))
					if what == "group" {
						err = tx.PutDerived(acct, store.DerivedSegment, groupKey(s.id, n), []byte{0xff})
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			w.index = New(w.store, Options{})
			w.check(r, all, 20)
			ctx, cancel := context.WithCancel(w.ctx)
			defer cancel()
			done := make(chan error)
			go func() { done <- w.index.Run(ctx) }()
			// Whoever meets the damage has it mended.
			for w.marked() > 0 || len(w.manifestOrNone().live) == 0 || w.manifestOrNone().live[0] == s {
				w.check(r, all, 1)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			w.check(r, all, 20)
		})
	}
}

func (w *world) manifestOrNone() *manifest {
	w.Helper()
	m := &manifest{}
	_ = w.store.View(w.ctx, func(tx store.Tx) error {
		if got, err := readManifest(tx, acct); err == nil {
			m = got
		}
		return nil
	})
	return m
}

// Searches, new mail and folds do not disturb each other.
func TestAtOnce(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(15, 16))
	all := generate(r, "m", 300)
	w.put(all)
	ctx, cancel := context.WithCancel(w.ctx)
	ran := make(chan error)
	go func() { ran <- w.index.Run(ctx) }()
	ids := slices.Sorted(maps.Keys(all))
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 17))
			for _, q := range queries(r, all, 30) {
				got, err := w.index.Search(ctx, acct, q, ids)
				if err != nil {
					t.Error(err)
					return
				}
				for i, id := range ids {
					if want := naive(q, all[id]); got[i] != want {
						t.Errorf("%+v: %s is %v, want %v", q, id, got[i], want)
						return
					}
				}
			}
		})
	}
	for n := range 5 {
		w.put(generate(r, fmt.Sprintf("n%d-", n), 150))
		w.index.Touch(acct)
	}
	wg.Wait()
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// While there is no room nothing is written, and everything is found.
func TestHold(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(27, 28))
	all := generate(r, "m", 300)
	w.put(all)
	asked := make(chan struct{})
	var free atomic.Bool
	w.index = New(w.store, Options{Hold: func() error {
		if free.Load() {
			return nil
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		return errStop
	}})
	ctx, cancel := context.WithCancel(w.ctx)
	ran := make(chan error)
	go func() { ran <- w.index.Run(ctx) }()
	<-asked
	w.index.Touch(acct)
	<-asked
	if n := w.marked(); n != 300 || len(w.manifest().live) != 0 {
		t.Errorf("%d are marked; segments %v", n, w.manifest().live)
	}
	w.check(r, all, 5)
	free.Store(true)
	w.index.Touch(acct)
	for w.marked() >= w.index.fresh {
		w.check(r, all, 1)
	}
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

// An account that is gone is nobody's trouble, and one that is connected again
// has nothing of the life before.
func TestAccountGone(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(31, 32))
	before := generate(r, "m", 300)
	w.put(before)
	w.settle()
	w.check(r, before, 5)
	w.update(func(tx store.Tx) error { return tx.DeleteAccount(acct) })
	if got := w.search(Query{Text: "example"}, []string{"m00001"}); got[0] != Unknown {
		t.Errorf("a message of a deleted account is %v", got[0])
	}
	w.connect()
	// The same numbers of everything, so that segments look alike, and yet each
	// message stands one place further down.
	after := map[string]*mime.Extract{}
	for i := range 300 {
		after[fmt.Sprintf("m%05d", i+1)] = before[fmt.Sprintf("m%05d", i)]
	}
	w.put(after)
	w.settle()
	w.check(r, after, 20)
	w.update(func(tx store.Tx) error { return tx.DeleteAccount(acct) })
	w.index.tend(w.ctx, acct)
	if len(w.index.views.views) != 0 {
		t.Error("something of the account is still in memory")
	}
}
