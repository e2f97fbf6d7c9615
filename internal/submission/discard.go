package submission

import (
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

const (
	// discardLimit bounds one try to delete a draft.
	discardLimit = time.Minute
	// discardFor is how long after its submission's end a draft is tried to be
	// deleted.
	discardFor = 24 * time.Hour
)

// What became of a draft that was not to be sent.
const (
	stepDiscarded = "discarded"
	stepLeft      = "left" // it is still there, as far as we know
)

// unwanted makes the draft of a submission that ends its last step, which is
// noted in the transaction of the end: a crash leaves no draft behind.
func unwanted(sub *store.Submission) {
	sub.Step, sub.NextAt, sub.Attempts = store.StepDiscard, sub.DoneAt, 0
}

// discard takes a submission that has ended through its last step, if it has
// one. When ctx ends it stays as it is, to be gone on with.
func (s *Service) discard(ctx context.Context, sub *store.Submission) {
	if sub.Step != store.StepDiscard {
		return
	}
	limited, cancel := context.WithTimeout(ctx, discardLimit)
	err := s.tryDiscard(limited, sub)
	cancel()
	if ctx.Err() != nil {
		return
	}
	now := s.now()
	sub.Attempts++
	switch kind := mail.KindOf(err); {
	case err == nil:
		sub.Step = stepDiscarded
	case kind == mail.KindNotFound, kind == mail.KindInvalid, now.Sub(sub.DoneAt) >= discardFor:
		// The account is gone, the draft cannot be made (so there is none), or
		// it was tried for long enough.
		sub.Step = stepLeft
		s.log.WarnContext(ctx, "draft of an ended submission stays", "submission", sub.ID, "account", sub.Account, "kind", kind, "error", err)
	default:
		sub.NextAt = now.Add(max(backoff(sub.Attempts), mail.RetryAfter(err)))
		s.log.InfoContext(ctx, "draft of an ended submission not deleted yet", "submission", sub.ID, "account", sub.Account, "kind", kind, "error", err)
	}
	s.noteEnded(ctx, sub)
}

// discardMade deletes the draft of a submission that was cancelled while it was
// made: at is the copy that knows it.
func (s *Service) discardMade(ctx context.Context, at *store.Submission) {
	var sub *store.Submission
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		sub, err = tx.Submission(at.ID)
		return err
	})
	if err != nil {
		return // its turn comes, or it is gone with its account
	}
	sub.DraftID, sub.DraftState = at.DraftID, at.DraftState
	s.discard(ctx, sub)
}

// tryDiscard deletes a draft. Where it is not known whether there is one,
// preparing again finds it.
func (s *Service) tryDiscard(ctx context.Context, sub *store.Submission) error {
	acct, _, err := s.account(ctx, sub.Account)
	if err != nil {
		return err
	}
	p, err := s.providers.Provider(acct.Provider)
	if err != nil {
		return err
	}
	if sub.DraftID == "" {
		resp, err := s.draft(ctx, p, sub, true)
		if err != nil {
			return err
		}
		sub.DraftID, sub.DraftState = resp.Prepared.ProviderID, resp.Prepared.State
	}
	resp, err := p.Purge(ctx, &provider.DeleteRequest{Call: provider.Call{Account: sub.Account, Priority: provider.Write}, IDs: []string{sub.DraftID}})
	if err != nil {
		return err
	}
	for _, r := range resp.Results {
		if r.Err != nil && mail.KindOf(r.Err) != mail.KindNotFound {
			return r.Err
		}
	}
	return nil
}
