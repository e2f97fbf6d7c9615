package textindex

import (
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// InMetadata answers a query for a message whose text is not here, from what
// the provider told of it: header fields, and nothing of the body.
func InMetadata(m *store.Message, q Query) bool {
	if q.Where == InBody {
		return false
	}
	needle := mime.Fold(q.Text)
	for _, f := range metadataFields(m) {
		if q.Where == InHeader && f[0] != strings.ToLower(q.Field) {
			continue
		}
		value := mime.Fold(f[1])
		if strings.Contains(value, needle) || q.Where == InText && strings.Contains(f[0]+": "+value, needle) {
			return true
		}
	}
	return q.Where == InText && needle == ""
}

// metadataFields are the header fields that a message surely has, by lower-case
// name, as far as the provider's metadata tells them.
func metadataFields(m *store.Message) [][2]string {
	out := make([][2]string, 0, 11)
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, value})
		}
	}
	add("subject", m.Subject)
	add("from", addressList(m.From))
	add("sender", addressList(m.Sender))
	add("reply-to", addressList(m.ReplyTo))
	add("to", addressList(m.To))
	add("cc", addressList(m.Cc))
	add("bcc", addressList(m.Bcc))
	add("message-id", messageIDs([]string{m.MessageID}))
	add("in-reply-to", messageIDs(m.InReplyTo))
	add("references", messageIDs(m.References))
	if !m.SentAt.IsZero() {
		add("date", m.SentAt.UTC().Format(time.RFC1123Z))
	}
	return out
}

func addressList(list []mail.Address) string {
	words := make([]string, 0, len(list))
	for _, a := range list {
		switch {
		case a.Name == "":
			words = append(words, a.Email)
		case a.Email == "":
			words = append(words, a.Name)
		default:
			words = append(words, a.Name+" <"+a.Email+">")
		}
	}
	return strings.Join(words, ", ")
}

func messageIDs(ids []string) string {
	words := make([]string, 0, len(ids))
	for _, id := range ids {
		if id != "" {
			words = append(words, "<"+id+">")
		}
	}
	return strings.Join(words, " ")
}
