package session

import (
	"context"

	"github.com/postern-mail/postern/bridge/imapd/box"
	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/store"
)

// selected is the selected mailbox, as the client knows it.
type selected struct {
	box     *box.Box
	mailbox *store.Mailbox
	// readOnly: by EXAMINE, or by the password.
	readOnly bool
	// uids are those that the client was told of, ascending: the place of one,
	// from 1, is its sequence number.
	uids []uint32
	// version is that of the box that the client was told.
	version uint64
	// missing is how many of the messages that the last command named are gone.
	missing int
	woken   <-chan struct{}
	unwatch func()
}

// Poll tells what changed since the client was last told, without expunges
// where these may not be told now.
func (s *Session) Poll(ctx context.Context, expunge bool) error {
	if s.sel == nil {
		return nil
	}
	return s.poll(ctx, s.out, expunge)
}

func (s *Session) poll(ctx context.Context, out Updates, expunge bool) error { return nil }

// leave gives back what the selected mailbox holds.
func (s *Session) leave() { s.sel = nil }

// responses writes updates among a command's own responses.
type responses struct{ w *wire.Writer }

func (r responses) Exists(n uint32) { r.w.Raw("* ").Unsigned(uint64(n)).Raw(" EXISTS").CRLF() }

func (r responses) Expunge(seq uint32) { r.w.Raw("* ").Unsigned(uint64(seq)).Raw(" EXPUNGE").CRLF() }

func (r responses) Fetch(seq, uid uint32, flags []string, _ uint64) {
	r.w.Raw("* ").Unsigned(uint64(seq)).Raw(" FETCH (UID ").Unsigned(uint64(uid)).Raw(" FLAGS ").Flags(flags).Raw(")").CRLF()
}

func (r responses) Flags(all []string) { r.w.Raw("* FLAGS ").Flags(all).CRLF() }

func (r responses) Flush() error { return r.w.Err() }
