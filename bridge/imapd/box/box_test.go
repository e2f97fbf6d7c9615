package box

import (
	"context"
	"errors"
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
	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt"
)

const (
	account = "account-1"
	inbox   = "inbox"
	archive = "archive"
)

// world is a store with two mailboxes, written to as the mirror writes.
type world struct {
	t       testing.TB
	store   store.Store
	bus     *event.Bus
	journal *journal.Journal
	set     *Set
	n       int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	key, err := seal.GenerateMasterKey()
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.NewKeyring(key)
	if err != nil {
		t.Fatal(err)
	}
	st, err := bolt.Open(bolt.Options{Path: t.TempDir(), Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, bus: &event.Bus{}}
	w.journal = journal.New(st, w.bus, time.Now)
	w.set = NewSet(Options{Store: st, Bus: w.bus})
	t.Cleanup(func() {
		w.set.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	w.must(st.Update(w.ctx(), func(tx store.Tx) error {
		if err := tx.PutAccount(&store.Account{ID: account, Provider: "p", Address: "a@example.com", State: store.AccountReady}); err != nil {
			return err
		}
		for i, id := range []string{inbox, archive} {
			m := &store.Mailbox{ID: id, Account: account, ProviderID: id, Name: id, Kind: mail.KindLabel, UIDValidity: uint32(i + 1)}
			if err := tx.PutMailbox(m); err != nil {
				return err
			}
			if _, err := tx.GiveUIDs(id, 1); err != nil {
				return err
			}
		}
		return nil
	}))
	return w
}

func (w *world) ctx() context.Context { return w.t.Context() }

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// put writes a message as the mirror does, with the event that tells of it.
func (w *world) put(id string, in []string, keywords ...string) {
	w.t.Helper()
	slices.Sort(keywords)
	w.must(w.journal.Update(w.ctx(), func(tx store.Tx, b *journal.Batch) error {
		return w.write(tx, b, id, in, keywords)
	}))
}

func (w *world) write(tx store.Tx, b *journal.Batch, id string, in, keywords []string) error {
	old, err := tx.Message(id)
	e := &event.Event{Account: account, Message: id, Snapshot: &event.Snapshot{Mailboxes: in}}
	switch {
	case errors.Is(err, store.ErrNotFound) && len(in) == 0:
		return nil
	case errors.Is(err, store.ErrNotFound):
		w.n++
		e.Type, e.AddedMailboxes = event.MessageCreated, in
		old = &store.Message{ID: id, Account: account, Thread: "t" + id,
			Message: mail.Message{ProviderID: id, ReceivedAt: time.Unix(int64(w.n), 0), Size: 100}}
	case err != nil:
		return err
	case len(in) == 0:
		e.Type, e.RemovedMailboxes = event.MessageDeleted, old.In
	default:
		e.Type = event.MessageUpdated
		for _, m := range in {
			if !slices.Contains(old.In, m) {
				e.AddedMailboxes = append(e.AddedMailboxes, m)
			}
		}
		for _, m := range old.In {
			if !slices.Contains(in, m) {
				e.RemovedMailboxes = append(e.RemovedMailboxes, m)
			}
		}
	}
	seq, err := b.Add(e)
	if err != nil {
		return err
	}
	if len(in) == 0 {
		return tx.DeleteMessage(id, seq)
	}
	old.In, old.Keywords, old.ModSeq = slices.Sorted(slices.Values(in)), keywords, seq
	old.Mailboxes = old.In
	return tx.PutMessage(old)
}

// renew gives a message new UIDs, as when its bytes changed.
func (w *world) renew(id string) {
	w.must(w.journal.Update(w.ctx(), func(tx store.Tx, b *journal.Batch) error {
		if _, err := tx.Message(id); err != nil {
			return nil
		}
		seq, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: account, Message: id, Internal: true})
		if err != nil {
			return err
		}
		return tx.RenewUIDs(id, seq)
	}))
}

// mark sets \Deleted.
func (w *world) mark(uid uint32, deleted bool) {
	w.must(w.journal.Update(w.ctx(), func(tx store.Tx, b *journal.Batch) error {
		rows, err := tx.UIDs(inbox, uid, uid, 1)
		if err != nil || len(rows) == 0 {
			return err
		}
		seq, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: account, Message: rows[0].Message, Mailbox: inbox, Internal: true})
		if err != nil {
			return err
		}
		return tx.SetDeleted(inbox, uid, deleted, seq)
	}))
}

// fill puts n messages into the inbox.
func (w *world) fill(n int) {
	w.t.Helper()
	for first := 0; first < n; first += 300 {
		w.must(w.journal.Update(w.ctx(), func(tx store.Tx, b *journal.Batch) error {
			for i := first; i < min(n, first+300); i++ {
				if err := w.write(tx, b, fmt.Sprintf("m%031d", i), []string{inbox}, [][]string{nil, {mail.Seen}, {mail.Flagged, mail.Seen}}[i%3]); err != nil {
					return err
				}
			}
			return nil
		}))
	}
}

func (w *world) open(mailbox string) *Box {
	w.t.Helper()
	b, err := w.set.Open(w.ctx(), mailbox)
	w.must(err)
	w.t.Cleanup(b.Release)
	return b
}

// plain is a row without what is shared.
type plain struct {
	UID      uint32
	Message  string
	Keywords string
	Deleted  bool
	ModSeq   uint64
	Size     int64
	Date     int64
}

// same checks that a Box is what the store's table is.
func (w *world) same(b *Box) {
	w.t.Helper()
	var want, got []plain
	var m *store.Mailbox
	w.must(w.store.View(w.ctx(), func(tx store.Tx) (err error) {
		if m, err = tx.Mailbox(b.Mailbox()); err != nil {
			return err
		}
		rows, err := tx.UIDs(b.Mailbox(), 1, 1<<32-1, 1<<20)
		for _, r := range rows {
			want = append(want, plain{r.UID, r.Message, fmt.Sprint(r.Keywords), r.Deleted, r.ModSeq, r.Size, r.Date.Unix()})
		}
		return err
	}))
	w.must(b.CatchUp(w.ctx()))
	shot := b.Snapshot()
	deleted, unseen := 0, 0
	for _, r := range b.Rows(shot.UIDs, nil) {
		got = append(got, plain{r.UID, r.Message, fmt.Sprint(r.Keywords), r.Deleted, r.ModSeq, r.Size, r.Date})
		if r.Deleted {
			deleted++
		}
		if !r.Has(mail.Seen) {
			unseen++
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		w.t.Fatalf("rows (-store +box):\n%s", d)
	}
	c := b.Stats()
	if int64(c.Messages) != m.Total || int64(c.Unseen) != m.Unread || c.Unseen != unseen || c.Deleted != deleted || c.UIDNext != m.UIDNext || c.Size != 100*m.Total {
		w.t.Fatalf("counts %+v, want %d deleted of %+v", c, deleted, m)
	}
}

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
	before = b.Version()
	for range 2 {
		w.fill(stepEvents) // each message twice
	}
	b.stale.Store(true)
	w.same(b)
	if d := b.Since(before); !d.All {
		t.Error("so many changes were followed one by one")
	}
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
