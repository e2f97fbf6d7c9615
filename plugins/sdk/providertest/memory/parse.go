package memory

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"unicode/utf8"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// previewRunes is how much text a preview has.
const previewRunes = 256

// split cuts a message at the empty line; the body begins with it.
func split(raw []byte) (head, body []byte) {
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(raw, []byte(end)); i >= 0 {
			cut := i + len(end)/2
			return raw[:cut], raw[cut:]
		}
	}
	return raw, nil
}

// header is a message's fields, unfolded, by lower-case name, the first one of
// each. It takes any bytes: ugly mail is the rule, not the exception.
func header(head []byte) map[string]string {
	out := map[string]string{}
	var name, value string
	flush := func() {
		if _, ok := out[name]; name != "" && !ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	for line := range strings.Lines(string(head)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t") {
			value += " " + strings.TrimLeft(line, " \t")
			continue
		}
		flush()
		var ok bool
		if name, value, ok = strings.Cut(line, ":"); !ok {
			name = ""
		}
		name = strings.ToLower(strings.TrimSpace(name))
	}
	flush()
	return out
}

// parse reads the metadata of a message from its bytes, as far as it can, and
// what can be searched of it: all but its attachments, in lower case.
func parse(raw []byte) (mail.Message, []byte) {
	head, body := split(raw)
	h := header(head)
	words := &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}
	text := func(name string) string {
		s, err := words.DecodeHeader(h[name])
		if err != nil {
			s = h[name]
		}
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	people := func(name string) []mail.Address {
		if h[name] == "" {
			return nil
		}
		list, err := (&netmail.AddressParser{WordDecoder: words}).ParseList(h[name])
		if err != nil {
			return []mail.Address{{Name: text(name)}}
		}
		var out []mail.Address
		for _, a := range list {
			out = append(out, mail.Address{Name: strings.ToValidUTF8(a.Name, "\uFFFD"), Email: strings.ToValidUTF8(a.Address, "\uFFFD")})
		}
		return out
	}
	m := mail.Message{
		Subject: text("subject"),
		From:    people("from"), Sender: people("sender"), ReplyTo: people("reply-to"),
		To: people("to"), Cc: people("cc"), Bcc: people("bcc"),
		InReplyTo: ids(h["in-reply-to"]), References: ids(h["references"]),
	}
	if own := ids(h["message-id"]); len(own) > 0 {
		m.MessageID = own[0]
	}
	m.ProviderThreadID = "thread-" + m.MessageID
	if len(m.References) > 0 {
		m.ProviderThreadID = "thread-" + m.References[0]
	} else if len(m.InReplyTo) > 0 {
		m.ProviderThreadID = "thread-" + m.InReplyTo[0]
	}
	if at, err := netmail.ParseDate(h["date"]); err == nil {
		m.SentAt = at.UTC()
	}
	switch strings.ToLower(h["importance"]) {
	case "high":
		m.Importance = mail.ImportanceHigh
	case "low":
		m.Importance = mail.ImportanceLow
	}
	l := looker{words: bytes.ToLower(head)}
	preview := l.look(h["content-type"], h["content-transfer-encoding"], bytes.TrimLeft(body, "\r\n"), 0)
	m.Preview, m.HasAttachments = cut(preview), l.attached
	return m, l.words
}

// ids takes message ids out of their angle brackets.
func ids(s string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(s, "<")
		if !ok {
			return out
		}
		id, after, ok := strings.Cut(rest, ">")
		if !ok {
			return out
		}
		if id = strings.ToValidUTF8(strings.TrimSpace(id), "\uFFFD"); id != "" {
			out = append(out, id)
		}
		s = after
	}
}

// looker goes through the parts of a message.
type looker struct {
	words    []byte // of all parts but attachments, in lower case
	attached bool   // there are attachments
}

// look finds the first text.
func (l *looker) look(contentType, encoding string, body []byte, depth int) (text string) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if !strings.HasPrefix(kind, "multipart/") || params["boundary"] == "" || depth >= 10 {
		l.words = append(append(l.words, '\n'), bytes.ToLower(body)...)
		if kind == "text/plain" {
			return decode(encoding, body)
		}
		return ""
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for {
		part, err := r.NextRawPart()
		if err != nil {
			return text
		}
		disposition, _, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		if err == nil && disposition == "attachment" {
			l.attached = true
			continue // the next part begins behind it
		}
		b, err := io.ReadAll(part)
		if err != nil {
			return text
		}
		t := l.look(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), b, depth+1)
		if text == "" {
			text = t
		}
	}
}

func decode(encoding string, body []byte) string {
	var r io.Reader = bytes.NewReader(body)
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(io.LimitReader(r, 4*previewRunes))
	if err != nil && len(b) == 0 {
		return ""
	}
	return string(b)
}

// cut makes a preview: one line, valid, bounded.
func cut(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if utf8.RuneCountInString(s) <= previewRunes {
		return s
	}
	return string([]rune(s)[:previewRunes])
}
