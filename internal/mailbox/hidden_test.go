package mailbox

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// draft has the provider make a draft, as a submission does.
func (w *world) draft(operation, messageID string) string {
	w.t.Helper()
	raw := "From: ann@example.com\r\nTo: bob@example.com\r\nSubject: s\r\nMessage-ID: <" + messageID + ">\r\n\r\nx"
	resp, err := w.plugin.Prepare(w.ctx, &provider.PrepareRequest{Call: provider.Call{Account: w.account}, OperationID: operation, Size: int64(len(raw)),
		Envelope: provider.Envelope{From: "ann@example.com", Recipients: []string{"bob@example.com"}}}, strings.NewReader(raw))
	w.must(err)
	return resp.Prepared.ProviderID
}

func (w *world) mirrored(pid string) bool {
	_, there := w.mirror()[MessageID(w.account, pid)]
	return there
}

// TestDraftsOfSubmissionsAreHidden: whatever a submission has noted of its
// draft, and whatever became of it, nothing is told before it is sent.
func TestDraftsOfSubmissionsAreHidden(t *testing.T) {
	for _, tc := range []struct {
		what  string
		sub   store.Submission
		known bool // the draft's id was noted
		shown bool
	}{
		{"before the answer to prepare", store.Submission{State: store.SubmissionSending, Step: "prepare", MessageID: "m@x"}, false, false},
		{"scheduled, and prepared ahead", store.Submission{State: store.SubmissionScheduled, MessageID: "m@x"}, true, false},
		{"under another Message-ID", store.Submission{State: store.SubmissionSending, Step: "ready", MessageID: "other@x"}, true, false},
		{"without any", store.Submission{State: store.SubmissionSending, Step: "send"}, true, false},
		{"cancelled", store.Submission{State: store.SubmissionCancelled, MessageID: "m@x"}, true, false},
		{"failed", store.Submission{State: store.SubmissionFailed, MessageID: "m@x"}, true, false},
		{"cancelled, and the draft still to be found and deleted", store.Submission{State: store.SubmissionCancelled, Step: store.StepDiscard, MessageID: "m@x"}, false, false},
		{"the owner's own, with the Message-ID of one that failed long ago", store.Submission{State: store.SubmissionFailed, MessageID: "m@x"}, false, true},
		{"the owner's own", store.Submission{State: store.SubmissionSending, MessageID: "other@x"}, false, true},
	} {
		t.Run(tc.what, func(t *testing.T) {
			w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder})
			w.round()
			before := w.last()
			sub := tc.sub
			sub.ID, sub.Account, sub.DoneAt = "s1", w.account, time.Now().Add(-time.Hour)
			pid := w.draft("s1", "m@x")
			if tc.known {
				sub.DraftID = pid
			}
			w.must(w.store.Update(w.ctx, func(tx store.Tx) error { return tx.PutSubmission(&sub) }))
			w.rounds()
			var told []event.Type
			for _, e := range w.eventsAfter(before) {
				if e.Message != "" {
					told = append(told, e.Type)
				}
			}
			if shown := slices.Contains(told, event.MessageCreated); shown != tc.shown || w.mirrored(pid) != tc.shown {
				t.Errorf("told: %v, in the mirror: %v", told, w.mirrored(pid))
			}
		})
	}
}

// TestOwnDraftsAreShown: what the owner stores through us is the owner's, though it
// bears the Message-ID of a submission that waits.
func TestOwnDraftsAreShown(t *testing.T) {
	for _, step := range []string{"prepare", store.StepDiscard} {
		w := newWorld(t, memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder, Keywords: []string{mail.Draft, mail.Seen}})
		w.rounds()
		w.must(w.store.Update(w.ctx, func(tx store.Tx) error {
			return tx.PutSubmission(&store.Submission{ID: "s1", Account: w.account, State: store.SubmissionSending, Step: step, MessageID: "once.more@example.com"})
		}))
		m, err := w.append("drafts", letter("once more"), mail.Draft, mail.Seen)
		w.must(err)
		if w.count("drafts") != 1 || !w.mirrored(m.ProviderID) || m.UIDs[w.box("drafts")] == 0 {
			t.Errorf("%s: %d at the provider, in the mirror: %v, UIDs %v", step, w.count("drafts"), w.mirrored(m.ProviderID), m.UIDs)
		}
		saved, err := w.svc.SaveDraft(w.ctx, w.account, "op", "", letter("once more"))
		w.must(err)
		w.rounds()
		if !w.mirrored(saved.ProviderID) || !w.mirrored(m.ProviderID) {
			t.Errorf("%s: a draft that was saved is not shown", step)
		}
	}
}
