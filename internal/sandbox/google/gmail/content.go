package gmail

import (
	"html"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

// A content is what a message says: its header, read when it is stored, and
// its structure, read when somebody looks.
type content struct {
	header    mimetree.Header
	charset   string // of the header's stray 8-bit bytes
	subject   string
	base      string   // the subject as threads compare it
	messageID string   // without angle brackets; "" when it has none
	refers    []string // the ids of In-Reply-To and References, the nearest first

	raw       []byte
	structure sync.Once
	tree      *mimetree.Part
}

func parseContent(raw []byte) *content {
	c := &content{raw: raw}
	c.header, _ = mimetree.ParseHeader(raw)
	_, params := mimetree.ParseParams(c.header.Get("Content-Type"))
	c.charset = params["charset"]
	c.subject = c.field("Subject")
	c.base = baseSubject(c.subject)
	c.messageID = bareID(c.header.Get("Message-ID"))
	ids := mimetree.MessageIDs(c.header.Get("References"))
	for i := len(ids) - 1; i >= 0; i-- {
		c.refers = append(c.refers, bareID(ids[i]))
	}
	for _, id := range mimetree.MessageIDs(c.header.Get("In-Reply-To")) {
		c.refers = append([]string{bareID(id)}, c.refers...)
	}
	return c
}

// bareID is a message id without its angle brackets.
func bareID(s string) string { return strings.Trim(strings.TrimSpace(s), "<>") }

// field is a header field as a person reads it.
func (c *content) field(name string) string {
	return mimetree.DecodeWords(c.header.Get(name), c.charset)
}

// fields are all fields of a name, as one list.
func (c *content) fields(name string) string {
	return mimetree.DecodeWords(c.header.All(name), c.charset)
}

// identifiers are the ids by which answers may find this message's thread.
func (c *content) identifiers() []string {
	if c.messageID == "" {
		return c.refers
	}
	return append([]string{c.messageID}, c.refers...)
}

// root is the message's structure.
func (c *content) root() *mimetree.Part {
	c.structure.Do(func() { c.tree = mimetree.Parse(c.raw) })
	return c.tree
}

// leaves calls f for every part that has no parts.
func (c *content) leaves(f func(*mimetree.Part)) {
	var walk func(*mimetree.Part)
	walk = func(p *mimetree.Part) {
		for _, child := range p.Parts {
			walk(child)
		}
		if len(p.Parts) == 0 {
			f(p)
		}
	}
	walk(c.root())
}

// isBody tells the parts that a reader sees as the message's text from those
// that are attached.
func isBody(p *mimetree.Part) bool {
	return strings.HasPrefix(p.Type, "text/") && p.Filename == "" && p.Disposition != "attachment"
}

// text is what a person reads of the message: its texts, or of its HTML what
// remains without tags.
func (c *content) text() string {
	var plain, other []string
	c.leaves(func(p *mimetree.Part) {
		switch {
		case !isBody(p):
		case p.Type == "text/html":
			other = append(other, mimetree.HTMLToText(p.Text()))
		default:
			plain = append(plain, p.Text())
		}
	})
	if len(plain) == 0 {
		plain = other
	}
	return strings.Join(plain, "\n")
}

// attachments are the names of the parts that are attached.
func (c *content) attachments() []string {
	var names []string
	c.leaves(func(p *mimetree.Part) {
		if p.Filename != "" || p.Disposition == "attachment" {
			names = append(names, p.Filename)
		}
	})
	return names
}

// snippetLength is how much of its text a message shows in lists.
const snippetLength = 200

// snippet is the beginning of the text, escaped as HTML.
func (c *content) snippet() string {
	s := c.text()
	if len(s) > 1<<14 {
		s = strings.ToValidUTF8(s[:1<<14], "")
	}
	s = strings.TrimSpace(mimetree.Collapse(strings.ToValidUTF8(s, "\uFFFD")))
	if utf8.RuneCountInString(s) > snippetLength {
		s = strings.TrimSpace(string([]rune(s)[:snippetLength]))
	}
	return strings.ReplaceAll(html.EscapeString(s), "&#34;", "&quot;")
}
