package mailbox

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// TestStaleAnswerBringsNothingBack: a message that we removed for good does not
// come back by an answer that began before.
func TestStaleAnswerBringsNothingBack(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		id := w.deliver("a", memory.Delivery{})
		w.rounds()
		f, asOf := w.staleFeed(), w.svc.now()
		rs, err := w.svc.Delete(w.ctx, []string{MessageID(w.account, id)}, true)
		w.must(err)
		w.must(rs[0].Err)
		told := mail.Item{Kind: mail.ItemPresent, Fields: allFields, Mailbox: "inbox",
			Message: mail.Message{ProviderID: id, Subject: "a", Mailboxes: []string{"inbox"}, ReceivedAt: asOf}}
		before := w.last()
		w.must(f.apply(w.ctx, []mail.Item{told}, asOf))
		if w.last() != before {
			t.Errorf("a stale answer told %v", types(w.eventsAfter(before)))
		}
		// An answer that began much later is news: its owner has recovered it.
		w.must(f.apply(w.ctx, []mail.Item{told}, w.svc.now().Add(2*w.svc.opts.FeedLag)))
		if _, err := w.svc.message(w.ctx, MessageID(w.account, id)); err != nil {
			t.Errorf("a recovered message is not taken: %v", err)
		}
	})
}

// slowList answers a list of mailboxes only when meanwhile has been given its
// chance.
type slowList struct {
	*memory.Provider
	meanwhile func()
}

func (p slowList) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	resp, err := p.Provider.Mailboxes(ctx, req)
	p.meanwhile()
	return resp, err
}

type slowWorld struct {
	*world
	meanwhile func()
}

func (w slowWorld) Provider(string) (provider.Provider, error) {
	return slowList{w.plugin, w.meanwhile}, nil
}

// TestListAndChangeOfMailboxes: a list that was made before a mailbox was does
// not take it away again.
func TestListAndChangeOfMailboxes(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.rounds()
	before := w.last()
	var svc *Service
	var once sync.Once
	created := make(chan error, 1)
	svc = New(w.store, journal.New(w.store, &event.Bus{}, time.Now), slowWorld{w, func() {
		once.Do(func() {
			done := make(chan error, 1)
			go func() {
				_, err := svc.CreateMailbox(w.ctx, w.account, "", "New")
				done <- err
			}()
			// It must not be made now; for this long it could be.
			timer := time.NewTimer(100 * time.Millisecond)
			defer timer.Stop()
			select {
			case err := <-done:
				t.Error("the mailbox was made while a list was under way")
				created <- err
			case <-timer.C:
				go func() { created <- <-done }()
			}
		})
	}}, w, Options{})
	w.must(svc.Round(w.ctx, w.account))
	w.must(<-created)
	w.must(svc.Round(w.ctx, w.account))
	if got := types(w.eventsAfter(before)); len(got) != 1 || got[0] != event.MailboxCreated {
		t.Errorf("told: %v", got)
	}
}

func TestLocksEndWithTheirContext(t *testing.T) {
	var l locks
	unlock, err := l.lock(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.lock(ctx, "a"); err == nil {
		t.Error("the lock was given twice")
	}
	other, err := l.lock(t.Context(), "b")
	if err != nil {
		t.Fatal(err)
	}
	other()
	unlock()
	if unlock, err = l.lock(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	unlock()
	if len(l.held) != 0 {
		t.Errorf("%d locks are kept", len(l.held))
	}
}
