package mailbox

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// staleFeed is a feed of ann's account whose answers began at asOf.
func (w *world) staleFeed() *feed {
	w.t.Helper()
	acct, err := w.svc.account(w.ctx, w.account)
	w.must(err)
	info, err := w.plugin.Describe(w.ctx)
	w.must(err)
	return &feed{s: w.svc, acct: acct, p: w.plugin, info: info, scope: "inbox", refetch: map[string]struct{}{}, perTx: 10}
}

// TestStaleRemovalIsAskedAgain: a message that we moved while a feed was on its
// way, and that then went for good, is not kept for ever.
func TestStaleRemovalIsAskedAgain(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		for _, kind := range []mail.ItemKind{mail.ItemAbsent, mail.ItemGone} {
			w := newWorld(t, opts)
			id := w.deliver("a", memory.Delivery{})
			w.rounds()
			f, asOf := w.staleFeed(), w.svc.now()
			rs, err := w.svc.Move(w.ctx, []string{MessageID(w.account, id)}, ID(w.account, "archive"))
			w.must(err)
			w.must(rs[0].Err)
			rs, err = w.svc.Move(w.ctx, []string{MessageID(w.account, id)}, ID(w.account, "inbox"))
			w.must(err)
			w.must(rs[0].Err)
			w.rounds() // the feeds have told of our moves
			w.must(w.cloud.Remove(ann, id))
			// The removal was told by an answer that began before our moves, and
			// the cursor is past it.
			w.must(f.apply(w.ctx, []mail.Item{{Kind: kind, Mailbox: "inbox", Message: mail.Message{ProviderID: id}}}, asOf))
			if _, err := w.svc.message(w.ctx, MessageID(w.account, id)); err != nil {
				t.Fatalf("%s: a stale answer removed the message at once: %v", kind, err)
			}
			// The feed itself will not say it again: the doubt must last by itself.
			w.must(w.store.View(w.ctx, func(tx store.Tx) error {
				doubts, err := tx.Absences(w.account, 10)
				if len(doubts) != 1 {
					t.Errorf("%s: %d doubts are kept, want 1", kind, len(doubts))
				}
				return err
			}))
			w.rounds()
			if _, err := w.svc.message(w.ctx, MessageID(w.account, id)); mail.KindOf(err) != mail.KindNotFound {
				t.Errorf("%s: the message is kept for ever: %v", kind, err)
			}
		}
	})
}

// TestFailedRereadIsRepeated: what was told in parts is read again before the
// cursor moves on.
func TestFailedRereadIsRepeated(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.rounds()
	id := w.deliver("a", memory.Delivery{})
	f := w.staleFeed()
	w.must(f.load(w.ctx))
	before := f.state.Cursor
	part := &mail.Batch{Done: true, Next: mail.Cursor("later"), Items: []mail.Item{{Kind: mail.ItemPresent, Mailbox: "inbox",
		Fields: mail.FieldMailbox | mail.FieldSeen, Message: mail.Message{ProviderID: id}}}}
	w.cloud.FailNext("fetch", mail.KindUnavailable)
	if err := f.batch(w.ctx, part, w.svc.now()); mail.KindOf(err) != mail.KindUnavailable {
		t.Fatalf("a batch whose second reading fails: %v", err)
	}
	w.must(f.load(w.ctx))
	if !slices.Equal(f.state.Cursor, before) {
		t.Fatal("the cursor moved past what was not read")
	}
	w.must(f.batch(w.ctx, part, w.svc.now()))
	w.must(f.load(w.ctx))
	if string(f.state.Cursor) != "later" || w.message(id).Subject != "a" {
		t.Errorf("after the second try: cursor %q", f.state.Cursor)
	}
}

// TestOneMailboxThatCannotBeRead does not keep the others back.
func TestOneMailboxThatCannotBeRead(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.deliver("a", memory.Delivery{})
	var calls atomic.Int32
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		if verb == "changes" && calls.Add(1)%6 == 0 {
			return &mail.Error{Kind: mail.KindForbidden, Message: "not this one"}
		}
		return nil
	})
	w.round()
	acct, err := w.svc.account(w.ctx, w.account)
	w.must(err)
	if acct.SyncedAt.IsZero() {
		t.Error("the first sync does not end")
	}
}

// TestNewMailboxHasNoPast: mail with old dates in a mailbox that is made later
// is told to everybody.
func TestNewMailboxHasNoPast(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.rounds()
		before := w.last()
		box, err := w.cloud.AddMailbox(ann, "", "Imported")
		w.must(err)
		w.deliver("import", memory.Delivery{Mailbox: box, Date: time.Now().Add(-1000 * time.Hour)})
		w.rounds()
		for _, e := range w.eventsAfter(before) {
			if e.Type == event.MessageCreated && e.Backfill {
				t.Error("what was imported after connecting is told as backfill")
			}
		}
	})
}
