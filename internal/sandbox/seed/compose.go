package seed

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"math/rand/v2"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"
)

// A mail is one message before it is bytes.
type mail struct {
	From       Person
	To, Cc     []Person
	Subject    string
	Date       time.Time
	ID         string
	InReplyTo  string
	References []string
	Fields     []string // further header lines
	Text, HTML string
	Charset    string // of text and header; "" is utf-8
	Inline     []part
	Attach     []part
}

// A part is an attachment, or with CID a picture in the HTML.
type part struct {
	Name, Type string
	Data       []byte
	CID        string
}

// compose writes the message (RFC 5322, RFC 2045 to 2047, RFC 2387).
func (m mail) compose(r *rand.Rand) ([]byte, error) {
	c := composer{rand: r, charset: m.Charset}
	if c.charset == "" {
		c.charset = "utf-8"
	}
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&c.out, "%s: %s\r\n", name, value)
		}
	}
	field("From", c.people(m.From))
	field("To", c.people(m.To...))
	field("Cc", c.people(m.Cc...))
	subject := c.words(m.Subject)
	if len(subject) > 70 && subject == m.Subject {
		subject = fold(subject)
	}
	field("Subject", subject)
	field("Date", m.Date.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	field("Message-ID", m.ID)
	field("In-Reply-To", m.InReplyTo)
	field("References", strings.Join(m.References, "\r\n "))
	for _, f := range m.Fields {
		c.out.WriteString(f + "\r\n")
	}
	c.out.WriteString("MIME-Version: 1.0\r\n")
	c.mixed(m)
	return c.out.Bytes(), c.err
}

type composer struct {
	rand    *rand.Rand
	charset string
	out     bytes.Buffer
	err     error
}

func (c *composer) boundary() string { return fmt.Sprintf("=_%016x", c.rand.Uint64()) }

// multipart writes a container and what each function writes into it.
func (c *composer) multipart(kind string, parts ...func()) {
	b := c.boundary()
	fmt.Fprintf(&c.out, "Content-Type: multipart/%s; boundary=%q\r\n\r\n", kind, b)
	for _, p := range parts {
		fmt.Fprintf(&c.out, "--%s\r\n", b)
		p()
		c.out.WriteString("\r\n")
	}
	fmt.Fprintf(&c.out, "--%s--\r\n", b)
}

func (c *composer) mixed(m mail) {
	if len(m.Attach) == 0 {
		c.related(m)
		return
	}
	var parts []func()
	if m.Text != "" || m.HTML != "" {
		parts = append(parts, func() { c.related(m) })
	}
	for _, a := range m.Attach {
		parts = append(parts, func() { c.attachment(a) })
	}
	c.multipart("mixed", parts...)
}

func (c *composer) related(m mail) {
	if len(m.Inline) == 0 {
		c.alternative(m)
		return
	}
	parts := []func(){func() { c.alternative(m) }}
	for _, a := range m.Inline {
		parts = append(parts, func() { c.attachment(a) })
	}
	c.multipart("related", parts...)
}

func (c *composer) alternative(m mail) {
	switch {
	case m.HTML == "":
		c.text("plain", m.Text)
	case m.Text == "":
		c.text("html", m.HTML)
	default:
		c.multipart("alternative", func() { c.text("plain", m.Text) }, func() { c.text("html", m.HTML) })
	}
}

// text writes a text part in the message's charset: 7 bit where it can be,
// base64 for what is mostly not ASCII, else quoted-printable.
func (c *composer) text(subtype, text string) {
	text = strings.ReplaceAll(strings.TrimRight(text, "\n")+"\n", "\n", "\r\n")
	encoded := c.encode(text)
	fmt.Fprintf(&c.out, "Content-Type: text/%s; charset=%s\r\n", subtype, c.charset)
	switch {
	case sevenBit(encoded):
		c.out.WriteString("Content-Transfer-Encoding: 7bit\r\n\r\n")
		c.out.Write(encoded)
	case mostlyForeign(text):
		c.out.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
		c.base64(encoded)
	default:
		c.out.WriteString("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		q := quotedprintable.NewWriter(&c.out)
		if _, err := q.Write(encoded); err != nil {
			c.err = err
		}
		if err := q.Close(); err != nil {
			c.err = err
		}
	}
}

func (c *composer) attachment(p part) {
	disposition := "attachment"
	if p.CID != "" {
		disposition = "inline"
	}
	name := c.words(p.Name)
	kind := p.Type
	if !strings.Contains(kind, ";") {
		kind += fmt.Sprintf("; name=%q", name)
	}
	fmt.Fprintf(&c.out, "Content-Type: %s\r\nContent-Disposition: %s; filename=%q\r\n", kind, disposition, name)
	if p.CID != "" {
		fmt.Fprintf(&c.out, "Content-ID: <%s>\r\n", p.CID)
	}
	if p.Type == "message/rfc822" { // never encoded (RFC 2046 5.2.1)
		c.out.WriteString("\r\n")
		c.out.Write(p.Data)
		return
	}
	c.out.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
	c.base64(p.Data)
}

func (c *composer) base64(data []byte) {
	text := base64.StdEncoding.EncodeToString(data)
	for len(text) > 76 {
		c.out.WriteString(text[:76] + "\r\n")
		text = text[76:]
	}
	c.out.WriteString(text + "\r\n")
}

// encode turns text into the message's charset.
func (c *composer) encode(text string) []byte {
	enc, err := htmlindex.Get(c.charset)
	if err != nil {
		c.err = err
		return nil
	}
	if c.charset == "utf-8" {
		return []byte(text)
	}
	out, err := enc.NewEncoder().Bytes([]byte(text))
	if err != nil {
		c.err = fmt.Errorf("encode in %s: %w", c.charset, err)
	}
	return out
}

// words writes a header's text as encoded words (RFC 2047) if it must.
func (c *composer) words(text string) string {
	if sevenBit([]byte(text)) {
		return text
	}
	if c.charset == "utf-8" {
		if mostlyForeign(text) {
			return strings.ReplaceAll(mime.BEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
		}
		return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", text), "?= =?", "?=\r\n =?")
	}
	// Words of a few characters each: a charset with states starts and ends
	// each word in ASCII (RFC 1468).
	var out []string
	runes := []rune(text)
	for len(runes) > 0 {
		n := min(12, len(runes))
		out = append(out, "=?"+c.charset+"?B?"+base64.StdEncoding.EncodeToString(c.encode(string(runes[:n])))+"?=")
		runes = runes[n:]
	}
	return strings.Join(out, "\r\n ")
}

func (c *composer) people(ps ...Person) string {
	var out []string
	for _, p := range ps {
		switch {
		case p.Name == "":
			out = append(out, p.Address)
		case sevenBit([]byte(p.Name)) && strings.ContainsAny(p.Name, `,.@&"`):
			out = append(out, fmt.Sprintf("%q <%s>", p.Name, p.Address))
		default:
			name := c.words(p.Name)
			if c.charset != "utf-8" && !c.covers(p.Name) {
				other := composer{charset: "utf-8"}
				name = other.words(p.Name)
			}
			out = append(out, fmt.Sprintf("%s <%s>", name, p.Address))
		}
	}
	return strings.Join(out, ",\r\n ")
}

// covers tells whether the charset has all the characters.
func (c *composer) covers(text string) bool {
	probe := composer{charset: c.charset}
	probe.encode(text)
	return probe.err == nil
}

func sevenBit(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

func mostlyForeign(text string) bool {
	foreign := 0
	for _, r := range text {
		if r >= utf8.RuneSelf {
			foreign++
		}
	}
	return foreign*3 > utf8.RuneCountInString(text)
}

// fold breaks a long field at spaces.
func fold(text string) string {
	var out strings.Builder
	line := 0
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
		case line+len(word) > 66:
			out.WriteString("\r\n ")
			line = 0
		default:
			out.WriteString(" ")
		}
		out.WriteString(word)
		line += len(word) + 1
	}
	return out.String()
}

func paragraphs(text string) string {
	text = html.EscapeString(strings.TrimSpace(text))
	return "<p>" + strings.ReplaceAll(strings.ReplaceAll(text, "\n\n", "</p><p>"), "\n", "<br>") + "</p>"
}
