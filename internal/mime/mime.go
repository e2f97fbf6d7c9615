// Package mime reads what people see of a raw message: headers, text, HTML
// and attachments (RFC 5322, RFC 2045 to 2049, RFC 2231).
//
// What is kept true: a message that a strict parser rejects is still somebody's
// mail, so reading never fails for what the bytes say, only for what the
// reader says. What cannot be understood is shown as text. Nothing is written
// back: raw bytes are served from where they lie.
package mime

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/emersion/go-message"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Limits of what is held in memory of one message.
const (
	// MaxText bounds text and HTML each, in bytes of UTF-8.
	MaxText = 4 << 20
	// MaxHeader bounds the header block, in bytes.
	MaxHeader = 1 << 20
	// maxParts bounds how many parts are looked at, maxDepth how deep.
	maxParts = 1000
	maxDepth = 50
)

// Content is what people see of a message.
type Content struct {
	// Text and HTML are the bodies in UTF-8, empty where there is none. HTML
	// is as the sender made it, not sanitised.
	Text, HTML string
	// Truncated: a body was longer than MaxText.
	Truncated bool
	Headers   []mail.Header
	// Attachments in the order of the message; inline ones too.
	Attachments []Attachment
}

// Attachment is a part that is not the body.
type Attachment struct {
	// ID is the part's number as in IMAP (RFC 9051, 6.4.5.1): "2", "1.2".
	ID   string
	Name string
	// Type is the media type in lower case.
	Type string
	// Size is the length of the decoded bytes.
	Size      int64
	Inline    bool
	ContentID string // without angle brackets
}

// Parse reads a raw message.
func Parse(r io.Reader) (*Content, error) {
	c := &Content{}
	err := walk(r, func(p *part) error { return c.add(p) }, func(h message.Header) { c.Headers = headers(h) })
	return c, err
}

var errFound = errors.New("found")

// Open finds an attachment by its ID and gives its decoded bytes to read.
// Kind not_found where there is none.
func Open(r io.Reader, id string, read func(Attachment, io.Reader) error) error {
	err := walk(r, func(p *part) error {
		if p.id != id {
			return nil
		}
		if err := read(p.attachment(), p.body); err != nil {
			return err
		}
		return errFound
	}, nil)
	switch {
	case errors.Is(err, errFound):
		return nil
	case err != nil:
		return err
	}
	return mail.Errorf(mail.KindNotFound, "open attachment", "the message has no part %q", id)
}

// part is one leaf of the MIME tree.
type part struct {
	id          string
	mediaType   string
	disposition string
	name        string
	contentID   string
	body        io.Reader
}

func (p *part) attachment() Attachment {
	inline := p.disposition == "inline" || (p.disposition == "" && p.contentID != "")
	return Attachment{ID: p.id, Name: p.name, Type: p.mediaType, Inline: inline, ContentID: p.contentID}
}

// isBody reports whether the part is text that is shown, not attached.
func (p *part) isBody() bool {
	text := p.mediaType == "text/plain" || p.mediaType == "text/html"
	return text && p.disposition != "attachment" && p.name == ""
}

func (c *Content) add(p *part) error {
	if !p.isBody() {
		a := p.attachment()
		// A broken encoding ends where it breaks.
		a.Size, _ = io.Copy(io.Discard, p.body)
		c.Attachments = append(c.Attachments, a)
		return nil
	}
	text, truncated := readText(p.body, MaxText)
	c.Truncated = c.Truncated || truncated
	to := &c.Text
	if p.mediaType == "text/html" {
		to = &c.HTML
	}
	if *to != "" && text != "" {
		*to += "\n"
	}
	*to += text
	return nil
}

// readText reads at most limit bytes of a body as UTF-8.
func readText(r io.Reader, limit int64) (string, bool) {
	b, _ := io.ReadAll(io.LimitReader(r, limit+1))
	truncated := int64(len(b)) > limit
	if truncated {
		b = b[:limit]
	}
	return strings.ReplaceAll(toUTF8(b), "\r\n", "\n"), truncated
}

// watched remembers a failure of the reader below, which alone fails a parse:
// everything else is the message's own ugliness. Parsers in between do not
// always hand an error on as it was.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// walk visits the leaves of a message in order.
func walk(r io.Reader, leaf func(*part) error, header func(message.Header)) error {
	src := &watched{r: r}
	br := bufio.NewReaderSize(src, 64<<10)
	block, err := headerBlock(br)
	if err != nil {
		return fmt.Errorf("read message header: %w", err)
	}
	e, _ := message.Read(io.MultiReader(bytes.NewReader(block), br))
	if e == nil {
		if e, err = message.New(message.Header{}, br); e == nil {
			return err
		}
	}
	if header != nil {
		header(e.Header)
	}
	w := &walker{leaf: leaf}
	_ = w.entity(e, "", 0) // how far malformed mail could be read is all there is
	switch {
	case src.err != nil:
		return fmt.Errorf("read message: %w", src.err)
	default:
		return w.failed
	}
}

type walker struct {
	leaf  func(*part) error
	parts int
	// failed is what the visitor said, to tell it from malformed mail.
	failed error
}

func (w *walker) entity(e *message.Entity, id string, depth int) error {
	mediaType, params, err := e.Header.ContentType()
	mediaType = strings.ToLower(mediaType)
	if err != nil || !strings.Contains(mediaType, "/") {
		mediaType, params = "text/plain", nil
	}
	if mr := e.MultipartReader(); mr != nil && depth < maxDepth {
		for n := 1; w.parts < maxParts; n++ {
			child, err := mr.NextPart()
			if err == io.EOF {
				return nil
			}
			if child == nil {
				return err
			}
			number := fmt.Sprint(n)
			if id != "" {
				number = id + "." + number
			}
			if err := w.entity(child, number, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	w.parts++
	if id == "" {
		id = "1"
	}
	p := &part{id: id, mediaType: mediaType, body: e.Body}
	p.disposition, p.name = disposition(&e.Header, params)
	p.contentID = strings.Trim(strings.TrimSpace(e.Header.Get("Content-Id")), "<>")
	if err := w.leaf(p); err != nil {
		w.failed = err
		return err
	}
	return nil
}
