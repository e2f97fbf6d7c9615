package graph

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// A parcel is a message that may leave: checked, complete, in MIME.
type parcel struct {
	st    *state // as it will lie in Sent Items
	wire  []byte // without Bcc
	rcpts []string
	lost  bool // accepted and never sent (Settings.SilentMIMEBytes)
}

// pack makes a message ready to go.
func (c *call) pack(old *state) (*parcel, error) {
	st := *old
	st.c.load()
	me := mimetree.Recipient{Name: c.mb.user.Name, Address: c.mb.user.Address}
	for _, r := range []*mimetree.Recipient{st.c.from, st.c.sender} {
		if r != nil && r.Address != "" && !mimetree.SameAddress(r.Address, me.Address) {
			return nil, errSendAsDenied()
		}
	}
	p := &parcel{st: &st}
	seen := map[string]bool{}
	for _, r := range append(append(append([]mimetree.Recipient{}, st.c.to...), st.c.cc...), st.c.bcc...) {
		if at := strings.LastIndexByte(r.Address, '@'); at <= 0 || at == len(r.Address)-1 || strings.ContainsAny(r.Address, " \r\n<>") {
			return nil, errBadRecipient()
		}
		if key := strings.ToLower(r.Address); !seen[key] {
			seen[key] = true
			p.rcpts = append(p.rcpts, r.Address)
		}
	}
	switch {
	case len(p.rcpts) == 0:
		return nil, errNoRecipients()
	case len(p.rcpts) > c.s.set.MaxRecipients:
		return nil, errTooManyRecipients()
	}
	at := c.now.Truncate(time.Second)
	if st.c.made {
		con := *st.c
		con.from, con.sender, con.sent, con.raw, con.digest = &me, &me, at, nil, ""
		st.c = &con
		p.wire = mimetree.DropFields(con.mime(), func(name string) bool { return strings.EqualFold(name, "Bcc") })
	} else {
		p.lost = c.s.set.SilentMIMEBytes > 0 && int64(len(st.c.raw)) > c.s.set.SilentMIMEBytes
		id := newMessageID()
		kept := complete(st.c.raw, me, id, c.now, true)
		p.wire = complete(st.c.raw, me, id, c.now, false)
		st.c = parseContent(kept)
	}
	if int64(len(p.wire)) > c.s.set.MaxMessageBytes {
		return nil, errTooLarge()
	}
	st.outgoing = true
	st.draft, st.read, st.sentAt, st.received = false, true, at, at
	st.change, st.modified, st.size = c.mb.nextChange(), c.now, int64(len(st.c.mime()))
	return p, nil
}

// dispatch files a packed message under Sent Items and gives what hands it over
// once the mailbox is free. A message that was a draft keeps its number, and so
// its immutable id; m is nil for one that never was.
func (c *call) dispatch(p *parcel, m *message, save bool) answer {
	mb := c.mb
	outbox, sent := mb.wellKnown["outbox"], mb.wellKnown["sentitems"]
	if m == nil {
		m = &message{num: mb.nextNumber(), created: c.now}
		m.conv = mb.converse(p.st.c, m.num)
	} else if m.folder != nil {
		from, mid := m.folder, m.mid
		mb.take(m, c.now)
		mb.tell(cloud.Deleted, from, m, mid, c.now, false)
	}
	m.st = p.st
	if save {
		if c.s.set.OutboxTransit {
			mb.insert(m, outbox, true, c.now)
			mid := m.mid
			mb.tell(cloud.Created, outbox, m, mid, c.now, false)
			mb.take(m, c.now)
			mb.tell(cloud.Deleted, outbox, m, mid, c.now, false)
		}
		mb.insert(m, sent, true, c.now)
		m.gapUntil = c.now.Add(c.s.set.SendGap)
		mb.tell(cloud.Created, sent, m, m.mid, c.now, false)
	} else {
		mb.forget(m)
	}
	c.markAnswered(m)
	a := accepted()
	// The message is the service's now: a client that hangs up does not stop it.
	ctx := context.WithoutCancel(c.r.Context())
	a.after = func() error {
		if !p.lost {
			c.s.submit(ctx, mb, p)
		}
		return nil
	}
	return a
}

// markAnswered leaves on the original what a client shows as an arrow.
func (c *call) markAnswered(m *message) {
	original := c.mb.byNum[m.replyTo]
	if m.replyVerb == "" || original == nil || original.folder == nil {
		return
	}
	st := *original.st
	st.setProp(lastVerb, m.replyVerb)
	st.setProp("SystemTime 0x1082", stamp(c.now))
	c.mb.replace(original, &st, entryUpdated, c.now)
	c.mb.tell(cloud.Updated, original.folder, original, original.mid, c.now, false)
}

// submit hands a message to the small internet. What it does not take comes
// back to the sender as a report, as it would from a mail server.
func (s *Server) submit(ctx context.Context, mb *mailbox, p *parcel) {
	if s.opts.Sender == nil {
		s.opts.Log.WarnContext(ctx, "mail sent with no internet to carry it", "user", mb.user.ID, "recipients", len(p.rcpts))
		return
	}
	err := s.opts.Sender.Submit(ctx, mb.user, p.rcpts, p.wire)
	if err == nil {
		return
	}
	s.opts.Log.WarnContext(ctx, "mail was not taken", "user", mb.user.ID, "recipients", len(p.rcpts), "error", err)
	report := nonDelivery(mb.user, p, s.now())
	if _, err := s.Deliver(ctx, mb.user.Address, cloud.Delivery{Raw: report, Notify: true}); err != nil {
		s.opts.Log.ErrorContext(ctx, "report was not delivered", "user", mb.user.ID, "error", err)
	}
}

// nonDelivery is a report in the form of RFC 3464.
func nonDelivery(u cloud.User, p *parcel, now time.Time) []byte {
	_, domain, _ := strings.Cut(u.Address, "@")
	var b strings.Builder
	boundary := "report-" + strings.Trim(newMessageID(), "<>")[:33]
	fmt.Fprintf(&b, "From: Microsoft Outlook <postmaster@%s>\r\nTo: %s\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: %s\r\n",
		domain, formatAddress(mimetree.Recipient{Name: u.Name, Address: u.Address}), encodeText("Undeliverable: "+p.st.c.subject), now.Format("Mon, 2 Jan 2006 15:04:05 -0700"), newMessageID())
	fmt.Fprintf(&b, "In-Reply-To: %s\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"%s\"\r\n\r\n", oneLine(p.st.c.messageID), boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nYour message could not be delivered.\r\n\r\n", boundary)
	fmt.Fprintf(&b, "--%s\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; %s\r\n", boundary, domain)
	for _, r := range p.rcpts {
		fmt.Fprintf(&b, "\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\nStatus: 5.0.0\r\n", r)
	}
	head, _, _ := strings.Cut(string(p.wire), "\r\n\r\n")
	fmt.Fprintf(&b, "\r\n--%s\r\nContent-Type: text/rfc822-headers\r\n\r\n%s\r\n--%s--\r\n", boundary, head, boundary)
	return []byte(b.String())
}

func (c *call) sendMail() (answer, error) {
	isMIME, err := c.isMIME()
	if err != nil {
		return answer{}, err
	}
	save := true
	var e *edit
	if isMIME {
		raw, err := c.readMIME()
		if err != nil {
			return answer{}, err
		}
		e = c.mimeDraft(raw)
	} else {
		o, err := c.action("message", "savetosentitems")
		if err != nil {
			return answer{}, err
		}
		if isNull(o.values["message"]) {
			return answer{}, errInvalidRequest("The parameter 'Message' is required.")
		}
		if v := o.values["savetosentitems"]; !isNull(v) {
			if save, err = readBool(v); err != nil {
				return answer{}, err
			}
		}
		msg, err := readObject(o.values["message"], "message", false)
		if err != nil {
			return answer{}, err
		}
		e = c.newDraft()
		if err := e.apply(c, msg); err != nil {
			return answer{}, err
		}
	}
	p, err := c.pack(e.st)
	if err != nil {
		return answer{}, err
	}
	return c.dispatch(p, nil, save), nil
}

func (c *call) sendDraft() (answer, error) {
	m, err := c.targetMessage()
	if err != nil {
		return answer{}, err
	}
	if err := c.ifMatch(m); err != nil {
		return answer{}, err
	}
	if !m.st.draft {
		return answer{}, errInvalidRequest("Only drafts can be sent.")
	}
	p, err := c.pack(m.st)
	if err != nil {
		return answer{}, err
	}
	return c.dispatch(p, m, true), nil
}
