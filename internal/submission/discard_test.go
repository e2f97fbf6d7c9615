package submission

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// stubborn does not purge until it is told to.
type stubborn struct {
	*memory.Provider
	err   error // of the whole call
	each  error // of the message
	tries atomic.Int64
}

func (p *stubborn) Purge(ctx context.Context, req *provider.DeleteRequest) (*provider.ModifyResponse, error) {
	p.tries.Add(1)
	if p.err != nil {
		return nil, p.err
	}
	if p.each != nil {
		return &provider.ModifyResponse{Results: []provider.Result{{ID: req.IDs[0], Err: p.each}}}, nil
	}
	return p.Provider.Purge(ctx, req)
}

func (w *world) drafts() int {
	w.t.Helper()
	list, err := w.cloud.Messages(ann)
	w.must(err)
	return len(list)
}

// killed goes on as a process does that was killed and started again: with what
// is in the store alone.
func (w *world) killed(p provider.Provider) {
	w.svc = w.service()
	w.svc.providers = through{w, p}
}

// TestDraftsOfWhatEndedGo: a draft of a submission that was cancelled or failed
// is deleted, though the gateway is killed before it came to that, though the
// provider says no for hours, and whether or not it was known that there is one.
func TestDraftsOfWhatEndedGo(t *testing.T) {
	ends := map[string]func(w *world, id string) store.SubmissionState{
		"cancelled": func(w *world, id string) store.SubmissionState {
			w.cloud.FailNext("send", mail.KindThrottled)
			w.advance(id)
			_, err := w.svc.Cancel(w.ctx, id)
			w.must(err)
			return store.SubmissionCancelled
		},
		"cancelled when it was not known": func(w *world, id string) store.SubmissionState {
			w.cloud.FailNext("prepare", mail.KindOutcomeUnknown)
			w.advance(id)
			_, err := w.svc.Cancel(w.ctx, id)
			w.must(err)
			return store.SubmissionCancelled
		},
		"failed": func(w *world, id string) store.SubmissionState {
			w.cloud.FailNext("send", mail.KindForbidden)
			w.advance(id)
			return store.SubmissionFailed
		},
		"failed when it was not known": func(w *world, id string) store.SubmissionState {
			w.cloud.FailNext("prepare", mail.KindOutcomeUnknown)
			w.advance(id)
			w.pass(100 * time.Hour)
			w.cloud.FailNext("prepare", mail.KindUnavailable)
			w.advance(id)
			return store.SubmissionFailed
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := &stubborn{Provider: w.plugin, err: mail.Errorf(mail.KindUnavailable, "purge", "later")}
			w.svc.providers = through{w, p}
			s := w.submit(Input{Message: Message{Text: "x"}})
			want := end(w, s.ID)
			if got := w.submission(s.ID); got.State != want || got.Step != store.StepDiscard || w.drafts() != 1 {
				t.Fatalf("%s, step %q, %d drafts", got.State, got.Step, w.drafts())
			}
			for _, fault := range []error{p.err, nil} {
				w.killed(p)
				p.err, p.each = fault, mail.Errorf(mail.KindThrottled, "purge", "later")
				w.pass(time.Hour)
				due, _, err := w.svc.due(w.ctx, &busy{ids: map[string]bool{}})
				if err != nil || len(due) != 1 {
					t.Fatalf("%d are due, %v", len(due), err)
				}
				w.advance(s.ID)
				if got := w.submission(s.ID); got.Step != store.StepDiscard || !got.NextAt.After(w.clock()) || w.drafts() != 1 {
					t.Fatalf("the provider said later: step %q, due %s, %d drafts", got.Step, got.NextAt, w.drafts())
				}
			}
			w.killed(p)
			p.err, p.each = nil, nil
			w.pass(time.Hour)
			w.advance(s.ID)
			if got := w.submission(s.ID); got.State != want || got.Step != stepDiscarded || w.drafts() != 0 {
				t.Errorf("%s, step %q, %d drafts", got.State, got.Step, w.drafts())
			}
			if _, err := w.store.Blobs().Open(w.ctx, s.Account, s.Blob); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("its bytes: %v", err)
			}
			if due, _, err := w.svc.due(w.ctx, &busy{ids: map[string]bool{}}); err != nil || len(due) != 0 || len(w.cloud.Sent()) != 0 {
				t.Errorf("%d are due, %v; %d sent", len(due), err, len(w.cloud.Sent()))
			}
		})
	}
}

// TestDraftsAreLeftAfterADay: trying to delete one has an end.
func TestDraftsAreLeftAfterADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.svc.opts.Now = time.Now
		p := &stubborn{Provider: w.plugin, err: mail.Errorf(mail.KindUnavailable, "purge", "later")}
		w.svc.providers = through{w, p}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		s := w.submit(Input{Message: Message{Text: "x"}})
		w.cloud.FailNext("send", mail.KindForbidden)
		go func() { done <- w.svc.Run(ctx) }()
		bubble(20 * time.Hour)
		if got := w.submission(s.ID); got.State != store.SubmissionFailed || got.Step != store.StepDiscard || p.tries.Load() < 20 {
			t.Errorf("after some hours: %s, step %q, %d tries", got.State, got.Step, p.tries.Load())
		}
		bubble(6 * time.Hour)
		tries := p.tries.Load()
		bubble(24 * time.Hour)
		if got := w.submission(s.ID); got.Step != stepLeft || p.tries.Load() != tries {
			t.Errorf("after a day: step %q, %d more tries", got.Step, p.tries.Load()-tries)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
}
