package box

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// stepEvents is how many journal entries a step takes one by one, at least:
// about as much work as reading the table of a small mailbox.
const stepEvents = 2000

// CatchUp brings the Box to what was committed before the call. Where nothing
// was, it costs nothing.
func (b *Box) CatchUp(ctx context.Context) error {
	b.step.Lock()
	defer b.step.Unlock()
	if !b.stale.Swap(false) {
		return nil
	}
	err := b.catchUp(ctx)
	if err != nil {
		b.stale.Store(true)
	}
	if mail.KindOf(err) == mail.KindNotFound {
		// Nothing will come any more, and who waits must learn of it.
		b.mu.Lock()
		b.wake()
		b.mu.Unlock()
	}
	return err
}

func (b *Box) catchUp(ctx context.Context) error {
	thorough := false
	if !b.loaded { // written under step alone
		if err := b.load(ctx); err != nil {
			return err
		}
		thorough = true
	}
	for range 3 {
		n, err := b.read(ctx, thorough)
		if err != nil {
			return err
		}
		if n.gap == "" {
			b.apply(n)
			off := n.total - int64(len(b.rows)) // rows are written under step alone
			switch {
			case !n.counted || off == b.off:
				return nil
			case thorough:
				// The table was read anew, and is what UIDs are: it is served.
				b.off = off
				b.set.log.ErrorContext(ctx, "the count of a mailbox is not that of its messages", "mailbox", b.mailbox, "count", n.total, "messages", len(b.rows))
				return nil
			}
			n.gap = "count"
		}
		// After a load there is no gap but one that opened meanwhile.
		b.set.log.InfoContext(ctx, "mailbox index read anew", "mailbox", b.mailbox, "reason", n.gap)
		if err := b.load(ctx); err != nil {
			return err
		}
		thorough = true
	}
	return mail.Errorf(mail.KindUnavailable, "index mailbox", "The mailbox changes faster than it can be read; try again in a moment")
}

// news is what one transaction of the store told.
type news struct {
	sequence uint64
	// gap says why the journal does not do, empty where it does.
	gap string
	// counted: the fields below were read.
	counted bool
	total   int64
	next    uint32
	modSeq  uint64
	// rows are those of messages that were touched and are in the mailbox, by
	// UID; gone are messages of which there may be other rows.
	rows []store.UID
	gone map[string]struct{}
}

// touch is what the journal says of one message.
type touch struct {
	// entered: it may be in the mailbox now.
	here bool
	// before: it may have been there before, under another UID.
	before bool
}

// read reads what happened since the Box was last brought forward, in one
// transaction: the rows that it gives are all of one moment.
func (b *Box) read(ctx context.Context, thorough bool) (n news, err error) {
	err = b.set.store.View(ctx, func(tx store.Tx) error {
		n = news{sequence: b.sequence}
		last, err := tx.LastSequence(b.account)
		if err != nil {
			return err
		}
		if last == b.sequence && !thorough {
			_, err := b.record(tx) // an account that is deleted says nothing more
			return err
		}
		m, err := b.record(tx)
		if err != nil {
			return err
		}
		if last < b.sequence {
			n.gap = "another life of the store"
			return nil
		}
		if last-b.sequence > uint64(max(stepEvents, len(b.rows)/32)) {
			n.gap = "too much at once"
			return nil
		}
		touched, gap, err := b.touched(tx, last)
		if n.gap = gap; err != nil || gap != "" {
			return err
		}
		n.sequence, n.counted, n.total, n.next, n.modSeq = last, true, m.Total, m.UIDNext, m.ModSeq
		return b.look(tx, touched, thorough, &n)
	})
	return n, err
}

// touched reads the journal up to a sequence.
func (b *Box) touched(tx store.Tx, last uint64) (found map[string]touch, gap string, err error) {
	found = map[string]touch{}
	for at := b.sequence; at < last; {
		events, err := tx.AccountEventsAfter(b.account, at, 500)
		if err != nil {
			return nil, "", err
		}
		if len(events) == 0 {
			return nil, "journal trimmed", nil
		}
		for i := range events {
			e := &events[i]
			if e.Sequence != at+1 {
				return nil, "journal trimmed", nil
			}
			at = e.Sequence
			if e.Message == "" {
				if e.Internal && e.Mailbox == b.mailbox {
					return nil, "the whole mailbox was changed", nil
				}
				continue
			}
			t := found[e.Message]
			here, before := b.concerns(e)
			if t.here, t.before = t.here || here, t.before || before; t.here || t.before {
				found[e.Message] = t
			}
		}
	}
	return found, "", nil
}

// concerns reports what an event says of this mailbox: whether its message may
// be in it now, and whether it may have been in it before.
func (b *Box) concerns(e *event.Event) (here, before bool) {
	removed := slices.Contains(e.RemovedMailboxes, b.mailbox)
	switch {
	case e.Type == event.MessageDeleted:
		return false, removed
	case e.Type == event.MessageCreated:
		return slices.Contains(e.AddedMailboxes, b.mailbox), false
	case removed:
		return true, true
	case slices.Contains(e.AddedMailboxes, b.mailbox):
		return true, false
	case e.Internal && e.Mailbox != "":
		return e.Mailbox == b.mailbox, e.Mailbox == b.mailbox
	case e.Snapshot != nil:
		in := slices.Contains(e.Snapshot.Mailboxes, b.mailbox)
		return in, in
	}
	return true, true // it does not say
}

// look reads the rows that touched messages have now.
func (b *Box) look(tx store.Tx, touched map[string]touch, thorough bool, n *news) error {
	for id, t := range touched {
		uid := uint32(0)
		m, err := tx.Message(id)
		switch {
		case isNotFound(err):
		case err != nil:
			return err
		default:
			uid = m.UIDs[b.mailbox]
		}
		known := false
		if uid != 0 {
			page, err := tx.UIDs(b.mailbox, uid, uid, 1)
			if err != nil {
				return err
			}
			if err := complete(tx, page); err != nil {
				return err
			}
			if len(page) == 1 && page[0].Message == id {
				n.rows = append(n.rows, page[0])
			}
			known = b.has(uid, id)
		}
		if thorough || t.before && !known {
			if n.gone == nil {
				n.gone = map[string]struct{}{}
			}
			n.gone[id] = struct{}{}
		}
	}
	slices.SortFunc(n.rows, func(x, y store.UID) int { return int(int64(x.UID) - int64(y.UID)) })
	return nil
}

// apply brings the rows to the moment that news is of.
func (b *Box) apply(n news) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sequence = n.sequence
	if !n.counted {
		return
	}
	b.next, b.modSeq = n.next, n.modSeq
	before := b.log.newest
	if len(n.gone) > 0 {
		b.remove(n)
	}
	for i := range n.rows {
		b.put(&n.rows[i])
	}
	if b.log.newest != before {
		b.wake()
	}
	b.sweep()
}

// remove takes out the rows of messages that are gone, or have other UIDs; the
// caller holds the lock.
func (b *Box) remove(n news) {
	now := make(map[uint32]struct{}, len(n.rows))
	for i := range n.rows {
		now[n.rows[i].UID] = struct{}{}
	}
	var out []uint32
	b.rows = slices.DeleteFunc(b.rows, func(r row) bool {
		if _, gone := n.gone[r.message]; !gone {
			return false
		}
		if _, stays := now[r.uid]; stays {
			return false
		}
		b.tally(&r, -1)
		out = append(out, r.uid)
		return true
	})
	for _, uid := range out {
		b.log.add(uid, len(b.rows))
	}
}

// put writes a row; the caller holds the lock.
func (b *Box) put(u *store.UID) {
	next := rowOf(u, b.sets)
	i, ok := b.find(u.UID)
	if !ok {
		b.rows = slices.Insert(b.rows, i, next)
		b.tally(&b.rows[i], 1)
		b.log.add(u.UID, len(b.rows))
		return
	}
	old := &b.rows[i]
	changed := old.set != next.set || old.deleted != next.deleted
	if next.size == 0 {
		next.size = old.size // told by SetSize meanwhile
	}
	next.message = old.message // shares its page's string
	b.tally(old, -1)
	*old = next
	b.tally(old, 1)
	if changed {
		b.log.add(u.UID, len(b.rows))
	}
}
