package mailbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// stumbling tells of messages that it does not give.
type stumbling struct {
	provider.Provider
	bad  map[string]error // by the provider's id
	all  error            // of every message
	asks map[string]int
}

func (p *stumbling) err(id string) error {
	if p.all != nil {
		return p.all
	}
	return p.bad[id]
}

func (p *stumbling) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	return p.Provider.Changes(ctx, req, func(b *mail.Batch) error {
		for i := range b.Items {
			if it := &b.Items[i]; it.Kind == mail.ItemPresent && p.err(it.Message.ProviderID) != nil {
				*it = mail.Item{Kind: mail.ItemPresent, Mailbox: it.Mailbox, Message: mail.Message{ProviderID: it.Message.ProviderID}}
			}
		}
		return each(b)
	})
}

func (p *stumbling) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	good := *req
	good.IDs = nil
	for _, id := range req.IDs {
		p.asks[id]++
		if err := p.err(id); err == nil {
			good.IDs = append(good.IDs, id)
		} else if err := sink.Failed(id, err); err != nil {
			return err
		}
	}
	if len(good.IDs) == 0 {
		return nil
	}
	return p.Provider.Fetch(ctx, &good, sink)
}

func stumbles(kind mail.Kind) error {
	return &mail.Error{Kind: kind, Op: "fetch messages", Message: "it stumbles"}
}

// stumble puts a provider in front that stumbles over messages.
func (w *world) stumble() *stumbling {
	p := &stumbling{bad: map[string]error{}, asks: map[string]int{}}
	w.front = func(plugin provider.Provider) provider.Provider {
		p.Provider = plugin
		return p
	}
	return p
}

// reason is what the account says of itself.
func (w *world) reason() (acct *store.Account) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) { acct, err = tx.Account(w.account); return err }))
	return acct
}

// refusedRounds are rounds that end in an error of a kind.
func (w *world) refusedRounds(n int, kind mail.Kind) {
	w.t.Helper()
	for i := range n {
		if err := w.svc.Round(w.ctx, w.account); mail.KindOf(err) != kind {
			w.t.Fatalf("round %d: %v, want %s", i+1, err, kind)
		}
	}
}

func (w *world) has(pid string) bool {
	_, err := w.svc.message(w.ctx, MessageID(w.account, pid))
	return err == nil
}

// TestAMessageThatCannotBeReadHoldsNothingUp: its feed waits for it for a while
// and goes on then; it is tried again, also by the next process, and told once
// it can be read.
func TestAMessageThatCannotBeReadHoldsNothingUp(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w, _, pass := watched(t, opts)
		w.deliver("before", memory.Delivery{})
		w.rounds()
		p := w.stumble()
		bad := w.deliver("bad", memory.Delivery{})
		good := w.deliver("good", memory.Delivery{})
		p.bad[bad] = stumbles(mail.KindUnavailable)

		w.refusedRounds(stubbornAfter-1, mail.KindUnavailable)
		w.round()
		if w.has(bad) || !w.has(good) {
			t.Fatalf("the bad message is here: %v, the good one: %v", w.has(bad), w.has(good))
		}
		const says = "a message cannot be read, and is tried again: fetch messages: it stumbles"
		told := func(when, reason string, n float64) {
			t.Helper()
			if acct := w.reason(); acct.State != store.AccountReady || acct.StateReason != reason {
				t.Errorf("%s the account is %s: %q", when, acct.State, acct.StateReason)
			}
			if got := testutil.ToFloat64(w.svc.metrics.unreadable); got != n {
				t.Errorf("%s %v messages are unreadable", when, got)
			}
		}
		told("past it", says, 1)
		another := w.deliver("another", memory.Delivery{})
		asked := p.asks[bad]
		w.round()
		if !w.has(another) || p.asks[bad] != asked {
			t.Errorf("it goes on: %v; asked %d times more", w.has(another), p.asks[bad]-asked)
		}

		// The next process knows of it.
		w.svc = New(w.store, journal.New(w.store, &event.Bus{}, time.Now), w, w, w.svc.opts)
		w.round()
		told("after a restart", says, 1)
		pass(unreadableAgain)
		w.round()
		if p.asks[bad] != asked+1 {
			t.Errorf("its time has come: asked %d times", p.asks[bad]-asked)
		}
		pass(unreadableAgain)
		w.round()
		if p.asks[bad] != asked+1 {
			t.Errorf("it is not asked for as often: %d times", p.asks[bad]-asked)
		}
		delete(p.bad, bad)
		pass(unreadableAgain)
		w.round()
		told("when it is over", "", 0)
		w.rounds()
		w.inStep()
		n := 0
		for _, e := range w.events() {
			if e.Type == event.MessageCreated && e.Message == MessageID(w.account, bad) && !e.Backfill {
				n++
			}
		}
		if n != 1 {
			t.Errorf("it is told %d times", n)
		}
	})
}

// TestUnreadableFromTheFirst: the first sync ends without it, and what was there
// before the account was connected is no news when it comes.
func TestUnreadableFromTheFirst(t *testing.T) {
	w, _, pass := watched(t, memory.Options{Scope: mail.ScopeAccount, Kind: mail.KindLabel})
	p := w.stumble()
	bad := w.deliver("bad", memory.Delivery{Date: time.Now().Add(-48 * time.Hour)})
	w.deliver("good", memory.Delivery{})
	p.bad[bad] = stumbles(mail.KindInvalid)
	w.refusedRounds(stubbornAfter-1, mail.KindInvalid)
	w.round()
	if acct := w.reason(); acct.SyncedAt.IsZero() {
		t.Errorf("the account is %s: %q", acct.State, acct.StateReason)
	}
	delete(p.bad, bad)
	pass(unreadableAgain)
	w.rounds()
	if m := w.message(bad); !m.Backfill {
		t.Error("it is told as news")
	}
	w.inStep()
}

// TestAProviderThatStumblesIsWaitedFor: where nothing can be read, where too much
// cannot, and where it is the account's trouble, no feed goes past anything.
func TestAProviderThatStumblesIsWaitedFor(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		w.deliver("before", memory.Delivery{})
		w.rounds()
		p := w.stumble()
		new := w.deliver("new", memory.Delivery{})
		for _, kind := range []mail.Kind{mail.KindUnavailable, mail.KindThrottled} {
			p.all = stumbles(kind)
			w.refusedRounds(2*stubbornAfter, kind)
		}
		p.all = nil
		p.bad[new] = stumbles(mail.KindGrantExpired)
		w.refusedRounds(2*stubbornAfter, mail.KindGrantExpired)
		clear(p.bad)
		w.rounds()
		w.inStep()

		for i := range maxUnreadable + 1 {
			p.bad[w.deliver(fmt.Sprint("one of many ", i), memory.Delivery{})] = stumbles(mail.KindUnavailable)
		}
		w.refusedRounds(2*stubbornAfter, mail.KindUnavailable)
		clear(p.bad)
		w.rounds()
		w.inStep()
		if acct := w.reason(); acct.StateReason != "" {
			t.Errorf("the account says %q", acct.StateReason)
		}
	})
}

// TestAnUnreadableThatGoes: what is deleted before it could be read is forgotten.
func TestAnUnreadableThatGoes(t *testing.T) {
	w, _, pass := watched(t, memory.Options{Scope: mail.ScopeAccount, Kind: mail.KindLabel})
	w.deliver("before", memory.Delivery{})
	w.rounds()
	p := w.stumble()
	bad := w.deliver("bad", memory.Delivery{})
	p.bad[bad] = stumbles(mail.KindUnavailable)
	w.refusedRounds(stubbornAfter-1, mail.KindUnavailable)
	w.round()
	clear(p.bad)
	w.must(w.cloud.Remove(ann, bad))
	pass(unreadableAgain)
	w.rounds()
	if acct := w.reason(); acct.StateReason != "" || testutil.ToFloat64(w.svc.metrics.unreadable) != 0 {
		t.Errorf("the account says %q", acct.StateReason)
	}
	w.inStep()
}

// TestADoubtThatCannotBeSettledHoldsNothingUp: a message that went missing and
// cannot be asked for stays, and the round comes to its end.
func TestADoubtThatCannotBeSettledHoldsNothingUp(t *testing.T) {
	w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.deliver("before", memory.Delivery{})
	bad := w.deliver("bad", memory.Delivery{})
	w.rounds()
	p := w.stumble()
	p.bad[bad] = stumbles(mail.KindUnavailable)
	w.must(w.cloud.Remove(ann, bad))
	for held := 0; w.svc.Round(w.ctx, w.account) != nil; held++ {
		if held > stubbornAfter {
			t.Fatal("no round comes to its end")
		}
	}
	if !w.has(bad) {
		t.Error("it is gone, and nobody knows whether it is")
	}
	clear(p.bad)
	w.rounds()
	if w.has(bad) {
		t.Error("it is here still")
	}
	w.inStep()
}
