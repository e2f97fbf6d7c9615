package gateway

import (
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/mailbox"
)

// leaving is the mirror as the accounts know it, and whoever else must hear at
// once that one is gone.
type leaving struct {
	*mailbox.Service
	access *access.Access
}

// Forget ends what goes on for an account.
func (l leaving) Forget(account string) {
	l.access.Disconnected(account)
	l.Service.Forget(account)
}
