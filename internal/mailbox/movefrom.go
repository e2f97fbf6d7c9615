package mailbox

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// MoveFrom moves messages from one mailbox into another, as IMAP's MOVE means
// it (RFC 6851): a label comes off and another one is put on, in one change,
// and the labels besides stay. One that cannot come off, such as that of all
// mail, stays as well, so that the result is a copy.
//
// A message that is not in the first mailbox any more is not moved
// (not_found). Into the mailbox that it is in, nothing happens.
func (s *Service) MoveFrom(ctx context.Context, from, to string, ids []string) ([]Result, error) {
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) {
		source, err := s.target(ctx, w.acct.ID, from)
		if err != nil {
			return nil, err
		}
		target, err := s.target(ctx, w.acct.ID, to)
		if err != nil {
			return nil, err
		}
		var out []Result
		part := *w
		part.messages = nil
		for _, m := range w.messages {
			switch {
			case !slices.Contains(m.In, from):
				out = append(out, Result{ID: m.ID, Message: m, Err: mail.Errorf(mail.KindNotFound, "move", "the message is not in this mailbox any more")})
			case from == to:
				out = append(out, Result{ID: m.ID, Message: m})
			default:
				part.messages = append(part.messages, m)
			}
		}
		if len(part.messages) == 0 {
			return out, nil
		}
		var rs []Result
		if target.Kind == mail.KindLabel && target.Role == mail.RoleTrash {
			rs, err = s.trash(ctx, &part) // out of all labels
		} else {
			rs, err = s.update(ctx, &part, Change{AddMailboxes: []string{to}, RemoveMailboxes: []string{from}})
		}
		return append(out, moved(part.messages, rs, err, source, to)...), nil
	})
}

// moved gives the results of moving messages, with an error for each of which
// it is not certain that it moved.
func moved(messages []*store.Message, rs []Result, err error, source *store.Mailbox, to string) []Result {
	if err != nil {
		rs = nil
		for _, m := range messages {
			rs = append(rs, Result{ID: m.ID, Err: err})
		}
	}
	for i := range rs {
		m := rs[i].Message
		switch {
		case rs[i].Err != nil:
		case m == nil:
			rs[i].Err = mail.Errorf(mail.KindNotFound, "move", "the message is gone")
		case !slices.Contains(m.In, to), slices.Contains(m.In, source.ID) && !staysOn(source):
			rs[i].Err = notConfirmed("move")
		}
	}
	return rs
}

// staysOn: labels that say what a message is, and may not come off.
func staysOn(m *store.Mailbox) bool {
	switch m.Role {
	case mail.RoleAll, mail.RoleSent, mail.RoleDrafts:
		return m.Kind == mail.KindLabel
	}
	return false
}
