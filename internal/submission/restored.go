package submission

import (
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// stepRestored is a submission of a backup that was due before the restore:
// the gateway may have sent it since and forgotten.
const stepRestored = "restored"

// maxRestoredProbes is how often the provider is asked about one of which it
// knows nothing: what was sent a moment ago may take that long to be found.
const maxRestoredProbes = 5

// Restored adapts a submission that has not ended to a restore of the store
// from a backup, and reports whether it changed. What was to be sent at a
// time that is yet to come cannot have been sent. All else is first asked
// about, as after a send whose answer was lost, and never sent on the word of
// the backup alone: a message that goes out twice cannot be taken back, one
// that failed is told and can be sent again.
func Restored(sub *store.Submission, now time.Time) bool {
	if sub.State != store.SubmissionScheduled && sub.State != store.SubmissionSending {
		return false
	}
	if sub.Step == "" && sub.NextAt.After(now) && sub.SendAt.After(now) {
		return false
	}
	sub.State, sub.NextAt, sub.Attempts, sub.Step = store.SubmissionSending, now, 0, stepRestored
	return true
}

// settleRestored asks what became of a submission since the backup was made.
// It reports whether it has ended. A draft that is still a draft was not sent,
// and is gone on with.
func (s *Service) settleRestored(ctx context.Context, p provider.Provider, sub *store.Submission) (ended bool, err error) {
	sent, err := s.probe(ctx, p, sub)
	if err == nil && !sent && sub.DraftID == "" {
		err = s.note(ctx, sub, stepPrepare)
	}
	if err == nil || mail.KindOf(err) != mail.KindOutcomeUnknown || sub.Attempts < maxRestoredProbes {
		return sent, err
	}
	err = s.fail(ctx, sub, mail.Errorf(mail.KindOutcomeUnknown, "send message",
		"the gateway was restored from a backup, and the provider does not know what became of this message; look for it in Sent, and send it again if it is not there"))
	return true, err
}
