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
// $answered and $forwarded are one property at Exchange, the last thing that
// was done with the message, so that each takes the other's place: a message
// that was answered and is forwarded then is $forwarded alone. Of both at once
// $answered is kept. Results tell the state that this leads to.
func (p *Provider) Describe(context.Context) (*provider.Info, error) {
	return &provider.Info{
		Name:     "outlook",
		Title:    "Outlook and Exchange Online",
		Version:  "1",
		SignIn:   provider.SignInOAuth,
		Settings: known,
		Capabilities: []provider.Capability{
			provider.CapConnect, provider.CapMailboxes, provider.CapModify, provider.CapAppend,
			provider.CapCopy, provider.CapDelete, provider.CapPurge, provider.CapSend,
			provider.CapSearch, provider.CapWatch, provider.CapIdentities,
		},
		Keywords:       []string{mail.Seen, mail.Flagged, mail.Draft, mail.Answered, mail.Forwarded, "*"},
		Scope:          mail.ScopeMailbox,
		FeedEnumerates: true,
		Limits:         provider.Limits{MaxMessageBytes: maxMessage, ModifyBatch: 100, FetchBatch: 100},
	}, nil
}
