package mailbox

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// place is what a mail program knows a message by.
type place struct {
	name     string
	validity uint32
	uid      uint32
}

// ledger is everything that mail programs were ever told: what a UID of a
// mailbox under a name and a UIDVALIDITY means. What is over is so under every
// name: a mailbox that is renamed back may be as it was.
type ledger struct {
	means map[place][32]byte
	seen  map[place]bool
	over  map[place]bool
	// next is the UIDNEXT that was told last, by UIDVALIDITY.
	next map[uint32]uint32
}

func (p place) nameless() place { return place{validity: p.validity, uid: p.uid} }

func newLedger() *ledger {
	return &ledger{means: map[place][32]byte{}, seen: map[place]bool{}, over: map[place]bool{}, next: map[uint32]uint32{}}
}

// look reads everything as it is now, and compares.
func (l *ledger) look(w *world, what string) {
	w.t.Helper()
	now := map[place]bool{}
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		clear(now)
		boxes, err := tx.MailboxesOf(w.account)
		if err != nil {
			return err
		}
		validities := map[uint32]string{}
		for _, b := range boxes {
			if other, taken := validities[b.UIDValidity]; taken {
				w.t.Errorf("%s: %s and %s have the same UIDVALIDITY", what, b.Name, other)
			}
			validities[b.UIDValidity] = b.Name
			rows, err := tx.UIDs(b.ID, 1, 1<<31, 10_000)
			if err != nil {
				return err
			}
			next := l.next[b.UIDValidity]
			for _, r := range rows {
				m, err := tx.Message(r.Message)
				if err != nil {
					return err
				}
				raw, err := w.cloud.Raw(ann, m.ProviderID)
				if mail.KindOf(err) == mail.KindNotFound {
					continue // the mirror has not heard yet
				}
				if err != nil {
					return err
				}
				p := place{b.Name, b.UIDValidity, r.UID}
				now[p.nameless()] = true
				means, known := l.means[p]
				switch {
				case l.over[p.nameless()]:
					w.t.Errorf("%s: UID %d of %s (%d) was gone and is back", what, r.UID, b.Name, b.UIDValidity)
				case known && means != sha256.Sum256(raw):
					w.t.Errorf("%s: UID %d of %s (%d) means another message", what, r.UID, b.Name, b.UIDValidity)
				case !l.seen[p.nameless()] && r.UID < next:
					w.t.Errorf("%s: UID %d of %s (%d) is new, UIDNEXT was %d", what, r.UID, b.Name, b.UIDValidity, next)
				}
				l.means[p], l.seen[p.nameless()] = sha256.Sum256(raw), true
			}
			if b.UIDNext < next {
				w.t.Errorf("%s: UIDNEXT of %s fell from %d to %d", what, b.Name, next, b.UIDNext)
			}
			l.next[b.UIDValidity] = b.UIDNext
		}
		return nil
	}))
	for p := range l.seen {
		if !now[p] {
			l.over[p] = true
		}
	}
}

// validities are the mailboxes' by name.
func (w *world) validities() map[string]uint32 {
	w.t.Helper()
	out := map[string]uint32{}
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(w.account)
		for _, m := range list {
			out[m.Name] = m.UIDValidity
		}
		return err
	}))
	return out
}

// TestUIDsForLife does to an account whatever may happen to one, and looks after
// each step whether a UID means what it meant.
func TestUIDsForLife(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		l := newLedger()
		r := rand.New(rand.NewPCG(5, 1))
		names := map[string]string{} // by the provider's id
		for _, n := range []string{"Work", "Home", "Lists"} {
			id, err := w.cloud.AddMailbox(ann, "", n)
			w.must(err)
			names[id] = n
		}
		sent := 0
		deliver := func() {
			sent++
			w.deliver(fmt.Sprint("number ", sent), memory.Delivery{Mailbox: some(r, append(own(names), "inbox"))})
		}
		for range 20 {
			deliver()
		}
		w.rounds()
		l.look(w, "the first sync")
		anyone := func() (string, bool) {
			list, err := w.cloud.Messages(ann)
			w.must(err)
			if len(list) == 0 {
				return "", false
			}
			return list[r.IntN(len(list))].ProviderID, true
		}
		rename := func(id, to string) {
			_, err := w.svc.RenameMailbox(w.ctx, w.box(id), to, nil)
			w.must(err)
			names[id] = to
		}
		steps := []struct {
			what string
			do   func()
		}{
			{"mail arrives", deliver},
			{"a message is moved upstream, and back", func() {
				id, ok := anyone()
				if !ok {
					return
				}
				back := w.truth()[w.ours(id)].In
				w.must(w.cloud.Move(ann, id, "archive"))
				if r.IntN(2) == 0 {
					w.rounds()
					l.look(w, "moved upstream")
				}
				for pid := range names {
					if w.box(pid) == back[0] {
						w.must(w.cloud.Move(ann, id, pid))
					}
				}
			}},
			{"a message is removed upstream", func() {
				if id, ok := anyone(); ok && r.IntN(3) == 0 {
					w.must(w.cloud.Remove(ann, id))
				}
			}},
			{"a message is moved by us", func() {
				if m := w.someMessage(r); m != nil {
					_, err := w.svc.MoveFrom(w.ctx, m.In[0], w.box(some(r, own(names))), []string{m.ID})
					w.must(err)
				}
			}},
			{"a message is copied by us", func() {
				if m := w.someMessage(r); m != nil {
					_, err := w.svc.Copy(w.ctx, []string{m.ID}, w.box(some(r, own(names))))
					w.must(err)
				}
			}},
			{"a message is expunged", func() {
				if m := w.someMessage(r); m != nil {
					_, err := w.svc.Expunge(w.ctx, m.In[0], []string{m.ID})
					w.must(err)
				}
			}},
			{"a message is appended", func() {
				sent++
				_, err := w.append(some(r, own(names)), letter(fmt.Sprint("number ", sent)))
				w.must(err)
			}},
			{"cursors are forgotten", func() { w.must(w.cloud.ForgetCursors(ann)) }},
			{"two mailboxes swap their names", func() {
				ids := own(names)
				a, b := ids[0], ids[1]
				before, was := w.validities(), [2]string{names[a], names[b]}
				rename(a, "between")
				l.look(w, "renamed once")
				rename(b, was[0])
				l.look(w, "renamed twice")
				rename(a, was[1])
				if after := w.validities(); after[was[0]] != before[was[1]] || after[was[1]] != before[was[0]] {
					t.Errorf("UIDVALIDITY does not go with the mailbox: %v, were %v", after, before)
				}
			}},
			{"a mailbox is deleted and made again", func() {
				id := own(names)[r.IntN(len(names))]
				name := names[id]
				w.must(w.svc.DeleteMailbox(w.ctx, w.box(id)))
				w.rounds()
				w.rounds()
				l.look(w, "a mailbox is deleted")
				box, err := w.svc.CreateMailbox(w.ctx, w.account, "", name)
				w.must(err)
				delete(names, id)
				names[box.ProviderID] = name
			}},
			{"the owner consents again", func() {
				before := w.validities()
				w.open()
				w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
					a, err := tx.Account(w.account)
					if err != nil {
						return err
					}
					a.State = store.AccountReady
					return tx.PutAccount(a)
				}))
				w.rounds()
				for name, v := range before {
					if w.validities()[name] != v {
						t.Errorf("a new consent changes the UIDVALIDITY of %s", name)
					}
				}
			}},
			{"the service starts again", func() {
				w.svc = New(w.store, journal.New(w.store, &event.Bus{}, w.svc.opts.Now), w, w, Options{FeedLag: w.svc.opts.FeedLag})
			}},
			{"the account is erased and connected again", func() {
				if r.IntN(4) > 0 {
					return
				}
				w.must(w.store.Update(w.ctx, func(tx store.Tx) error { return tx.DeleteAccount(w.account) }))
				for more := r.IntN(2) == 0; more; { // or they are left for later
					w.must(w.store.Update(w.ctx, func(tx store.Tx) (err error) {
						more, err = tx.DropAccountRecords(w.account, 1000)
						return err
					}))
				}
				w.connect()
			}},
		}
		for range 60 {
			step := steps[r.IntN(len(steps))]
			step.do()
			l.look(w, step.what+", before a round")
			w.rounds()
			l.look(w, step.what)
		}
		for _, step := range steps { // each at least once
			step.do()
			w.rounds()
			l.look(w, step.what)
		}
		if len(l.means) < 80 || len(l.over) < 20 {
			t.Errorf("the ledger has %d entries, %d are over", len(l.means), len(l.over))
		}
	})
}

// own are the provider's ids of the mailboxes without a role, in order.
func own(names map[string]string) []string {
	var out []string
	for id := range names {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

func some(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// someMessage is one of the mirror's messages; nil where there is none.
func (w *world) someMessage(r *rand.Rand) (m *store.Message) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) error {
		keys, err := tx.MessagesOf(w.account, store.DateKey{}, 1000)
		if err != nil || len(keys) == 0 {
			return err
		}
		m, err = tx.Message(keys[r.IntN(len(keys))].ID)
		return err
	}))
	return m
}
