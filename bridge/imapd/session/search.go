package session

import (
	"context"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TextSearcher finds messages by their text.
type TextSearcher interface{}

func (s *Session) search(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, mail.Errorf(mail.KindInternal, "search", "not yet")
}
