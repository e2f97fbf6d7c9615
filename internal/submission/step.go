package submission

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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

// Run sends what is due until ctx ends, then waits for what is under way.
func (s *Service) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, s.opts.Workers)
	var mu sync.Mutex
	busy := map[string]bool{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		due, wait, err := s.due(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "due submissions not read", "error", err)
			wait = 5 * time.Second
		}
		started := 0
		for _, sub := range due {
			mu.Lock()
			taken := busy[sub.ID]
			busy[sub.ID] = true
			mu.Unlock()
			if taken {
				continue
			}
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			started++
			wg.Go(func() {
				s.work(ctx, sub)
				mu.Lock()
				delete(busy, sub.ID)
				mu.Unlock()
				<-slots
				s.nudge()
			})
		}
		if started == 0 && len(due) > 0 {
			wait = time.Minute // all under way: each nudges when it ends
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
	}
}

func (s *Service) due(ctx context.Context) (due []*store.Submission, wait time.Duration, err error) {
	wait = time.Hour
	err = s.store.View(ctx, func(tx store.Tx) error {
		if due, err = tx.DueSubmissions(s.now(), 100); err != nil {
			return err
		}
		next, err := tx.NextSubmission()
		if err == nil && !next.IsZero() {
			wait = max(0, min(wait, next.Sub(s.now())))
		}
		return err
	})
	return due, wait, err
}

// work takes one submission as far as it goes now.
func (s *Service) work(ctx context.Context, sub *store.Submission) {
	err := s.advance(ctx, sub)
	if err == nil || ctx.Err() != nil {
		return
	}
	if err := s.setBack(ctx, sub, err); err != nil {
		s.log.ErrorContext(ctx, "submission not put back", "submission", sub.ID, "error", err)
	}
}

func (s *Service) advance(ctx context.Context, sub *store.Submission) error {
	acct, _, err := s.account(ctx, sub.Account)
	if err != nil {
		return err
	}
	p, err := s.providers.Provider(acct.Provider)
	if err != nil {
		return err
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
		now, err := tx.Submission(sub.ID)
		if err != nil {
			return err
		}
		if now.State != store.SubmissionScheduled && now.State != store.SubmissionSending {
			return errCancelled
		}
		sub.State, sub.Step = store.SubmissionSending, step
		return tx.PutSubmission(sub)
	})
}

var errCancelled = errors.New("the submission has ended")

func (s *Service) prepare(ctx context.Context, p provider.Provider, sub *store.Submission) error {
	if err := s.note(ctx, sub, stepPrepare); err != nil {
		return err
	}
	blob, err := s.store.Blobs().Open(ctx, sub.Account, sub.Blob)
	if err != nil {
		return err
	}
	defer blob.Close()
	req := &provider.PrepareRequest{
		Call:        provider.Call{Account: sub.Account, Priority: provider.Write},
		OperationID: sub.ID, MessageID: sub.MessageID, Size: sub.Size,
		Envelope: provider.Envelope{From: sub.From, Recipients: sub.Recipients},
	}
	err = s.store.View(ctx, func(tx store.Tx) error {
		if sub.InReplyTo == "" {
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
		return err
	}
	resp, err := p.Prepare(ctx, req, blob)
	if err != nil {
		return err
	}
	sub.DraftID, sub.DraftState = resp.Prepared.ProviderID, resp.Prepared.State
	if resp.Prepared.MessageID != "" {
		sub.MessageID = resp.Prepared.MessageID
	}
	return s.note(ctx, sub, stepReady)
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
	if err := s.done(ctx, sub, store.SubmissionSent, ""); err != nil {
		return err
	}
	s.mirror.Touch(ctx, sub.Account)
	return nil
}

// setBack puts a submission off, or ends it where no retry can help.
func (s *Service) setBack(ctx context.Context, sub *store.Submission, cause error) error {
	if errors.Is(cause, errCancelled) {
		return nil
	}
	kind := mail.KindOf(cause)
	final := false
	switch kind {
	case mail.KindInvalid, mail.KindForbidden, mail.KindTooLarge, mail.KindNotFound, mail.KindConflict:
		final = sub.Step != stepSend
	}
	if sub.CreatedAt.Before(s.now().Add(-s.opts.GiveUp)) && !sub.SendAt.After(s.now().Add(-s.opts.GiveUp)) {
		final = true
	}
	if final {
		return s.fail(ctx, sub, cause)
	}
	sub.Attempts++
	wait := max(backoff(sub.Attempts), mail.RetryAfter(cause))
	if kind == mail.KindOutcomeUnknown && sub.Attempts <= 3 {
		wait = time.Second
	}
	sub.NextAt, sub.Error = s.now().Add(wait), words(cause)
	s.log.WarnContext(ctx, "submission put off", "submission", sub.ID, "account", sub.Account, "kind", kind, "attempts", sub.Attempts, "error", cause)
	return s.store.Update(ctx, func(tx store.Tx) error { return tx.PutSubmission(sub) })
}

func backoff(attempts int) time.Duration {
	d := min(time.Second<<min(attempts, 12), 30*time.Minute)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// fail ends a submission; a draft that was prepared is taken away again.
func (s *Service) fail(ctx context.Context, sub *store.Submission, cause error) error {
	s.log.ErrorContext(ctx, "submission failed", "submission", sub.ID, "account", sub.Account, "kind", mail.KindOf(cause), "error", cause)
	if err := s.done(ctx, sub, store.SubmissionFailed, words(cause)); err != nil {
		return err
	}
	if sub.DraftID == "" || sub.Step == stepSend {
		return nil
	}
	acct, _, err := s.account(ctx, sub.Account)
	if err != nil {
		return nil
	}
	if p, err := s.providers.Provider(acct.Provider); err == nil {
		call := provider.Call{Account: sub.Account, Priority: provider.Write}
		if _, err := p.Purge(ctx, &provider.DeleteRequest{Call: call, IDs: []string{sub.DraftID}}); err != nil {
			s.log.WarnContext(ctx, "draft of a failed submission stays", "submission", sub.ID, "error", err)
		}
	}
	return nil
}

// words is what people are told: kind, message and code, nothing below.
func words(err error) string {
	var e *mail.Error
	if !errors.As(err, &e) {
		return string(mail.KindInternal)
	}
	shown := *e
	shown.Err = nil
	return string(e.Kind) + ": " + shown.Error()
}
