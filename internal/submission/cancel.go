package submission

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

const (
	// maxUnwanted is how many drafts of cancelled submissions wait to be deleted.
	maxUnwanted = 1000
	// discardLimit bounds deleting one.
	discardLimit = time.Minute
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
		return tx.PutSubmission(sub)
	})
	if err != nil || !ended {
		return sub, err
	}
	s.metrics.end(sub)
	if sub.Step == "" {
		s.dropBytes(ctx, sub)
		return sub, nil
	}
	select {
	case s.unwanted <- sub:
	default:
		s.log.WarnContext(ctx, "draft of a cancelled submission stays", "submission", sub.ID, "error", "too many wait to be deleted")
		s.dropBytes(ctx, sub)
	}
	return sub, nil
}

// leaveUnwanted says which drafts are left when Run ends.
func (s *Service) leaveUnwanted() {
	for {
		select {
		case sub := <-s.unwanted:
			s.log.Warn("draft of a cancelled submission stays", "submission", sub.ID, "error", "the gateway stops")
		default:
			return
		}
	}
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

// discard deletes the draft of a cancelled submission. Where it is not known
// whether there is one, preparing again finds it.
func (s *Service) discard(ctx context.Context, sub *store.Submission) {
	ctx, cancel := context.WithTimeout(ctx, discardLimit)
	defer cancel()
	if err := s.tryDiscard(ctx, sub); err != nil {
		s.log.WarnContext(ctx, "draft of a cancelled submission stays", "submission", sub.ID, "error", err)
	}
	s.dropBytes(context.WithoutCancel(ctx), sub)
}

func (s *Service) tryDiscard(ctx context.Context, sub *store.Submission) error {
	acct, _, err := s.account(ctx, sub.Account)
	if err != nil {
		return err
	}
	p, err := s.providers.Provider(acct.Provider)
	if err != nil {
		return err
	}
	draft := sub.DraftID
	if draft == "" {
		resp, err := s.draft(ctx, p, sub)
		if err != nil {
			return err
		}
		draft = resp.Prepared.ProviderID
	}
	_, err = p.Purge(ctx, &provider.DeleteRequest{Call: provider.Call{Account: sub.Account, Priority: provider.Write}, IDs: []string{draft}})
	return err
}
