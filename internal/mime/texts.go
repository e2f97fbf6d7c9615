package mime

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// pieceKind says where a piece of text is from.
type pieceKind int

const (
	ownField  pieceKind = iota // the message's own header
	partField                  // the header of a part, or of an inner message
	bodyText
)

// piece is some text of a message, decoded and folded.
type piece struct {
	kind pieceKind
	name string // of a field
	text string
	// more: the text goes on in the next piece.
	more bool
	// aside: the text stands beside that of the pieces before and after it.
	aside bool
}

// textWindow is how much of a body is decoded at a time. A charset that is not
// what was declared is told by all of a window.
const textWindow = 1 << 20

// texts reads all text of a message, in order.
type texts struct {
	r io.ReaderAt
	// visit gets each piece, and reports whether to go on.
	visit func(piece) bool
	done  bool
}

func (t *texts) give(p piece) {
	if !t.done && !t.visit(p) {
		t.done = true
	}
}

// walk reads the text of an entity and of what is in it.
func (t *texts) walk(e *entity) error {
	kind := partField
	if e.whole && e.depth == 0 {
		kind = ownField
	}
	if err := t.header(e.header, kind); err != nil {
		return err
	}
	for _, c := range e.children {
		if t.done {
			return nil
		}
		if err := t.walk(c); err != nil {
			return err
		}
	}
	major, _, _ := strings.Cut(e.kind, "/")
	if len(e.children) > 0 || (major != "text" && major != "message") || t.done {
		return nil
	}
	return t.body(e)
}

func (t *texts) header(at Range, kind pieceKind) error {
	l := newLines(t.r, at)
	f := fields{take: func(name string, value []byte) {
		t.give(piece{kind: kind, name: name, text: Fold(decodeWords(toUTF8(value)))})
	}}
	for !t.done && l.advance() {
		if !l.blank() {
			f.add(l)
		}
	}
	if l.err != nil {
		return fmt.Errorf("read message: %w", l.err)
	}
	if !t.done {
		f.flush()
	}
	return nil
}

// body decodes a part window by window. A window ends with a line where one
// ends in it, so that no charset is cut within a character: those that change
// their state do so within lines (RFC 1468), and UTF-16 is cut at even places.
func (t *texts) body(e *entity) error {
	src := &watched{r: io.NewSectionReader(t.r, e.body.Offset, e.body.Length)}
	r := decoded(e.fields.encoding, src)
	buf := make([]byte, 0, min(int64(textWindow), e.body.Length+1))
	for !t.done {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if src.err != nil {
			return fmt.Errorf("read message: %w", src.err)
		}
		last := err != nil // also of a broken encoding, which ends where it breaks
		cut := len(buf)
		if !last {
			cut = windowEnd(buf, e.charset)
		}
		t.text(e, buf[:cut], !last)
		if last {
			return nil
		}
		buf = buf[:copy(buf, buf[cut:])]
	}
	return nil
}

// windowEnd gives where a full window is best cut.
func windowEnd(b []byte, charset string) int {
	if strings.HasPrefix(strings.ToLower(charset), "utf-16") || strings.HasPrefix(strings.ToLower(charset), "utf-32") {
		return len(b) &^ 3
	}
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	if i := bytes.LastIndexByte(b, ' '); i >= 0 {
		return i + 1
	}
	end := len(b)
	for i := 1; i < utf8.UTFMax && i < end; i++ { // not within a character of UTF-8
		if c := b[end-i]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[end-i:]) {
				return end - i
			}
			break
		}
	}
	return end
}

func (t *texts) text(e *entity, b []byte, more bool) {
	s := strings.ReplaceAll(text(b, e.kind, e.charset), "\r\n", "\n")
	s = strings.ReplaceAll(s, "\x00", " ") // NUL is what parts are ended by
	if e.kind == "text/html" {
		if shown := references(s); shown != "" {
			t.give(piece{kind: bodyText, text: Fold(shown), aside: true})
		}
	}
	t.give(piece{kind: bodyText, text: Fold(s), more: more})
}

// references gives, one a line, the runs of text in HTML that have character
// references to letters beyond ASCII, with the references resolved: "Gr&uuml;n"
// is found by whoever looks for what is shown.
func references(s string) string {
	if !strings.Contains(s, "&") {
		return ""
	}
	var out strings.Builder
	for len(s) > 0 {
		run := s
		if i := strings.IndexByte(s, '<'); i >= 0 {
			run, s = s[:i], s[i:]
			if j := strings.IndexByte(s, '>'); j >= 0 {
				s = s[j+1:]
			} else {
				s = ""
			}
		} else {
			s = ""
		}
		if !strings.Contains(run, "&") {
			continue
		}
		shown := html.UnescapeString(run)
		if shown != run && letters(shown) > letters(run) {
			out.WriteString(strings.ReplaceAll(shown, "\x00", " "))
			out.WriteByte('\n')
		}
	}
	return out.String()
}

// letters counts letters beyond ASCII.
func letters(s string) (n int) {
	for _, r := range s {
		if r >= utf8.RuneSelf && r != utf8.RuneError && unicode.IsLetter(r) {
			n++
		}
	}
	return n
}

// Contains looks for folded strings in all the text of a message, also in what
// its Extract has no room for, and tells of each whether it is there. It holds
// a window of the message at a time.
func Contains(r io.ReaderAt, size int64, folded []string, scope Scope) ([]bool, error) {
	root, err := parse(r, size)
	if err != nil {
		return nil, err
	}
	found := make([]bool, len(folded))
	missing, longest := 0, 0
	for i, f := range folded {
		if found[i] = f == ""; !found[i] {
			missing++
			longest = max(longest, len(f))
		}
	}
	if missing == 0 {
		return found, nil
	}
	tail := "" // of the piece before, where this one goes on with it
	t := &texts{r: r, visit: func(p piece) bool {
		if scope == InBody && p.kind != bodyText {
			return true
		}
		s := p.text
		switch {
		case p.kind != bodyText:
			s = p.name + ": " + s
		case !p.aside:
			s = tail + s
		}
		for i, f := range folded {
			if !found[i] && strings.Contains(s, f) {
				found[i] = true
				missing--
			}
		}
		if !p.aside {
			tail = ""
		}
		if p.more {
			tail = s[max(0, len(s)-longest+1):]
		}
		return missing > 0
	}}
	return found, t.walk(root)
}
