package mailbox

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.opentelemetry.io/otel/trace"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// asked notes what a provider is asked for.
type asked struct {
	provider.Provider
	mu    sync.Mutex
	lists int
	feeds []string
}

func (a *asked) Mailboxes(ctx context.Context, req *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	a.mu.Lock()
	a.lists++
	a.mu.Unlock()
	return a.Provider.Mailboxes(ctx, req)
}

func (a *asked) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	a.mu.Lock()
	a.feeds = append(a.feeds, req.Mailbox)
	a.mu.Unlock()
	return a.Provider.Changes(ctx, req, each)
}

// watched is a world in step whose provider's questions are noted, and whose
// clock can be moved.
func watched(t *testing.T, opts memory.Options) (w *world, a *asked, pass func(time.Duration)) {
	w = newWorld(t, opts)
	a = &asked{Provider: w.plugin}
	w.front = func(provider.Provider) provider.Provider { return a }
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	w.svc.opts.Now, w.svc.schedule.now = now, now
	return w, a, func(d time.Duration) { ahead.Add(int64(d)) }
}

// attend serves the account as Run does, and tells how long the rest may wait.
func (w *world) attend() (wait time.Duration) {
	w.t.Helper()
	taken, pause := w.svc.schedule.take()
	if taken == nil {
		w.t.Fatalf("the account is not due for %s", pause)
	}
	wait, err := w.svc.attend(w.ctx, taken)
	w.must(err)
	w.svc.schedule.done(taken.entry, max(wait, time.Nanosecond), false)
	return wait
}

func TestHintsAreAnsweredByAGlance(t *testing.T) {
	w, a, pass := watched(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	w.svc.Hinted(w.ctx, w.account)
	if wait := w.attend(); wait != 0 || a.lists != 1 {
		t.Fatalf("an account that was never in step: a round waits %s, %d lists", wait, a.lists)
	}
	boxes := len(a.feeds)

	// The last round was just now: the message is told by a glance, and what
	// another mailbox has to tell waits for the round.
	a.lists, a.feeds = 0, nil
	first := w.deliver("first", memory.Delivery{})
	elsewhere := w.deliver("elsewhere", memory.Delivery{Mailbox: "archive"})
	w.svc.Hinted(w.ctx, w.account)
	wait := w.attend()
	if wait <= 0 || wait > roundGap(boxes) || a.lists != 0 || len(a.feeds) != 1 {
		t.Fatalf("the round waits %s, %d lists, feeds %v", wait, a.lists, a.feeds)
	}
	told := func(pid string) bool { _, there := w.mirror()[MessageID(w.account, pid)]; return there }
	if !told(first) || told(elsewhere) {
		t.Errorf("told of the inbox: %v, of another mailbox: %v", told(first), told(elsewhere))
	}

	// Another hint meanwhile does not put the round off.
	pass(wait / 2)
	w.svc.Hinted(w.ctx, w.account)
	if again := w.attend(); again <= 0 || again > wait/2 {
		t.Errorf("after another hint the round waits %s, before %s", again, wait)
	}
	a.lists, a.feeds = 0, nil
	pass(wait)
	if w.attend() != 0 || a.lists != 1 || len(a.feeds) != boxes {
		t.Errorf("a round asked for %d lists and %d of %d feeds", a.lists, len(a.feeds), boxes)
	}
	if diff := cmp.Diff(w.truth(), w.mirror(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after the round (-provider +mirror):\n%s", diff)
	}

	// Long after the last round a hint is worth a round at once.
	pass(time.Hour)
	a.lists, a.feeds = 0, nil
	w.svc.Hinted(w.ctx, w.account)
	if w.attend() != 0 || a.lists != 1 || len(a.feeds) != boxes+1 {
		t.Errorf("long after: %d lists, feeds %v", a.lists, a.feeds)
	}
}

// TestWishesAreRounds: whoever asks for a round gets one, whatever push says.
func TestWishesAreRounds(t *testing.T) {
	w, a, _ := watched(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
	for range 2 {
		w.svc.Hinted(w.ctx, w.account)
		w.svc.Touch(w.ctx, w.account)
		w.svc.Hinted(w.ctx, w.account)
		if wait := w.attend(); wait != 0 {
			t.Errorf("the round waits %s", wait)
		}
	}
	if a.lists != 2 {
		t.Errorf("%d rounds of 2", a.lists)
	}
}

// TestGlanceWithoutInbox: one feed for all mailboxes has nothing to glance at.
func TestGlanceWithoutInbox(t *testing.T) {
	w, a, _ := watched(t, memory.Options{Scope: mail.ScopeAccount, Kind: mail.KindLabel})
	for range 2 {
		w.svc.Hinted(w.ctx, w.account)
		if wait := w.attend(); wait != 0 {
			t.Errorf("the round waits %s", wait)
		}
	}
	if a.lists != 2 || len(a.feeds) != 2 {
		t.Errorf("%d lists, feeds %v", a.lists, a.feeds)
	}
}

// TestHintDuringARound is served after it, and remembers its trace.
func TestHintDuringARound(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	s := newSchedule(c.now)
	s.soon("a", nil)
	got, _ := s.take()
	if got.byHint {
		t.Error("a wish is taken for a hint")
	}
	cause := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	s.hint("a", cause)
	s.hint("a", trace.SpanContext{})
	s.done(got.entry, time.Hour, false)
	if got, _ = s.take(); got == nil || !got.byHint || !got.cause.Equal(cause) {
		t.Fatalf("after the round: %+v", got)
	}
	s.done(got.entry, time.Minute, false)
	c.t = c.t.Add(time.Minute)
	if got, _ = s.take(); got == nil || got.byHint {
		t.Error("what is due by the clock is taken for a hint")
	}
}

func TestRoundGap(t *testing.T) {
	for mailboxes, want := range map[int]time.Duration{1: 2 * time.Second, 10: 2 * time.Second, 50: 10 * time.Second, 5000: time.Minute} {
		if got := roundGap(mailboxes); got != want {
			t.Errorf("%d mailboxes: %s, want %s", mailboxes, got, want)
		}
	}
}
