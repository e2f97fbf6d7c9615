package graph

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// mime is the message as $value serves it: the bytes it came with, or bytes
// generated from its fields, always the same for the same fields.
func (c *content) mime() []byte {
	if c.raw == nil {
		c.raw = c.build()
	}
	return c.raw
}

func (c *content) build() []byte {
	var b bytes.Buffer
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
	}
	if c.from != nil {
		put("From", formatAddress(*c.from))
	}
	if c.sender != nil && (c.from == nil || *c.sender != *c.from) {
		put("Sender", formatAddress(*c.sender))
	}
	put("To", formatAddresses(c.to))
	put("CC", formatAddresses(c.cc))
	put("BCC", formatAddresses(c.bcc))
	put("Reply-To", formatAddresses(c.replyTo))
	fmt.Fprintf(&b, "Subject: %s\r\n", encodeText(c.subject))
	put("Thread-Topic", encodeText(c.topic))
	if len(c.index) > 0 {
		put("Thread-Index", base64.StdEncoding.EncodeToString(c.index))
	}
	switch c.importance {
	case "high":
		put("Importance", "high")
		put("X-Priority", "1")
	case "low":
		put("Importance", "low")
		put("X-Priority", "5")
	}
	put("Date", c.sent.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	put("Message-ID", oneLine(c.messageID))
	put("References", strings.Join(c.references, "\r\n "))
	put("In-Reply-To", oneLine(c.inReplyTo))
	if c.readReceipt && c.from != nil {
		put("Disposition-Notification-To", formatAddress(*c.from))
	}
	if c.dlvReceipt && c.from != nil {
		put("Return-Receipt-To", formatAddress(*c.from))
	}
	put("Content-Language", "en-US")
	if c.attached {
		put("X-MS-Has-Attach", "yes")
	} else {
		b.WriteString("X-MS-Has-Attach:\r\n")
	}
	b.WriteString("X-MS-TNEF-Correlator:\r\nX-MS-Exchange-Organization-RecordReviewCfmType: 0\r\n")
	for _, f := range c.custom {
		put(f.Name, encodeText(string(f.Value)))
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	c.buildBody(&b)
	return b.Bytes()
}

// buildBody writes Content-Type and body: text, or text and HTML as
// alternatives, with inline files in multipart/related and the others in
// multipart/mixed around it.
func (c *content) buildBody(b *bytes.Buffer) {
	var inline, attached []*attachment
	for _, a := range c.attachments {
		if a.inline && c.html {
			inline = append(inline, a)
		} else {
			attached = append(attached, a)
		}
	}
	body := func(b *bytes.Buffer) {
		if !c.html {
			writeText(b, "plain", c.body)
			return
		}
		c.multipart(b, "alternative", 0,
			func(b *bytes.Buffer) { writeText(b, "plain", mimetree.HTMLToText(c.body)+"\r\n") },
			func(b *bytes.Buffer) { writeText(b, "html", c.body) })
	}
	if len(inline) > 0 {
		alone := body
		body = func(b *bytes.Buffer) { c.multipart(b, "related", 1, withFiles(alone, inline)...) }
	}
	if len(attached) > 0 {
		alone := body
		body = func(b *bytes.Buffer) { c.multipart(b, "mixed", 2, withFiles(alone, attached)...) }
	}
	body(b)
}

func withFiles(body func(*bytes.Buffer), files []*attachment) []func(*bytes.Buffer) {
	parts := []func(*bytes.Buffer){body}
	for _, a := range files {
		parts = append(parts, func(b *bytes.Buffer) { writeAttachment(b, a) })
	}
	return parts
}

func (c *content) multipart(b *bytes.Buffer, kind string, level int, parts ...func(*bytes.Buffer)) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", level, c.messageID))
	boundary := fmt.Sprintf("_%03d_%x_", level, sum[:20])
	fmt.Fprintf(b, "Content-Type: multipart/%s;\r\n\tboundary=\"%s\"\r\n\r\n", kind, boundary)
	for _, p := range parts {
		fmt.Fprintf(b, "--%s\r\n", boundary)
		p(b)
		b.WriteString("\r\n")
	}
	fmt.Fprintf(b, "--%s--\r\n", boundary)
}

func writeText(b *bytes.Buffer, subtype, text string) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
	if mimetree.IsASCII([]byte(text)) && longestLine(text) < 900 {
		fmt.Fprintf(b, "Content-Type: text/%s; charset=\"us-ascii\"\r\n\r\n%s", subtype, text)
		return
	}
	fmt.Fprintf(b, "Content-Type: text/%s; charset=\"utf-8\"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", subtype)
	w := quotedprintable.NewWriter(b)
	_, err := w.Write([]byte(text))
	if err == nil {
		err = w.Close()
	}
	if err != nil { // a bytes.Buffer does not fail
		panic(err)
	}
}

func longestLine(s string) int {
	longest := 0
	for line := range strings.SplitSeq(s, "\n") {
		longest = max(longest, len(line))
	}
	return longest
}

func writeAttachment(b *bytes.Buffer, a *attachment) {
	if a.item {
		fmt.Fprintf(b, "Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n")
		b.Write(a.bytes())
		return
	}
	ctype := oneLine(a.ctype)
	if ctype == "" {
		ctype = "application/octet-stream"
	}
	name := encodeText(a.name)
	fmt.Fprintf(b, "Content-Type: %s; name=\"%s\"\r\nContent-Description: %s\r\n", ctype, escapeQuotes(name), name)
	disposition := "attachment"
	if a.inline {
		disposition = "inline"
	}
	fmt.Fprintf(b, "Content-Disposition: %s; filename=\"%s\"; size=%d\r\n", disposition, escapeQuotes(name), len(a.bytes()))
	if a.cid != "" {
		fmt.Fprintf(b, "Content-ID: <%s>\r\n", oneLine(a.cid))
	}
	b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
	writeBase64(b, a.bytes())
}

// writeBase64 writes lines of 76 characters (RFC 2045, 6.8).
func writeBase64(b *bytes.Buffer, data []byte) {
	b.Grow(len(data)/57*78 + 80)
	for len(data) > 0 {
		n := min(57, len(data))
		b.Write(append(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), data[:n]), "\r\n"...))
		data = data[n:]
	}
}

// oneLine keeps a value from JSON from becoming more than one header line.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return ' '
		}
		return r
	}, s))
}

func escapeQuotes(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`)
}

// encodeText writes unstructured text (RFC 2047), folded between encoded words.
func encodeText(s string) string {
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", oneLine(s)), "?= =?", "?=\r\n =?")
}

func formatAddress(r mimetree.Recipient) string {
	addr := "<" + strings.ReplaceAll(oneLine(r.Address), ">", "") + ">"
	name := oneLine(r.Name)
	switch {
	case name == "":
		return addr
	case mimetree.IsASCII([]byte(name)):
		return `"` + escapeQuotes(name) + `" ` + addr
	}
	return encodeText(name) + " " + addr
}

func formatAddresses(rs []mimetree.Recipient) string {
	items := make([]string, len(rs))
	for i, r := range rs {
		items[i] = formatAddress(r)
	}
	return strings.Join(items, ",\r\n\t")
}

// complete gives raw MIME what a message needs on the wire and lacks, and takes
// out what must not be there: the header in front of the body is edited, the
// body never touched.
func complete(raw []byte, from mimetree.Recipient, messageID string, now time.Time, keepBcc bool) []byte {
	h, _ := mimetree.ParseHeader(raw)
	var b bytes.Buffer
	replaceFrom := len(mimetree.ParseAddresses(h.Get("From"), "")) == 0
	if replaceFrom {
		fmt.Fprintf(&b, "From: %s\r\n", formatAddress(from))
	}
	if !h.Has("Date") {
		fmt.Fprintf(&b, "Date: %s\r\n", now.UTC().Format("Mon, 2 Jan 2006 15:04:05 -0700"))
	}
	replaceID := strings.TrimSpace(h.Get("Message-ID")) == ""
	if replaceID {
		fmt.Fprintf(&b, "Message-ID: %s\r\n", messageID)
	}
	b.Write(mimetree.DropFields(raw, func(name string) bool {
		return strings.EqualFold(name, "Bcc") && !keepBcc ||
			strings.EqualFold(name, "Message-ID") && replaceID ||
			strings.EqualFold(name, "From") && replaceFrom
	}))
	return b.Bytes()
}
