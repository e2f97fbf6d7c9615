package mime

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Rows are what IMAP tells of a message's structure, as it goes on the wire,
// and where in the raw bytes each of its sections lies. They are made once,
// when the bytes arrive.
type Rows struct {
	// Size is the length of the raw bytes, Digest their SHA-256 as the store names
	// them by: it is set by who keeps the rows, and empty otherwise.
	Size   int64
	Digest string
	// Header is the length of the header block with its empty line.
	Header int64
	// Envelope, Body and BodyStructure are the values of the FETCH items
	// ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051, 7.5.2). They are 7-bit but for
	// literals, of which only addresses with 8-bit bytes have any.
	Envelope, Body, BodyStructure []byte
	// Parts are the sections that have a number, in the order of the message.
	Parts []Section
}

// Range is a range of the raw bytes.
type Range struct{ Offset, Length int64 }

// End is where the range ends.
func (r Range) End() int64 { return r.Offset + r.Length }

// Section is a part of a message by its number (RFC 9051, 6.4.5.1).
type Section struct {
	// Path is the number: "2", "1.2".
	Path string
	// Type is the media type in lower case, "text/plain".
	Type string
	// Encoding is the transfer encoding in lower case, as it stands in
	// BODYSTRUCTURE.
	Encoding string
	// MIME is the part's own header with its empty line: BODY[1.2.MIME]. Body is
	// what follows: BODY[1.2].
	MIME, Body Range
	// Message: the body is a message of its own, whose header and text are
	// BODY[1.2.HEADER] and BODY[1.2.TEXT]: Inner octets of Body are its header.
	Message bool
	Inner   int64
}

// Multipart reports whether the section has parts of its own.
func (s *Section) Multipart() bool { return strings.HasPrefix(s.Type, "multipart/") }

// Section finds a section by its number.
func (r *Rows) Section(path string) (*Section, bool) {
	i := slices.IndexFunc(r.Parts, func(s Section) bool { return s.Path == path })
	if i < 0 {
		return nil, false
	}
	return &r.Parts[i], true
}

// Text is what follows the message's own header: BODY[TEXT].
func (r *Rows) Text() Range { return Range{r.Header, r.Size - r.Header} }

// Find gives the range of a section: path is its number, or empty for the
// message itself, and specifier is "", HEADER, TEXT or MIME in upper case. It
// reports false where the message has no such section.
func (r *Rows) Find(path, specifier string) (Range, bool) {
	if path == "" {
		switch specifier {
		case "":
			return Range{0, r.Size}, true
		case "HEADER":
			return Range{0, r.Header}, true
		case "TEXT":
			return r.Text(), true
		}
		return Range{}, false
	}
	s, ok := r.Section(path)
	if !ok {
		return Range{}, false
	}
	switch {
	case specifier == "":
		return s.Body, true
	case specifier == "MIME":
		return s.MIME, true
	case specifier == "HEADER" && s.Message:
		return Range{s.Body.Offset, s.Inner}, true
	case specifier == "TEXT" && s.Message:
		return Range{s.Body.Offset + s.Inner, s.Body.Length - s.Inner}, true
	}
	return Range{}, false
}

// rowsVersion is the first byte of encoded Rows. It grows with every change of
// what Scan makes of the same bytes, the extract included: what is stored of
// another version is made anew.
const rowsVersion = 1

// RowsCurrent reports whether encoded rows, and with them the extract that was
// made at the same time, are of the present form.
func RowsCurrent(b []byte) bool { return len(b) > 0 && b[0] == rowsVersion }

// Encode gives the rows as bytes, for the store.
func (r *Rows) Encode() []byte {
	b := make([]byte, 0, 64+len(r.Envelope)+len(r.Body)+len(r.BodyStructure)+48*len(r.Parts))
	b = append(b, rowsVersion)
	b = binary.AppendUvarint(b, uint64(r.Size))
	b = appendBytes(b, r.Digest)
	b = binary.AppendUvarint(b, uint64(r.Header))
	b = appendBytes(b, r.Envelope)
	b = appendBytes(b, r.Body)
	b = appendBytes(b, r.BodyStructure)
	b = binary.AppendUvarint(b, uint64(len(r.Parts)))
	for i := range r.Parts {
		s := &r.Parts[i]
		b = appendBytes(b, s.Path)
		b = appendBytes(b, s.Type)
		b = appendBytes(b, s.Encoding)
		for _, n := range []int64{s.MIME.Offset, s.MIME.Length, s.Body.Offset, s.Body.Length} {
			b = binary.AppendUvarint(b, uint64(n))
		}
		// 0 is no message, anything else the header's length and one more.
		inner := uint64(0)
		if s.Message {
			inner = uint64(s.Inner) + 1
		}
		b = binary.AppendUvarint(b, inner)
	}
	return b
}

// DecodeHead reads of what Encode gave all but the sections: what most FETCHes
// want of thousands of messages. Slices of the result lie in b.
func DecodeHead(b []byte) (r Rows, err error) {
	d := decoder{b: b}
	err = r.head(&d)
	return r, err
}

func (r *Rows) head(d *decoder) error {
	if v := d.byte(); v != rowsVersion {
		return mail.Errorf(mail.KindInternal, "decode rows", "version %d is not known", v)
	}
	r.Size, r.Digest, r.Header = d.number(), string(d.bytes()), d.number()
	r.Envelope, r.Body, r.BodyStructure = d.bytes(), d.bytes(), d.bytes()
	if d.bad {
		return errNotWhole
	}
	return nil
}

var errNotWhole = mail.Errorf(mail.KindInternal, "decode rows", "the bytes are not whole")

// DecodeRows reads what Encode gave. Slices of the result lie in b.
func DecodeRows(b []byte) (*Rows, error) {
	d := &decoder{b: b}
	r := &Rows{}
	if err := r.head(d); err != nil {
		return nil, err
	}
	if n := d.number(); n > 0 && n <= int64(len(d.b))/8 { // each takes that much
		r.Parts = make([]Section, n)
		for i := range r.Parts {
			s := &r.Parts[i]
			s.Path, s.Type, s.Encoding = string(d.bytes()), string(d.bytes()), string(d.bytes())
			s.MIME = Range{d.number(), d.number()}
			s.Body = Range{d.number(), d.number()}
			if inner := d.number(); inner > 0 {
				s.Message, s.Inner = true, inner-1
			}
		}
	} else if n != 0 {
		d.bad = true
	}
	if d.bad || len(d.b) > 0 {
		return nil, errNotWhole
	}
	return r, nil
}

func appendBytes[T ~string | ~[]byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decoder reads what the encoders of this package wrote; what is not whole
// makes it bad.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) number() int64 {
	n, used := binary.Uvarint(d.b)
	if used <= 0 || n > 1<<62 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[used:]
	return int64(n)
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	s := d.b[:n:n]
	d.b = d.b[n:]
	return s
}

// String describes a section, for people who look for a fault.
func (s Section) String() string {
	return fmt.Sprintf("%s %s mime %d+%d body %d+%d", s.Path, s.Type, s.MIME.Offset, s.MIME.Length, s.Body.Offset, s.Body.Length)
}
