package gateway

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/internal/submission"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// copyWait is how long a copy of what was sent may take to come to the mirror
// while a mail program waits for it.
const copyWait = 30 * time.Second

// sentCopies finds the provider's own copies of what was submitted, for mail
// programs that store theirs.
type sentCopies struct {
	*submission.Service
	store store.Store
	bus   *event.Bus
}

// Sent gives the copy once it has a UID in the mailbox.
func (s sentCopies) Sent(ctx context.Context, account, mailbox, messageID string, size int64) (m *store.Message, ok bool, err error) {
	id, ok, err := s.Service.Sent(ctx, account, messageID, size)
	if err != nil || !ok || id == "" {
		return nil, ok, err
	}
	// Told before it is looked for, so that nothing comes between.
	reader := s.bus.Listen(func(e event.Event) bool { return e.Account == account && e.Message == id })
	defer s.bus.Stop(reader)
	timer := time.NewTimer(copyWait)
	defer timer.Stop()
	for {
		err := s.store.View(ctx, func(tx store.Tx) error {
			m, err = tx.Message(id)
			return err
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, false, err
		}
		if err == nil && m.UIDs[mailbox] != 0 {
			return m, true, nil
		}
		select {
		case <-reader.C:
		case <-timer.C:
			return nil, true, nil // it will come
		case <-ctx.Done():
			return nil, true, ctx.Err()
		}
	}
}

// ownMail is what submissions do to their account's mailboxes.
type ownMail struct {
	mirror *mailbox.Service
	store  store.Store
}

// Deliver puts a report into the inbox.
func (o ownMail) Deliver(ctx context.Context, account, operation string, at time.Time, raw io.Reader, size int64) error {
	inbox, err := o.mailbox(ctx, account, mail.RoleInbox)
	if err == nil {
		_, err = o.mirror.Append(ctx, mailbox.AppendInput{Account: account, Mailbox: inbox, Date: at, Operation: operation}, raw, size)
	}
	return err
}

// RemoveCopy deletes what a mail program has put into Sent.
func (o ownMail) RemoveCopy(ctx context.Context, account, message string) error {
	sent, err := o.mailbox(ctx, account, mail.RoleSent)
	if err != nil {
		return err
	}
	results, err := o.mirror.Purge(ctx, sent, []string{message})
	for _, r := range results {
		err = errors.Join(err, r.Err)
	}
	return err
}

func (o ownMail) mailbox(ctx context.Context, account string, role mail.Role) (id string, err error) {
	err = o.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(account)
		for _, m := range list {
			if m.Role == role {
				id = m.ID
			}
		}
		return err
	})
	if err == nil && id == "" {
		// The account's mailboxes may not have been listed yet.
		err = mail.Errorf(mail.KindUnavailable, "find mailbox", "the account has no %s", role)
	}
	return id, err
}

// configuredNames are the provider instances' keys.
func (g *Gateway) configuredNames() (names []string) {
	for _, i := range g.plugins.Status() {
		names = append(names, i.Name)
	}
	return names
}
