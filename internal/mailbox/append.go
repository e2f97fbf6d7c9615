package mailbox

import (
	"context"
	"io"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// AppendInput is where a message goes and what it is to have.
type AppendInput struct {
	Account string
	// Mailbox is our id.
	Mailbox  string
	Keywords []string
	// Date is when it was received; zero is now.
	Date time.Time
	// Operation names this one append: again with the same name, and the
	// message is not stored twice.
	Operation string
}

// Append stores a message of size bytes in a mailbox.
func (s *Service) Append(ctx context.Context, in AppendInput, raw io.Reader, size int64) (*store.Message, error) {
	return nil, mail.Errorf(mail.KindInternal, "append", "not yet")
}
