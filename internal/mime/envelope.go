package mime

import (
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// envelope is what ENVELOPE tells of a message's header (RFC 9051, 7.5.2), each
// string as it stands there but for the ends of lines.
type envelope struct {
	date, subject, inReplyTo, messageID string
	from, sender, replyTo, to, cc, bcc  []address
}

// take notes a field and gives how much that costs. Of several fields of
// addresses all count, of others the first.
func (e *envelope) take(name, value string) int {
	one, list := (*string)(nil), (*[]address)(nil)
	switch name {
	case "date":
		one = &e.date
	case "subject":
		one = &e.subject
	case "in-reply-to":
		one = &e.inReplyTo
	case "message-id":
		one = &e.messageID
	case "from":
		list = &e.from
	case "sender":
		list = &e.sender
	case "reply-to":
		list = &e.replyTo
	case "to":
		list = &e.to
	case "cc":
		list = &e.cc
	case "bcc":
		list = &e.bcc
	}
	switch {
	case list != nil:
		more := addresses(value)
		*list = append(*list, more...)
		return len(value) + 64*len(more) // what it takes on the wire
	case one != nil && *one == "":
		*one = value
	default:
		return 0
	}
	return len(value)
}

// append appends the envelope. Sender and Reply-To are From where they are
// missing or empty.
func (e *envelope) append(b []byte) []byte {
	b = appendNWord(append(b, '('), e.date)
	b = appendNWord(append(b, ' '), e.subject)
	b = appendAddresses(append(b, ' '), e.from)
	for _, list := range [][]address{e.sender, e.replyTo} {
		if len(list) == 0 {
			list = e.from
		}
		b = appendAddresses(append(b, ' '), list)
	}
	b = appendAddresses(append(b, ' '), e.to)
	b = appendAddresses(append(b, ' '), e.cc)
	b = appendAddresses(append(b, ' '), e.bcc)
	b = appendNWord(append(b, ' '), e.inReplyTo)
	b = appendNWord(append(b, ' '), e.messageID)
	return append(b, ')')
}

func appendAddresses(b []byte, list []address) []byte {
	if len(list) == 0 {
		return append(b, "NIL"...)
	}
	b = append(b, '(')
	for _, a := range list {
		b = a.append(b)
	}
	return append(b, ')')
}

// EnvelopeOf gives the ENVELOPE of a message of which only metadata is known:
// its bytes may tell it in other words.
func EnvelopeOf(m *mail.Message) []byte {
	e := envelope{
		subject: m.Subject, from: known(m.From), sender: known(m.Sender), replyTo: known(m.ReplyTo),
		to: known(m.To), cc: known(m.Cc), bcc: known(m.Bcc),
	}
	if !m.SentAt.IsZero() {
		e.date = m.SentAt.UTC().Format("Mon, 02 Jan 2006 15:04:05 -0700")
	}
	if m.MessageID != "" {
		e.messageID = "<" + m.MessageID + ">"
	}
	if len(m.InReplyTo) > 0 {
		e.inReplyTo = "<" + strings.Join(m.InReplyTo, "> <") + ">"
	}
	return e.append(nil)
}

func known(list []mail.Address) []address {
	var out []address
	for _, a := range list {
		mailbox, host := split(a.Email)
		out = append(out, address{name: a.Name, mailbox: mailbox, host: host})
	}
	return out
}
