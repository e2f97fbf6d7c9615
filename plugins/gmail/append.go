package gmail

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// maxCandidates bounds the messages that are read to find one again.
const maxCandidates = 20

// Append stores a message as it is: by insert, which looks at nothing, or as a
// draft. Its date of arrival is the one in its Date field: Gmail takes no other,
// and writing one into the message would change its bytes.
//
// There is no place for the operation's id. What this process has made is
// remembered; the outcome of a request without an answer is settled by the
// mailbox's history since, and what another process has made by Message-ID: a
// message of the same bytes in the same mailbox, that no other operation is
// known to have made, is it.
func (p *Provider) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "append message")
	if err != nil {
		return nil, err
	}
	defer done()
	if req.Mailbox != mailboxAll && !c.conf.isMailbox(req.Mailbox) {
		return nil, unknownMailbox(c.op, req.Mailbox)
	}
	draft := req.Mailbox == labelDraft
	limit := int64(maxInsert)
	if draft {
		limit = maxSend
	}
	l, release, err := c.readLetter(ctx, raw, req.Size, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	same := l.sameBytes
	if draft {
		same = func(stored []byte) bool { return sameContent(stored, l.head) }
	}
	made, err := c.again(ctx, req.OperationID, l, req.Mailbox, same)
	if err != nil {
		return nil, err
	}
	if made.message == "" {
		if made, err = c.append(ctx, req, l, made.since, draft, same); err != nil {
			return nil, err
		}
		c.acct.made.put(req.OperationID, made)
	}
	return c.appended(ctx, made.message)
}

// append makes the message. A request whose outcome is open is looked for.
func (c *call) append(ctx context.Context, req *provider.AppendRequest, l *letter, since uint64, draft bool, same func([]byte) bool) (operation, error) {
	if since == 0 {
		profile, err := c.profile(ctx)
		if err != nil {
			return operation{}, err
		}
		since = profile.HistoryId
	}
	c.acct.made.put(req.OperationID, operation{since: since})
	var made operation
	var err error
	if draft {
		made, err = c.createDraft(ctx, l, "")
	} else {
		made, err = c.insert(ctx, req, l)
	}
	if mail.KindOf(err) == mail.KindOutcomeUnknown && ctx.Err() == nil {
		found, _, lookErr := c.landed(ctx, since, l, same)
		if lookErr == nil && found != "" {
			made, err = operation{message: found, since: since}, nil
		}
	}
	made.since = since
	if err != nil {
		c.acct.made.put(req.OperationID, operation{since: since, open: c.p.now()})
	}
	if err != nil || !draft {
		return made, err
	}
	// A draft is made without labels of its own.
	r, err := c.conf.relabelling(c.op, &provider.ModifyRequest{AddKeywords: req.Keywords})
	if err != nil {
		return made, err
	}
	if r.remove = nil; r.empty() { // drafts are never unread
		return made, nil
	}
	resp, err := c.relabel(ctx, []string{made.message}, r)
	if err == nil {
		err = resp.Results[0].Err
	}
	return made, err
}

func (c *call) insert(ctx context.Context, req *provider.AppendRequest, l *letter) (operation, error) {
	labels, err := c.insertLabels(req)
	if err != nil {
		return operation{}, err
	}
	date := dateSource(l.date())
	var g *gmailapi.Message
	err = c.upload(ctx, messagesInsert, l, func(ctx context.Context, s *gmailapi.Service, media io.Reader, as ...googleapi.MediaOption) (err error) {
		g, err = s.Users.Messages.Insert("me", &gmailapi.Message{LabelIds: labels}).InternalDateSource(date).Media(media, as...).
			Fields("id,threadId,labelIds").Context(ctx).Do()
		return err
	})
	if err == nil && g.Id == "" {
		err = &mail.Error{Kind: mail.KindOutcomeUnknown, Op: c.op, Code: codeBadAnswer, Message: "Gmail's answer has no id"}
	}
	if err != nil {
		return operation{}, err
	}
	return operation{message: g.Id}, nil
}

// insertLabels are the labels that a new message gets. Drafts are made in
// another way, so that $draft says nothing here.
func (c *call) insertLabels(req *provider.AppendRequest) ([]string, error) {
	change := &provider.ModifyRequest{AddKeywords: req.Keywords}
	if !fixed(req.Mailbox) {
		change.AddMailboxes = []string{req.Mailbox}
	}
	r, err := c.conf.relabelling(c.op, change)
	if err != nil {
		return nil, err
	}
	labels := r.add
	if fixed(req.Mailbox) {
		labels = append(labels, req.Mailbox)
	}
	if !slices.ContainsFunc(req.Keywords, func(k string) bool { return strings.EqualFold(k, mail.Seen) }) {
		labels = append(labels, labelUnread)
	}
	return labels, nil
}

// dateSource is what the date of arrival is taken from: the Date field, where
// there is one.
func dateSource(date time.Time) string {
	if date.IsZero() {
		return "receivedTime"
	}
	return "dateHeader"
}

// again finds what earlier calls of an operation have made: its message is empty
// where there is nothing.
func (c *call) again(ctx context.Context, id string, l *letter, mailbox string, same func([]byte) bool) (operation, error) {
	if id == "" {
		return operation{}, nil
	}
	op, known := c.acct.made.get(id)
	if known && op.message != "" {
		return op, nil
	}
	sure := false
	if known {
		var err error
		if op.message, sure, err = c.landedByNow(ctx, op, l, same); err != nil {
			return op, err
		}
	}
	if op.message == "" && !sure {
		var err error
		if op.message, err = c.named(ctx, l, mailbox, same); err != nil {
			return op, err
		}
	}
	if op.message != "" {
		c.acct.made.put(id, op)
	}
	return op, nil
}

// named looks for a message in a mailbox by its Message-ID.
func (c *call) named(ctx context.Context, l *letter, mailbox string, same func([]byte) bool) (string, error) {
	query, ok := idQuery(l.messageID())
	if !ok {
		return "", nil
	}
	label := mailbox
	if mailbox == mailboxAll {
		label = ""
	}
	ids, err := c.search(ctx, query, label, hiddenLabel(mailbox))
	if mail.KindOf(err) == mail.KindInvalid || mail.KindOf(err) == mail.KindNotFound {
		return "", c.noLabel(err, mailbox)
	}
	if err != nil {
		return "", err
	}
	found, _, err := c.match(ctx, ids, l, same)
	return found, err
}

// noLabel: a search in a label that is not there is refused.
func (c *call) noLabel(err error, mailbox string) error {
	if strings.Contains(strings.ToLower(err.Error()), "label") {
		return unknownMailbox(c.op, mailbox)
	}
	return err
}

// historyLag is how long the history may take to show what was done. Nothing is
// said of it, and nothing slower was seen.
const historyLag = 2 * time.Second

// landedByNow is landed, once the history must show what an earlier attempt of
// the operation has stored.
func (c *call) landedByNow(ctx context.Context, op operation, l *letter, same func([]byte) bool) (found string, sure bool, err error) {
	found, sure, err = c.landed(ctx, op.since, l, same)
	early := historyLag - c.p.now().Sub(op.open)
	if err != nil || found != "" || !sure || early <= 0 {
		return found, sure, err
	}
	if pace.Wait(ctx, early) != nil {
		return "", false, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "what became of an earlier attempt is not known yet", RetryAfter: early}
	}
	return c.landed(ctx, op.since, l, same)
}

// landed looks for a message among those that came since. The history is
// exact, and lags less than the search; sure is false where it has forgotten
// that moment, or so much has come that not all was looked at.
func (c *call) landed(ctx context.Context, since uint64, l *letter, same func([]byte) bool) (found string, sure bool, err error) {
	var ids []string
	complete, err := c.since(ctx, since, func(h *gmailapi.History) {
		for _, e := range h.MessagesAdded {
			if e.Message != nil && e.Message.Id != "" && !slices.Contains(ids, e.Message.Id) {
				ids = append(ids, e.Message.Id)
			}
		}
	})
	if k := mail.KindOf(err); err != nil && k != mail.KindNotFound && k != mail.KindInvalid {
		return "", false, err
	}
	slices.Reverse(ids) // ours came late
	found, sure, err = c.match(ctx, ids, l, same)
	return found, sure && complete, err
}

// match gives the message of some that is the letter, and no other operation's.
// Of a large one the header has to do. all tells whether it has looked at each
// of them.
func (c *call) match(ctx context.Context, ids []string, l *letter, same func([]byte) bool) (found string, all bool, err error) {
	looked := 0
	for _, id := range ids {
		if c.acct.made.owner(id) != "" {
			continue
		}
		if looked++; looked > maxCandidates {
			return "", false, nil
		}
		is := false
		if l.whole() {
			var stored []byte
			stored, err = c.raw(ctx, id)
			is = err == nil && same(stored)
		} else {
			is, err = c.sameHeader(ctx, id, l)
		}
		switch {
		case is:
			return id, true, nil
		case err != nil && mail.KindOf(err) != mail.KindNotFound && codeOf(err) != codeUndecodable:
			return "", false, err // it may be ours
		}
	}
	return "", true, nil
}

func (l *letter) sameBytes(stored []byte) bool { return bytes.Equal(stored, l.head) }

// sameHeader compares what a message of many megabytes says of itself.
func (c *call) sameHeader(ctx context.Context, id string, l *letter) (bool, error) {
	if l.messageID() == "" {
		return false, nil
	}
	g, err := c.headers(ctx, id, "Message-ID", "Date")
	if err != nil {
		return false, err
	}
	return header.BareID(headerOf(g, "Message-ID")) == l.messageID() && headerOf(g, "Date") == field(l.fields, "date"), nil
}

// headers reads some fields of a message, and its labels.
func (c *call) headers(ctx context.Context, id string, names ...string) (g *gmailapi.Message, err error) {
	err = c.do(ctx, messagesGet, func(ctx context.Context, s *gmailapi.Service) (err error) {
		g, err = s.Users.Messages.Get("me", id).Format("metadata").MetadataHeaders(names...).
			Fields("id,threadId,labelIds,payload/headers").Context(ctx).Do()
		return err
	})
	return g, err
}

func headerOf(g *gmailapi.Message, name string) string {
	if g.Payload == nil {
		return ""
	}
	for _, h := range g.Payload.Headers {
		if strings.EqualFold(h.Name, name) {
			return strings.TrimSpace(h.Value)
		}
	}
	return ""
}

// appended reads the message as it is stored.
func (c *call) appended(ctx context.Context, id string) (*provider.AppendResponse, error) {
	resp := &provider.AppendResponse{}
	err := c.read(ctx, []string{id}, metadataFields, func(_ int, g *gmailapi.Message, err error) error {
		if err == nil {
			resp.Message = c.conf.message(g)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}
