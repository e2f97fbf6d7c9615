package session

import (
	"context"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// unsized is what a message counts for at least in STATUS SIZE whose size only
// its bytes could tell: no mail service lets in a larger one. The sum may be too
// large, and must not be too small (RFC 9051, 6.3.11; RFC 8438, 3); it is exact
// once the bytes were here.
const unsized = 150 << 20

// Status answers STATUS (RFC 9051, 6.3.11).
func (s *Session) Status(ctx context.Context, name string, items StatusItems) (*StatusData, error) {
	t, err := s.tree(ctx)
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return s.status(ctx, n, items)
}

// status reads the store's counts where these do, and the box where not.
func (s *Session) status(ctx context.Context, n *node, items StatusItems) (*StatusData, error) {
	m := n.mailbox
	if !m.UIDListed {
		return nil, mail.Errorf(mail.KindUnavailable, "read status", "This mailbox is still being listed for the first time; try again in a moment")
	}
	d := &StatusData{Mailbox: n.name, Messages: uint32(m.Total), Unseen: uint32(m.Unread),
		UIDNext: m.UIDNext, UIDValidity: m.UIDValidity, HighestModSeq: m.ModSeq}
	if !items.Deleted && !items.Size {
		return d, nil
	}
	b, err := s.server.boxes.Open(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	defer b.Release()
	if items.Size {
		if err := b.Refresh(ctx); err != nil {
			return nil, err
		}
	}
	c := b.Stats()
	d.Messages, d.Unseen, d.Deleted = uint32(c.Messages), uint32(c.Unseen), uint32(c.Deleted)
	d.UIDNext, d.HighestModSeq = c.UIDNext, c.ModSeq
	d.Size = c.Size + int64(c.Unsized)*max(unsized, s.server.opts.AppendLimit)
	return d, nil
}
