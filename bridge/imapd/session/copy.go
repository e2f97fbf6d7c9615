package session

import (
	"context"
	"strconv"

	"github.com/postern-mail/postern/bridge/imapd/wire"
	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// parseTo parses what COPY and MOVE take: a set and a mailbox.
func parseTo(c *wire.Command) (set wire.Set, name string, err error) {
	a := c.Args
	if err = a.SP(); err != nil {
		return set, "", err
	}
	if set, err = a.Set(); err != nil {
		return set, "", err
	}
	if err = a.SP(); err != nil {
		return set, "", err
	}
	if name, err = a.Mailbox(c.UTF8); err != nil {
		return set, "", err
	}
	return set, name, a.End()
}

// target finds the mailbox that messages are to go to.
func (s *Session) target(ctx context.Context, name string) (*node, error) {
	t, err := s.tree(ctx)
	if err != nil {
		return nil, err
	}
	n, err := t.find(name)
	if mail.KindOf(err) == mail.KindNotFound {
		return nil, withCode("TRYCREATE", err) // RFC 9051, 6.4.7
	}
	return n, err
}

// copy answers COPY and UID COPY (RFC 9051, 6.4.7).
func (s *Session) copy(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	set, name, err := parseTo(c)
	if err != nil {
		return nil, err
	}
	if err := s.mayWrite(); err != nil {
		return nil, err
	}
	to, err := s.target(ctx, name)
	if err != nil {
		return nil, err
	}
	messages, err := s.resolve(set, c.UID)
	if err != nil {
		return nil, err
	}
	o := outcome{lost: s.sel.missing}
	pairs, err := s.carry(ctx, messages, to.mailbox, &o, func(ctx context.Context, ids []string) ([]mailbox.Result, error) {
		return s.server.opts.Mirror.Copy(ctx, ids, to.mailbox.ID)
	})
	if err != nil {
		return nil, err
	}
	t := o.answer(c.UID, "copied")
	if code := pairs.code(to.mailbox); code != "" && t.Status == OK {
		t.Code = code
	} else if code != "" {
		// Some were copied: their numbers are told before the answer.
		w.Raw("* OK [").Raw(code).Raw("] These were copied").CRLF()
	}
	return t, nil
}

// move answers MOVE and UID MOVE (RFC 6851; RFC 9051, 6.4.8).
func (s *Session) move(ctx context.Context, c *wire.Command, w *wire.Writer) (*Tagged, error) {
	set, name, err := parseTo(c)
	if err != nil {
		return nil, err
	}
	if err := s.writable(); err != nil {
		return nil, err
	}
	to, err := s.target(ctx, name)
	if err != nil {
		return nil, err
	}
	if to.mailbox.ID == s.sel.mailbox.ID {
		return nil, mail.Errorf(mail.KindInvalid, "move messages", "The messages are in this mailbox already")
	}
	messages, err := s.resolve(set, c.UID)
	if err != nil {
		return nil, err
	}
	o := outcome{lost: s.sel.missing}
	pairs, err := s.carry(ctx, messages, to.mailbox, &o, func(ctx context.Context, ids []string) ([]mailbox.Result, error) {
		return s.server.opts.Mirror.MoveFrom(ctx, s.sel.mailbox.ID, to.mailbox.ID, ids)
	})
	if err != nil {
		return nil, err
	}
	if code := pairs.code(to.mailbox); code != "" {
		// Before the EXPUNGEs, which poll tells (RFC 6851, 4.3).
		w.Raw("* OK [").Raw(code).Raw("] Moved").CRLF()
	}
	return o.answer(c.UID, "moved"), nil
}

// numbers are UIDs of messages and of what became of them elsewhere.
type numbers struct {
	from, to []uint32
	// unknown: one arrived whose UID nobody knows yet.
	unknown bool
}

// code is COPYUID (RFC 4315, 3), empty where there is nothing to tell, or not
// all of it is known.
func (n *numbers) code(to *store.Mailbox) string {
	if len(n.from) == 0 || n.unknown {
		return ""
	}
	return "COPYUID " + decimal(to.UIDValidity) + " " + inOrder(n.from) + " " + inOrder(n.to)
}

// inOrder writes UIDs in the order given: the two lists of COPYUID belong
// together by place.
func inOrder(uids []uint32) string { return wire.NewSet(uids).String() }

func decimal(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// carry has messages copied or moved, oldest first, and gives their numbers on
// both sides.
func (s *Session) carry(ctx context.Context, messages []message, to *store.Mailbox, o *outcome, call func(context.Context, []string) ([]mailbox.Result, error)) (n numbers, err error) {
	err = inBatches(ctx, s.info.Stopping, messages, func(ctx context.Context, part []message) error {
		ids := make([]string, len(part))
		for i := range part {
			ids[i] = part[i].row.Message
		}
		rs, err := call(ctx, ids)
		if err == nil && !to.UIDListed {
			// It is done, and is said to be, with numbers or without.
			if err := s.server.opts.Mirror.Number(ctx, to.ID, rs); err != nil {
				s.server.log.WarnContext(ctx, "messages that arrived were not numbered", "account", s.account, "mailbox", to.ID, "error", err)
			}
		}
		for i := range part {
			fate := err
			if err == nil {
				fate = rs[i].Err
			}
			if o.note(fate); fate != nil {
				continue
			}
			arrived := rs[i].Message
			if arrived == nil || arrived.UIDs[to.ID] == 0 {
				n.unknown = true
				continue
			}
			n.from, n.to = append(n.from, part[i].uid), append(n.to, arrived.UIDs[to.ID])
		}
		return nil
	})
	return n, err
}
