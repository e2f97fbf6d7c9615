package memory

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// entry is one line of an account's log: at this number something happened to
// a message, which concerns these mailboxes. What the message is like now is
// looked up when the entry is told.
type entry struct {
	seq       uint64
	id        string
	mailboxes []string
}

// touched logs that a message changed: in the mailboxes that it is in, and in
// those it came into or left. The caller holds mu.
func (c *Cloud) touched(a *account, m *message, moved ...string) {
	a.seq++
	m.version = a.seq
	boxes := slices.Clone(moved)
	for id := range m.mailboxes {
		if !slices.Contains(boxes, id) {
			boxes = append(boxes, id)
		}
	}
	slices.Sort(boxes)
	a.log = append(a.log, entry{seq: a.seq, id: m.id, mailboxes: boxes})
	for _, id := range boxes {
		c.owe(a, provider.HintChanged, id)
	}
}

// place of a reader in a feed. While Listing is set the reader is still going
// through what was there at Seq, newest first, and has come past At and ID;
// afterwards it is told every entry above Seq.
type place struct {
	Form    int       `json:"form"` // cursorForm
	Epoch   int       `json:"epoch"`
	Mailbox string    `json:"mailbox,omitempty"`
	Seq     uint64    `json:"seq"`
	Listing bool      `json:"listing,omitempty"`
	At      time.Time `json:"at,omitzero"`
	ID      string    `json:"id,omitempty"`
}

// cursorForm marks our cursors: other JSON is none.
const cursorForm = 1

func (p place) cursor() mail.Cursor {
	p.Form = cursorForm
	b, err := json.Marshal(p)
	if err != nil {
		return nil // numbers, times of this era and strings always marshal
	}
	return b
}

// Changes tells what happened since a cursor.
func (p *Provider) Changes(ctx context.Context, req *provider.ChangesRequest, each func(*mail.Batch) error) error {
	cursor, page := req.Cursor, p.pageSize()
	for {
		var batch *mail.Batch
		err := p.call(ctx, "changes", req.Call, func(a *account) (err error) {
			batch, err = p.cloud.batch(a, req.Mailbox, cursor, page)
			return err
		})
		if err != nil {
			return err
		}
		if err := each(batch); err != nil {
			return err
		}
		if batch.Done {
			return nil
		}
		cursor = batch.Next
	}
}

// batch reads the next piece of a feed. The caller holds mu.
func (c *Cloud) batch(a *account, mailbox string, cursor mail.Cursor, page int) (*mail.Batch, error) {
	if c.opts.Scope == mail.ScopeAccount {
		mailbox = ""
	} else if a.mailbox(mailbox) == nil {
		return nil, mail.Errorf(mail.KindNotFound, "read changes", "no such mailbox")
	}
	at := place{Epoch: a.epoch, Mailbox: mailbox, Seq: a.seq, Listing: c.opts.Scope == mail.ScopeMailbox}
	if len(cursor) == 0 {
		if !at.Listing {
			return &mail.Batch{Next: at.cursor(), Done: true, AsOf: c.opts.Now()}, nil
		}
	} else {
		at = place{}
		if err := json.Unmarshal(cursor, &at); err != nil || at.Form != cursorForm || at.Mailbox != mailbox {
			return nil, mail.Errorf(mail.KindInvalid, "read changes", "this is no cursor of this feed")
		}
		if at.Epoch != a.epoch {
			return nil, mail.Errorf(mail.KindCursorExpired, "read changes", "the cursor is too old")
		}
	}
	if at.Listing {
		return c.listing(a, at, page), nil
	}
	return c.since(a, at, page), nil
}

// listing reads a page of what is there, newest first.
func (c *Cloud) listing(a *account, at place, page int) *mail.Batch {
	b := &mail.Batch{AsOf: c.opts.Now()}
	for _, m := range a.newestFirst(at.Mailbox) {
		if !at.At.IsZero() && (m.received.After(at.At) || m.received.Equal(at.At) && m.id >= at.ID) {
			continue
		}
		if len(b.Items) == page {
			b.Next = at.cursor()
			return b
		}
		b.Items = append(b.Items, c.item(m, at.Mailbox))
		at.At, at.ID = m.received, m.id
	}
	b.Next = place{Epoch: at.Epoch, Mailbox: at.Mailbox, Seq: at.Seq}.cursor()
	b.Done = true
	return b
}

// since reads a page of the log. A message that changed several times is told
// once, where it changed last, so that the cursor never runs ahead.
func (c *Cloud) since(a *account, at place, page int) *mail.Batch {
	b := &mail.Batch{AsOf: c.opts.Now(), Done: true}
	last := map[string]uint64{}
	var news []entry
	for _, e := range a.log {
		if e.seq > at.Seq && (at.Mailbox == "" || slices.Contains(e.mailboxes, at.Mailbox)) {
			last[e.id] = e.seq
			news = append(news, e)
		}
	}
	end := a.seq
	for _, e := range news {
		if last[e.id] != e.seq {
			continue
		}
		if len(b.Items) == page {
			b.Done = false
			break
		}
		m := a.messages[e.id]
		switch {
		case m == nil && at.Mailbox == "":
			b.Items = append(b.Items, mail.Item{Kind: mail.ItemGone, Message: mail.Message{ProviderID: e.id, Version: e.seq}})
		case m == nil || at.Mailbox != "" && !m.mailboxes[at.Mailbox]:
			b.Items = append(b.Items, mail.Item{Kind: mail.ItemAbsent, Mailbox: at.Mailbox, Message: mail.Message{ProviderID: e.id, Version: e.seq}})
		default:
			b.Items = append(b.Items, c.item(m, at.Mailbox))
		}
		end = e.seq
	}
	if b.Done {
		end = a.seq
	}
	at.Seq = end
	b.Next = at.cursor()
	return b
}

// item tells a message that is there, with everything that is known of it.
func (c *Cloud) item(m *message, mailbox string) mail.Item {
	return mail.Item{
		Kind: mail.ItemPresent, Mailbox: mailbox,
		Fields:  mail.FieldKeywords | mail.FieldMailboxes | mail.FieldEnvelope,
		Message: m.describe(),
	}
}
