// Package mime reads raw messages (RFC 5322, RFC 2045 to 2049, RFC 2231): what
// people see of them, as headers, text, HTML and attachments (Parse), and what
// mail programs are told of them (Scan): the rows ENVELOPE, BODY and
// BODYSTRUCTURE as they go on the wire (RFC 9051, 7.5.2), the place of every
// section in the raw bytes, and the decoded text that searches look through.
//
// What is kept true. A message that a strict parser rejects is still somebody's
// mail, so reading never fails for what the bytes say, only for what the reader
// says. What cannot be understood is shown as text. Nothing is written back: raw
// bytes are served from where they lie, and each section is a range of them.
// Both ways to read give parts the same numbers. Time and memory are bounded by
// a message's size and by constants, whatever is in it: depth, parts, fields,
// addresses, text. Rows are legal for clients of 7 bits; text beyond ASCII in
// them is told as encoded words.
//
// Where to start: Parse here, Scan in scan.go, Extract in extract.go, the way
// to all text, however long, in texts.go.
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
	charset     string // as declared
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
	text, truncated := readText(p, MaxText)
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
func readText(p *part, limit int64) (string, bool) {
	b, _ := io.ReadAll(io.LimitReader(p.body, limit+1))
	truncated := int64(len(b)) > limit
	if truncated {
		b = b[:limit]
	}
	return strings.ReplaceAll(text(b, p.mediaType, p.charset), "\r\n", "\n"), truncated
}

// watched remembers a failure of the reader below, which alone fails a parse:
// everything else is the message's own ugliness.
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
	w := &walker{leaf: leaf, header: header}
	err := w.entity(src, "", "text/plain", 0)
	if src.err != nil {
		return fmt.Errorf("read message: %w", src.err)
	}
	return err
}

type walker struct {
	leaf   func(*part) error
	header func(message.Header) // for the message's own header
	parts  int
}

// entity reads one header and what stands under it (RFC 2045, 2.4). fallback
// is the type of a part that names none.
func (w *walker) entity(r io.Reader, id, fallback string, depth int) error {
	br := bufio.NewReaderSize(r, 16<<10)
	h, err := readHeader(br)
	if err != nil {
		return err
	}
	if w.header != nil {
		w.header(h)
		w.header = nil
	}
	mediaType, params := mediaType(h.Get("Content-Type"), fallback)
	body := io.Reader(br)
	if strings.HasPrefix(mediaType, "multipart/") {
		if depth < maxDepth {
			found, kept, err := w.multipart(br, params["boundary"], id, mediaType, depth)
			if !found && err == nil {
				// The boundary is not the one that was named.
				found, _, err = w.multipart(bytes.NewReader(kept), guessBoundary(kept), id, mediaType, depth)
			}
			if found || err != nil {
				return err
			}
			body = bytes.NewReader(kept)
		}
		// No parts are in it: what is in it is shown as text.
		mediaType = "text/plain"
	}
	w.parts++
	if id == "" {
		id = "1"
	}
	p := &part{id: id, mediaType: mediaType, charset: params["charset"], body: decoded(h.Get("Content-Transfer-Encoding"), body)}
	p.disposition, p.name = disposition(h.Get("Content-Disposition"), params)
	p.contentID = strings.Trim(strings.TrimSpace(h.Get("Content-Id")), "<>")
	return w.leaf(p)
}

// multipart visits the parts of a multipart body. Where no part is found it
// gives the bytes back, as many as a text may have.
func (w *walker) multipart(r io.Reader, boundary, id, mediaType string, depth int) (found bool, kept []byte, err error) {
	fallback := "text/plain"
	if mediaType == "multipart/digest" { // RFC 2046, 5.1.5
		fallback = "message/rfc822"
	}
	seen := &prefix{r: r}
	m := newMultipart(seen, boundary)
	for n := 1; w.parts < maxParts && m.next(); n++ {
		seen.full = true
		number := fmt.Sprint(n)
		if id != "" {
			number = id + "." + number
		}
		if err := w.entity(m, number, fallback, depth+1); err != nil {
			return true, nil, err
		}
	}
	return seen.full, seen.b, nil
}

// prefix keeps what was read of a body until it is found to have parts.
type prefix struct {
	r    io.Reader
	b    []byte
	full bool
}

func (k *prefix) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	if !k.full && len(k.b) <= MaxText {
		k.b = append(k.b, p[:n]...)
	}
	return n, err
}
