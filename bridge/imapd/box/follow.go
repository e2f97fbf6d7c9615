package box

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func (b *Box) load(ctx context.Context) error {
	return mail.Errorf(mail.KindInternal, "load", "not yet")
}

func (b *Box) forward(ctx context.Context) error { return nil }
