package outlook

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// listSelect is what a list or a delta is asked for: all that a delta can
// tell of a message but its body. A delta bakes the first selection into its
// token, and reports isRead only where it was selected.
const listSelect = "id,changeKey,parentFolderId,conversationId,internetMessageId,subject,bodyPreview,importance,hasAttachments," +
	"from,sender,toRecipients,ccRecipients,bccRecipients,replyTo,receivedDateTime,sentDateTime,isRead,isDraft,flag,categories"

// stateSelect is enough to know keywords and mailbox.
const stateSelect = "id,changeKey,parentFolderId,receivedDateTime,isRead,isDraft,flag,categories"

// Properties of Exchange that Graph's message resource has no name for
// (MS-OXPROPS).
const (
	propInReplyTo  = "String 0x1042" // PidTagInReplyToId
	propReferences = "String 0x1039" // PidTagInternetReferences
)

// fetchQuery asks for everything of one message. Threading headers come as
// headers of received mail, and as properties of the rest.
func fetchQuery() string {
	return "?" + msgraph.EncodeQuery(url.Values{
		"$select": {listSelect + ",internetMessageHeaders"}, "$expand": {expand(propInReplyTo, propReferences, propLastVerb)},
	})
}

func messagePath(id string) string { return "/me/messages/" + url.PathEscape(id) }

// message converts what Graph tells of a message, and says what that is.
// mailbox is where it was found; empty where only parentFolderId tells.
func message(g *msgraph.Message) (mail.Message, mail.Fields) {
	m := mail.Message{ProviderID: g.ID, ProviderThreadID: g.ConversationID}
	var fields mail.Fields
	if g.ParentFolderID != "" {
		m.Mailboxes = []string{g.ParentFolderID}
		fields |= mail.FieldMailboxes
	}
	// A partial object of a delta has id, isRead and little else. A whole one
	// always has a date and lists of recipients, be they empty.
	whole := g.Received != nil && g.To != nil
	if whole {
		fields |= mail.FieldEnvelope
		envelope(&m, g)
	}
	switch {
	case verbTold(g) && (whole || (g.IsRead != nil && g.Flag != nil && g.IsDraft != nil && g.Categories != nil)):
		fields |= mail.FieldKeywords
	default:
		if g.IsRead != nil {
			fields |= mail.FieldSeen
		}
		if g.Flag != nil {
			fields |= mail.FieldFlagged
		}
	}
	m.Keywords = keywords(g)
	// Only a draft's bytes change; changeKey changes with every flag, too, so
	// that it says nothing of others.
	if g.IsDraft != nil && *g.IsDraft {
		m.ContentTag = g.ChangeKey
	}
	return m, fields
}

func envelope(m *mail.Message, g *msgraph.Message) {
	m.Subject = g.Subject
	m.From = addresses(recipients(g.From)...)
	m.Sender = addresses(recipients(g.Sender)...)
	m.To = addresses(g.To...)
	m.Cc = addresses(g.Cc...)
	m.Bcc = addresses(g.Bcc...)
	m.ReplyTo = addresses(g.ReplyTo...)
	m.MessageID = header.BareID(g.InternetMessageID)
	m.ReceivedAt = second(g.Received)
	m.SentAt = second(g.Sent)
	m.Preview = header.Preview(g.BodyPreview)
	m.Importance = mail.Importance(strings.ToLower(g.Importance))
	m.HasAttachments = g.HasAttachments != nil && *g.HasAttachments
	for _, h := range g.Headers {
		switch strings.ToLower(h.Name) {
		case "in-reply-to":
			m.InReplyTo = header.MessageIDs(h.Value)
		case "references":
			m.References = header.MessageIDs(h.Value)
		}
	}
	for _, p := range g.Properties {
		switch {
		case sameProperty(p.ID, propInReplyTo) && m.InReplyTo == nil:
			m.InReplyTo = header.MessageIDs(p.Value)
		case sameProperty(p.ID, propReferences) && m.References == nil:
			m.References = header.MessageIDs(p.Value)
		}
	}
}

// sameProperty compares ids of properties: what comes back is lower case and
// without leading zeros ("String 0x1042", but "Integer 0xe08").
func sameProperty(a, b string) bool {
	norm := func(s string) string {
		s = strings.ToLower(s)
		if typ, tag, ok := strings.Cut(s, " 0x"); ok {
			return typ + " 0x" + strings.TrimLeft(tag, "0")
		}
		return s
	}
	return norm(a) == norm(b)
}

func recipients(r *msgraph.Recipient) []msgraph.Recipient {
	if r == nil {
		return nil
	}
	return []msgraph.Recipient{*r}
}

func addresses(rs ...msgraph.Recipient) []mail.Address {
	var out []mail.Address
	for _, r := range rs {
		a := mail.Address{Name: r.EmailAddress.Name, Email: r.EmailAddress.Address}
		if a.Name == a.Email {
			a.Name = "" // Exchange repeats the address where there is no name
		}
		if a != (mail.Address{}) {
			out = append(out, a)
		}
	}
	return out
}

// second gives a time as Graph has it, in seconds. A year that no mail can be
// of is told as it is: mail is full of them. The beginning of 1601, from which
// Exchange counts, is none.
func second(t *msgraph.Time) time.Time {
	if t == nil || t.IsZero() || t.Equal(time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)) {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

// keywords are those that Graph holds: isRead, flag, isDraft, the last verb and
// the categories.
func keywords(g *msgraph.Message) []string {
	var out []string
	if g.IsRead != nil && *g.IsRead {
		out = append(out, mail.Seen)
	}
	if g.Flag != nil && strings.EqualFold(g.Flag.Status, "flagged") {
		out = append(out, mail.Flagged)
	}
	if g.IsDraft != nil && *g.IsDraft {
		out = append(out, mail.Draft)
	}
	verb, _ := lastVerb(g)
	if k := verbKeyword(verb); k != "" {
		out = append(out, k)
	}
	for _, c := range g.Categories {
		if k := categoryKeyword(c); k != "" {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
