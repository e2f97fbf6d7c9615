package session

import (
	"context"
	"errors"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// Command carries out a command that addresses messages of the selected
// mailbox. Its untagged responses, and what else has changed meanwhile, go to
// w; the answer, which the caller writes, ends it. An error ends the session:
// *Over, or one of w. With an answer beside it the command was carried out, and
// that is told first: who is not told of a COPY makes another one.
func (s *Session) Command(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	t, err := s.command(ctx, c, w)
	if werr := w.Err(); werr != nil {
		return nil, werr
	}
	var end *Over
	if errors.As(err, &end) {
		return nil, err
	}
	if err != nil {
		t = Answer(err)
	}
	if s.sel == nil {
		return t, nil
	}
	// RFC 9051, 7.5.1: no EXPUNGE while sequence numbers are being used.
	expunge := c.UID || c.Name != "FETCH" && c.Name != "STORE" && c.Name != "SEARCH"
	return t, s.poll(ctx, responses{w}, expunge)
}

func (s *Session) command(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	if s.account == "" {
		return &Tagged{Status: Bad, Text: "Log in first"}, nil
	}
	if s.sel == nil {
		return &Tagged{Status: Bad, Text: "No mailbox is selected"}, nil
	}
	switch c.Name {
	case "FETCH":
		// So that no flag comes that FLAGS has not told of.
		if err := s.poll(ctx, responses{w}, false); err != nil {
			return nil, err
		}
		return s.fetch(ctx, c, w)
	case "SEARCH":
		return s.search(ctx, c, w)
	}
	if err := w.Flush(); err != nil { // the provider may take long
		return nil, err
	}
	switch c.Name {
	case "STORE":
		return s.store(ctx, c, w)
	case "COPY":
		return s.copy(ctx, c, w)
	case "MOVE":
		return s.move(ctx, c, w)
	case "EXPUNGE":
		return s.expunge(ctx, c, w)
	}
	return &Tagged{Status: Bad, Text: "Unknown command"}, nil
}
