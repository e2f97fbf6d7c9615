package mime

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Scanned is what one look through a message's raw bytes gives.
type Scanned struct {
	Rows *Rows
	// Header is the raw header block, at most MaxStoredHeader bytes of it.
	Header []byte
	Text   *Extract
}

// Limits of what Scan takes note of.
const (
	// MaxStoredHeader bounds how much of a header block Scanned.Header holds.
	MaxStoredHeader = 64 << 10
	// maxSections bounds how many parts are told apart: the last one holds what
	// would be more. maxNested bounds their depth: what is deeper is one part, and
	// text or bytes.
	maxSections = 10_000
	maxNested   = 100
	// maxKept bounds the text of all fields that go into the rows. Beyond it
	// they are empty.
	maxKept = 4 << 20
	// maxGuesses bounds how often a message is looked through again because
	// boundaries are not those that were named.
	maxGuesses = 4
)

// Scan looks through a message of size bytes. It fails only where r does:
// whatever the bytes are, they have a structure. It holds a few buffers and what
// it gives, however large the message is.
func Scan(r io.ReaderAt, size int64) (*Scanned, error) {
	root, err := parse(r, size)
	if err != nil {
		return nil, err
	}
	out := &Scanned{Rows: root.rows(size)}
	out.Header = make([]byte, min(root.header.Length, MaxStoredHeader))
	if _, err := r.ReadAt(out.Header, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if out.Text, err = extract(r, root); err != nil {
		return nil, err
	}
	return out, nil
}

// entity is a header and what stands under it (RFC 2045, 2.4).
type entity struct {
	header, body Range
	// lines is how many lines of the body end.
	lines int64
	// whole: a message of its own: the root, or what is in a message/rfc822.
	whole bool
	depth int
	// kind is the media type in lower case, and what it was before a multipart
	// was found to have no parts.
	kind    string
	charset string
	// named is the boundary parameter, boundary what a multipart goes by until it
	// is closed, guessed that this was not named.
	named, boundary string
	guessed         bool
	fields          partFields
	env             *envelope
	children        []*entity // of a multipart; of a message, the one that is in it
}

func (e *entity) multipart() bool { return strings.HasPrefix(e.kind, "multipart/") }

func (e *entity) message() bool { return e.kind == "message/rfc822" || e.kind == "message/global" }

// parse finds the entities of a message.
func parse(r io.ReaderAt, size int64) (*entity, error) {
	guesses := map[int64]string{}
	for try := 0; ; try++ {
		s := &scanner{lines: newLines(r, Range{0, size}), kept: maxKept, guesses: guesses}
		root := s.scan(size)
		again := s.err == nil && try < maxGuesses && s.guess(root)
		if s.err != nil {
			return nil, fmt.Errorf("read message: %w", s.err)
		}
		if !again {
			root.settle()
			return root, nil
		}
	}
}

// scanner goes over a message once, line by line. It knows which entities are
// open, the root first; the boundary of each open multipart ends those in it.
type scanner struct {
	*lines
	open []*entity
	// head is the last of open while its header is read.
	head   *entity
	fields fields
	// before is the octets that ended the line before the current one, and
	// ends how many lines ended before the current one.
	before int
	ends   int64
	parts  int
	kept   int
	// guesses are boundaries that take the place of those named, by where the
	// multipart's body begins.
	guesses map[int64]string
}

func (s *scanner) scan(size int64) *entity {
	root := &entity{whole: true, kind: "text/plain"}
	s.enter(root, 0)
	for s.advance() {
		switch {
		case s.first && s.line[0] == '-' && s.delimiter():
		case s.head == nil:
		case s.blank():
			s.begin(s.off + int64(len(s.line)))
		default:
			s.fields.add(s.lines)
		}
		s.before = s.eol
		if s.eol > 0 {
			s.ends++
		}
	}
	s.before = 0
	s.leave(0, size)
	return root
}

// enter opens an entity whose header begins at off.
func (s *scanner) enter(e *entity, off int64) {
	e.header.Offset = off
	e.depth = len(s.open)
	if e.whole {
		e.env = &envelope{}
	}
	s.open = append(s.open, e)
	s.head = e
	s.fields = fields{value: s.fields.value[:0], want: wanted, take: func(name string, value []byte) { s.kept = e.take(name, value, s.kept) }}
}

// begin ends the header at hand: the body begins at off.
func (s *scanner) begin(off int64) {
	e := s.head
	s.endHeader(off)
	// The line at hand, if there is one, ends the header.
	if s.eol > 0 && s.off < off {
		e.lines = -s.ends - 1
	}
	switch {
	case e.multipart() && e.depth < maxNested:
		e.boundary = e.named
		if g, ok := s.guesses[off]; ok {
			e.boundary, e.guessed = g, true
		}
	case e.message() && e.depth < maxNested:
		inner := &entity{whole: true, kind: "text/plain"}
		e.children = []*entity{inner}
		s.enter(inner, off)
	}
}

func (s *scanner) endHeader(off int64) {
	e := s.head
	s.fields.flush()
	s.head = nil
	e.header.Length = off - e.header.Offset
	e.body.Offset = off
	e.lines = -s.ends
	kind, params := mediaType(e.fields.contentType, e.kind)
	e.kind, e.charset, e.named = kind, params["charset"], params["boundary"]
}

// delimiter looks whether the line at hand is one of an open multipart, the
// innermost first, and does what it says (RFC 2046, 5.1.1). White space after a
// boundary is padding.
func (s *scanner) delimiter() bool {
	if s.eol == 0 && s.next < s.end {
		return false // of a line this long nothing is a boundary
	}
	line, ok := bytes.CutPrefix(bytes.TrimRight(s.line, " \t\r\n"), []byte("--"))
	if !ok || len(line) == 0 {
		return false
	}
	for i := len(s.open) - 1; i >= 0; i-- {
		e := s.open[i]
		if e.boundary == "" || e == s.head || len(line) < len(e.boundary) || string(line[:len(e.boundary)]) != e.boundary {
			continue
		}
		switch string(line[len(e.boundary):]) {
		case "":
			if s.parts >= maxSections {
				return false
			}
			s.parts++
			s.leave(i+1, s.off-int64(s.before))
			child := &entity{kind: "text/plain"}
			if e.kind == "multipart/digest" { // RFC 2046, 5.1.5
				child.kind = "message/rfc822"
			}
			e.children = append(e.children, child)
			s.enter(child, s.off+int64(len(s.line)))
			return true
		case "--":
			if len(e.children) == 0 {
				continue // nothing was opened that it could close
			}
			s.leave(i+1, s.off-int64(s.before))
			e.boundary = "" // what follows is the epilogue
			return true
		}
	}
	return false
}

// leave closes the open entities from the given one on, which end at end: what
// ends the line before a delimiter belongs to the delimiter.
func (s *scanner) leave(from int, end int64) {
	if from == len(s.open) {
		return
	}
	if s.head != nil {
		// The header was not ended, or has nothing under it.
		end = max(end, s.head.header.Offset)
		s.endHeader(end)
	}
	last := s.open[len(s.open)-1]
	ends := s.ends
	if s.before > 0 {
		ends--
	}
	end = max(end, last.body.Offset)
	for _, e := range s.open[from:] {
		e.body.Length = end - e.body.Offset
		e.lines = max(0, e.lines+ends)
	}
	clear(s.open[from:])
	s.open = s.open[:from]
}

// guess looks for boundaries of multiparts in which the named one does not
// stand, and reports whether one was found that was not known.
func (s *scanner) guess(e *entity) (found bool) {
	if e.multipart() && len(e.children) == 0 && !e.guessed && e.depth < maxNested {
		body := make([]byte, min(e.body.Length, MaxText))
		if n, err := s.r.ReadAt(body, e.body.Offset); n < len(body) {
			s.lines.err = err
			return false
		}
		if b := guessBoundary(body); b != "" {
			s.guesses[e.body.Offset] = b
			return true
		}
	}
	for _, c := range e.children {
		found = s.guess(c) || found
	}
	return found
}

// settle makes text of multiparts that have no parts, and bytes of messages
// that are too deep: neither can be told in BODYSTRUCTURE (RFC 9051, 9,
// body-type-mpart and body-type-msg).
func (e *entity) settle() {
	switch {
	case e.multipart() && len(e.children) == 0:
		e.kind, e.charset = "text/plain", ""
		e.fields.contentType = ""
	case e.message() && len(e.children) == 0:
		e.kind, e.fields.contentType = "application/octet-stream", ""
	}
	for _, c := range e.children {
		c.settle()
	}
}
