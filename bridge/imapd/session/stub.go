package session

import (
	"context"
	"io"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Delimiter separates the levels of mailbox names.
const Delimiter = '/'

var errSoon = mail.Errorf(mail.KindInternal, "run command", "not yet")

// Select opens a mailbox, to look only where readOnly is set (EXAMINE).
func (s *Session) Select(ctx context.Context, mailbox string, readOnly bool) (*Selected, error) {
	return nil, errSoon
}

// Unselect leaves the mailbox (RFC 9051, 6.4.2).
func (s *Session) Unselect() { s.leave() }

// CloseMailbox expunges and leaves the mailbox (RFC 9051, 6.4.1).
func (s *Session) CloseMailbox(ctx context.Context) error { return errSoon }

// List answers LIST and LSUB.
func (s *Session) List(ctx context.Context, r ListRequest) ([]ListEntry, error) { return nil, errSoon }

// Status answers STATUS.
func (s *Session) Status(ctx context.Context, mailbox string, items StatusItems) (*StatusData, error) {
	return nil, errSoon
}

// Create, Delete, Rename, Subscribe and Unsubscribe.
func (s *Session) Create(ctx context.Context, mailbox string) error      { return errSoon }
func (s *Session) Delete(ctx context.Context, mailbox string) error      { return errSoon }
func (s *Session) Rename(ctx context.Context, mailbox, to string) error  { return errSoon }
func (s *Session) Subscribe(ctx context.Context, mailbox string) error   { return errSoon }
func (s *Session) Unsubscribe(ctx context.Context, mailbox string) error { return errSoon }

// Append stores a message.
func (s *Session) Append(ctx context.Context, mailbox string, r AppendRequest, raw io.Reader) (*AppendData, error) {
	return nil, errSoon
}

// Idle tells of changes until stop is closed.
func (s *Session) Idle(ctx context.Context, stop <-chan struct{}) error { return errSoon }

func (s *Session) store(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, errSoon
}
func (s *Session) copy(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, errSoon
}
func (s *Session) move(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, errSoon
}
func (s *Session) expunge(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, errSoon
}
