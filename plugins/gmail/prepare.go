package gmail

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	gmailapi "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// originalID is where Gmail keeps a Message-ID that it has replaced.
const originalID = "X-Google-Original-Message-ID"

// prepared is what Send and Probe must know beside the id of the draft's
// message.
type prepared struct {
	Version int `json:"v"`
	// Draft is the draft's id, which stays while its message is written anew.
	Draft string `json:"draft"`
	// MessageID is the one that the draft has, Original the one that it was to
	// have.
	MessageID string `json:"message_id,omitempty"`
	Original  string `json:"original,omitempty"`
	// Since is the mailbox's history before the draft was made, Before what of
	// the same Message-ID had been sent by then.
	Since  uint64   `json:"since,omitempty"`
	Before []string `json:"before,omitempty"`
}

// Prepare stores a message as a draft, which goes to whom its header names: who
// is in the envelope alone becomes a Bcc, which Gmail takes out of what it
// sends, and who is in the header alone leaves it. The sender must be one that
// Gmail leaves as it is.
//
// A draft that an earlier call of the operation has left is used again. One of
// the same Message-ID that says something else is the owner's, unless the
// Message-ID is the operation's own: then it is in the way, and goes.
func (p *Provider) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "prepare message")
	if err != nil {
		return nil, err
	}
	defer done()
	first, release, err := c.readLetter(ctx, raw, req.Size, maxSend)
	if err != nil {
		return nil, err
	}
	defer release()
	data, err := c.whole(first)
	if err != nil {
		return nil, err
	}
	l := letterOf(header.ForEnvelope(data, req.Envelope.Recipients))
	if l.size > maxSend {
		return nil, c.tooLarge(maxSend)
	}
	if err := c.maySend(ctx, req.Envelope.From, l.fields); err != nil {
		return nil, err
	}
	made, err := c.findDraft(ctx, req, l)
	if err != nil {
		return nil, unsent(err)
	}
	if made.draft == "" {
		if made, err = c.makeDraft(ctx, req, l, made.since); err != nil {
			return nil, unsent(err)
		}
		c.acct.made.put(req.OperationID, made)
	}
	return c.prepared(ctx, req, l, made)
}

// whole reads the rest of a large message.
func (c *call) whole(l *letter) ([]byte, error) {
	if l.whole() {
		return l.head, nil
	}
	rest, err := io.ReadAll(l.rest)
	switch {
	case err == nil:
		return append(l.head, rest...), nil
	case l.err == errLimit:
		return nil, c.tooLarge(maxSend)
	case l.err == errLength:
		return nil, c.wrongSize(l.got, l.size)
	}
	return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Message: "the message could not be read", Err: err}
}

// unsent: Prepare may be repeated, for a draft too many sends nothing.
func unsent(err error) error {
	if mail.KindOf(err) == mail.KindOutcomeUnknown {
		return &mail.Error{Kind: mail.KindUnavailable, Op: "prepare message", Message: "the draft could not be stored", Err: err}
	}
	return err
}

// findDraft finds the draft that an earlier call has made; its draft is empty
// where there is none.
func (c *call) findDraft(ctx context.Context, req *provider.PrepareRequest, l *letter) (operation, error) {
	op, known := c.acct.made.get(req.OperationID)
	same := func(stored []byte) bool { return sameContent(stored, l.head) }
	switch {
	case req.OperationID == "", known && op.draft != "":
		return op, nil
	case known:
		found, sure, err := c.landedByNow(ctx, op, l, same)
		switch {
		case err != nil:
			return op, err
		case found != "":
			return c.asDraft(ctx, operation{message: found, since: op.since})
		case sure:
			return op, nil
		}
	}
	messageID := header.BareID(req.MessageID)
	query, ok := idQuery(messageID)
	if !ok {
		return op, nil
	}
	drafts, err := c.drafts(ctx, query)
	if err != nil {
		return op, err
	}
	ours := strings.HasPrefix(messageID, req.OperationID+"@")
	for message, draft := range drafts {
		if c.acct.made.owner(message) != "" {
			continue
		}
		stored, err := c.raw(ctx, message)
		switch {
		case mail.KindOf(err) == mail.KindNotFound:
			continue
		case err != nil:
			return op, err
		case same(stored):
			op = operation{message: message, draft: draft, since: op.since}
			c.acct.made.put(req.OperationID, op)
			return op, nil
		}
		if ours {
			err := c.do(ctx, draftsDelete, func(ctx context.Context, s *gmailapi.Service) error {
				return s.Users.Drafts.Delete("me", draft).Context(ctx).Do()
			})
			if err != nil && mail.KindOf(err) != mail.KindNotFound {
				return op, err
			}
		}
	}
	return op, nil
}

// asDraft finds the draft that a message is.
func (c *call) asDraft(ctx context.Context, op operation) (operation, error) {
	drafts, err := c.drafts(ctx, "")
	op.draft = drafts[op.message]
	return op, err
}

// makeDraft makes the draft. A request whose outcome is open is looked for.
func (c *call) makeDraft(ctx context.Context, req *provider.PrepareRequest, l *letter, since uint64) (operation, error) {
	if since == 0 {
		profile, err := c.profile(ctx)
		if err != nil {
			return operation{}, err
		}
		since = profile.HistoryId
	}
	c.acct.made.put(req.OperationID, operation{since: since})
	made, err := c.createDraft(ctx, l, req.ThreadID)
	if mail.KindOf(err) == mail.KindOutcomeUnknown && ctx.Err() == nil {
		found, _, lookErr := c.landed(ctx, since, l, func(stored []byte) bool { return sameContent(stored, l.head) })
		if lookErr == nil && found != "" {
			made, err = c.asDraft(ctx, operation{message: found})
		}
	}
	if err == nil && made.draft == "" {
		err = badAnswer(c.op, "Gmail's draft has no id")
	}
	made.since = since
	if err != nil {
		c.acct.made.put(req.OperationID, operation{since: since, open: c.p.now()})
	}
	return made, err
}

// createDraft uploads a draft. A thread that is gone by now is no reason to fail.
func (c *call) createDraft(ctx context.Context, l *letter, thread string) (operation, error) {
	var d *gmailapi.Draft
	err := c.upload(ctx, draftsCreate, l, func(ctx context.Context, s *gmailapi.Service, media io.Reader, as ...googleapi.MediaOption) (err error) {
		d, err = s.Users.Drafts.Create("me", &gmailapi.Draft{Message: &gmailapi.Message{ThreadId: thread}}).Media(media, as...).
			Fields("id,message(id,threadId,labelIds)").Context(ctx).Do()
		return err
	})
	if thread != "" && (mail.KindOf(err) == mail.KindNotFound || mail.KindOf(err) == mail.KindInvalid && strings.Contains(strings.ToLower(err.Error()), "thread")) {
		return c.createDraft(ctx, l, "")
	}
	if err == nil && (d.Id == "" || d.Message == nil || d.Message.Id == "") {
		err = &mail.Error{Kind: mail.KindOutcomeUnknown, Op: c.op, Code: codeBadAnswer, Message: "Gmail's answer has no id"}
	}
	if err != nil {
		return operation{}, err
	}
	return operation{message: d.Message.Id, draft: d.Id}, nil
}

// prepared says what was prepared. Which Message-ID the draft has come to is
// asked for: Gmail replaces those that it does not like.
func (c *call) prepared(ctx context.Context, req *provider.PrepareRequest, l *letter, made operation) (*provider.PrepareResponse, error) {
	st := prepared{Version: 1, Draft: made.draft, Original: l.messageID(), MessageID: l.messageID(), Since: made.since}
	g, err := c.headers(ctx, made.message, "Message-ID")
	switch {
	case err == nil:
		if id := header.BareID(headerOf(g, "Message-ID")); id != "" {
			st.MessageID = id
		}
	case mail.KindOf(err) != mail.KindNotFound: // sent already, or gone: Send will see
		return nil, err
	}
	if query, ok := idQuery(st.MessageID); ok && !strings.HasPrefix(st.MessageID, req.OperationID+"@") {
		// It may be of a message that was sent before, which proves nothing.
		if st.Before, err = c.search(ctx, query, labelSent, true); err != nil {
			return nil, err
		}
	}
	data, err := json.Marshal(st)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "encode state", Err: err}
	}
	out := provider.Prepared{ProviderID: made.message, State: data}
	if st.MessageID != st.Original {
		out.MessageID = st.MessageID
	}
	return &provider.PrepareResponse{Prepared: out}, nil
}

func parsePrepared(p *provider.Prepared) prepared {
	var st prepared
	if err := json.Unmarshal(p.State, &st); err != nil || st.Version != 1 {
		st = prepared{MessageID: p.MessageID}
	}
	return st
}
