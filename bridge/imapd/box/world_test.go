package box

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt/bolttest"
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
	st := bolttest.Open(t)
	w := &world{t: t, store: st, bus: &event.Bus{}}
	w.journal = journal.New(st, w.bus, time.Now)
	w.set = NewSet(Options{Store: st, Bus: w.bus})
	t.Cleanup(w.set.Close)
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
