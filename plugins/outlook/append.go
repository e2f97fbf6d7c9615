package outlook

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Properties that a stored message is made with (MS-OXPROPS).
const (
	propFlags    = "Integer 0x0E07"    // PidTagMessageFlags
	propReceived = "SystemTime 0x0E06" // PidTagMessageDeliveryTime
	propSubmit   = "SystemTime 0x0039" // PidTagClientSubmitTime
	propHeaders  = "String 0x007D"     // PidTagTransportMessageHeaders
)

// maxHeaderBlock is how much of a header is kept in propHeaders.
const maxHeaderBlock = 32 << 10

// Append stores a message. Graph takes MIME for drafts only, so that the
// others are taken apart: one body (HTML where there is one) and attachments.
// That is lossy, and cannot be otherwise on Graph. What is kept: subject,
// people, Message-ID, In-Reply-To, References, both dates, flags, categories, the last verb,
// the header block as a property, body and attachments. What is lost: the
// bytes, the plain text beside HTML, signatures and encryption, and the order
// of parts. Whoever wants the bytes reads them back and gets Exchange's.
//
// The operation's id is kept in a property of the message, by which a second
// call finds what the first has made.
func (p *Provider) Append(ctx context.Context, req *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "append message")
	if err != nil {
		return nil, err
	}
	defer done()
	data, release, err := c.readMessage(ctx, raw, req.Size)
	if err != nil {
		return nil, err
	}
	defer release()
	ct := parseContent(data)
	draft := slices.ContainsFunc(req.Keywords, func(k string) bool { return strings.EqualFold(k, mail.Draft) })
	before := &found{}
	if req.OperationID != "" {
		messageID := ""
		if draft {
			messageID = header.BareID(ct.message.InternetMessageID)
		}
		if before, err = c.find(ctx, req.OperationID, messageID); err != nil {
			return nil, err
		}
		if len(before.done) > 0 {
			return appended(&before.done[0]), nil
		}
		c.discard(ctx, before.unfinished)
	}
	flags, verb := keywordFields(req.Keywords), verbOf(req.Keywords)
	var m *msgraph.Message
	switch {
	case draft && int64(len(data)) <= c.conf.mimeLimit:
		m, err = c.createMIME(ctx, req.Mailbox, data, header.BareID(ct.message.InternetMessageID), before.sameID)
		if err != nil {
			break
		}
		properties := verb
		if req.OperationID != "" {
			properties = append(operationProperty(req.OperationID), verb...)
		}
		if len(properties) > 0 {
			flags["singleValueExtendedProperties"] = properties
		}
		m, err = c.patch(ctx, m.ID, flags)
	case draft:
		m, err = c.createJSON(ctx, req.Mailbox, ct, req.OperationID, flags, verb)
	default:
		m, err = c.createJSON(ctx, req.Mailbox, ct, req.OperationID, flags, append(ct.storedProperties(req.ReceivedAt), verb...))
		if mail.KindOf(err) == mail.KindInvalid && len(data) > requestBudget {
			// What does not fit into one request has to follow, and some Graphs
			// add attachments to drafts only.
			err = &mail.Error{Kind: mail.KindTooLarge, Op: c.op, Code: errCode(err), Message: "the provider stores messages of this size as drafts only", Err: err}
		}
		if err == nil && m.IsRead != nil && *m.IsRead != flags["isRead"] {
			m, err = c.patch(ctx, m.ID, map[string]any{"isRead": flags["isRead"]})
		}
	}
	if err != nil {
		return nil, err
	}
	m.Properties = append(m.Properties, verb...) // which no answer repeats
	return appended(m), nil
}

func appended(m *msgraph.Message) *provider.AppendResponse {
	out, _ := message(m)
	return &provider.AppendResponse{Message: out}
}

// storedProperties make a message that is no draft: it can only be said when
// it is made, and dates would be today's otherwise.
func (ct *content) storedProperties(received time.Time) []msgraph.Property {
	props := []msgraph.Property{{ID: propFlags, Value: "1"}} // read, and not unsent
	if received.IsZero() {
		received = ct.date
	}
	if !received.IsZero() {
		props = append(props, msgraph.Property{ID: propReceived, Value: exchangeTime(received)})
	}
	if !ct.date.IsZero() {
		props = append(props, msgraph.Property{ID: propSubmit, Value: exchangeTime(ct.date)})
	}
	if len(ct.headerBlock) <= maxHeaderBlock {
		props = append(props, msgraph.Property{ID: propHeaders, Value: strings.ToValidUTF8(ct.headerBlock, "?")})
	}
	return props
}

// keywordFields are the fields of a message that hold its keywords.
func keywordFields(keywords []string) map[string]any {
	fields := map[string]any{"isRead": false}
	var categories []string
	for _, k := range keywords {
		switch k = strings.ToLower(k); {
		case k == mail.Seen:
			fields["isRead"] = true
		case k == mail.Flagged:
			fields["flag"] = msgraph.Flag{Status: "flagged"}
		case !strings.HasPrefix(k, "$"):
			categories = append(categories, keywordCategory(k))
		}
	}
	if len(categories) > 0 {
		fields["categories"] = categories
	}
	return fields
}
