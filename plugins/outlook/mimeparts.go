package outlook

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	stdmail "net/mail"
	"net/textproto"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/header"
)

// maxDepth of multiparts inside one another.
const maxDepth = 20

// content is a MIME message in Graph's terms: one body and attachments.
type content struct {
	message     msgraph.Message
	date        time.Time
	headerBlock string
	bodyType    string // "html" or "text"
	body        string
	attachments []attachment
	// sealed: signed or encrypted, so that taking it apart destroys it.
	sealed bool
	// bodyOf are the multipart/alternatives that the body is in, and alternatives
	// counts them.
	bodyOf       []int
	alternatives int
}

// attachment points into the raw message; decoded when it is needed.
type attachment struct {
	name, contentType, contentID string
	inline                       bool
	encoding                     string
	raw                          []byte
}

func (a *attachment) decode() ([]byte, error) { return decodeTransfer(a.encoding, a.raw) }

// parseContent takes a message apart. It is lenient: what cannot be
// understood becomes text or an attachment.
func parseContent(raw []byte) *content {
	fields, body := header.Split(raw)
	c := &content{}
	h := textproto.MIMEHeader{}
	var block bytes.Buffer
	for i := range fields {
		block.Write(fields[i].Raw)
		if fields[i].Name != "" {
			h.Add(fields[i].Name, fields[i].Value())
		}
	}
	c.headerBlock = block.String()
	c.readHeader(h)
	c.walk(h, bytes.TrimPrefix(bytes.TrimPrefix(body, []byte("\r")), []byte("\n")), 0, nil)
	if c.bodyType == "" {
		c.bodyType = "text"
	}
	return c
}

func (c *content) readHeader(h textproto.MIMEHeader) {
	m := &c.message
	m.Subject = header.DecodeText(h.Get("Subject"))
	m.InternetMessageID = h.Get("Message-Id")
	one := func(name string) *msgraph.Recipient {
		if rs := headerRecipients(h[textproto.CanonicalMIMEHeaderKey(name)]); len(rs) > 0 {
			return &rs[0]
		}
		return nil
	}
	m.From, m.Sender = one("From"), one("Sender")
	m.To = headerRecipients(h["To"])
	m.Cc = headerRecipients(h["Cc"])
	m.Bcc = headerRecipients(h["Bcc"])
	m.ReplyTo = headerRecipients(h["Reply-To"])
	if d, err := stdmail.ParseDate(h.Get("Date")); err == nil {
		c.date = d.UTC()
	}
	prio := strings.ToLower(h.Get("Importance") + " " + h.Get("X-Priority"))
	switch {
	case strings.Contains(prio, "high") || strings.HasSuffix(prio, " 1") || strings.HasSuffix(prio, " 2"):
		m.Importance = "high"
	case strings.Contains(prio, "low") || strings.HasSuffix(prio, " 4") || strings.HasSuffix(prio, " 5"):
		m.Importance = "low"
	}
	for tag, name := range map[string]string{propInReplyTo: "In-Reply-To", propReferences: "References"} {
		if v := strings.Join(strings.Fields(h.Get(name)), " "); v != "" {
			m.Properties = append(m.Properties, msgraph.Property{ID: tag, Value: v})
		}
	}
}

func headerRecipients(values []string) []msgraph.Recipient {
	var out []msgraph.Recipient
	for _, v := range values {
		list, _ := header.ParseAddresses(v)
		for _, a := range list {
			out = append(out, msgraph.Recipient{EmailAddress: msgraph.EmailAddress{Name: a.Name, Address: a.Address}})
		}
	}
	return out
}

// walk files one part: as the body, or as an attachment. of are the
// multipart/alternatives that it is in. Graph keeps one body: only what says the
// same in other words goes for it (RFC 2046, 5.1.4), any other text is attached.
func (c *content) walk(h textproto.MIMEHeader, body []byte, depth int, of []int) {
	ctype, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil && ctype == "" {
		ctype = "text/plain"
	}
	switch {
	case ctype == "multipart/signed", ctype == "multipart/encrypted",
		ctype == "application/pkcs7-mime", ctype == "application/x-pkcs7-mime":
		c.sealed = true
	}
	if strings.HasPrefix(ctype, "multipart/") && params["boundary"] != "" && depth < maxDepth {
		if ctype == "multipart/alternative" {
			c.alternatives++
			of = append(slices.Clone(of), c.alternatives)
		}
		if c.walkMultipart(params["boundary"], body, depth, of) || len(bytes.TrimSpace(body)) == 0 {
			return
		}
		ctype = "text/plain" // the boundary is nowhere: show what there is
	}
	disp, dparams, _ := mime.ParseMediaType(h.Get("Content-Disposition"))
	name := header.DecodeText(first(dparams["filename"], params["name"]))
	encoding := strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding")))
	text := map[string]string{"text/plain": "text", "text/html": "html"}[ctype]
	shown := text != "" && disp != "attachment" && name == ""
	alternative := slices.ContainsFunc(of, func(n int) bool { return slices.Contains(c.bodyOf, n) })
	// HTML beats plain text.
	if shown && (c.bodyType == "" || c.bodyType == "text" && text == "html" && alternative) {
		if data, err := decodeTransfer(encoding, body); err == nil {
			c.bodyType, c.body, c.bodyOf = text, decodeCharset(params["charset"], data), of
			return
		}
	}
	if shown && text == "text" && c.bodyType == "html" && alternative {
		return // the same in plain text
	}
	id := strings.Trim(h.Get("Content-Id"), "<> ")
	c.attachments = append(c.attachments, attachment{
		name: partName(name, ctype, len(c.attachments)), contentType: ctype, contentID: id,
		inline: disp == "inline" && id != "", encoding: encoding, raw: body,
	})
}

// walkMultipart reports whether there was any part. Where one cannot be read all
// of them are attached as they stand: nobody would miss what was left out.
func (c *content) walkMultipart(boundary string, body []byte, depth int, of []int) (found bool) {
	r := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := r.NextRawPart()
		if err != nil {
			if found && !errors.Is(err, io.EOF) {
				c.attachments = append(c.attachments, attachment{name: partName("", "text/plain", len(c.attachments)), contentType: "text/plain", raw: body})
			}
			return found
		}
		found = true
		data, err := io.ReadAll(part)
		c.walk(part.Header, data, depth+1, of)
		if err != nil {
			return found // cut off: what is there has been filed
		}
	}
}

func partName(name, ctype string, n int) string {
	if name = path.Base(strings.ReplaceAll(name, `\`, "/")); name != "." && name != "/" {
		return name
	}
	ext := ".bin"
	switch {
	case ctype == "message/rfc822":
		ext = ".eml"
	case ctype == "text/html":
		ext = ".html"
	case strings.HasPrefix(ctype, "text/"):
		ext = ".txt"
	default:
		if exts, err := mime.ExtensionsByType(ctype); err == nil && len(exts) > 0 {
			ext = exts[0]
		}
	}
	return "attachment-" + string(rune('1'+n%9)) + ext
}

var errEncoding = errors.New("unknown transfer encoding")

func decodeTransfer(encoding string, raw []byte) ([]byte, error) {
	switch encoding {
	case "", "7bit", "8bit", "binary":
		return raw, nil
	case "quoted-printable":
		return io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw)))
	case "base64":
		clean := bytes.Map(func(r rune) rune {
			if strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", r) {
				return r
			}
			return -1
		}, raw)
		if len(clean)%4 == 1 {
			clean = clean[:len(clean)-1]
		}
		return base64.RawStdEncoding.DecodeString(string(clean))
	}
	return nil, errEncoding
}

func decodeCharset(label string, data []byte) string {
	if label == "" || strings.EqualFold(label, "us-ascii") {
		label = "utf-8"
	}
	if r, err := charset.NewReaderLabel(label, bytes.NewReader(data)); err == nil {
		if decoded, err := io.ReadAll(r); err == nil {
			data = decoded
		}
	}
	return strings.ToValidUTF8(string(data), "\uFFFD")
}
