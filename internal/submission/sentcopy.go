package submission

import (
	"context"
	"errors"
	"time"

	"github.com/postern-mail/postern/store"
)

// Providers keep a copy of what they send, and mail programs store another one
// in Sent unless they are told not to. So that there is one whatever they are
// set to, an APPEND to Sent that belongs to a submission stores nothing, and a
// copy that was stored before the submission came is removed once it is sent.
// They belong together by the Message-ID that the program gave. Size tells a
// message from another one under its Message-ID: a program may store less than
// it has sent (no attachments), or the Bcc besides, but not more than that.
const (
	// sizeSlack is what a program's copy may have more than what was sent.
	sizeSlack = 64 << 10
	// sentFor is how long after its sending a message is taken for its copy.
	sentFor = 24 * time.Hour
	// sentLag is how long the provider's copy may take to show in the mirror.
	sentLag = 10 * time.Minute
	// removeLimit bounds the removal of a copy while its program waits.
	removeLimit = 30 * time.Second
)

// Copies removes messages that a mail program has stored.
type Copies interface {
	// RemoveCopy deletes a message for good.
	RemoveCopy(ctx context.Context, account, message string) error
}

// Sent finds the copy that a submission has, or will have, in Sent: mail
// programs store one of their own there beside the provider's. It is found by
// the Message-ID that the program gave, and by size. While the submission is
// under way Sent waits, for Options.SentWait. message is our id of the
// provider's copy, empty where it is not known yet; ok says that there is one,
// or will be, so that none is to be stored. The mirror may learn of it a moment
// later.
func (s *Service) Sent(ctx context.Context, account, messageID string, size int64) (message string, ok bool, err error) {
	limited, cancel := context.WithTimeout(ctx, s.opts.SentWait)
	defer cancel()
	for {
		sub, err := s.sentAs(ctx, account, messageID, size)
		if err != nil || sub == nil {
			return "", false, err
		}
		if sub.Ended() {
			return sub.SentMessageID, true, nil
		}
		w := s.verdicts.expect(sub.ID, false)
		// It may have ended, or been put off, before it was waited for.
		now, err := s.sentAs(ctx, account, messageID, size)
		if err != nil || now == nil || now.ID != sub.ID || now.Ended() {
			w.leave()
			if err != nil {
				return "", false, err
			}
			continue
		}
		if _, told := w.await(limited, s.opts.SentWait, nil); !told {
			return "", true, ctx.Err()
		}
	}
}

// sentAs finds the submission that a message in Sent is a copy of, nil where
// there is none.
func (s *Service) sentAs(ctx context.Context, account, messageID string, size int64) (sub *store.Submission, err error) {
	if messageID == "" {
		return nil, nil
	}
	err = s.store.View(ctx, func(tx store.Tx) error {
		sub = nil
		found, err := tx.SubmissionByMessageID(account, messageID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil || size > found.Size+sizeSlack {
			return err
		}
		switch found.State {
		case store.SubmissionFailed, store.SubmissionCancelled:
			return nil // nobody else has a copy of it
		case store.SubmissionSent:
			age := s.now().Sub(found.DoneAt)
			if age > sentFor {
				return nil
			}
			_, err := tx.Message(found.SentMessageID)
			if errors.Is(err, store.ErrNotFound) && age > sentLag {
				return nil // it was deleted, and the program stores it anew
			}
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
		}
		sub = found
		return nil
	})
	return sub, err
}

// Appended notes that a mail program has stored a message in Sent that no
// submission had: some do so before they send. Once it is sent there are two,
// and this one is removed; at once, where it was sent while it was stored.
func (s *Service) Appended(account, messageID, message string, size int64) {
	if messageID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), removeLimit)
	defer cancel()
	err := s.addEarly(ctx, earlyCopy{Key: earlyKey(account, messageID), Message: message, Size: size, At: s.now()})
	var sub *store.Submission
	if err == nil {
		sub, err = s.sentAs(ctx, account, messageID, size)
	}
	if err != nil {
		s.log.WarnContext(ctx, "a second copy of what was sent may stay", "account", account, "message", message, "error", err)
		return
	}
	if sub != nil && sub.State == store.SubmissionSent {
		s.removeEarly(ctx, sub)
	}
}

// removeEarly removes the copy that a program has stored before it sent it, now
// that the provider has one.
func (s *Service) removeEarly(ctx context.Context, sub *store.Submission) {
	if sub.GivenMessageID == "" || s.opts.Copies == nil || sub.SentMessageID == "" {
		return // of a copy that is not known nobody can say that it is there
	}
	c, err := s.takeEarly(ctx, earlyKey(sub.Account, sub.GivenMessageID))
	if err != nil {
		s.log.WarnContext(ctx, "a second copy of what was sent may stay", "submission", sub.ID, "error", err)
		return
	}
	if c == nil || c.Message == sub.SentMessageID || c.Size > sub.Size+sizeSlack || sub.CreatedAt.Sub(c.At).Abs() > earlyFor {
		return
	}
	if err := s.opts.Copies.RemoveCopy(ctx, sub.Account, c.Message); err != nil {
		s.log.WarnContext(ctx, "a second copy of what was sent stays", "submission", sub.ID, "message", c.Message, "error", err)
	}
}
