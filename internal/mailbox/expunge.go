package mailbox

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Expunge takes messages out of a mailbox for good, as IMAP's EXPUNGE means
// it: out of a folder into the trash, out of the trash for good, and off a
// label.
func (s *Service) Expunge(ctx context.Context, mailbox string, ids []string) ([]Result, error) {
	return nil, mail.Errorf(mail.KindInternal, "expunge", "not yet")
}

// Purge is Expunge that leaves nothing in the trash.
func (s *Service) Purge(ctx context.Context, mailbox string, ids []string) ([]Result, error) {
	return nil, mail.Errorf(mail.KindInternal, "expunge", "not yet")
}

// SetDeleted sets or clears IMAP's \Deleted on rows of a mailbox's UID table.
func (s *Service) SetDeleted(ctx context.Context, mailbox string, uids []uint32, deleted bool) error {
	return mail.Errorf(mail.KindInternal, "mark deleted", "not yet")
}

// MoveFrom moves messages from one mailbox into another.
func (s *Service) MoveFrom(ctx context.Context, from, to string, ids []string) ([]Result, error) {
	return nil, mail.Errorf(mail.KindInternal, "move", "not yet")
}
