package gmail

import (
	"context"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// change is what a page of history says of one message.
type change struct {
	// added: it is new to us, and has to be read whole.
	added bool
	// gone: it was deleted for good, and nothing came after that.
	gone bool
	// moved: labels changed that only all of them together can tell of.
	moved bool
	// seen and flagged are the last word on UNREAD and STARRED, nil where
	// nothing was said.
	seen, flagged *bool
	// record is the id of the last record about it.
	record uint64
}

// told turns a page of history into items, one of each message.
//
// Records are ascending, and say which labels came or went. The labels that
// they give of the message itself are those of some moment or other, and are
// not relied on: where more than UNREAD and STARRED has changed, the message is
// asked for. A message that is gone by then was deleted by a later record.
func (c *call) told(ctx context.Context, records []*gmailapi.History) ([]mail.Item, error) {
	changes, order := fold(records)
	var items []mail.Item
	var whole, state []string
	for _, id := range order {
		ch := changes[id]
		switch {
		case ch.gone:
			items = append(items, mail.Item{Kind: mail.ItemGone, Message: mail.Message{ProviderID: id}})
		case ch.added:
			whole = append(whole, id)
		case ch.moved:
			state = append(state, id)
		default:
			if it, ok := ch.marks(id); ok {
				items = append(items, it)
			}
		}
	}
	for _, ask := range []struct {
		ids    []string
		fields string
	}{{whole, metadataFields}, {state, stateFields}} {
		err := c.read(ctx, ask.ids, ask.fields, func(i int, g *gmailapi.Message, err error) error {
			switch {
			case mail.KindOf(err) == mail.KindNotFound:
				items = append(items, mail.Item{Kind: mail.ItemGone, Message: mail.Message{ProviderID: ask.ids[i]}})
			case err != nil && endsCall(err):
				return err
			case err != nil:
				items = append(items, untold(ask.ids[i]))
			case ask.fields == metadataFields:
				items = append(items, mail.Item{Kind: mail.ItemPresent, Fields: allFields, Message: c.conf.message(g)})
			default:
				m, fields := c.conf.stateOf(g.Id, g.ThreadId, g.LabelIds, g.HistoryId)
				items = append(items, mail.Item{Kind: mail.ItemPresent, Fields: fields, Message: m})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return items, nil
}

// fold gathers the records by message, in the order in which they first speak
// of it.
func fold(records []*gmailapi.History) (map[string]*change, []string) {
	changes := map[string]*change{}
	var order []string
	of := func(m *gmailapi.Message, record uint64) *change {
		if m == nil || m.Id == "" {
			return &change{} // says nothing of anything
		}
		ch := changes[m.Id]
		if ch == nil {
			ch = &change{}
			changes[m.Id] = ch
			order = append(order, m.Id)
		}
		ch.record = max(ch.record, record)
		return ch
	}
	for _, r := range records {
		for _, e := range r.MessagesAdded {
			ch := of(e.Message, r.Id)
			ch.added, ch.gone = true, false
		}
		for _, e := range r.LabelsAdded {
			of(e.Message, r.Id).labels(e.LabelIds, true)
		}
		for _, e := range r.LabelsRemoved {
			of(e.Message, r.Id).labels(e.LabelIds, false)
		}
		for _, e := range r.MessagesDeleted {
			of(e.Message, r.Id).gone = true
		}
	}
	return changes, order
}

// labels notes labels that came or went.
func (ch *change) labels(labels []string, came bool) {
	for _, l := range labels {
		switch l {
		case labelUnread:
			seen := !came
			ch.seen = &seen
		case labelStarred:
			ch.flagged = &came
		default:
			ch.moved = true
		}
	}
}

// marks is the item of a message of which no more than UNREAD and STARRED has
// changed. ok is false where nothing has: records may speak of a message without
// saying why.
func (ch *change) marks(id string) (it mail.Item, ok bool) {
	it = mail.Item{Kind: mail.ItemPresent, Message: mail.Message{ProviderID: id, Version: ch.record}}
	if ch.flagged != nil {
		it.Fields |= mail.FieldFlagged
		if *ch.flagged {
			it.Message.Keywords = append(it.Message.Keywords, mail.Flagged)
		}
	}
	if ch.seen != nil {
		it.Fields |= mail.FieldSeen
		if *ch.seen {
			it.Message.Keywords = append(it.Message.Keywords, mail.Seen)
		}
	}
	return it, it.Fields != 0
}
