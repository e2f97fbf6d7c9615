package submission

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestStateSaysWhatHappensNow: what is sent at once is being sent, what has a
// time waits for it.
func TestStateSaysWhatHappensNow(t *testing.T) {
	w := newWorld(t)
	if s := w.submit(Input{Message: Message{Text: "x"}}); s.State != store.SubmissionSending || !s.SendAt.IsZero() {
		t.Errorf("at once: %s at %s", s.State, s.SendAt)
	}
	if s := w.submit(Input{Message: Message{Text: "x"}, SendAt: w.clock().Add(time.Hour)}); s.State != store.SubmissionScheduled || s.SendAt.IsZero() {
		t.Errorf("later: %s at %s", s.State, s.SendAt)
	}
	if s := w.submit(Input{Message: Message{Text: "x"}, SendAt: w.clock().Add(-time.Hour)}); s.State != store.SubmissionSending {
		t.Errorf("at a time that has passed: %s", s.State)
	}
	at := w.clock().Add(maxAhead)
	if s := w.submit(Input{Message: Message{Text: "x"}, SendAt: at}); s.State != store.SubmissionScheduled {
		t.Errorf("in a year: %s", s.State)
	}
	if _, err := w.svc.Submit(w.ctx, Input{Account: "account-1", Message: Message{To: []mail.Address{{Email: "x@example.com"}}, Text: "x"}, SendAt: at.AddDate(100, 0, 0)}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("in a hundred years: %v", err)
	}
}

// TestCancelUntilItIsSent: a submission can be cancelled while its draft lies
// at the provider and sending it was refused for now; the draft goes.
func TestCancelUntilItIsSent(t *testing.T) {
	for _, tc := range []struct {
		verb string
		kind mail.Kind
		late bool
	}{
		{"prepare", mail.KindUnavailable, false},
		{"prepare", mail.KindOutcomeUnknown, false}, // the draft is there, and nobody knows
		{"send", mail.KindThrottled, false},
		{"send", mail.KindOutcomeUnknown, true},
	} {
		t.Run(tc.verb+" "+string(tc.kind), func(t *testing.T) {
			w := newWorld(t)
			s := w.submit(Input{Message: Message{Text: "x"}})
			w.cloud.FailNext(tc.verb, tc.kind)
			w.advance(s.ID)
			s, err := w.svc.Cancel(w.ctx, s.ID)
			if tc.late {
				if mail.KindOf(err) != mail.KindConflict {
					t.Errorf("cancelled though it may have left: %v", err)
				}
				return
			}
			if err != nil || s.State != store.SubmissionCancelled {
				t.Fatalf("%+v, %v", s, err)
			}
			w.advance(s.ID)
			list, err := w.cloud.Messages(ann)
			w.must(err)
			if len(list) != 0 || len(w.cloud.Sent()) != 0 {
				t.Errorf("%d messages in the account, %d sent", len(list), len(w.cloud.Sent()))
			}
			w.pass(time.Hour)
			w.advance(s.ID)
			if len(w.cloud.Sent()) != 0 {
				t.Error("it was sent after all")
			}
		})
	}
}

// held is a provider whose Prepare waits.
type held struct {
	*memory.Provider
	began, release chan struct{}
}

func (h *held) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	close(h.began)
	<-h.release
	return h.Provider.Prepare(ctx, req, raw)
}

// TestCancelWhileTheDraftIsMade: the draft that comes of it goes at once.
func TestCancelWhileTheDraftIsMade(t *testing.T) {
	w := newWorld(t)
	h := &held{Provider: w.plugin, began: make(chan struct{}), release: make(chan struct{})}
	w.svc.providers = through{w, h}
	s := w.submit(Input{Message: Message{Text: "x"}})
	done := make(chan struct{})
	go func() { w.advance(s.ID); close(done) }()
	<-h.began
	if _, err := w.svc.Cancel(w.ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	close(h.release)
	<-done
	list, err := w.cloud.Messages(ann)
	w.must(err)
	if s = w.submission(s.ID); s.State != store.SubmissionCancelled || len(list) != 0 || len(w.cloud.Sent()) != 0 {
		t.Errorf("%s, %d messages in the account, %d sent", s.State, len(list), len(w.cloud.Sent()))
	}
}

// TestClockJumps: a time of sending is a time on the wall, and it comes once,
// whichever way the clock is set.
func TestClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			jump  time.Duration
			early time.Duration // nothing is sent before
			late  time.Duration // and all by then, on a clock that nobody sets
		}{
			{0, 59 * time.Minute, 61 * time.Minute},
			{time.Hour, 0, time.Minute},
			{-time.Hour, 119 * time.Minute, 121 * time.Minute},
		} {
			w := newWorld(t)
			began := time.Now()
			offset := time.Duration(0)
			clock := func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return time.Now().Add(offset) }
			w.svc.opts.Now = clock
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- w.svc.Run(ctx) }()
			s := w.submit(Input{Message: Message{Text: "x"}, SendAt: clock().Add(time.Hour)})
			synctest.Wait()
			w.mu.Lock()
			offset = tc.jump
			w.mu.Unlock()
			bubble(tc.early - time.Since(began))
			if n := len(w.cloud.Sent()); n != 0 {
				t.Errorf("the clock jumps by %s: sent after %s", tc.jump, time.Since(began))
			}
			bubble(tc.late - time.Since(began))
			if s = w.submission(s.ID); s.State != store.SubmissionSent {
				t.Errorf("the clock jumps by %s: %s after %s", tc.jump, s.State, time.Since(began))
			}
			w.mu.Lock()
			offset -= time.Hour // and once more, over the time of sending
			w.mu.Unlock()
			bubble(3 * time.Hour)
			if n := len(w.cloud.Sent()); n != 1 {
				t.Errorf("the clock jumps by %s: sent %d times", tc.jump, n)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := w.store.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// bubble lets time go by on a fake clock.
func bubble(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// unsure makes the draft, but its answer is lost.
type unsure struct{ *held }

func (u unsure) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	if _, err := u.held.Prepare(ctx, req, raw); err != nil {
		return nil, err
	}
	return nil, mail.Errorf(mail.KindOutcomeUnknown, "prepare message", "the answer was lost")
}

// TestCancelWhileTheDraftIsMadeAndTheAnswerIsLost: nobody makes the draft a
// second time beside the worker that makes it, and it goes once that one knows
// no more.
func TestCancelWhileTheDraftIsMadeAndTheAnswerIsLost(t *testing.T) {
	w := newWorld(t)
	h := &held{Provider: w.plugin, began: make(chan struct{}), release: make(chan struct{})}
	w.svc.providers = through{w, unsure{h}}
	s := w.submit(Input{Message: Message{Text: "x"}})
	working := &busy{ids: map[string]bool{s.ID: true}}
	done := make(chan struct{})
	go func() { w.advance(s.ID); close(done) }()
	<-h.began
	if _, err := w.svc.Cancel(w.ctx, s.ID); err != nil {
		t.Fatal(err)
	}
	if due, _, err := w.svc.due(w.ctx, working); err != nil || len(due) > 0 {
		t.Errorf("%d are due beside the worker, %v", len(due), err)
	}
	close(h.release)
	<-done
	if n := w.drafts(); n != 1 {
		t.Fatalf("%d drafts were made", n)
	}
	working.remove(s.ID)
	w.svc.providers = w
	due, _, err := w.svc.due(w.ctx, working)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d are due, %v", len(due), err)
	}
	w.svc.work(w.ctx, due[0])
	if n := w.drafts(); n != 0 || w.submission(s.ID).State != store.SubmissionCancelled {
		t.Errorf("%d drafts are left, %s", n, w.submission(s.ID).State)
	}
	if n := w.unnamed(); n != 0 {
		t.Errorf("the bytes of %d messages were left", n)
	}
}
