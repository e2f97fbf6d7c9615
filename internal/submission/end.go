package submission

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// setBack puts a submission off, or ends it where no retry can help.
func (s *Service) setBack(ctx context.Context, sub *store.Submission, cause error) error {
	if errors.Is(cause, errEnded) {
		return nil
	}
	kind := mail.KindOf(cause)
	final := false
	if hopeless(kind) {
		final = !doubtful(sub)
	}
	if given := s.now().Add(-s.opts.GiveUp); sub.CreatedAt.Before(given) && !sub.SendAt.After(given) {
		final = true
	}
	if final {
		return s.fail(ctx, sub, cause)
	}
	wait := max(backoff(sub.Attempts), mail.RetryAfter(cause))
	if kind == mail.KindOutcomeUnknown {
		// Whether it was sent is one question, and somebody waits for the answer.
		switch age := min(s.now().Sub(sub.CreatedAt), s.now().Sub(sub.SendAt)); {
		case sub.Attempts <= 3:
			wait = time.Second
		case age < time.Hour:
			wait = max(min(wait, soonAgain), mail.RetryAfter(cause))
		}
	}
	sub.NextAt, sub.Error = s.now().Add(wait), words(cause)
	err := s.store.Update(ctx, func(tx store.Tx) error {
		if err := alive(tx, sub.ID); err != nil {
			return err
		}
		return tx.PutSubmission(sub)
	})
	if errors.Is(err, errEnded) {
		return nil // cancelled meanwhile
	}
	s.verdicts.tell(sub.ID, verdict{putOff: cause})
	s.log.WarnContext(ctx, "submission put off", "submission", sub.ID, "account", sub.Account, "kind", kind, "attempts", sub.Attempts, "error", cause)
	return err
}

// soonAgain bounds the wait of a submission whose outcome is not known, in its
// first hour.
const soonAgain = 15 * time.Second

// hopeless: no retry can help.
func hopeless(kind mail.Kind) bool {
	switch kind {
	case mail.KindInvalid, mail.KindForbidden, mail.KindTooLarge, mail.KindNotFound, mail.KindConflict:
		return true
	}
	return false
}

// doubtful: it may have been sent already.
func doubtful(sub *store.Submission) bool { return sub.Step == stepSend || sub.Step == stepRestored }

func backoff(attempts int) time.Duration {
	d := min(time.Second<<min(attempts, 12), 30*time.Minute)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// fail ends a submission; a draft that was prepared is deleted, unless it may be
// the message that was sent.
func (s *Service) fail(ctx context.Context, sub *store.Submission, cause error) error {
	doubt := doubtful(sub)
	reason := words(cause)
	if sub.Step == stepSend {
		reason = words(mail.Errorf(mail.KindOutcomeUnknown, "send message",
			"given up without learning whether the message left; the last answer was: %s", reason))
	}
	// Who waits for the verdict is told; who does not is sent a report.
	told := s.verdicts.claim(sub.ID)
	err := s.done(ctx, sub, ending{state: store.SubmissionFailed, reason: reason, discard: !doubt && drafted(sub, cause), told: told})
	if err != nil {
		s.verdicts.tell(sub.ID, verdict{})
	} else {
		s.verdicts.tell(sub.ID, verdict{refused: cause})
	}
	if errors.Is(err, errEnded) {
		return nil
	}
	s.log.ErrorContext(ctx, "submission failed", "submission", sub.ID, "account", sub.Account, "kind", mail.KindOf(cause), "in_doubt", doubt, "told", told, "error", cause)
	if err == nil {
		s.discard(ctx, sub)
		s.report(ctx, sub)
	}
	return err
}

// drafted reports whether there may be a draft: it was answered, or making it
// was begun, and the answer was no clear refusal.
func drafted(sub *store.Submission, cause error) bool {
	return sub.DraftID != "" || sub.Step == stepPrepare && !hopeless(mail.KindOf(cause))
}

// ending is how a submission ends.
type ending struct {
	state  store.SubmissionState
	reason string
	// discard: its draft is still to be deleted.
	discard bool
	// told: its sender hears of it in an answer, and needs no report.
	told bool
}

// done ends a submission and tells so, in one transaction. Where that fails at
// is as it was: what is noted of it next must not say that it has ended.
func (s *Service) done(ctx context.Context, at *store.Submission, how ending) error {
	ended := *at
	sub := &ended
	if at.Report != nil {
		report := *at.Report
		sub.Report = &report
	}
	err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
		if err := alive(tx, sub.ID); err != nil {
			return err
		}
		sub.State, sub.Error, sub.DoneAt = how.state, how.reason, s.now()
		if how.discard {
			unwanted(sub)
		}
		if !how.told && s.wantsReport(sub) {
			sub.Report.State, sub.NextAt, sub.Attempts = store.ReportDue, sub.DoneAt, 0
		}
		e := &event.Event{Type: event.SubmissionSent, Account: sub.Account, Submission: sub.ID, Reason: how.reason}
		if how.state == store.SubmissionFailed {
			e.Type = event.SubmissionFailed
		}
		if sub.SentProviderID != "" {
			e.Message = event.HashID("m", sub.Account, sub.SentProviderID)
			sub.SentMessageID = e.Message
		}
		if _, err := b.Add(e); err != nil {
			return err
		}
		return tx.PutSubmission(sub)
	})
	if err == nil {
		*at = ended
		s.metrics.end(sub)
		if !sub.Waits() {
			s.dropBytes(ctx, sub)
		}
	}
	return err
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
