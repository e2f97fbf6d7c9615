package submission

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Steps of a submission, noted before they are begun.
const (
	stepPrepare = "prepare"
	stepReady   = "ready" // the draft is there, nothing was sent
	stepSend    = "send"  // in doubt until the answer is noted
)

func (s *Service) advance(ctx context.Context, sub *store.Submission) error {
	acct, _, err := s.account(ctx, sub.Account)
	if err != nil {
		return err
	}
	p, err := s.providers.Provider(acct.Provider)
	if err != nil {
		return err
	}
	sub.Attempts++ // noted with the step that comes next
	if sub.Step == stepRestored {
		if ended, err := s.settleRestored(ctx, p, sub); err != nil || ended {
			return err
		}
	}
	if sub.Step == stepSend {
		// A crash, or an answer that never came: ask before anything else.
		sent, err := s.probe(ctx, p, sub)
		if err != nil || sent {
			return err
		}
	}
	if sub.Step != stepReady {
		if err := s.prepare(ctx, p, sub); err != nil {
			return err
		}
	}
	return s.send(ctx, p, sub)
}

// note writes a step before it is begun. A submission that was cancelled
// meanwhile ends here.
func (s *Service) note(ctx context.Context, sub *store.Submission, step string) error {
	return s.store.Update(ctx, func(tx store.Tx) error {
		if err := alive(tx, sub.ID); err != nil {
			return err
		}
		sub.State, sub.Step = store.SubmissionSending, step
		return tx.PutSubmission(sub)
	})
}

// alive refuses to go on with a submission that has ended, whatever the copy
// at hand says: a cancellation that was acknowledged stands.
func alive(tx store.Tx, id string) error {
	now, err := tx.Submission(id)
	if err != nil {
		return err
	}
	if now.Ended() {
		return errEnded
	}
	return nil
}

var errEnded = errors.New("the submission has ended")

func (s *Service) prepare(ctx context.Context, p provider.Provider, sub *store.Submission) error {
	again := sub.Step != ""
	if err := s.note(ctx, sub, stepPrepare); err != nil {
		return err
	}
	resp, err := s.draft(ctx, p, sub, again)
	if err != nil {
		return err
	}
	sub.DraftID, sub.DraftState = resp.Prepared.ProviderID, resp.Prepared.State
	if resp.Prepared.MessageID != "" {
		sub.MessageID = resp.Prepared.MessageID
	}
	err = s.note(ctx, sub, stepReady)
	if errors.Is(err, errEnded) {
		s.discardMade(ctx, sub)
	}
	return err
}

// draft has the provider keep the message as a draft. However often it is
// called, there is one. again says that it may have been called before, by a
// gateway that was killed.
func (s *Service) draft(ctx context.Context, p provider.Provider, sub *store.Submission, again bool) (*provider.PrepareResponse, error) {
	blob, err := s.store.Blobs().Open(ctx, sub.Account, sub.Blob)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	req := &provider.PrepareRequest{
		Call:        provider.Call{Account: sub.Account, Priority: provider.Write},
		OperationID: sub.ID, MessageID: sub.MessageID, Size: sub.Size,
		Envelope: provider.Envelope{From: sub.From, Recipients: sub.Recipients},
	}
	if again {
		req.FirstAttempt = begun(sub)
	}
	err = s.store.View(ctx, func(tx store.Tx) error {
		if sub.InReplyTo == "" || sub.Forward {
			return nil
		}
		m, err := tx.Message(sub.InReplyTo)
		if errors.Is(err, store.ErrNotFound) {
			return nil // what was answered is gone; the answer is not
		}
		if err == nil {
			req.InReplyTo, req.ThreadID = m.ProviderID, m.ProviderThreadID
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p.Prepare(ctx, req, blob)
}

// begun is before the first attempt to send it, and for one that was to be sent
// at once not long before.
func begun(sub *store.Submission) time.Time {
	if sub.SendAt.After(sub.CreatedAt) {
		return sub.SendAt
	}
	return sub.CreatedAt
}

func prepared(sub *store.Submission) provider.Prepared {
	return provider.Prepared{ProviderID: sub.DraftID, State: sub.DraftState, MessageID: sub.MessageID}
}

func (s *Service) send(ctx context.Context, p provider.Provider, sub *store.Submission) error {
	if err := s.note(ctx, sub, stepSend); err != nil {
		return err
	}
	resp, err := p.Send(ctx, &provider.SendRequest{
		Call: provider.Call{Account: sub.Account, Priority: provider.Write}, OperationID: sub.ID, Prepared: prepared(sub)})
	if err == nil {
		return s.sent(ctx, sub, resp.ProviderID, resp.MessageID)
	}
	switch mail.KindOf(err) {
	case mail.KindOutcomeUnknown, mail.KindUnavailable, mail.KindInternal:
		// It may have left: stays at stepSend, so that Probe comes first.
		return err
	}
	// The provider refused, so nothing left.
	if nerr := s.note(ctx, sub, stepReady); nerr != nil {
		return nerr
	}
	return err
}

// probe settles a send in doubt.
func (s *Service) probe(ctx context.Context, p provider.Provider, sub *store.Submission) (sent bool, err error) {
	resp, err := p.Probe(ctx, &provider.ProbeRequest{
		Call: provider.Call{Account: sub.Account, Priority: provider.Write}, OperationID: sub.ID, Prepared: prepared(sub)})
	if err != nil {
		return false, err
	}
	switch resp.Outcome {
	case provider.OutcomeSent:
		return true, s.sent(ctx, sub, resp.ProviderID, resp.MessageID)
	case provider.OutcomeNotSent:
		return false, s.note(ctx, sub, stepReady)
	}
	return false, mail.Errorf(mail.KindOutcomeUnknown, "send message", "the provider does not know yet what became of the message")
}

func (s *Service) sent(ctx context.Context, sub *store.Submission, providerID, messageID string) error {
	sub.SentProviderID = providerID
	if sub.SentProviderID == "" {
		sub.SentProviderID = sub.DraftID
	}
	if messageID != "" {
		sub.MessageID = messageID
	}
	if err := s.done(ctx, sub, ending{state: store.SubmissionSent}); err != nil {
		return err
	}
	s.verdicts.tell(sub.ID, verdict{})
	s.mark(ctx, sub)
	s.mirror.Touch(ctx, sub.Account)
	s.removeEarly(ctx, sub)
	s.report(ctx, sub)
	return nil
}

// mark shows on the message that was answered or forwarded that it was, as mail
// programs do. The mail is sent whether this works or not.
func (s *Service) mark(ctx context.Context, sub *store.Submission) {
	if sub.InReplyTo == "" {
		return
	}
	keyword := mail.Answered
	if sub.Forward {
		keyword = mail.Forwarded
	}
	if err := s.mirror.Mark(ctx, sub.InReplyTo, keyword); err != nil {
		s.log.WarnContext(ctx, "what was answered is not marked so", "submission", sub.ID, "message", sub.InReplyTo, "error", err)
	}
}
