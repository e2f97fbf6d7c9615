package submission

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestCancelStands: a cancellation that was acknowledged is not undone by work
// that began with an older copy.
func TestCancelStands(t *testing.T) {
	for name, cause := range map[string]error{
		"put off": mail.Errorf(mail.KindUnavailable, "prepare", "later"),
		"failed":  mail.Errorf(mail.KindForbidden, "prepare", "no"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stale := w.submit(Input{Message: Message{Text: "x"}})
			if _, err := w.svc.Cancel(w.ctx, stale.ID); err != nil {
				t.Fatal(err)
			}
			w.must(w.svc.setBack(w.ctx, stale, cause))
			if s := w.submission(stale.ID); s.State != store.SubmissionCancelled {
				t.Errorf("the cancelled submission is %s", s.State)
			}
			if got := w.events(); len(got) != 0 {
				t.Errorf("events: %v", got)
			}
			if err := w.svc.sent(w.ctx, stale, "p1", ""); !errors.Is(err, errEnded) {
				t.Errorf("sent after the cancellation: %v", err)
			}
		})
	}
}

// TestGivenUpInDoubt: whoever is told that it failed is told that it may have
// left.
func TestGivenUpInDoubt(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Text: "x"}})
	w.svc.providers = through{w, &lossy{Provider: w.plugin}}
	w.advance(s.ID)
	w.mu.Lock()
	w.now = w.now.Add(100 * time.Hour)
	w.mu.Unlock()
	w.cloud.FailNext("probe", mail.KindUnavailable)
	w.advance(s.ID)
	if s = w.submission(s.ID); s.State != store.SubmissionFailed || !strings.HasPrefix(s.Error, "outcome_unknown: ") {
		t.Errorf("given up: %s %q", s.State, s.Error)
	}
}

// TestBytesGo: the bytes of an ended submission are deleted, those that another
// one waits with are not.
func TestBytesGo(t *testing.T) {
	w := newWorld(t)
	raw := []byte("From: ann@example.com\r\nTo: bob@example.com\r\nMessage-ID: <same@example.com>\r\nDate: Mon, 02 Jan 2006 15:04:05 +0000\r\n\r\nsame\r\n")
	now := w.submit(Input{Raw: raw})
	later := w.submit(Input{Raw: raw, SendAt: w.clock().Add(time.Hour)})
	if now.Blob != later.Blob {
		t.Fatal("the two submissions do not share their bytes")
	}
	w.advance(now.ID)
	blob, err := w.store.Blobs().Open(w.ctx, "account-1", later.Blob)
	w.must(err)
	w.must(blob.Close())
	if _, err := w.svc.Cancel(w.ctx, later.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.Blobs().Open(w.ctx, "account-1", later.Blob); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the bytes of an ended submission: %v", err)
	}
}

// slow holds Send until it is let go or its context ends.
type slow struct {
	*memory.Provider
	begun, release chan struct{}
}

func (s *slow) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	s.begun <- struct{}{}
	select {
	case <-s.release:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Provider.Send(ctx, req)
}

// TestStopWaitsForSend: stopping does not cut a Send that is under way.
func TestStopWaitsForSend(t *testing.T) {
	w := newWorld(t)
	p := &slow{Provider: w.plugin, begun: make(chan struct{}), release: make(chan struct{})}
	w.svc.providers = through{w, p}
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	s := w.submit(Input{Message: Message{Text: "x"}})
	<-p.begun
	stop()
	close(p.release)
	w.must(<-done)
	if s = w.submission(s.ID); s.State != store.SubmissionSent {
		t.Errorf("after stopping: %s, step %q", s.State, s.Step)
	}
}

// TestStopEnds: a Send that does not end is cut off after the grace, and stays
// in doubt.
func TestStopEnds(t *testing.T) {
	w := newWorld(t)
	p := &slow{Provider: w.plugin, begun: make(chan struct{}), release: make(chan struct{})}
	w.svc.providers, w.svc.opts.Grace = through{w, p}, time.Millisecond
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan error, 1)
	go func() { done <- w.svc.Run(ctx) }()
	s := w.submit(Input{Message: Message{Text: "x"}})
	<-p.begun
	stop()
	w.must(<-done)
	if s = w.submission(s.ID); s.State != store.SubmissionSending || s.Step != stepSend {
		t.Errorf("after stopping: %s, step %q", s.State, s.Step)
	}
}

// TestDueBesideBusy: what is under way hides nothing that is due soon.
func TestDueBesideBusy(t *testing.T) {
	w := newWorld(t)
	under := w.submit(Input{Message: Message{Text: "x"}})
	w.submit(Input{Message: Message{Text: "y"}, SendAt: w.clock().Add(3 * time.Second)})
	b := &busy{ids: map[string]bool{under.ID: true}}
	due, wait, err := w.svc.due(w.ctx, b)
	if err != nil || len(due) != 0 || wait > 3*time.Second || wait <= 0 {
		t.Errorf("%d due, next in %s, %v", len(due), wait, err)
	}
}

// unreadable is a store that has a submission which cannot be read, if it is the
// only one or not.
type unreadable struct{ store.Store }

type unreadableTx struct{ store.Tx }

func (u unreadable) View(ctx context.Context, fn func(store.Tx) error) error {
	return u.Store.View(ctx, func(tx store.Tx) error { return fn(unreadableTx{tx}) })
}

func (u unreadableTx) DueSubmissions(t time.Time, limit int) ([]*store.Submission, error) {
	list, err := u.Tx.DueSubmissions(t, limit)
	return list, errors.Join(err, errors.New("submission s0: damaged"))
}

// TestOneThatCannotBeReadKeepsNoOther: the others are due, and it is told, once.
func TestOneThatCannotBeReadKeepsNoOther(t *testing.T) {
	w := newWorld(t)
	var said bytes.Buffer
	w.svc.store, w.svc.log = unreadable{w.store}, slog.New(slog.NewTextHandler(&said, nil))
	busy := &busy{ids: map[string]bool{}}
	if _, _, err := w.svc.due(w.ctx, busy); err == nil {
		t.Error("alone it is no error")
	}
	s := w.take(letterOf(numbered(1), 0))
	for range 3 {
		if due, _, err := w.svc.due(w.ctx, busy); err != nil || len(due) != 1 || due[0].ID != s.ID {
			t.Errorf("due: %v, %v", due, err)
		}
	}
	if n := strings.Count(said.String(), "s0: damaged"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &said)
	}
}
