package submission

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Cancel takes back a submission, up to the moment at which sending it begins.
// It is noted in one transaction with that moment, so that what is answered
// here holds: cancelled and never sent, or too late.
func (s *Service) Cancel(ctx context.Context, id string) (sub *store.Submission, err error) {
	ended := false
	err = s.store.Update(ctx, func(tx store.Tx) error {
		ended = false
		sub, err = tx.Submission(id)
		if errors.Is(err, store.ErrNotFound) {
			return &mail.Error{Kind: mail.KindNotFound, Op: "cancel submission", Message: "no such submission", Err: err}
		}
		if err != nil {
			return err
		}
		if sub.State == store.SubmissionCancelled {
			return nil
		}
		if !cancellable(sub) {
			return mail.Errorf(mail.KindConflict, "cancel submission", "the submission is %s already", sub.State)
		}
		sub.State, sub.DoneAt, ended = store.SubmissionCancelled, s.now(), true
		if sub.Step != "" {
			unwanted(sub)
		}
		return tx.PutSubmission(sub)
	})
	if err != nil || !ended {
		return sub, err
	}
	s.metrics.end(sub)
	s.verdicts.tell(sub.ID, verdict{refused: mail.Errorf(mail.KindConflict, "submit message", "the submission was cancelled")})
	if sub.Waits() {
		s.nudge()
	} else {
		s.dropBytes(ctx, sub)
	}
	return sub, nil
}

// cancellable: nothing was sent, and nothing is in doubt.
func cancellable(sub *store.Submission) bool {
	switch sub.State {
	case store.SubmissionScheduled:
		return true
	case store.SubmissionSending:
		return sub.Step == "" || sub.Step == stepPrepare || sub.Step == stepReady
	}
	return false
}
