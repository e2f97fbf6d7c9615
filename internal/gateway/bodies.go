package gateway

import (
	"context"

	"github.com/postern-mail/postern/internal/textindex"
	"github.com/postern-mail/postern/store"
)

// hasMailPrograms reports whether an account's bodies are brought ahead for
// programs that read them over IMAP: most fetch every one sooner or later.
func (g *Gateway) hasMailPrograms(_ context.Context, account string) bool {
	return (g.cfg.IMAP.Listen != "" || g.cfg.IMAP.ListenTLS != "") && g.access.ReadBy(account)
}

// putExtract keeps the text of a message where searches look for it; without one
// it has them forget it.
func putExtract(tx store.Tx, account, message string, extract []byte) error {
	if extract == nil {
		return textindex.Drop(tx, account, message)
	}
	return textindex.Put(tx, account, message, extract)
}

// hydrated tells those who remember what was known of a message that its bytes
// are here.
func (g *Gateway) hydrated(m *store.Message) {
	if g.sessions != nil {
		g.sessions.Sized(m)
	}
}
