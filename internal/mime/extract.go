package mime

import (
	"encoding/binary"
	"io"
	"strings"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// MaxExtract bounds the text of an Extract, in bytes of UTF-8.
const MaxExtract = 4 << 20

// Extract is the decoded text of a message for search, folded by Fold.
//
// The body is every part of type text/* and message/* that is a leaf, whatever
// its disposition, with transfer encoding and charset undone, those of messages
// inside of the message too. HTML is as the sender made it; words that are
// written with character references beyond ASCII follow it as they are shown.
// The header fields of parts and of inner messages are apart from the body, as
// SEARCH BODY demands (RFC 9051, 6.4.4).
type Extract struct {
	// Headers are the fields of the message's own header in order: names in
	// lower case, values decoded (RFC 2047), unfolded, and folded by Fold.
	Headers []mail.Header
	// Fields are the header fields of parts and of inner messages, one a line:
	// "name: value", as in Headers.
	Fields string
	// Body is the text, each part ended by a NUL, so that nothing is found
	// across two.
	Body string
	// More: the message has more text than is here. What is not found in the
	// extract may be found by the function Contains.
	More bool
}

// Scope says where to look.
type Scope int

// Scopes: the text of the body alone (SEARCH BODY), and the headers too
// (SEARCH TEXT).
const (
	InBody Scope = iota
	InText
)

// Contains reports whether the extract holds a string that Fold has folded.
// The empty one is in every message.
func (e *Extract) Contains(folded string, scope Scope) bool {
	if folded == "" || strings.Contains(e.Body, folded) {
		return true
	}
	if scope == InBody {
		return false
	}
	for _, h := range e.Headers {
		// The name is found, and what is before and behind the colon, only where
		// a client looks for just that.
		if strings.Contains(h.Value, folded) || inName(h, folded) {
			return true
		}
	}
	return strings.Contains(e.Fields, folded)
}

// inName reports whether a string begins in "name: " before the field's value.
// It is asked of every field of every message that is searched.
func inName(h mail.Header, folded string) bool {
	for i := range len(h.Name) + 2 {
		at, rest := i, folded
		for at < len(h.Name)+2 && rest != "" {
			c := byte(':')
			switch {
			case at < len(h.Name):
				c = h.Name[at]
			case at > len(h.Name):
				c = ' '
			}
			if rest[0] != c {
				break
			}
			at, rest = at+1, rest[1:]
		}
		if rest == "" || at == len(h.Name)+2 && strings.HasPrefix(h.Value, rest) {
			return true
		}
	}
	return false
}

// fieldCost is what a field, or a piece of text, takes besides its characters.
const fieldCost = 32

// extract gathers the text of a message up to MaxExtract.
func extract(r io.ReaderAt, root *entity) (*Extract, error) {
	e := &Extract{}
	var fields, body, aside strings.Builder
	left := MaxExtract
	t := &texts{r: r, visit: func(p piece) bool {
		if left -= len(p.text) + len(p.name) + fieldCost; left < 0 {
			e.More = true
			return false
		}
		switch p.kind {
		case ownField:
			e.Headers = append(e.Headers, mail.Header{Name: p.name, Value: p.text})
		case partField:
			fields.WriteString(p.name + ": " + p.text + "\n")
		case bodyText:
			to := &body
			if p.aside {
				to = &aside
			}
			to.WriteString(p.text)
			if !p.more {
				to.WriteByte(0)
			}
		}
		return true
	}}
	err := t.walk(root)
	e.Fields, e.Body = fields.String(), body.String()+aside.String()
	return e, err
}

// extractVersion is the first byte of an encoded Extract.
const extractVersion = 1

// Encode gives the extract as compressed bytes, for the store.
func (e *Extract) Encode() []byte {
	more := byte(0)
	if e.More {
		more = 1
	}
	b := make([]byte, 0, len(e.Body)+len(e.Fields)+64*len(e.Headers)+32)
	b = append(b, more)
	b = binary.AppendUvarint(b, uint64(len(e.Headers)))
	for _, h := range e.Headers {
		b = appendBytes(b, h.Name)
		b = appendBytes(b, h.Value)
	}
	b = appendBytes(b, e.Fields)
	b = appendBytes(b, e.Body)
	out := make([]byte, 1+s2.MaxEncodedLen(len(b)))
	out[0] = extractVersion
	return out[:1+len(s2.Encode(out[1:], b))]
}

// DecodeExtract reads what Encode gave.
func DecodeExtract(b []byte) (*Extract, error) {
	e := &Extract{}
	_, err := e.decode(nil, b, func(b []byte) string { return string(b) })
	if err != nil {
		return nil, err
	}
	return e, nil
}

// ExtractDecoder reads many extracts, one after the other, in the same memory:
// a search goes through thousands.
type ExtractDecoder struct {
	e     Extract
	plain []byte
}

// keepPlain is the most memory that an ExtractDecoder holds on to.
const keepPlain = 1 << 20

// Decode is DecodeExtract. The extract and its strings are good until the next
// call.
func (d *ExtractDecoder) Decode(b []byte) (*Extract, error) {
	if cap(d.plain) > keepPlain {
		d.plain = nil
	}
	var err error
	d.plain, err = d.e.decode(d.plain, b, func(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) })
	if err != nil {
		return nil, err
	}
	return &d.e, nil
}

// decode reads b into e by way of plain, and returns what took its place.
func (e *Extract) decode(plain, b []byte, text func([]byte) string) ([]byte, error) {
	if len(b) == 0 || b[0] != extractVersion {
		return plain, mail.Errorf(mail.KindInternal, "decode extract", "the version is not known")
	}
	// What was encoded is no longer than that by much; more is no extract.
	if n, err := s2.DecodedLen(b[1:]); err != nil || n > 2*MaxExtract {
		return plain, mail.Errorf(mail.KindInternal, "decode extract", "the bytes are not whole")
	}
	plain, err := s2.Decode(plain[:cap(plain)], b[1:])
	if err != nil {
		return nil, mail.Errorf(mail.KindInternal, "decode extract", "the bytes are not whole: %v", err)
	}
	d := &decoder{b: plain}
	e.More = d.byte() != 0
	n := d.number()
	if n > MaxExtract/fieldCost {
		d.bad, n = true, 0
	}
	e.Headers = e.Headers[:0]
	for range n {
		e.Headers = append(e.Headers, mail.Header{Name: text(d.bytes()), Value: text(d.bytes())})
	}
	e.Fields, e.Body = text(d.bytes()), text(d.bytes())
	if d.bad || len(d.b) > 0 {
		return plain, mail.Errorf(mail.KindInternal, "decode extract", "the bytes are not whole")
	}
	return plain, nil
}
