package providertest

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// letter is a message that the suite writes, and what must be read of it.
type letter struct {
	token   string // in subject and text, nowhere else in the world
	raw     []byte
	want    mail.Message
	padding int
}

// sentAt is when every letter was written.
var sentAt = time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC)

// letterOption changes a letter before it is written.
type letterOption func(*letter)

// from names its author.
func from(address string) letterOption {
	return func(l *letter) { l.want.From = []mail.Address{{Name: "Zoë Bäuerle", Email: address}} }
}

// attached gives it an attachment of so many octets.
func attached(octets int) letterOption {
	return func(l *letter) { l.want.HasAttachments, l.padding = true, octets }
}

// alone takes everybody out of it but the author and whom it is addressed to,
// and out of any thread: a letter to be sent.
func alone(l *letter) { l.want.Cc, l.want.InReplyTo, l.want.References = nil, nil, nil }

// saying puts a word into the subject.
func saying(word string) letterOption {
	return func(l *letter) { l.want.Subject += " " + word }
}

// newLetter writes a message: CRLF, an encoded subject, a reply in a thread.
func newLetter(to string, options ...letterOption) letter {
	l := letter{token: token()}
	l.want = mail.Message{
		Subject:    "Grüße aus Zürich " + l.token,
		From:       []mail.Address{{Name: "Zoë Bäuerle", Email: "zoe@providertest.example"}},
		To:         []mail.Address{{Name: "", Email: to}},
		Cc:         []mail.Address{{Name: "Lee Quill", Email: "lee@providertest.example"}},
		MessageID:  l.token + "@providertest.example",
		InReplyTo:  []string{"parent-" + l.token + "@providertest.example"},
		References: []string{"root-" + l.token + "@providertest.example", "parent-" + l.token + "@providertest.example"},
		SentAt:     sentAt,
	}
	for _, o := range options {
		o(&l)
	}
	l.write()
	return l
}

func (l *letter) write() {
	var b bytes.Buffer
	b.Grow(l.padding + 4096)
	field := func(name, format string, args ...any) {
		b.WriteString(name + ": " + fmt.Sprintf(format, args...) + "\r\n")
	}
	field("From", "%s", addresses(l.want.From))
	field("To", "%s", addresses(l.want.To))
	if len(l.want.Cc) > 0 {
		field("Cc", "%s", addresses(l.want.Cc))
	}
	field("Subject", "%s", mime.QEncoding.Encode("utf-8", l.want.Subject))
	field("Date", "%s", l.want.SentAt.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field("Message-ID", "<%s>", l.want.MessageID)
	if len(l.want.InReplyTo) > 0 {
		field("In-Reply-To", "<%s>", l.want.InReplyTo[0])
		field("References", "<%s>", strings.Join(l.want.References, ">\r\n <"))
	}
	field("MIME-Version", "1.0")
	text := "Dear reader,\r\n\r\nthe word is " + l.token + ".\r\n"
	if !l.want.HasAttachments {
		field("Content-Type", "text/plain; charset=utf-8")
		b.WriteString("\r\n" + text)
		l.raw = b.Bytes()
		return
	}
	edge := "edge-" + l.token
	field("Content-Type", "multipart/mixed; boundary=%q", edge)
	b.WriteString("\r\n--" + edge + "\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text)
	b.WriteString("\r\n--" + edge + "\r\nContent-Type: application/octet-stream; name=\"data.txt\"\r\n" +
		"Content-Disposition: attachment; filename=\"data.txt\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n")
	line := strings.Repeat("0123456789", 7) + "\r\n"
	for n := 0; n < l.padding; n += len(line) {
		b.WriteString(line)
	}
	b.WriteString("--" + edge + "--\r\n")
	l.raw = b.Bytes()
}

func addresses(list []mail.Address) string {
	var parts []string
	for _, a := range list {
		if a.Name == "" {
			parts = append(parts, a.Email)
			continue
		}
		parts = append(parts, mime.QEncoding.Encode("utf-8", a.Name)+" <"+a.Email+">")
	}
	return strings.Join(parts, ",\r\n ")
}
