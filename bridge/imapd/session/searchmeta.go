package session

import (
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// metadataFields are the header fields that a message surely has, by lower-case
// name, as far as the provider's metadata tells them.
func metadataFields(m *store.Message) [][2]string {
	out := make([][2]string, 0, 10)
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

// writtenDay is the day of a Date field (RFC 5322, 3.3; 4.3) as it is written,
// whatever its zone; zero where there is none. The rest of the field may be
// anything: what people's programs write often is.
func writtenDay(field string) time.Time {
	words := strings.FieldsFunc(field, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '-' })
	for i := 0; i+2 < len(words); i++ {
		month, ok := months[strings.ToLower(first(words[i+1], 3))]
		day, year := digits(words[i], 2), digits(words[i+2], 4)
		if !ok || day < 1 || year < 0 {
			continue
		}
		switch n := len(words[i+2]); {
		case n == 2 && year < 50: // RFC 5322, 4.3: obs-year
			year += 2000
		case n <= 3:
			year += 1900
		}
		t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		if t.Day() != day {
			return time.Time{}
		}
		return t
	}
	return time.Time{}
}

var months = map[string]time.Month{
	"jan": time.January, "feb": time.February, "mar": time.March, "apr": time.April,
	"may": time.May, "jun": time.June, "jul": time.July, "aug": time.August,
	"sep": time.September, "oct": time.October, "nov": time.November, "dec": time.December,
}

func first(s string, n int) string { return s[:min(n, len(s))] }

// digits reads a number of at most most digits, -1 where it is none.
func digits(s string, most int) int {
	if s == "" || len(s) > most {
		return -1
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}
