package gmail

import (
	"html"
	stdmail "net/mail"
	"strings"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// metadataFields is what is asked for of a message: format=full, which costs as
// much as any other, without the texts. The structure of its parts tells whether
// there are attachments; it is asked for as deep as mail programs nest it.
var metadataFields = "id,threadId,labelIds,snippet,historyId,internalDate,payload(headers," + partFields(4) + ")"

func partFields(depth int) string {
	if depth == 0 {
		return "mimeType,filename"
	}
	return "mimeType,filename,parts(headers," + partFields(depth-1) + ")"
}

// stateFields is what is asked for of a message whose labels have changed.
const stateFields = "id,threadId,labelIds,historyId"

const allFields = mail.FieldEnvelope | mail.FieldKeywords | mail.FieldMailboxes

// message converts what metadataFields has asked for. The size is not among it:
// sizeEstimate is not the length of the bytes.
func (c *config) message(g *gmailapi.Message) mail.Message {
	m, _ := c.stateOf(g.Id, g.ThreadId, g.LabelIds, g.HistoryId)
	m.Preview = header.Preview(html.UnescapeString(g.Snippet))
	if g.InternalDate != 0 {
		m.ReceivedAt = time.UnixMilli(g.InternalDate).UTC().Truncate(time.Second)
	}
	if g.Payload != nil {
		m.HasAttachments = hasAttachments(g.Payload)
		envelope(&m, g.Payload.Headers)
		// A draft is known by the Message-ID that it was to have, also where Gmail
		// has replaced it: by that the core tells the drafts of submissions, which
		// it shows to nobody, before it has heard how they were stored.
		if original := header.BareID(headerOf(g, originalID)); original != "" && m.HasKeyword(mail.Draft) {
			m.MessageID = original
		}
	}
	return m
}

// envelope reads the header. A field that occurs twice counts once, but for
// lists of people, as in all ugly mail.
func envelope(m *mail.Message, fields []*gmailapi.MessagePartHeader) {
	once := map[string]bool{}
	for _, f := range fields {
		name := strings.ToLower(f.Name)
		switch name {
		case "to":
			m.To = append(m.To, addresses(f.Value)...)
			continue
		case "cc":
			m.Cc = append(m.Cc, addresses(f.Value)...)
			continue
		case "bcc":
			m.Bcc = append(m.Bcc, addresses(f.Value)...)
			continue
		}
		if once[name] {
			continue
		}
		once[name] = true
		switch name {
		case "subject":
			m.Subject = header.DecodeText(f.Value)
		case "from":
			m.From = addresses(f.Value)
		case "sender":
			m.Sender = addresses(f.Value)
		case "reply-to":
			m.ReplyTo = addresses(f.Value)
		case "message-id":
			m.MessageID = header.BareID(f.Value)
		case "in-reply-to":
			m.InReplyTo = header.MessageIDs(f.Value)
		case "references":
			m.References = header.MessageIDs(f.Value)
		case "date":
			if d, err := stdmail.ParseDate(f.Value); err == nil {
				m.SentAt = d.UTC().Truncate(time.Second)
			}
		case "importance", "x-priority":
			m.Importance = importance(m.Importance, f.Value)
		}
	}
}

// importance reads Importance (RFC 2156) and X-Priority, of which the first that
// says something counts.
func importance(known mail.Importance, v string) mail.Importance {
	v = strings.ToLower(strings.TrimSpace(v))
	switch {
	case known != "" && known != mail.ImportanceNormal:
	case v == "high", strings.HasPrefix(v, "1"), strings.HasPrefix(v, "2"):
		return mail.ImportanceHigh
	case v == "low", strings.HasPrefix(v, "4"), strings.HasPrefix(v, "5"):
		return mail.ImportanceLow
	case v == "normal", strings.HasPrefix(v, "3"):
		return mail.ImportanceNormal
	}
	return known
}

// addresses reads a field of addresses: where it cannot be read as a whole,
// those that can be read by themselves.
func addresses(v string) []mail.Address {
	list, ok := header.ParseAddresses(v)
	if !ok {
		for part := range strings.SplitSeq(v, ",") {
			if some, ok := header.ParseAddresses(strings.TrimSpace(part)); ok {
				list = append(list, some...)
			}
		}
	}
	var out []mail.Address
	for _, a := range list {
		out = append(out, mail.Address{Name: a.Name, Email: a.Address})
	}
	return out
}

// hasAttachments: parts with a name, but for pictures that belong into the text.
func hasAttachments(p *gmailapi.MessagePart) bool {
	if p.Filename != "" || strings.EqualFold(p.MimeType, "message/rfc822") {
		inText := false
		for _, h := range p.Headers {
			inText = inText || strings.EqualFold(h.Name, "Content-Disposition") && strings.HasPrefix(strings.ToLower(strings.TrimSpace(h.Value)), "inline")
		}
		return !inText
	}
	for _, part := range p.Parts {
		if hasAttachments(part) {
			return true
		}
	}
	return false
}
