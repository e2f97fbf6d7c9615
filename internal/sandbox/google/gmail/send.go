package gmail

import (
	"context"
	"slices"
	"strings"
)

// The limits of messages (DISC "maxSize").
const (
	maxSend   = 36_700_160
	maxInsert = 157_286_400
)

// message reads the Message of a request and what it carries.
func (c *call) message(limit int64) (m messageInput, raw []byte, done bool, err error) {
	in, done, err := c.incoming(limit)
	if err != nil || done {
		return m, nil, done, err
	}
	if err := decodeBody(in.meta, &m); err != nil {
		return m, nil, false, err
	}
	raw, err = in.bytes(&m, limit)
	return m, raw, false, err
}

// send answers messages.send.
func (c *call) send() (any, error) {
	in, raw, done, err := c.message(maxSend)
	if err != nil || done {
		return answered{}, err
	}
	var p *parcel
	err = c.locked(func() error {
		if err := c.checkThread(in.ThreadID); err != nil {
			return err
		}
		if p, err = c.pack(raw); err != nil {
			return err
		}
		p.message = c.mb.add(p.raw, p.labels(), c.now, c.now, in.ThreadID)
		return nil
	})
	if err != nil {
		return nil, err
	}
	c.dispatch(p)
	return reference(p.message, true), nil
}

// checkThread refuses a threadId that is not one of the mailbox's.
func (c *call) checkThread(id string) error {
	if id == "" {
		return nil
	}
	if checkID(id) != nil {
		return errInvalid("Invalid thread_id value")
	}
	if len(c.mb.threads[id]) == 0 {
		return errNotFound()
	}
	return nil
}

// A parcel is a message that is about to leave.
type parcel struct {
	raw     []byte // as it is filed under SENT, with Bcc
	rcpts   []string
	mine    bool // one of them is the sender
	message *Message
}

// labels are those of the sent message: a message to oneself is one message,
// which is in the inbox as well.
func (p *parcel) labels() []string {
	if p.mine {
		return []string{labelSent, labelInbox, labelUnread}
	}
	return []string{labelSent}
}

// pack checks whether a message may leave and completes it. It is called with
// the mailbox locked.
func (c *call) pack(raw []byte) (*parcel, error) {
	rcpts, err := recipients(raw)
	if err != nil {
		return nil, err
	}
	if why := c.s.quota.send(c.mb.user.ID); why != nil {
		c.s.count(func() { c.s.opts.Counters.Refusal(cloudName, c.mb.user.Address, why.limit) })
		return nil, c.s.quota.refuse(why, c.caller.Project)
	}
	p := &parcel{raw: c.compose(raw)}
	for _, r := range rcpts {
		if strings.EqualFold(r, c.mb.user.Address) {
			p.mine = true
			continue
		}
		p.rcpts = append(p.rcpts, r)
	}
	return p, nil
}

// dispatch hands a message to the small internet. It is Gmail's now: a client
// that hangs up does not stop it.
func (c *call) dispatch(p *parcel) {
	s, ctx := c.s, context.WithoutCancel(c.ctx())
	if s.opts.Sender == nil {
		s.opts.Log.Warn("mail sent with no internet to carry it", "user", c.mb.user.ID, "recipients", len(p.rcpts))
		return
	}
	if err := s.opts.Sender.Submit(ctx, c.mb.user, p.rcpts, wire(p.raw)); err != nil {
		s.opts.Log.Error("mail was not taken", "user", c.mb.user.ID, "recipients", len(p.rcpts), "error", err)
	}
}

// insert answers messages.insert: the message is stored as it is, with the
// labels of the request, and nobody looks at it. The date is that of arrival.
func (c *call) insert() (any, error) { return c.store("receivedTime", false) }

// importMessage answers messages.import: as insert, but with a look for spam,
// and the date is that of the message.
func (c *call) importMessage() (any, error) { return c.store("dateHeader", true) }

// gtube is the text that every filter takes for spam, for tests of filters.
const gtube = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

func (c *call) store(dateSource string, scan bool) (any, error) {
	in, raw, done, err := c.message(maxInsert)
	if err != nil || done {
		return answered{}, err
	}
	if v := c.query.Get("internalDateSource"); v != "" {
		dateSource = v
	}
	date := c.now
	if dateSource == "dateHeader" {
		if t := headerDate(raw); !t.IsZero() {
			date = t
		}
	}
	var out *messageResource
	err = c.locked(func() error {
		if err := c.checkThread(in.ThreadID); err != nil {
			return err
		}
		if err := c.mb.checkLabels(in.LabelIDs); err != nil {
			return err
		}
		if slices.Contains(in.LabelIDs, labelChat) {
			return errInvalid("Invalid label: %s", labelChat)
		}
		labels := slices.Clone(in.LabelIDs)
		if scan && !c.flag("neverMarkSpam") && strings.Contains(string(raw), gtube) {
			labels = append(minus(labels, []string{labelInbox}), labelSpam)
		}
		if c.flag("deleted") { // only a Workspace vault would have it
			id := c.mb.newID(c.now)
			out = &messageResource{ID: id, ThreadID: id}
			return nil
		}
		out = reference(c.mb.add(raw, labels, date, c.now, in.ThreadID), true)
		return nil
	})
	return out, err
}
