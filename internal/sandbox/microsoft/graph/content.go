package graph

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// A content is what a message says: everything but its place and its flags.
// Delivered mail keeps its raw bytes and is taken apart when somebody looks;
// mail made from JSON keeps the fields and is put together when somebody asks
// for MIME. A content that is in a message's state is never changed, except for
// what it remembers of its own bytes.
type content struct {
	raw    []byte // MIME; nil as long as nobody asked, when made from fields
	digest string // of raw
	made   bool   // the fields are the truth, raw is generated from them

	headers      mimetree.Header // as received; nil for mail made here
	subject      string
	messageID    string
	from, sender *mimetree.Recipient
	to, cc, bcc  []mimetree.Recipient
	replyTo      []mimetree.Recipient
	inReplyTo    string
	references   []string
	topic        string // Thread-Topic
	index        []byte // conversation index
	custom       []mimetree.Field
	importance   string
	readReceipt  bool
	dlvReceipt   bool
	sent         time.Time // zero when the message does not say

	// What needs the whole structure. For raw mail filled by load.
	loaded      bool
	html        bool
	body        string           // only when made
	bodyParts   []*mimetree.Part // only when raw
	preview     string
	attached    bool // hasAttachments
	attachments []*attachment
	meeting     string // method of a text/calendar part
}

// An attachment belongs to one content and is never changed.
type attachment struct {
	key      string // 16 bytes, its part of the id
	item     bool   // a message inside the message
	name     string
	ctype    string
	inline   bool
	cid      string
	location string
	modified time.Time
	data     []byte
	part     *mimetree.Part // where data is, when it is still in the message
}

// bytes are the attachment's own bytes; for a message its MIME.
func (a *attachment) bytes() []byte {
	if a.part == nil {
		return a.data
	}
	return a.part.Decoded()
}

// size is what the service calls size: the attachment with its properties,
// always more than the file (3,640,066 for one of 3,483,322).
func (a *attachment) size() int {
	n := len(a.bytes())
	return n + n/22 + 94
}

// parseContent reads the header of a normalised message and leaves the rest for
// load.
func parseContent(raw []byte) *content {
	h, _ := mimetree.ParseHeader(raw)
	_, params := mimetree.ParseParams(h.Get("Content-Type"))
	cs := params["charset"]
	c := &content{
		raw:         raw,
		headers:     h,
		subject:     mimetree.DecodeWords(h.Get("Subject"), cs),
		messageID:   strings.TrimSpace(h.Get("Message-ID")),
		to:          mimetree.ParseAddresses(h.All("To"), cs),
		cc:          mimetree.ParseAddresses(h.All("Cc"), cs),
		bcc:         mimetree.ParseAddresses(h.All("Bcc"), cs),
		replyTo:     mimetree.ParseAddresses(h.All("Reply-To"), cs),
		references:  mimetree.MessageIDs(h.Get("References")),
		topic:       mimetree.DecodeWords(h.Get("Thread-Topic"), cs),
		index:       mimetree.DecodeBase64([]byte(h.Get("Thread-Index"))),
		importance:  parseImportance(h),
		readReceipt: h.Has("Disposition-Notification-To"),
		dlvReceipt:  h.Has("Return-Receipt-To"),
	}
	if ids := mimetree.MessageIDs(h.Get("In-Reply-To")); len(ids) > 0 {
		c.inReplyTo = ids[0]
	}
	if rs := mimetree.ParseAddresses(h.Get("From"), cs); len(rs) > 0 {
		c.from = &rs[0]
	}
	if rs := mimetree.ParseAddresses(h.Get("Sender"), cs); len(rs) > 0 {
		c.sender = &rs[0]
	}
	if c.from == nil {
		c.from = c.sender
	}
	if c.sender == nil {
		c.sender = c.from
	}
	c.sent, _ = h.Date()
	return c
}

func parseImportance(h mimetree.Header) string {
	switch strings.ToLower(h.Get("Importance")) {
	case "high":
		return "high"
	case "low":
		return "low"
	case "normal":
		return "normal"
	}
	p := strings.TrimSpace(h.Get("X-Priority"))
	switch {
	case strings.HasPrefix(p, "1"), strings.HasPrefix(p, "2"):
		return "high"
	case strings.HasPrefix(p, "4"), strings.HasPrefix(p, "5"):
		return "low"
	}
	return "normal"
}

// load takes the structure apart, once.
func (c *content) load() {
	if c.loaded {
		return
	}
	c.loaded = true
	root := mimetree.Parse(c.raw)
	var b bodies
	b.walk(root, false, 0)
	b.choose()
	c.html, c.bodyParts, c.attachments, c.meeting = b.html, b.body, b.attachments, b.meeting
	for i, a := range c.attachments {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d %s %s %d", i, c.messageID, a.name, len(a.part.Body)))
		a.key = string(sum[:16])
		c.attached = c.attached || !a.inline
	}
	c.preview = makePreview(c.html, c.bodyText())
}

// bodyText is the body as it stands in the message.
func (c *content) bodyText() string {
	if c.made {
		return c.body
	}
	texts := make([]string, len(c.bodyParts))
	for i, p := range c.bodyParts {
		texts[i] = p.Text()
	}
	return strings.Join(texts, "\r\n")
}

// makePreview is the first 255 characters that a person reads.
func makePreview(isHTML bool, body string) string {
	if len(body) > 1<<16 {
		body = strings.ToValidUTF8(body[:1<<16], "")
	}
	if isHTML {
		body = mimetree.HTMLToText(body)
	}
	body = strings.TrimSpace(mimetree.Collapse(body))
	if utf8.RuneCountInString(body) <= 255 {
		return body
	}
	return string([]rune(body)[:255])
}

// bodies sorts the leaves of a message into the body and what is attached.
type bodies struct {
	segments    []segment
	html        bool
	body        []*mimetree.Part
	attachments []*attachment
	meeting     string
}

// A segment is a piece of the body: one text, or the alternatives of one.
type segment struct{ text, html *mimetree.Part }

func (b *bodies) walk(p *mimetree.Part, related bool, depth int) {
	switch {
	case len(p.Parts) > 0 && p.Type == "multipart/alternative":
		var sub bodies
		for _, c := range p.Parts {
			sub.walk(c, related, depth+1)
		}
		var s segment
		for _, x := range sub.segments {
			if s.text == nil {
				s.text = x.text
			}
			if s.html == nil {
				s.html = x.html
			}
		}
		if s.text != nil || s.html != nil {
			b.segments = append(b.segments, s)
		}
		b.attachments = append(b.attachments, sub.attachments...)
		if sub.meeting != "" {
			b.meeting = sub.meeting
		}
	case len(p.Parts) > 0:
		for i, c := range p.Parts {
			b.walk(c, related || p.Type == "multipart/related" && i > 0, depth+1)
		}
	case p.Disposition != "attachment" && (p.Type == "text/plain" || p.Type == "text/html") && (p.Filename == "" || len(b.segments) == 0) && !related:
		if p.Type == "text/html" {
			b.segments = append(b.segments, segment{html: p})
		} else {
			b.segments = append(b.segments, segment{text: p})
		}
	case p.Type == "text/calendar" && p.Disposition != "attachment":
		b.meeting = strings.ToUpper(p.Params["method"])
		if b.meeting == "" {
			b.meeting = "REQUEST"
		}
	default:
		b.attach(p, related)
	}
}

// choose makes the first segment the body. Further text joins a text body;
// what cannot join it is attached under a made-up name, as Exchange does, so
// that nothing is lost.
func (b *bodies) choose() {
	segs := b.segments
	for len(segs) > 1 && segs[0].html == nil && len(strings.TrimSpace(string(segs[0].text.Body))) == 0 {
		segs = segs[1:]
	}
	if len(segs) == 0 {
		return
	}
	first := segs[0]
	b.html = first.html != nil
	if b.html {
		b.body = []*mimetree.Part{first.html}
	} else {
		b.body = []*mimetree.Part{first.text}
	}
	for _, s := range segs[1:] {
		switch {
		case !b.html && s.html == nil:
			b.body = append(b.body, s.text)
		case s.html != nil:
			b.attach(s.html, false)
		default:
			b.attach(s.text, false)
		}
	}
}

func (b *bodies) attach(p *mimetree.Part, related bool) {
	a := &attachment{
		name:     p.Filename,
		ctype:    p.Type,
		cid:      p.ContentID(),
		location: p.Header.Get("Content-Location"),
		item:     p.Type == "message/rfc822",
		part:     p,
	}
	a.inline = p.Disposition == "inline" && a.cid != "" || related && p.Disposition != "attachment"
	if a.item && a.name == "" {
		inner := parseContent(p.Decoded())
		a.name = inner.subject
	}
	if a.name == "" {
		a.name = fmt.Sprintf("ATT%05d%s", len(b.attachments)+1, extension(p.Type))
	}
	a.name = path.Base(strings.ReplaceAll(a.name, `\`, "/"))
	b.attachments = append(b.attachments, a)
}

// extensions are file extensions by type, the same on every machine.
var extensions = map[string]string{
	"text/plain":                       ".txt",
	"text/html":                        ".htm",
	"text/calendar":                    ".ics",
	"image/jpeg":                       ".jpg",
	"image/png":                        ".png",
	"image/gif":                        ".gif",
	"application/pdf":                  ".pdf",
	"application/octet-stream":         ".bin",
	"message/delivery-status":          ".txt",
	"message/disposition-notification": ".txt",
	"text/rfc822-headers":              ".txt",
}

func extension(ctype string) string {
	if e, ok := extensions[ctype]; ok {
		return e
	}
	return ".dat"
}

// sum is the SHA-256 of the message as it is served.
func (c *content) sum() string {
	if c.digest == "" {
		s := sha256.Sum256(c.mime())
		c.digest = hex.EncodeToString(s[:])
	}
	return c.digest
}
