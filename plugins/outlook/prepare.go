package outlook

import (
	"context"
	"encoding/json"
	"io"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// prepared is what Send and Probe must know beside the draft's id.
type prepared struct {
	Version   int    `json:"v"`
	Operation string `json:"operation"`
	MessageID string `json:"message_id"`
}

// Prepare stores a message as a draft that says who the envelope says. A
// small one goes as MIME and keeps its bytes up to what Exchange does to
// them; a larger one as a draft with uploaded attachments, for Graph has
// accepted larger MIME and lost it. What is signed or encrypted does not
// survive that, and is refused rather than broken.
//
// The draft is marked with the operation: a second call gives the same draft,
// also after it was sent. What an earlier call has made and did not come to mark
// is removed (see removeLeft).
func (p *Provider) Prepare(ctx context.Context, req *provider.PrepareRequest, raw io.Reader) (*provider.PrepareResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "prepare message")
	if err != nil {
		return nil, err
	}
	defer done()
	data, release, err := c.readMessage(ctx, raw, req.Size)
	if err != nil {
		return nil, err
	}
	defer release()
	messageID := header.BareID(req.MessageID)
	before, err := c.find(ctx, req.OperationID, messageID)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(messageID, req.OperationID+"@") {
		// Nobody else has that Message-ID.
		before.unfinished, before.unmarked = append(before.unfinished, before.unmarked...), nil
	}
	if err := c.remove(ctx, before.unfinished); err != nil {
		return nil, unsent(err)
	}
	var m *msgraph.Message
	if len(before.done) > 0 {
		m = &before.done[0]
	} else if m, err = c.makeDraft(ctx, req, data, messageID, before.sameID); err != nil {
		return nil, err
	}
	switch err := c.removeLeft(ctx, req.FirstAttempt, m, before.unmarked); mail.KindOf(err) {
	case "":
	case mail.KindForbidden, mail.KindInvalid, mail.KindConflict:
		// To no avail, and no reason not to send.
		c.p.log().Warn("a draft of an earlier attempt stays behind", "account", c.acct.id, "err", err)
	default:
		return nil, unsent(err)
	}
	return preparedAs(m, req.OperationID), nil
}

// makeDraft makes the draft and marks it. before are the ids of what has the
// Message-ID already.
func (c *call) makeDraft(ctx context.Context, req *provider.PrepareRequest, data []byte, messageID string, before map[string]bool) (*msgraph.Message, error) {
	data = header.ForEnvelope(data, req.Envelope.Recipients)
	if int64(len(data)) > c.conf.mimeLimit {
		ct := parseContent(data)
		if ct.sealed {
			return nil, &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Code: "sealed_too_large",
				Message: "a signed or encrypted message of this size cannot be sent through this provider"}
		}
		m, err := c.createJSON(ctx, wellKnownDrafts, ct, req.OperationID, nil, nil)
		return m, unsent(err)
	}
	m, err := c.createMIME(ctx, wellKnownDrafts, data, messageID, before)
	if err != nil || req.OperationID == "" {
		return m, unsent(err)
	}
	marked, err := c.patch(ctx, m.ID, map[string]any{"singleValueExtendedProperties": operationProperty(req.OperationID)})
	switch {
	case mail.KindOf(err) == mail.KindNotFound:
		// Somebody was faster, and it takes another draft.
		return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: errCode(err), Message: "the draft is gone before it was marked", Err: err}
	case err != nil:
		c.discard(context.WithoutCancel(ctx), []msgraph.Message{*m})
		return nil, unsent(err)
	}
	return marked, nil
}

// unsent: Prepare may be repeated, for a draft too many sends nothing.
func unsent(err error) error {
	if mail.KindOf(err) == mail.KindOutcomeUnknown {
		return &mail.Error{Kind: mail.KindUnavailable, Op: "prepare message", Message: "the draft could not be stored", Err: err}
	}
	return err
}

func preparedAs(m *msgraph.Message, operation string) *provider.PrepareResponse {
	st := prepared{Version: 1, Operation: operation, MessageID: header.BareID(m.InternetMessageID)}
	data, _ := json.Marshal(st) // strings and a number: cannot fail
	return &provider.PrepareResponse{Prepared: provider.Prepared{ProviderID: m.ID, State: data, MessageID: st.MessageID}}
}

func parsePrepared(p *provider.Prepared) prepared {
	st := prepared{MessageID: p.MessageID}
	if err := json.Unmarshal(p.State, &st); err != nil {
		st = prepared{MessageID: p.MessageID}
	}
	return st
}
