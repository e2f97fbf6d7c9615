package session

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// settleTime is how long a command that made a mailbox waits until it can be
// selected: until the provider said that there is nothing in it.
const settleTime = 20 * time.Second

// Create makes a mailbox, and those above it (RFC 9051, 6.3.4).
func (s *Session) Create(ctx context.Context, name string) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	name = strings.TrimSuffix(name, string(Delimiter)) // says only that others will follow below
	t, err := s.tree(ctx)
	if err != nil {
		return err
	}
	if name = foldInbox(name); t.byName[name] != nil || name == inbox {
		return withCode("ALREADYEXISTS", mail.Errorf(mail.KindConflict, "create mailbox", "There is a mailbox of that name"))
	}
	parent, leaf, err := s.above(ctx, t, name)
	if err != nil {
		return err
	}
	m, err := s.server.opts.Mirror.CreateMailbox(ctx, s.account, parent, leaf)
	if err != nil {
		return taken(err)
	}
	return s.made(ctx, m, name)
}

// above finds the mailbox above a name, and makes it where it is not there. It
// gives its id, empty for the top, and the last level as the provider is to
// have it.
func (s *Session) above(ctx context.Context, t *tree, name string) (parent, leaf string, err error) {
	levels := strings.Split(name, string(Delimiter))
	if err := checkLevels(levels); err != nil {
		return "", "", err
	}
	hollow := "" // levels above that are none of the provider's: the leaf's name begins with them
	for i, level := range levels {
		leaf = decodeName(level)
		if t.labels && strings.ContainsRune(leaf, Delimiter) && (hollow != "" || encodeLabel(leaf) != level) {
			return "", "", mail.Errorf(mail.KindInvalid, "create mailbox", "A label's name cannot hold its delimiter")
		}
		leaf = hollow + leaf
		if i == len(levels)-1 {
			return parent, leaf, nil
		}
		path := strings.Join(levels[:i+1], string(Delimiter))
		if n := t.byName[path]; n != nil {
			parent, hollow = n.mailbox.ID, ""
			continue
		}
		if t.hollow[path] != nil {
			hollow = leaf + string(Delimiter)
			continue
		}
		hollow = ""
		m, err := s.server.opts.Mirror.CreateMailbox(ctx, s.account, parent, leaf)
		if err != nil {
			return "", "", err
		}
		parent = m.ID
	}
	return "", "", errors.New("a name without a level") // Split gives one at least
}

// maxLevels is how deep a mailbox may be: each level that is missing is a call of
// the provider.
const maxLevels = 100

// checkLevels refuses a name before anything is made for it.
func checkLevels(levels []string) error {
	if len(levels) > maxLevels {
		return mail.Errorf(mail.KindInvalid, "create mailbox", "A mailbox's name has at most %d levels", maxLevels)
	}
	for _, level := range levels {
		leaf := decodeName(level)
		switch {
		case strings.TrimSpace(leaf) == "":
			return mail.Errorf(mail.KindInvalid, "create mailbox", "A mailbox's name has no empty level")
		case leaf != strings.TrimSpace(leaf):
			// Providers drop it, and what is made must have the name that was asked for.
			return mail.Errorf(mail.KindInvalid, "create mailbox", "A mailbox's name neither begins nor ends with a space")
		case strings.ContainsFunc(level, unicode.IsControl):
			return mail.Errorf(mail.KindInvalid, "create mailbox", "A mailbox's name holds no control characters")
		}
	}
	return nil
}

// made waits until a new mailbox can be selected, and takes over a
// subscription to its name.
func (s *Session) made(ctx context.Context, m *store.Mailbox, name string) error {
	err := s.server.opts.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteSubscribedName(s.account, name) })
	if err != nil {
		return err
	}
	if m.UIDListed {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := s.server.opts.Mirror.Sync(ctx, s.account); err != nil {
		// It is there; that it cannot be selected yet is told by who tries.
		s.server.log.InfoContext(ctx, "new mailbox not listed yet", "account", s.account, "mailbox", m.ID, "error", err)
	}
	return nil
}

// Delete removes a mailbox as the provider does (RFC 9051, 6.3.5).
func (s *Session) Delete(ctx context.Context, name string) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	t, err := s.tree(ctx)
	if err != nil {
		return err
	}
	n, err := t.find(name)
	if err != nil {
		return err
	}
	if n.name == inbox {
		return mail.Errorf(mail.KindInvalid, "delete mailbox", "INBOX cannot be deleted")
	}
	if len(n.children) > 0 {
		return withCode("HASCHILDREN", mail.Errorf(mail.KindInvalid, "delete mailbox", "There are mailboxes below this one"))
	}
	if err := s.server.opts.Mirror.DeleteMailbox(ctx, n.mailbox.ID); err != nil {
		return err
	}
	if s.sel != nil && s.sel.mailbox.ID == n.mailbox.ID {
		s.leave()
	}
	if n.mailbox.Subscription == store.Subscribed {
		// Who subscribed to a name stays subscribed (RFC 9051, 6.3.7).
		err := s.server.opts.Store.Update(ctx, func(tx store.Tx) error { return tx.PutSubscribedName(s.account, n.name) })
		if err != nil {
			return err
		}
	}
	s.unmade(ctx, n)
	return nil
}

// unmadeRounds is how many rounds a deletion waits for: one finds that the messages
// are not where they were, the next one where they are.
const unmadeRounds = 3

// unmade waits until a mailbox that the provider has deleted bears its name no more.
// While it is asked what became of its messages it is in the mirror, and the name
// could be listed, and not be made again.
func (s *Session) unmade(ctx context.Context, n *node) {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for range unmadeRounds {
		t, err := s.tree(ctx)
		if err == nil {
			if is := t.byName[n.name]; is == nil || is.mailbox == nil || is.mailbox.ID != n.mailbox.ID {
				return
			}
			err = s.server.opts.Mirror.Sync(ctx, s.account)
		}
		if err != nil {
			s.server.log.InfoContext(ctx, "deleted mailbox still listed", "account", s.account, "mailbox", n.mailbox.ID, "error", err)
			return
		}
	}
}

// Rename gives a mailbox another name or place (RFC 9051, 6.3.6).
func (s *Session) Rename(ctx context.Context, name, to string) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	to = foldInbox(strings.TrimSuffix(to, string(Delimiter)))
	t, err := s.tree(ctx)
	if err != nil {
		return err
	}
	n, err := t.find(name)
	if err != nil {
		return err
	}
	if t.byName[to] != nil {
		return withCode("ALREADYEXISTS", mail.Errorf(mail.KindConflict, "rename mailbox", "There is a mailbox of that name"))
	}
	if n.name == inbox {
		return s.renameInbox(ctx, n.mailbox, to)
	}
	if strings.HasPrefix(to, n.name+string(Delimiter)) {
		return mail.Errorf(mail.KindInvalid, "rename mailbox", "A mailbox cannot go below itself")
	}
	parent, leaf, err := s.above(ctx, t, to)
	if err != nil {
		return err
	}
	var place *string
	if parent != n.mailbox.Parent {
		place = &parent
	}
	_, err = s.server.opts.Mirror.RenameMailbox(ctx, n.mailbox.ID, leaf, place)
	return taken(err)
}

// taken says that there is such a mailbox where the provider says so, to whom
// names that we tell apart may be the same.
func taken(err error) error {
	if mail.KindOf(err) == mail.KindConflict {
		return withCode("ALREADYEXISTS", err)
	}
	return err
}

// renameInbox moves what is in the inbox to a new mailbox; the inbox stays, as
// do mailboxes below it (RFC 9051, 6.3.6).
func (s *Session) renameInbox(ctx context.Context, from *store.Mailbox, to string) error {
	if err := s.Create(ctx, to); err != nil {
		return err
	}
	target, err := s.target(ctx, to)
	if err != nil {
		return err
	}
	b, err := s.server.boxes.Open(ctx, from.ID)
	if err != nil {
		return err
	}
	defer b.Release()
	var o outcome
	err = inBatches(ctx, s.info.Stopping, b.Snapshot().UIDs, func(ctx context.Context, uids []uint32) error {
		var ids []string
		for _, r := range b.Rows(uids, nil) {
			if r.UID != 0 {
				ids = append(ids, r.Message)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		rs, err := s.server.opts.Mirror.MoveFrom(ctx, from.ID, target.mailbox.ID, ids)
		if err != nil {
			return err
		}
		for i := range rs {
			o.note(rs[i].Err)
		}
		return nil
	})
	if err == nil && o.fail > 0 {
		e := *asError(o.failed)
		e.Message = o.answer(true, "moved").Text
		err = &e
	}
	return err
}

// asError gives the *mail.Error that an error is.
func asError(err error) *mail.Error {
	var e *mail.Error
	if errors.As(err, &e) {
		return e
	}
	return &mail.Error{Kind: mail.KindInternal, Op: "change mail", Err: err}
}

// Subscribe has a mailbox listed among the subscribed ones (RFC 9051, 6.3.7).
// There must be one of that name.
func (s *Session) Subscribe(ctx context.Context, name string) error {
	return s.subscribe(ctx, name, store.Subscribed)
}

// Unsubscribe is the opposite (RFC 9051, 6.3.8).
func (s *Session) Unsubscribe(ctx context.Context, name string) error {
	return s.subscribe(ctx, name, store.Unsubscribed)
}

func (s *Session) subscribe(ctx context.Context, name string, to store.Subscription) error {
	if err := s.mayWrite(); err != nil {
		return err
	}
	t, err := s.tree(ctx)
	if err != nil {
		return err
	}
	n, err := t.find(name)
	if err != nil {
		for _, stray := range t.subscribed {
			if stray == name {
				if to == store.Subscribed {
					return nil
				}
				return s.server.opts.Store.Update(ctx, func(tx store.Tx) error { return tx.DeleteSubscribedName(s.account, name) })
			}
		}
		return err
	}
	return s.server.opts.Store.Update(ctx, func(tx store.Tx) error {
		m, err := tx.Mailbox(n.mailbox.ID)
		if errors.Is(err, store.ErrNotFound) {
			return mail.Errorf(mail.KindNotFound, "subscribe", "The mailbox was deleted")
		}
		if err != nil || m.Subscription == to {
			return err
		}
		m.Subscription = to
		return tx.PutMailbox(m)
	})
}
