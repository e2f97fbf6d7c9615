package mailbox

import (
	"bytes"
	"context"
	"io"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// contextUntil ends a context when a channel closes.
func contextUntil(ctx context.Context, stop <-chan struct{}) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-stop:
		case <-ctx.Done():
		}
		cancel()
	}()
	return ctx, cancel
}

func TestWriteThrough(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		opts.Keywords = []string{mail.Seen, mail.Flagged}
		w := newWorld(t, opts)
		a, b := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{})
		w.rounds()
		ids := []string{MessageID(w.account, a), "mnonsense", MessageID(w.account, b)}
		rs, err := w.svc.Update(w.ctx, ids, Change{AddKeywords: []string{mail.Seen, mail.Answered, "Project"}})
		w.must(err)
		if rs[0].Err != nil || rs[2].Err != nil || mail.KindOf(rs[1].Err) != mail.KindNotFound {
			t.Fatalf("results: %v, %v, %v", rs[0].Err, rs[1].Err, rs[2].Err)
		}
		m := w.message(a)
		if !slices.Equal(m.Keywords, []string{mail.Seen}) || !slices.Equal(m.Local, []string{mail.Answered, "project"}) {
			t.Errorf("provider has %v, we keep %v", m.Keywords, m.Local)
		}
		// What we keep survives what the provider tells.
		before := w.last()
		w.rounds()
		if w.last() != before {
			t.Errorf("our own write was told again: %v", types(w.eventsAfter(before)))
		}
		w.must(w.cloud.SetKeywords(ann, a, mail.Flagged))
		w.rounds()
		if got := w.message(a).AllKeywords(); !slices.Equal(got, []string{mail.Answered, mail.Flagged, "project"}) {
			t.Errorf("keywords after the provider's change: %v", got)
		}
	})
}

func TestMoveCopyDelete(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		a, b, c := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{}), w.deliver("c", memory.Delivery{})
		w.rounds()
		archive := ID(w.account, "archive")
		ok := func(rs []Result, err error) Result {
			t.Helper()
			w.must(err)
			w.must(rs[0].Err)
			return rs[0]
		}
		moved := ok(w.svc.Move(w.ctx, []string{MessageID(w.account, a)}, archive))
		if !slices.Equal(moved.Message.In, []string{archive}) {
			t.Errorf("moved into %v", moved.Message.In)
		}
		copied := ok(w.svc.Copy(w.ctx, []string{MessageID(w.account, b)}, archive))
		if copied.Message == nil || !slices.Contains(copied.Message.In, archive) {
			t.Errorf("copy: %+v", copied.Message)
		}
		ok(w.svc.Delete(w.ctx, []string{MessageID(w.account, b)}, false))
		ok(w.svc.Delete(w.ctx, []string{MessageID(w.account, c)}, true))
		if _, err := w.svc.message(w.ctx, MessageID(w.account, c)); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("the purged message is still there: %v", err)
		}
		w.inStep()
		before := w.last()
		w.rounds()
		w.inStep()
		if w.last() != before {
			t.Errorf("our own writes were told again: %v", types(w.eventsAfter(before)))
		}
	})
}

// TestStaleFeedDoesNotUndoOurWrite writes while a feed is being read that the
// provider began to answer before.
func TestStaleFeedDoesNotUndoOurWrite(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		id := w.deliver("a", memory.Delivery{})
		w.rounds()
		before := w.last()
		w.must(w.cloud.SetKeywords(ann, id, mail.Flagged)) // so that the feed has something to tell
		asOf := w.svc.now()
		_, err := w.svc.Update(w.ctx, []string{MessageID(w.account, id)}, Change{AddKeywords: []string{mail.Seen}})
		w.must(err)
		acct, err := w.svc.account(w.ctx, w.account)
		w.must(err)
		info, err := w.plugin.Describe(w.ctx)
		w.must(err)
		f := &feed{s: w.svc, acct: acct, p: w.plugin, info: info, scope: "inbox", refetch: map[string]struct{}{}, perTx: 10}
		for _, fields := range []mail.Fields{mail.FieldKeywords, mail.FieldSeen, mail.FieldSeen | mail.FieldFlagged} {
			stale := mail.Item{Kind: mail.ItemPresent, Fields: fields, Message: mail.Message{ProviderID: id, Keywords: []string{mail.Flagged}}}
			w.must(f.apply(w.ctx, []mail.Item{stale}, asOf))
			if !w.message(id).HasKeyword(mail.Seen) {
				t.Fatalf("a stale answer with fields %b undid our write", fields)
			}
		}
		if len(f.refetch) != 1 {
			t.Error("the message is not read again")
		}
		w.must(f.refetchAll(w.ctx))
		w.rounds()
		w.inStep()
		if n := len(w.eventsAfter(before)); n > 2 {
			t.Errorf("%d events for two changes", n)
		}
	})
}

func TestRawIsFetchedOnceAndKept(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	var mu sync.Mutex
	fetches := 0
	w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if verb == "fetch" {
			fetches++
		}
		return nil
	})
	want, err := w.cloud.Raw(ann, id)
	w.must(err)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			blob, _, err := w.svc.Raw(w.ctx, MessageID(w.account, id))
			if err != nil {
				t.Error(err)
				return
			}
			defer blob.Close()
			if got, err := io.ReadAll(blob); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		})
	}
	wg.Wait()
	if fetches != 1 {
		t.Errorf("%d fetches for 20 readers", fetches)
	}
	if m := w.message(id); m.Size != int64(len(want)) {
		t.Errorf("size %d, want %d", m.Size, len(want))
	}
	c, err := w.svc.Content(w.ctx, MessageID(w.account, id))
	if err != nil || c.Text != "This is a.\n" {
		t.Errorf("text %q, %v", c.Text, err)
	}
}

func TestDrafts(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	inbox := w.deliver("no draft", memory.Delivery{})
	w.rounds()
	draft := []byte("From: ann@example.com\r\nSubject: first\r\n\r\nx\r\n")
	first, err := w.svc.SaveDraft(w.ctx, w.account, "op1", "", draft)
	w.must(err)
	second, err := w.svc.SaveDraft(w.ctx, w.account, "op2", first.ID, bytes.Replace(draft, []byte("first"), []byte("second"), 1))
	w.must(err)
	w.rounds()
	w.inStep()
	if _, err := w.svc.message(w.ctx, first.ID); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("the replaced draft is still there: %v", err)
	}
	if second.Subject != "second" || !second.HasKeyword(mail.Draft) {
		t.Errorf("draft: %q %v", second.Subject, second.Keywords)
	}
	if err := w.svc.DeleteDraft(w.ctx, MessageID(w.account, inbox)); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("deleting what is no draft: %v", err)
	}
	w.must(w.svc.DeleteDraft(w.ctx, second.ID))
	w.inStep()
}

func TestRefusedGrantStopsWrites(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	w.must(w.cloud.RevokeGrants(ann))
	w.must(w.cloud.ExpireTokens(ann))
	if err := w.svc.Round(w.ctx, w.account); mail.KindOf(err) != mail.KindGrantExpired {
		t.Fatalf("round with a revoked grant: %v", err)
	}
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		a, err := tx.Account(w.account)
		if err != nil {
			return err
		}
		a.State = store.AccountGrantExpired
		return tx.PutAccount(a)
	}))
	rs, err := w.svc.Update(w.ctx, []string{MessageID(w.account, id)}, Change{AddKeywords: []string{mail.Seen}})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindGrantExpired {
		t.Errorf("write with an expired grant: %v", rs[0].Err)
	}
	if err := w.svc.Round(w.ctx, w.account); err != nil {
		t.Errorf("a round of an account whose grant has expired: %v", err)
	}
}

func TestBadChanges(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	for name, ch := range map[string]Change{
		"nothing":          {},
		"both":             {AddKeywords: []string{"x"}, RemoveKeywords: []string{"X"}},
		"space":            {AddKeywords: []string{"a b"}},
		"draft":            {AddKeywords: []string{mail.Draft}},
		"mailbox both":     {AddMailboxes: []string{"f1"}, RemoveMailboxes: []string{"f1"}},
		"not ascii":        {AddKeywords: []string{"grün"}},
		"backslash system": {AddKeywords: []string{`\Seen`}},
	} {
		if _, err := w.svc.Update(w.ctx, []string{"m1"}, ch); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.svc.Update(w.ctx, nil, Change{AddKeywords: []string{"x"}}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("no messages: %v", err)
	}
	if err := w.svc.Sync(w.ctx, "a-nobody"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("syncing nobody: %v", err)
	}
}

// TestContentComesWithTheEvent: who wants a new message's content has it in
// the transaction that tells of the message.
func TestContentComesWithTheEvent(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.svc.opts.WantContent = func(context.Context, string) bool { return true }
		told := map[string]string{}
		w.svc.journal = journal.New(w.store, &event.Bus{}, w.svc.opts.Now, func(_ store.Tx, events []event.Event) error {
			for _, e := range events {
				if c, ok := w.svc.At(e.Message); ok {
					told[e.Snapshot.Subject] = c.Text
				}
			}
			return nil
		})
		w.deliver("old", memory.Delivery{Date: w.svc.now().Add(-time.Hour)})
		w.rounds()
		id := w.deliver("new", memory.Delivery{Date: w.svc.now().Add(time.Hour)})
		w.rounds()
		w.inStep()
		if want := map[string]string{"new": "This is new.\n"}; !maps.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}
		if m := w.message(id); m.Blob == "" || m.Size == 0 {
			t.Error("the bytes were brought and not kept")
		}
		if _, ok := w.svc.At(MessageID(w.account, id)); ok {
			t.Error("the content is held after its event")
		}
	})
}
