package gmail

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	// maxInsert is the largest message that Gmail stores, maxSend the largest
	// that it sends ("media upload" of insert and of send).
	maxInsert = 157_286_400
	maxSend   = 36_700_160
)

// Describe says what Gmail can do. It has no place for $answered and
// $forwarded, nor for free keywords, which the core keeps itself. One history
// tells of the whole account, and a listing of it is told with all metadata.
func (p *Provider) Describe(context.Context) (*provider.Info, error) {
	keywords := []string{mail.Seen, mail.Flagged, mail.Draft}
	if c := p.conf.Load(); c == nil || c.categories == categoriesKeywords {
		keywords = append(keywords, categoryKeywords()...)
	}
	return &provider.Info{
		Name:     "gmail",
		Title:    "Gmail and Google Workspace",
		Version:  "1",
		SignIn:   provider.SignInOAuth,
		Settings: known,
		Capabilities: []provider.Capability{
			provider.CapConnect, provider.CapRevoke, provider.CapExactBytes, provider.CapMailboxes, provider.CapSearch,
			provider.CapModify, provider.CapAppend, provider.CapCopy, provider.CapDelete, provider.CapPurge,
			provider.CapSend, provider.CapIdentities, provider.CapWatch, provider.CapListen,
		},
		Keywords:       keywords,
		Scope:          mail.ScopeAccount,
		FeedEnumerates: true,
		Limits:         provider.Limits{MaxMessageBytes: maxInsert, ModifyBatch: 1000, FetchBatch: 100},
	}, nil
}
