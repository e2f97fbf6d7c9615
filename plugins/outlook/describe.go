package outlook

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// maxMessage is the largest message that is taken: with base64 it fills the
// 150 MB that Exchange can be set to accept. Most mailboxes take 35 MB; Graph
// says so when such a message is sent.
const maxMessage = 150 << 20

// Describe says what Graph can do. Raw bytes are made anew by Exchange, so
// that CapExactBytes is missing; a consent cannot be given back by the
// application, so that CapRevoke is.
//
// $answered and $forwarded are kept by Postern: Exchange has them (property
// 0x1081), but neither a delta nor a list tells them reliably.
func (p *Provider) Describe(context.Context) (*provider.Info, error) {
	return &provider.Info{
		Name:     "outlook",
		Title:    "Outlook and Exchange Online",
		Version:  "1",
		SignIn:   provider.SignInOAuth,
		Settings: settings,
		Capabilities: []provider.Capability{
			provider.CapConnect, provider.CapMailboxes, provider.CapModify, provider.CapAppend,
			provider.CapCopy, provider.CapDelete, provider.CapPurge, provider.CapSend,
			provider.CapSearch, provider.CapWatch,
		},
		Keywords:       []string{mail.Seen, mail.Flagged, mail.Draft, "*"},
		Scope:          mail.ScopeMailbox,
		FeedEnumerates: true,
		Limits:         provider.Limits{MaxMessageBytes: maxMessage, ModifyBatch: 100, FetchBatch: 100},
	}, nil
}
