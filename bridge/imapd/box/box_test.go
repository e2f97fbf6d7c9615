package box

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func TestBoxFollowsTheStore(t *testing.T) {
	w := newWorld(t)
	w.fill(50)
	b, other := w.open(inbox), w.open(archive)
	rnd := rand.New(rand.NewPCG(1, 1))
	highest := b.Snapshot().UIDNext
	version := b.Version()
	known := b.Snapshot().UIDs
	for step := range 400 {
		id := fmt.Sprintf("m%031d", rnd.IntN(60))
		switch rnd.IntN(6) {
		case 0:
			w.put(id, []string{inbox}, mail.Seen)
		case 1:
			w.put(id, []string{archive}, fmt.Sprint("k", rnd.IntN(4)))
		case 2:
			w.put(id, []string{archive, inbox}, mail.Flagged)
		case 3:
			w.put(id, nil)
		case 4:
			w.renew(id)
		case 5:
			w.mark(uint32(rnd.IntN(int(highest))), rnd.IntN(2) == 0)
		}
		if step%7 != 0 {
			continue // several changes in one step
		}
		w.same(b)
		w.same(other)
		// Who follows by version has the same list, and new UIDs are the highest.
		d := b.Since(version)
		version = d.Version
		present := map[uint32]bool{}
		for _, r := range d.Present {
			present[r.UID] = true
			if !slices.Contains(known, r.UID) {
				if r.UID < highest {
					t.Fatalf("UID %d is new, though %d was the next one", r.UID, highest)
				}
				known = append(known, r.UID)
			}
		}
		known = slices.DeleteFunc(known, func(uid uint32) bool { return slices.Contains(d.UIDs, uid) && !present[uid] })
		if d := cmp.Diff(b.Snapshot().UIDs, known); d != "" {
			t.Fatalf("followed by version (-box +followed):\n%s", d)
		}
		highest = d.UIDNext
	}
}

// A Box that is read while the mailbox changes is right afterwards.
func TestLoadUnderChange(t *testing.T) {
	w := newWorld(t)
	w.fill(3 * pageRows)
	var writers sync.WaitGroup
	stop := make(chan struct{})
	writers.Go(func() {
		rnd := rand.New(rand.NewPCG(2, 2))
		for {
			select {
			case <-stop:
				return
			default:
			}
			id := fmt.Sprintf("m%031d", rnd.IntN(3*pageRows+50))
			switch rnd.IntN(4) {
			case 0:
				w.put(id, nil)
			case 1:
				w.renew(id)
			default:
				w.put(id, []string{inbox}, mail.Answered)
			}
		}
	})
	for range 8 {
		b := newBox(w.set, inbox)
		b.stale.Store(true)
		w.must(b.CatchUp(w.ctx()))
		shot := b.Snapshot()
		once := map[string]bool{}
		for _, r := range b.Rows(shot.UIDs, nil) {
			if once[r.Message] {
				t.Errorf("message %s is there twice", r.Message)
			}
			once[r.Message] = true
		}
		if !slices.IsSorted(shot.UIDs) || len(slices.Compact(slices.Clone(shot.UIDs))) != len(shot.UIDs) {
			t.Error("UIDs are out of order")
		}
	}
	close(stop)
	writers.Wait()
	w.same(w.open(inbox))
}

// Where the journal was trimmed, or tells more than the table holds, the table
// is read anew, and who follows is told to compare.
func TestGapInTheJournal(t *testing.T) {
	w := newWorld(t)
	w.fill(20)
	b := newBox(w.set, inbox) // nobody follows the journal for it
	b.stale.Store(true)
	w.must(b.CatchUp(w.ctx()))
	woken, unwatch := b.Watch()
	defer unwatch()
	told := func() {
		t.Helper()
		select {
		case <-woken:
		default:
			t.Error("who waits for changes was not woken")
		}
	}
	before := b.Version()
	for i := range 5 {
		w.put(fmt.Sprintf("m%031d", i), nil)
	}
	w.must(w.store.Update(w.ctx(), func(tx store.Tx) error {
		_, err := tx.TrimJournal(time.Now().Add(time.Hour), 1000)
		return err
	}))
	b.stale.Store(true)
	w.same(b)
	if d := b.Since(before); !d.All || len(d.Present) != 15 {
		t.Errorf("after a gap: all %v, %d rows", d.All, len(d.Present))
	}
	told()
	before = b.Version()
	for range 2 {
		w.fill(stepEvents) // each message twice
	}
	b.stale.Store(true)
	w.same(b)
	if d := b.Since(before); !d.All {
		t.Error("so many changes were followed one by one")
	}
	told()
}

func TestChangesAreBounded(t *testing.T) {
	var c changes
	for i := range 3 * logLeast {
		c.add(uint32(i%100+1), 10)
	}
	if len(c.list) > logLeast {
		t.Errorf("%d changes are kept", len(c.list))
	}
	if _, ok := c.since(0); ok {
		t.Error("a version of long ago is not too old")
	}
	if uids, ok := c.since(c.oldest); !ok || len(uids) != 100 {
		t.Errorf("since the oldest version: %d, %v", len(uids), ok)
	}
	if uids, ok := c.since(c.newest - 1); !ok || len(uids) != 1 {
		t.Errorf("since the one before: %v, %v", uids, ok)
	}
}

func TestBoxesAreSharedAndDropped(t *testing.T) {
	w := newWorld(t)
	w.fill(3)
	w.set.keep = time.Nanosecond
	first, err := w.set.Open(w.ctx(), inbox)
	w.must(err)
	second := w.open(inbox)
	if first != second {
		t.Error("two boxes of one mailbox")
	}
	woken, stop := second.Watch()
	w.put("m-new", []string{inbox})
	<-woken // the journal is followed
	stop()
	first.Release()
	w.put("m-newer", []string{inbox})
	w.same(second)

	w.set.keep = time.Hour
	third, err := w.set.Open(w.ctx(), archive)
	w.must(err)
	third.Release()
	w.put("m-other", []string{archive})
	if again := w.open(archive); again != third || again.Snapshot().UIDNext != 2 {
		t.Error("a box that was kept is not the same, or not up to date")
	}

	if boxes, messages := w.set.Size(); boxes != 2 || messages != 6 {
		t.Errorf("%d boxes of %d messages", boxes, messages)
	}

	_, err = w.set.Open(w.ctx(), "nowhere")
	if mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("a mailbox that is not there: %v", err)
	}
}

func TestDeletedMailboxWakesWhoWaits(t *testing.T) {
	w := newWorld(t)
	b := w.open(archive)
	woken, stop := b.Watch()
	defer stop()
	w.must(w.journal.Update(w.ctx(), func(tx store.Tx, batch *journal.Batch) error {
		if _, err := batch.Add(&event.Event{Type: event.MailboxDeleted, Account: account, Mailbox: archive}); err != nil {
			return err
		}
		return tx.DeleteMailbox(archive)
	}))
	<-woken
	if err := b.CatchUp(w.ctx()); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("after the deletion: %v", err)
	}
}

// A mailbox that was deleted and is back under its id is another one, whose
// rows are none of before.
func TestMailboxMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.put("m-old", []string{archive})
	b := w.open(archive)
	w.put("m-old", nil)
	w.must(w.store.Update(w.ctx(), func(tx store.Tx) error {
		if err := tx.DeleteMailbox(archive); err != nil {
			return err
		}
		m := &store.Mailbox{ID: archive, Account: account, ProviderID: archive, Name: archive, Kind: mail.KindLabel, UIDValidity: 99}
		if err := tx.PutMailbox(m); err != nil {
			return err
		}
		_, err := tx.GiveUIDs(archive, 1)
		return err
	}))
	w.put("m-new", []string{archive})
	if err := b.CatchUp(w.ctx()); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("the box of the former mailbox: %v", err)
	}
	again := w.open(archive)
	w.same(again)
	if again == b || again.Snapshot().UIDValidity != 99 {
		t.Errorf("the new mailbox has UIDVALIDITY %d", again.Snapshot().UIDValidity)
	}
	if row, ok := b.Row(1); ok && row.Message == "m-new" {
		t.Error("a UID of before means a message of now")
	}
}

// A Box that has lost a row finds out by the count.
func TestCountsAreCompared(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	b := newBox(w.set, inbox)
	b.stale.Store(true)
	w.must(b.CatchUp(w.ctx()))
	b.rows = slices.Delete(b.rows, 3, 4)
	w.put("m-one", []string{inbox})
	b.stale.Store(true)
	w.same(b)
	if b.off != 0 {
		t.Errorf("off by %d", b.off)
	}
}

// Keywords that come and go leave nothing behind.
func TestSetsAreSwept(t *testing.T) {
	w := newWorld(t)
	w.fill(2)
	b := w.open(inbox)
	for i := range 3 * setsLeast {
		u := store.UID{UID: 1, Message: fmt.Sprintf("m%031d", 0), Keywords: []string{fmt.Sprint("k", i)}, Size: 100}
		b.apply(news{sequence: b.sequence, counted: true, rows: []store.UID{u}})
	}
	if n := len(b.sets); n > setsLeast {
		t.Errorf("%d sets for two messages", n)
	}
	if got := b.Keywords(); !slices.Equal(got, []string{mail.Seen, fmt.Sprint("k", 3*setsLeast-1)}) {
		t.Errorf("keywords %v", got)
	}
}

func TestRefreshFindsSizes(t *testing.T) {
	w := newWorld(t)
	w.fill(pageRows + 10)
	size := func(n int64) {
		for first := 0; first < pageRows+10; first += 300 {
			w.must(w.store.Update(w.ctx(), func(tx store.Tx) error {
				for i := first; i < min(pageRows+10, first+300); i++ {
					m, err := tx.Message(fmt.Sprintf("m%031d", i))
					if err != nil {
						return err
					}
					m.Size = n
					if err := tx.PutMessage(m); err != nil {
						return err
					}
				}
				return nil
			}))
		}
	}
	size(0)
	b := w.open(inbox)
	if c := b.Stats(); c.Unsized != pageRows+10 {
		t.Fatalf("%d sizes are unknown", c.Unsized)
	}
	size(100)
	w.must(b.Refresh(w.ctx()))
	w.same(b)
}

// between is a store in which something happens before the nth View.
type between struct {
	store.Store
	n    int
	then func()
}

func (s *between) View(ctx context.Context, fn func(store.Tx) error) error {
	if s.n--; s.n == 0 {
		s.then()
	}
	return s.Store.View(ctx, fn)
}

// A size that becomes known while the rows are read, after the page with its
// message, is not lost: no entry of the journal would bring it back.
func TestSizeThatComesWhileRowsAreRead(t *testing.T) {
	w := newWorld(t)
	w.fill(pageRows + 10)
	sized := func(n int64) (m *store.Message) {
		w.must(w.store.Update(w.ctx(), func(tx store.Tx) (err error) {
			if m, err = tx.Message(fmt.Sprintf("m%031d", 0)); err != nil {
				return err
			}
			m.Size = n
			return tx.PutMessage(m)
		}))
		return m
	}
	sized(0)
	// The first View reads the mailbox's record, the second one the page with the
	// message, the third one the rest.
	st := &between{Store: w.store, n: 3}
	set := NewSet(Options{Store: st, Bus: w.bus})
	t.Cleanup(set.Close)
	st.then = func() { set.Sized(sized(100)) }
	b, err := set.Open(w.ctx(), inbox)
	w.must(err)
	defer b.Release()
	if st.n > 0 {
		t.Fatal("the rows were read in one page")
	}
	if r, ok := b.Row(1); !ok || r.Size != 100 {
		t.Errorf("the size is %d, want 100", r.Size)
	}
	if c := b.Stats(); c.Unsized != 0 {
		t.Errorf("%d sizes are unknown", c.Unsized)
	}
	w.same(b)
}

// A size that is known under a UID stays: bytes of another length are another
// UID's, though the Box is told of their size before it is told of that.
func TestSizesStay(t *testing.T) {
	w := newWorld(t)
	w.put("m1", []string{inbox})
	b := w.open(inbox)
	is := func(want int64) {
		t.Helper()
		if r, ok := b.Row(1); !ok || r.Size != want {
			t.Errorf("the size is %d, want %d", r.Size, want)
		}
	}
	is(100)
	w.set.Sized(&store.Message{ID: "m1", UIDs: map[string]uint32{inbox: 1}, Message: mail.Message{Size: 200}})
	is(100)
	w.must(w.store.Update(w.ctx(), func(tx store.Tx) error {
		m, err := tx.Message("m1")
		if err != nil {
			return err
		}
		m.Size = 0
		return tx.PutMessage(m)
	}))
	w.set.forget(b)
	b = w.open(inbox)
	is(0)
	w.set.Sized(&store.Message{ID: "m1", UIDs: map[string]uint32{inbox: 1}, Message: mail.Message{Size: 200}})
	is(200)
	w.put("m1", []string{inbox}, "k") // as one who read the row before its size was written
	w.must(b.CatchUp(w.ctx()))
	is(200)
}

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := newWorld(b)
			w.fill(n)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			x := w.open(inbox)
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.Run("cold", func(b *testing.B) {
				for b.Loop() {
					again := newBox(w.set, inbox)
					again.stale.Store(true)
					w.must(again.CatchUp(w.ctx()))
				}
			})
			b.Run("snapshot", func(b *testing.B) {
				for b.Loop() {
					x.Snapshot()
				}
				b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/float64(n), "held-B/row")
			})
			b.Run("nothing new", func(b *testing.B) {
				for b.Loop() {
					w.must(x.CatchUp(w.ctx()))
				}
			})
		})
	}
}
