package session

import (
	"context"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func (s *Session) fetch(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	return nil, mail.Errorf(mail.KindInternal, "fetch", "not yet")
}
