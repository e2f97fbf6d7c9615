package mime

import (
	"bufio"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
	htmlcharset "golang.org/x/net/html/charset"
	"golang.org/x/text/encoding/charmap"
)

// decoded undoes a transfer encoding (RFC 2045, 6). What breaks its rules is
// shown as it is (quoted-printable) or passed over (base64), as section 6.7 and
// 6.8 advise; one that is not known is none.
func decoded(encoding string, r io.Reader) io.Reader {
	encoding, _, _ = strings.Cut(encoding, ";")
	switch strings.ToLower(strings.Trim(encoding, " \t\"'")) {
	case "quoted-printable":
		return &quoted{br: bufio.NewReaderSize(r, 4<<10)}
	case "base64":
		return &base64Reader{br: bufio.NewReaderSize(r, 4<<10)}
	}
	return r
}

// quoted decodes quoted-printable. The standard library's reader ends at the
// first sign that breaks the rules, and at a line longer than its buffer.
type quoted struct {
	br    *bufio.Reader
	ready []byte // white space that is followed by something
	space []byte // where it is kept
}

// maxPadding is how much white space at the end of a line is taken for padding.
// A line has 76 characters (RFC 2045, 6.7); what has more may have millions.
const maxPadding = 4 << 10

func (q *quoted) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if len(q.ready) > 0 {
			c := copy(p[n:], q.ready)
			q.ready = q.ready[c:]
			n += c
			continue
		}
		b, err := q.br.ReadByte()
		if err != nil {
			return n, err
		}
		switch b {
		case ' ', '\t':
			space := append(q.space[:0], b)
			for len(space) < maxPadding {
				if b, err = q.br.ReadByte(); err != nil || (b != ' ' && b != '\t') {
					break
				}
				space = append(space, b)
			}
			q.space = space
			if err != nil {
				continue // white space before the end is padding
			}
			if len(space) == maxPadding {
				q.ready = space
				continue
			}
			_ = q.br.UnreadByte() // a byte was just read
			if b != '\r' && b != '\n' {
				q.ready = space
			}
		case '=':
			b, keep := q.escape()
			if keep {
				p[n] = b
				n++
			}
		default:
			p[n] = b
			n++
		}
	}
	return n, nil
}

// escape reads what follows an equals sign: two hexadecimal digits, or the end
// of the line, which is no end then. Anything else leaves the sign as it is.
func (q *quoted) escape() (byte, bool) {
	next, _ := q.br.Peek(2)
	if len(next) == 2 {
		if hi, lo := hexValue(next[0]), hexValue(next[1]); hi >= 0 && lo >= 0 {
			_, _ = q.br.Discard(2) // they were peeked at
			return byte(hi<<4 | lo), true
		}
	}
	// White space between the sign and the end of the line is padding.
	next, _ = q.br.Peek(128)
	for i, b := range next {
		switch b {
		case ' ', '\t', '\r':
		case '\n':
			_, _ = q.br.Discard(i + 1)
			return 0, false
		default:
			return '=', true
		}
	}
	if len(next) < 128 {
		_, _ = q.br.Discard(len(next))
		return 0, false
	}
	return '=', true
}

func hexValue(b byte) int {
	switch {
	case b >= '0' && b <= '9':
		return int(b - '0')
	case b >= 'A' && b <= 'F':
		return int(b-'A') + 10
	case b >= 'a' && b <= 'f':
		return int(b-'a') + 10
	}
	return -1
}

// base64Reader decodes base64. Characters outside of the alphabet are passed
// over; padding, whole or not, ends it, so that what mailing lists append does
// not become noise.
type base64Reader struct {
	br   *bufio.Reader
	bits uint32
	have uint // how many bits are in bits
}

func (d *base64Reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if _, err := d.br.Peek(1); err != nil {
			return n, err
		}
		in, _ := d.br.Peek(d.br.Buffered()) // what is buffered can be peeked at
		used := 0
		for used < len(in) && n < len(p) {
			b := in[used]
			used++
			if b == '=' {
				if _, err := io.Copy(io.Discard, d.br); err != nil {
					return n, err
				}
				return n, io.EOF
			}
			v := base64Value(b)
			if v < 0 {
				continue
			}
			d.bits = d.bits<<6 | uint32(v)
			if d.have += 6; d.have >= 8 {
				d.have -= 8
				p[n] = byte(d.bits >> d.have)
				n++
			}
		}
		_, _ = d.br.Discard(used)
	}
	return n, nil
}

func base64Value(b byte) int {
	switch {
	case b >= 'A' && b <= 'Z':
		return int(b - 'A')
	case b >= 'a' && b <= 'z':
		return int(b-'a') + 26
	case b >= '0' && b <= '9':
		return int(b-'0') + 52
	case b == '+':
		return 62
	case b == '/':
		return 63
	}
	return -1
}

// text gives bytes of a declared charset in UTF-8. The declaration is not
// always true: bytes that are UTF-8 beyond ASCII are nothing else, whatever
// single-byte charset of the west was declared, and bytes that fit no
// declaration are taken as windows-1252.
func text(b []byte, mediaType, declared string) string {
	switch declared = strings.ToLower(strings.Trim(declared, " \t\"'")); declared {
	case "":
		if mediaType == "text/html" && !utf8.Valid(b) {
			// The document may say itself what it is made of.
			e, _, _ := htmlcharset.DetermineEncoding(b, mediaType)
			if out, err := e.NewDecoder().Bytes(b); err == nil {
				return string(out)
			}
		}
		return toUTF8(b)
	case "utf-8", "utf8", "us-ascii", "ascii":
		return toUTF8(b)
	case "iso-8859-1", "iso-8859-15", "windows-1252", "latin1":
		if utf8.Valid(b) {
			return string(b)
		}
	}
	r, err := charset.Reader(declared, strings.NewReader(string(b)))
	if err != nil {
		return toUTF8(b)
	}
	out, err := io.ReadAll(r)
	if err != nil || !utf8.Valid(out) {
		return toUTF8(b)
	}
	return string(out)
}

// toUTF8 gives text as it is where it is UTF-8, and as windows-1252 where it
// is not: what undeclared 8-bit mail almost always is.
func toUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return strings.ToValidUTF8(string(b), "\uFFFD")
	}
	return string(out)
}
