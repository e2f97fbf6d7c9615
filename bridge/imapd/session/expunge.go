package session

import (
	"context"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
)

// expunge answers EXPUNGE and UID EXPUNGE (RFC 9051, 6.4.3 and 6.4.9). What
// that does to a message the mirror decides: out of a folder it goes to the
// trash, out of the trash for good.
func (s *Session) expunge(ctx context.Context, c *wire.Command, _ *wire.Writer) (*Tagged, error) {
	var set *wire.Set
	if c.UID {
		if err := c.Args.SP(); err != nil {
			return nil, err
		}
		named, err := c.Args.Set()
		if err != nil {
			return nil, err
		}
		set = &named
	}
	if err := c.Args.End(); err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	if err := s.sel.box.CatchUp(ctx); err != nil {
		return nil, err
	}
	o, err := s.expungeAll(ctx, set)
	if err != nil {
		return nil, err
	}
	return o.answer(true, "expunged"), nil
}

// expungeAll removes the messages with \Deleted that the client knows of,
// among those that a set of UIDs names unless it is nil.
func (s *Session) expungeAll(ctx context.Context, set *wire.Set) (outcome, error) {
	var o outcome
	all := wire.Set{Ranges: []wire.Range{{First: 1, Last: 0}}}
	if set == nil {
		set = &all
	}
	messages, err := s.each(*set, true)
	if err != nil {
		return o, err
	}
	var ids []string
	for m := range messages {
		if m.row.Deleted {
			ids = append(ids, m.row.Message)
		}
	}
	remove := s.server.opts.Mirror.Expunge
	if s.server.opts.ExpungeTo == ExpungeDeletes {
		remove = s.server.opts.Mirror.Purge
	}
	err = inBatches(ctx, s.info.Stopping, ids, func(ctx context.Context, ids []string) error {
		rs, err := remove(ctx, s.sel.mailbox.ID, ids)
		if err != nil {
			rs = make([]mailbox.Result, len(ids))
			for i := range rs {
				rs[i].Err = err
			}
		}
		for i := range rs {
			o.note(rs[i].Err)
		}
		return nil
	})
	return o, err
}
