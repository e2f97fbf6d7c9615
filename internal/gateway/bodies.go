package gateway

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/store"
)

// hasMailPrograms reports whether an account's bodies are brought ahead for
// programs that read them over IMAP: most fetch every one sooner or later.
func (g *Gateway) hasMailPrograms(ctx context.Context, account string) bool {
	if g.cfg.IMAP.Listen == "" && g.cfg.IMAP.ListenTLS == "" {
		return false
	}
	list, err := g.access.AppPasswords(ctx, account)
	if err != nil {
		return false // it is asked again with the next round
	}
	return slices.ContainsFunc(list, func(p *store.AppPassword) bool {
		return slices.ContainsFunc(p.Scopes, func(s string) bool {
			return s == string(access.ScopeIMAP) || s == string(access.ScopeIMAPRead)
		})
	})
}

// putExtract keeps the text of a message where searches look for it.
func putExtract(tx store.Tx, account, message string, extract []byte) error {
	return textindex.Put(tx, account, message, extract)
}

// hydrated tells those who remember what was known of a message that its bytes
// are here.
func (g *Gateway) hydrated(m *store.Message) {
	if g.sessions != nil {
		g.sessions.Sized(m)
	}
}
