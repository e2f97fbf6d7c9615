package mailbox

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestLaggingFeedIsChecked: a feed that tells, shortly after our own write,
// what was so before it, changes nothing and tells nobody; one that is right
// is believed.
func TestLaggingFeedIsChecked(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.svc.opts.FeedLag = time.Minute
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	ours := MessageID(w.account, id)
	rs, err := w.svc.Update(w.ctx, []string{ours}, Change{AddKeywords: []string{mail.Flagged}})
	w.must(err)
	w.must(rs[0].Err)
	before := w.last()
	f, later := w.staleFeed(), w.svc.now().Add(time.Second)
	stale := mail.Item{Kind: mail.ItemPresent, Mailbox: "inbox", Fields: mail.FieldKeywords | mail.FieldMailbox, Message: mail.Message{ProviderID: id}}
	w.must(f.apply(w.ctx, []mail.Item{stale}, later))
	if len(f.refetch) != 1 {
		t.Errorf("to be read again: %v", f.refetch)
	}
	w.must(f.refetchAll(w.ctx))
	if got := w.eventsAfter(before); len(got) != 0 {
		t.Errorf("told: %v", types(got))
	}
	// Long after the write the feed has the last word.
	w.must(f.apply(w.ctx, []mail.Item{stale}, later.Add(time.Minute)))
	if m, err := w.svc.message(w.ctx, ours); err != nil || m.HasKeyword(mail.Flagged) || len(f.refetch) != 0 {
		t.Errorf("%v %v, to be read again: %v", m.Keywords, err, f.refetch)
	}
}

// TestLaggingFeedBringsNothingBack: what is gone is not created anew by a feed
// that does not know yet.
func TestLaggingFeedBringsNothingBack(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.svc.opts.FeedLag = time.Minute
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	m, err := w.svc.message(w.ctx, MessageID(w.account, id))
	w.must(err)
	w.must(w.cloud.Remove(ann, id))
	w.rounds()
	before := w.last()
	f := w.staleFeed()
	f.state.Complete = true
	stale := mail.Item{Kind: mail.ItemPresent, Mailbox: "inbox", Fields: allFields, Message: m.Message}
	for range 2 {
		w.must(f.apply(w.ctx, []mail.Item{stale}, w.svc.now().Add(time.Second)))
		w.must(f.refetchAll(w.ctx))
		// After a restart nobody knows what is gone.
		w.svc.purges, w.svc.started = purges{}, w.svc.now()
		stale.Message.ReceivedAt = w.svc.started.Add(-time.Minute)
	}
	if got := w.eventsAfter(before); len(got) != 0 {
		t.Errorf("told: %v", types(got))
	}
}

// TestSentDraftStaysHidden: a feed that still shows a submission's draft when
// the submission has ended tells nobody of it.
func TestSentDraftStaysHidden(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.svc.opts.FeedLag = time.Minute
	w.rounds()
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
		return tx.PutSubmission(&store.Submission{ID: "s1", Account: w.account, State: store.SubmissionSent, MessageID: "out@example.com",
			DraftID: "draft-1", DoneAt: w.svc.now(), CreatedAt: w.svc.now()})
	}))
	draft := mail.Item{Kind: mail.ItemPresent, Mailbox: "drafts", Fields: allFields, Message: mail.Message{ProviderID: "draft-1",
		MessageID: "out@example.com", Subject: "out", Keywords: []string{mail.Draft}, Mailboxes: []string{"drafts"}, ReceivedAt: w.svc.now()}}
	f := w.staleFeed()
	before := w.last()
	w.must(f.applyAs(w.ctx, []mail.Item{draft}, w.svc.now().Add(time.Second), true))
	if got := w.eventsAfter(before); len(got) != 0 {
		t.Errorf("told: %v", types(got))
	}
	sent := draft
	sent.Message.Keywords, sent.Message.Mailboxes = nil, []string{"sent"}
	w.must(f.applyAs(w.ctx, []mail.Item{sent}, w.svc.now().Add(time.Second), true))
	if got := types(w.eventsAfter(before)); !slices.Equal(got, []event.Type{event.MessageCreated}) {
		t.Errorf("told: %v", got)
	}
}

// deafFeed does not tell of one message.
type deafFeed struct {
	provider.Provider
	id string
}

func (p deafFeed) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	return p.Provider.Changes(ctx, req, func(b *mail.Batch) error {
		b.Items = slices.DeleteFunc(b.Items, func(it mail.Item) bool { return it.Message.ProviderID == p.id })
		return each(b)
	})
}

// TestComeAndGoneBetweenTwoAnswers: a message that we moved, and that was gone
// before the feed of its new mailbox was asked, is told by no feed at all.
func TestComeAndGoneBetweenTwoAnswers(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.svc.opts.FeedLag = time.Minute
	id := w.deliver("a", memory.Delivery{})
	w.must(w.svc.Round(w.ctx, w.account))
	w.front = func(p provider.Provider) provider.Provider { return deafFeed{p, id} }
	ours := MessageID(w.account, id)
	rs, err := w.svc.Move(w.ctx, []string{ours}, ID(w.account, "archive"))
	w.must(err)
	w.must(rs[0].Err)
	w.must(w.svc.Round(w.ctx, w.account)) // the message is there still
	if _, err := w.svc.message(w.ctx, ours); err != nil {
		t.Fatal(err)
	}
	w.must(w.cloud.Remove(ann, id))
	w.must(w.svc.Round(w.ctx, w.account))
	if _, err := w.svc.message(w.ctx, ours); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("the message is kept: %v", err)
	}
}
