package mailbox

import (
	"context"
	"errors"
	"slices"

	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// fate is what taking a message out of a mailbox means.
type fate string

const (
	// fateTrash moves it to the trash.
	fateTrash fate = "trash"
	// fatePurge removes it for good.
	fatePurge fate = "purge"
	// fateOff takes the label off: it stays where it is besides.
	fateOff fate = "off"
	// fateArchive takes its only label off, and puts it where what has none is.
	fateArchive fate = "archive"
)

// Expunge takes messages out of a mailbox, as IMAP's EXPUNGE means it (RFC
// 9051, 6.4.3) and mail programs expect it: out of a folder into the trash, and
// out of the trash, or a folder below it, for good. A label only comes off, and with its last label a
// message is archived.
//
// A message that is not in the mailbox any more is left alone: somebody has
// moved it, and its result says where it is. Each message has its own outcome;
// one whose outcome is open has an error, and stays.
func (s *Service) Expunge(ctx context.Context, mailbox string, ids []string) ([]Result, error) {
	return s.expunge(ctx, mailbox, ids, false)
}

// Purge is Expunge that leaves nothing in the trash: what is in no other
// mailbox is removed for good.
func (s *Service) Purge(ctx context.Context, mailbox string, ids []string) ([]Result, error) {
	return s.expunge(ctx, mailbox, ids, true)
}

func (s *Service) expunge(ctx context.Context, mailbox string, ids []string, forGood bool) ([]Result, error) {
	return s.bulk(ctx, ids, func(w *work) ([]Result, error) {
		boxes, err := s.boxesOf(ctx, w.acct.ID)
		if err == nil && belowTrash(boxes[mailbox], boxes) {
			// What is removed for good does not come back, and the folder may have
			// been moved out of the trash since it was listed.
			if _, _, err = s.syncMailboxes(ctx, w.acct, w.p); err == nil {
				boxes, err = s.boxesOf(ctx, w.acct.ID)
			}
		}
		if err != nil {
			return nil, err
		}
		box := boxes[mailbox]
		if box == nil {
			return nil, notFound(store.ErrNotFound, "mailbox")
		}
		var out []Result
		var here []*store.Message
		for _, m := range w.messages {
			if slices.Contains(m.In, mailbox) {
				here = append(here, m)
			} else {
				out = append(out, Result{ID: m.ID, Message: m})
			}
		}
		for f, group := range groupBy(here, func(m *store.Message) string { return string(expungeFate(box, boxes, m, forGood)) }) {
			part := *w
			part.messages = group
			rs, err := s.take(ctx, &part, box, boxes, fate(f))
			out = append(out, s.taken(group, rs, err, mailbox)...)
		}
		return out, nil
	})
}

// boxesOf reads an account's mailboxes, by id.
func (s *Service) boxesOf(ctx context.Context, account string) (map[string]*store.Mailbox, error) {
	out := map[string]*store.Mailbox{}
	err := s.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(account)
		for _, m := range list {
			out[m.ID] = m
		}
		return err
	})
	return out, err
}

// belowTrash reports whether a mailbox is a folder somewhere below the trash: a
// folder that was deleted with all that is in it, mostly. Names of labels say
// nothing of the kind.
func belowTrash(box *store.Mailbox, boxes map[string]*store.Mailbox) bool {
	for range boxes { // a damaged answer may make a ring of parents
		if box == nil || box.Kind == mail.KindLabel {
			return false
		}
		if box = boxes[box.Parent]; box != nil && box.Role == mail.RoleTrash {
			return true
		}
	}
	return false
}

// expungeFate says what becomes of a message that leaves a mailbox.
func expungeFate(box *store.Mailbox, boxes map[string]*store.Mailbox, m *store.Message, forGood bool) fate {
	if box.Role == mail.RoleTrash || belowTrash(box, boxes) {
		return fatePurge
	}
	away := fateTrash
	if forGood {
		away = fatePurge
	}
	if box.Kind != mail.KindLabel {
		return away
	}
	switch box.Role {
	case mail.RoleJunk:
		// It is under no other label, and would be mail again without this one.
		return fatePurge
	case mail.RoleDrafts, mail.RoleSent, mail.RoleAll:
		// What a message is does not come off.
		return away
	}
	shown, anywhere := false, false
	for _, in := range m.In {
		if in == box.ID || boxes[in] == nil {
			continue
		}
		anywhere = true
		shown = shown || boxes[in].Role != mail.RoleAll && !boxes[in].Hidden
	}
	switch {
	case forGood && !shown:
		return fatePurge
	case anywhere:
		return fateOff
	case archiveOf(boxes) != nil && archiveOf(boxes) != box:
		return fateArchive
	}
	return fateTrash
}

// archiveOf is the mailbox of what has no other label; nil where there is none.
func archiveOf(boxes map[string]*store.Mailbox) *store.Mailbox {
	var found *store.Mailbox
	for _, m := range boxes {
		if m.Role == mail.RoleAll || m.Role == mail.RoleArchive && found == nil {
			found = m
		}
	}
	return found
}

// take has the provider take messages of one fate out of a mailbox.
func (s *Service) take(ctx context.Context, w *work, box *store.Mailbox, boxes map[string]*store.Mailbox, f fate) ([]Result, error) {
	switch f {
	case fatePurge:
		return s.purgeFrom(ctx, w, box)
	case fateOff:
		return s.update(ctx, w, Change{RemoveMailboxes: []string{box.ID}})
	case fateArchive:
		return s.update(ctx, w, Change{AddMailboxes: []string{archiveOf(boxes).ID}, RemoveMailboxes: []string{box.ID}})
	}
	return s.trash(ctx, w)
}

func (s *Service) trash(ctx context.Context, w *work) ([]Result, error) {
	return s.send(ctx, w, mail.FieldMailboxes, func(ids []string) (*provider.ModifyResponse, error) {
		return w.p.Delete(ctx, &provider.DeleteRequest{Call: write(w.acct), IDs: ids})
	}, nil)
}

// purgeFrom removes messages for good. That cannot be taken back, and the
// mirror may be behind: the provider is asked first where they are now.
func (s *Service) purgeFrom(ctx context.Context, w *work, box *store.Mailbox) ([]Result, error) {
	failed, err := s.lookAgain(ctx, w)
	if err != nil {
		return nil, err
	}
	var out []Result
	part := *w
	part.messages = nil
	err = s.store.View(ctx, func(tx store.Tx) error {
		out, part.messages = nil, nil
		for _, asked := range w.messages {
			m, err := tx.Message(asked.ID)
			switch {
			case errors.Is(err, store.ErrNotFound):
				out = append(out, Result{ID: asked.ID})
			case err != nil:
				return err
			case failed[m.ProviderID] != nil:
				out = append(out, Result{ID: asked.ID, Err: failed[m.ProviderID]})
			case renewed(asked, m, box.ID):
				// What was to go are other bytes: somebody has edited them.
				out = append(out, Result{ID: asked.ID, Err: mail.Errorf(mail.KindConflict, "expunge", "the message was changed meanwhile; look at it again")})
			case slices.Contains(m.In, box.ID):
				part.messages = append(part.messages, m)
			default:
				out = append(out, Result{ID: asked.ID, Message: m})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	rs, err := s.send(ctx, &part, purged, func(ids []string) (*provider.ModifyResponse, error) {
		return w.p.Purge(ctx, &provider.DeleteRequest{Call: write(w.acct), IDs: ids})
	}, nil)
	return append(out, rs...), err
}

// renewed reports whether a message has another UID in a mailbox than before.
func renewed(before, now *store.Message, mailbox string) bool {
	was, is := before.UIDs[mailbox], now.UIDs[mailbox]
	return was != 0 && is != 0 && was != is
}

// lookAgain asks the provider where messages are now, and writes that into the
// mirror. It gives the errors of those of which the provider could not tell; one
// that it does not know is none: the feeds tell of it.
func (s *Service) lookAgain(ctx context.Context, w *work) (map[string]error, error) {
	size := itemsPerTx(1)
	if most := w.info.Limits.FetchBatch; most > 0 {
		size = min(size, most)
	}
	failed := map[string]error{}
	for chunk := range slices.Chunk(w.messages, size) {
		req := &provider.FetchRequest{Call: write(w.acct), Mode: provider.FetchMetadata}
		for _, m := range chunk {
			req.IDs = append(req.IDs, m.ProviderID)
		}
		asOf := s.now()
		sink := &lookSink{failed: failed}
		if err := w.p.Fetch(ctx, req, sink); err != nil {
			return nil, err
		}
		err := s.journal.Update(ctx, func(tx store.Tx, b *journal.Batch) error {
			a := s.applier(tx, b, w.acct, asOf)
			a.direct = true
			for i := range sink.items {
				if err := a.apply(&sink.items[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return failed, nil
}

// lookSink keeps what is wrong with each message by itself.
type lookSink struct {
	itemSink
	failed map[string]error
}

// Failed takes the fate of a message that could not be read.
func (k *lookSink) Failed(id string, err error) error {
	if mail.KindOf(err) != mail.KindNotFound {
		k.failed[id] = err
	}
	return nil
}

// taken gives the group's results, with an error for each message that is
// still in the mailbox after all: what is not certain is not said to be done.
func (s *Service) taken(group []*store.Message, rs []Result, err error, mailbox string) []Result {
	if err != nil {
		rs = nil
		for _, m := range group {
			rs = append(rs, Result{ID: m.ID, Err: err})
		}
	}
	for i := range rs {
		if m := rs[i].Message; rs[i].Err == nil && m != nil && slices.Contains(m.In, mailbox) {
			rs[i].Err = notConfirmed("expunge")
		}
	}
	return rs
}

// notConfirmed: the provider has answered, and the message is not where it
// should be.
func notConfirmed(op string) error {
	return mail.Errorf(mail.KindUnavailable, op, "the provider has not confirmed the change; try again")
}
