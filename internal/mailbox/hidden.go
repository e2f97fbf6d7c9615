package mailbox

import (
	"errors"
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// hidden reports whether the message is the draft of a submission, which
// nobody sees until it is sent. (Copies in the outbox are left out with their
// mailbox.)
func (a *applier) hidden(it *mail.Item) (bool, error) {
	if a.own || !slices.Contains(it.Message.Keywords, mail.Draft) {
		return false, nil
	}
	sub, err := a.submission(it)
	if sub == nil || err != nil {
		return false, err
	}
	if sub.Waits() {
		return true, nil
	}
	// What was sent is no draft any more, and what failed or was cancelled is
	// deleted: the answer is older than that, or a feed lags behind. A draft
	// of another id is the owner's own, though it may have the same Message-ID.
	return it.Message.ProviderID == sub.DraftID || a.asOf.Before(sub.DoneAt), nil
}

// submission finds the submission whose draft it may be, nil where there is
// none: by the draft's id once that was answered, by Message-ID before.
func (a *applier) submission(it *mail.Item) (*store.Submission, error) {
	sub, err := a.tx.SubmissionByDraft(a.acct.ID, it.Message.ProviderID)
	if errors.Is(err, store.ErrNotFound) && it.Message.MessageID != "" {
		sub, err = a.tx.SubmissionByMessageID(a.acct.ID, it.Message.MessageID)
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return sub, err
}
