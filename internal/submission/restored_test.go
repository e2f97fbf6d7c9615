package submission

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// backUp remembers a submission as a backup would.
func (w *world) backUp(id string) *store.Submission {
	sub := *w.submission(id)
	return &sub
}

// restore puts a submission back as it stood in the backup, its bytes too.
func (w *world) restore(sub *store.Submission, raw string) {
	w.t.Helper()
	sub.Blob, sub.Size = w.put(raw), int64(len(raw))
	Restored(sub, w.clock())
	w.must(w.store.Update(w.ctx, func(tx store.Tx) error { return tx.PutSubmission(sub) }))
	w.svc = w.service()
}

func (w *world) put(raw string) string {
	w.t.Helper()
	ref, err := w.store.Blobs().Put(w.ctx, "account-1", strings.NewReader(raw), true)
	w.must(err)
	return ref.Digest
}

const restoredRaw = "From: ann@example.com\r\nTo: bob@example.com\r\nSubject: x\r\n\r\nx\r\n"

// TestRestoredIsNotSentAgain backs a submission up before it is begun, before
// it is sent and after, sends it, and goes back to the backup.
func TestRestoredIsNotSentAgain(t *testing.T) {
	for _, step := range []string{"", stepPrepare, stepReady, stepSend} {
		t.Run("at "+step, func(t *testing.T) {
			w := newWorld(t)
			s := w.submit(Input{Message: Message{Subject: "once", Text: "x"}})
			backup := w.backUp(s.ID)
			w.advance(s.ID)
			sent := w.submission(s.ID)
			if sent.State != store.SubmissionSent {
				t.Fatalf("%s, %s", sent.State, sent.Error)
			}
			backup.Step = step
			if step == stepReady || step == stepSend {
				backup.State, backup.DraftID, backup.DraftState = store.SubmissionSending, sent.DraftID, sent.DraftState
			}
			w.restore(backup, restoredRaw)
			w.svc.providers = through{w, unsendable{w.plugin, t}}
			w.advance(s.ID)
			if got := w.submission(s.ID); got.State != store.SubmissionSent {
				t.Errorf("it is %s, %s", got.State, got.Error)
			}
			if n := len(w.cloud.Sent()); n != 1 {
				t.Errorf("%d messages were sent", n)
			}
		})
	}
}

// unsendable must not be asked to send.
type unsendable struct {
	*memory.Provider
	t *testing.T
}

func (u unsendable) Send(ctx context.Context, req *provider.SendRequest) (*provider.SendResponse, error) {
	u.t.Error("it is sent on the word of the backup")
	return u.Provider.Send(ctx, req)
}

// TestRestoredThatWasNotSent is sent once the provider says that it was not.
func TestRestoredThatWasNotSent(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Subject: "late", Text: "x"}})
	w.restore(w.backUp(s.ID), restoredRaw)
	w.advance(s.ID)
	if got := w.submission(s.ID); got.State != store.SubmissionSent || len(w.cloud.Sent()) != 1 {
		t.Errorf("it is %s, %s; %d messages were sent", got.State, got.Error, len(w.cloud.Sent()))
	}
}

// TestRestoredOfWhichNobodyKnows fails in words, and is never sent.
func TestRestoredOfWhichNobodyKnows(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Subject: "who knows", Text: "x"}})
	w.restore(w.backUp(s.ID), restoredRaw)
	w.svc.providers = through{w, forgetful{w.plugin}}
	for range maxRestoredProbes {
		if got := w.submission(s.ID); got.State != store.SubmissionSending {
			t.Fatalf("it is %s, %s", got.State, got.Error)
		}
		w.advance(s.ID)
	}
	got := w.submission(s.ID)
	if got.State != store.SubmissionFailed || !strings.Contains(got.Error, "restored from a backup") || len(w.cloud.Sent()) != 0 {
		t.Errorf("it is %s, %q; %d messages were sent", got.State, got.Error, len(w.cloud.Sent()))
	}
	if all := w.events(); len(all) == 0 || all[len(all)-1] != event.SubmissionFailed {
		t.Errorf("told: %v", all)
	}
}

// forgetful does not know what became of anything.
type forgetful struct{ *memory.Provider }

func (forgetful) Probe(context.Context, *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	return &provider.ProbeResponse{Outcome: provider.OutcomeUnknown}, nil
}

// TestRestoredWaitsForTheProvider: an error of the provider's ends nothing.
func TestRestoredWaitsForTheProvider(t *testing.T) {
	w := newWorld(t)
	s := w.submit(Input{Message: Message{Subject: "later", Text: "x"}})
	w.restore(w.backUp(s.ID), restoredRaw)
	for _, kind := range []mail.Kind{mail.KindUnavailable, mail.KindNotFound, mail.KindForbidden, mail.KindGrantExpired} {
		w.svc.providers = through{w, failing{w.plugin, kind}}
		w.advance(s.ID)
		if got := w.submission(s.ID); got.State != store.SubmissionSending || got.Step != stepRestored {
			t.Fatalf("after %s it is %s at %q, %s", kind, got.State, got.Step, got.Error)
		}
	}
}

type failing struct {
	*memory.Provider
	kind mail.Kind
}

func (f failing) Probe(context.Context, *provider.ProbeRequest) (*provider.ProbeResponse, error) {
	return nil, &mail.Error{Kind: f.kind, Op: "probe", Message: "no"}
}

func TestRestoredLeavesAloneWhatCannotHaveBeenSent(t *testing.T) {
	now := time.Now()
	for _, sub := range []store.Submission{
		{State: store.SubmissionScheduled, SendAt: now.Add(time.Hour), NextAt: now.Add(time.Hour)},
		{State: store.SubmissionSent}, {State: store.SubmissionFailed}, {State: store.SubmissionCancelled},
	} {
		if was := sub.State; Restored(&sub, now) || sub.State != was {
			t.Errorf("%s for %s became %s", was, sub.SendAt, sub.State)
		}
	}
	for _, sub := range []store.Submission{
		{State: store.SubmissionScheduled, NextAt: now.Add(time.Minute)}, // put off, was due before
		{State: store.SubmissionSending, Step: stepPrepare, SendAt: now.Add(time.Hour), NextAt: now.Add(time.Hour)},
	} {
		if !Restored(&sub, now) || sub.Step != stepRestored {
			t.Errorf("%+v is not asked about", sub)
		}
	}
}
