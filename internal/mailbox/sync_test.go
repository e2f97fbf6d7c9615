package mailbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

func TestFirstSync(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		for i := range 25 {
			w.deliver(fmt.Sprint("old ", i), memory.Delivery{Date: time.Now().Add(-time.Duration(i+1) * time.Hour)})
		}
		late := w.deliver("late", memory.Delivery{Date: time.Now().Add(time.Minute)})
		w.rounds()
		w.inStep()
		acct, err := w.svc.account(w.ctx, w.account)
		w.must(err)
		if acct.State != store.AccountReady || acct.Done != 26 || acct.Total != 26 {
			t.Errorf("account is %s, progress %d of %d", acct.State, acct.Done, acct.Total)
		}
		synced := 0
		for _, e := range w.events() {
			switch {
			case e.Type == event.AccountSynced:
				synced++
			case e.Type == event.MessageCreated && e.Backfill == (e.Message == MessageID(w.account, late)):
				t.Errorf("message %q: backfill is %v", e.Snapshot.Subject, e.Backfill)
			}
		}
		if synced != 1 {
			t.Errorf("account.synced was told %d times", synced)
		}
		// UIDs follow the dates, oldest first.
		var uids []store.UID
		w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
			uids, err = tx.UIDs(ID(w.account, "inbox"), 1, 1<<32-1, 100)
			return err
		}))
		if len(uids) != 26 || uids[25].Message != MessageID(w.account, late) {
			t.Errorf("%d UIDs, the newest is %v", len(uids), uids[len(uids)-1])
		}
		before := w.last()
		w.round()
		if w.last() != before {
			t.Errorf("a round without changes told %d events", w.last()-before)
		}
	})
}

func TestChangesAreToldOnceAndWhole(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		a, b, c := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{}), w.deliver("c", memory.Delivery{})
		w.rounds()
		before := w.last()
		w.must(w.cloud.SetKeywords(ann, a, mail.Seen, mail.Flagged))
		w.must(w.cloud.Move(ann, b, "archive"))
		w.must(w.cloud.Remove(ann, c))
		w.rounds()
		w.inStep()
		byMessage := map[string][]event.Event{}
		for _, e := range w.eventsAfter(before) {
			byMessage[e.Message] = append(byMessage[e.Message], e)
		}
		for pid, want := range map[string]event.Type{a: event.MessageUpdated, b: event.MessageUpdated, c: event.MessageDeleted} {
			got := byMessage[MessageID(w.account, pid)]
			if len(got) != 1 || got[0].Type != want {
				t.Errorf("message %s: %d events, want one %s", pid, len(got), want)
			}
		}
		if m := byMessage[MessageID(w.account, b)][0]; !slices.Equal(m.AddedMailboxes, []string{ID(w.account, "archive")}) ||
			!slices.Equal(m.RemovedMailboxes, []string{ID(w.account, "inbox")}) {
			t.Errorf("the move was told as +%v -%v", m.AddedMailboxes, m.RemovedMailboxes)
		}
	})
}

func TestLostCursorTellsExactlyTheDifference(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		var ids []string
		for i := range 12 {
			ids = append(ids, w.deliver(fmt.Sprint("m", i), memory.Delivery{}))
		}
		w.rounds()
		before := w.last()
		w.must(w.cloud.ForgetCursors(ann))
		w.must(w.cloud.Remove(ann, ids[0]))
		w.must(w.cloud.Move(ann, ids[1], "archive"))
		w.must(w.cloud.SetKeywords(ann, ids[2], mail.Flagged))
		w.deliver("new", memory.Delivery{})
		w.rounds()
		w.inStep()
		if got := w.eventsAfter(before); len(got) != 4 {
			t.Errorf("%d events for 4 differences: %v", len(got), types(got))
		}
		for _, e := range w.eventsAfter(before) {
			if e.Backfill {
				t.Errorf("%s after a lost cursor is told as backfill", e.Type)
			}
		}
	})
}

func types(events []event.Event) (out []event.Type) {
	for _, e := range events {
		out = append(out, e.Type)
	}
	return out
}

func TestMailboxesComeAndGo(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.rounds()
		box, err := w.svc.CreateMailbox(w.ctx, w.account, "", "Projects")
		w.must(err)
		w.deliver("in projects", memory.Delivery{Mailbox: box.ProviderID})
		w.rounds()
		w.inStep()
		renamed, err := w.svc.RenameMailbox(w.ctx, box.ID, "Work", nil)
		w.must(err)
		if renamed.ID != box.ID || renamed.Name != "Work" || renamed.UIDValidity != box.UIDValidity {
			t.Errorf("renamed: %+v", renamed)
		}
		w.run(func() { w.must(w.svc.DeleteMailbox(w.ctx, box.ID)) })
		w.rounds()
		w.rounds()
		w.inStep()
		if _, err := w.svc.mailboxByID(w.ctx, box.ID); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("the deleted mailbox is still there: %v", err)
		}
		if _, err := w.svc.CreateMailbox(w.ctx, w.account, "", " \n"); mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("an empty name: %v", err)
		}
	})
}

// TestRandomHistory lets the provider's world and our own writes happen in any
// order, with lost cursors, failing calls and restarts of the plugin in
// between. SEED repeats a run.
func TestRandomHistory(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = s
	}
	flavours(t, func(t *testing.T, opts memory.Options) {
		t.Logf("SEED=%d", seed)
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWorld(t, opts)
		boxes := []string{"inbox", "archive", "junk", "trash"}
		pick := func() (string, bool) {
			list, err := w.cloud.Messages(ann)
			w.must(err)
			if len(list) == 0 {
				return "", false
			}
			return list[r.IntN(len(list))].ProviderID, true
		}
		keywords := []string{mail.Seen, mail.Flagged, "$label1", "project"}
		// While a feed is being answered the world and we ourselves go on: what is
		// written between its beginning and its end must not be undone by it.
		var mu sync.Mutex
		during := rand.New(rand.NewPCG(seed, 2))
		list := []string{}
		w.front = func(p provider.Provider) provider.Provider {
			return &busy{Provider: p, meanwhile: func() {
				mu.Lock()
				defer mu.Unlock()
				if len(list) == 0 || during.IntN(3) > 0 {
					return
				}
				id := list[during.IntN(len(list))]
				switch during.IntN(4) {
				case 0:
					_, _ = w.svc.Update(w.ctx, []string{MessageID(w.account, id)}, Change{AddKeywords: []string{keywords[during.IntN(2)]}})
				case 1:
					_, _ = w.svc.Move(w.ctx, []string{MessageID(w.account, id)}, ID(w.account, boxes[during.IntN(4)]))
				case 2:
					_ = w.cloud.Move(ann, id, boxes[during.IntN(4)])
				case 3:
					_ = w.cloud.Remove(ann, id)
				}
			}}
		}
		for i := range 150 {
			id, ok := pick()
			switch n := r.IntN(14); {
			case n < 3 || !ok:
				w.deliver(fmt.Sprint("message ", i), memory.Delivery{Mailbox: boxes[r.IntN(4)], Date: time.Now().Add(-time.Duration(r.IntN(1000)) * time.Minute)})
			case n < 5:
				w.must(w.cloud.SetKeywords(ann, id, keywords[:r.IntN(3)]...))
			case n < 7:
				w.must(w.cloud.Move(ann, id, boxes[r.IntN(4)]))
			case n == 7:
				w.must(w.cloud.Remove(ann, id))
			case n == 8 && r.IntN(3) == 0:
				w.must(w.cloud.ForgetCursors(ann))
			case n == 9:
				w.cloud.FailNext([]string{"changes", "fetch", "mailboxes", "enumerate"}[r.IntN(4)], mail.KindUnavailable)
			case n == 10:
				w.plugin = w.cloud.Provider()
				w.open()
			case n == 11:
				w.tryWrite(MessageID(w.account, id), Change{AddKeywords: []string{keywords[r.IntN(4)]}})
			case n == 12:
				w.tryMove(MessageID(w.account, id), ID(w.account, boxes[r.IntN(4)]))
			default:
				mu.Lock()
				all, err := w.cloud.Messages(ann)
				list = list[:0]
				for _, m := range all {
					list = append(list, m.ProviderID)
				}
				mu.Unlock()
				w.must(err)
				if err := w.svc.Round(w.ctx, w.account); err != nil && mail.KindOf(err) != mail.KindUnavailable {
					t.Fatalf("step %d: %v", i, err)
				}
			}
		}
		w.front = nil
		// What was ordered to fail still lies ahead.
		for good := 0; good < 8; good++ {
			switch err := w.svc.Round(w.ctx, w.account); mail.KindOf(err) {
			case "":
			case mail.KindUnavailable:
				good = 0
			default:
				t.Fatal(err)
			}
		}
		w.rounds()
		w.localOff()
		w.inStep()
	})
}

// busy is a provider in whose feeds' answers things happen meanwhile.
type busy struct {
	provider.Provider
	meanwhile func()
}

func (b *busy) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	return b.Provider.Changes(ctx, req, func(batch *mail.Batch) error {
		b.meanwhile() // after the provider looked, before we hear of it
		return each(batch)
	})
}

// tryWrite writes through; what the mirror does not know yet is no fault.
func (w *world) tryWrite(id string, ch Change) {
	w.t.Helper()
	rs, err := w.svc.Update(w.ctx, []string{id}, ch)
	w.must(err)
	if k := mail.KindOf(rs[0].Err); k != "" && k != mail.KindNotFound && k != mail.KindUnavailable {
		w.t.Fatal(rs[0].Err)
	}
}

func (w *world) tryMove(id, to string) {
	w.t.Helper()
	rs, err := w.svc.Move(w.ctx, []string{id}, to)
	w.must(err)
	if k := mail.KindOf(rs[0].Err); k != "" && k != mail.KindNotFound && k != mail.KindUnavailable && k != mail.KindInvalid {
		w.t.Fatal(rs[0].Err)
	}
}

// localOff takes local keywords off, which the provider does not know.
func (w *world) localOff() {
	w.t.Helper()
	for id := range w.mirror() {
		m, err := w.svc.message(w.ctx, id)
		w.must(err)
		if len(m.Local) > 0 {
			_, err := w.svc.Update(w.ctx, []string{id}, Change{RemoveKeywords: m.Local})
			w.must(err)
		}
	}
}

// run runs the scheduler while fn does.
func (w *world) run(fn func()) {
	w.t.Helper()
	stop := make(chan struct{})
	ended := make(chan error, 1)
	ctx, cancel := contextUntil(w.ctx, stop)
	defer cancel()
	go func() { ended <- w.svc.Run(ctx) }()
	fn()
	close(stop)
	if err := <-ended; err != nil && !errors.Is(err, ctx.Err()) {
		w.t.Fatal(err)
	}
}
