package session

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// fieldNames are the names that a HEADER.FIELDS lists, made to be looked up
// for each of some hundred thousand header fields.
type fieldNames struct {
	names map[string]struct{} // in lower case
	// lengths and first tell most other names away: the lengths that occur, and
	// the first letters.
	lengths uint64
	first   [256]bool
	longest int
}

func newFieldNames(names []string) *fieldNames {
	f := &fieldNames{names: make(map[string]struct{}, len(names))}
	for _, n := range names {
		b := lower(nil, []byte(n))
		f.names[string(b)] = struct{}{}
		f.lengths |= 1 << min(len(b), 63)
		f.longest = max(f.longest, len(b))
		if len(b) > 0 {
			f.first[b[0]] = true
			f.first[upper(b[0])] = true
		}
	}
	return f
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 32
	}
	return c
}

// lower appends name to dst in lower case.
func lower(dst, name []byte) []byte {
	for _, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 32
		}
		dst = append(dst, c)
	}
	return dst
}

// has reports whether the name of a field is among them. Names are compared
// without regard to case (RFC 9051, 6.4.5.1).
func (f *fieldNames) has(name []byte) bool {
	if len(name) == 0 || len(name) > f.longest || f.lengths&(1<<min(len(name), 63)) == 0 || !f.first[name[0]] {
		return false
	}
	var room [64]byte
	_, ok := f.names[string(lower(room[:0], name))]
	return ok
}

// pickFields appends to dst those fields of a raw header block that are among
// the names, or with not those that are not, as they stand there: folded lines
// with their folding, line ends as they are. The blank line that ends the block
// is always given where there is one (RFC 9051, 6.4.5.1).
func pickFields(dst, block []byte, f *fieldNames, not bool) []byte {
	for len(block) > 0 {
		if block[0] == '\n' || (block[0] == '\r' && len(block) > 1 && block[1] == '\n') {
			return append(dst, block...)
		}
		field := block[:fieldEnd(block)]
		block = block[len(field):]
		if f.has(fieldName(field)) != not {
			dst = append(dst, field...)
		}
	}
	return dst
}

// fieldEnd gives the length of the first field of a block: to the end of the
// line after which no line goes on (RFC 5322, 2.2.3).
func fieldEnd(block []byte) int {
	end := 0
	for {
		i := bytes.IndexByte(block[end:], '\n')
		if i < 0 {
			return len(block)
		}
		end += i + 1
		if end == len(block) || (block[end] != ' ' && block[end] != '\t') {
			return end
		}
	}
}

// fieldName gives the name of a field, nothing for a line that is none.
func fieldName(field []byte) []byte {
	i := bytes.IndexByte(field, ':')
	if i <= 0 {
		return nil
	}
	name := field[:i]
	for len(name) > 0 && (name[len(name)-1] == ' ' || name[len(name)-1] == '\t') {
		name = name[:len(name)-1] // RFC 5322, 4.5.8: obsolete syntax
	}
	return name
}

// fieldReader is pickFields for a header that is too long to be held: it reads
// as the fields go by.
type fieldReader struct {
	br    *bufio.Reader
	names *fieldNames
	not   bool

	begun bool   // a line was read
	long  bool   // the last line goes on in what is read next
	keep  bool   // the field is given
	out   []byte // of the present line, to be read
}

func newFieldReader(r io.Reader, names *fieldNames, not bool) *fieldReader {
	return &fieldReader{br: bufio.NewReaderSize(r, 4<<10), names: names, not: not}
}

// Read reads the fields.
func (f *fieldReader) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		line, err := f.br.ReadSlice('\n')
		if len(line) == 0 && err != nil {
			return 0, err
		}
		if !f.long {
			f.line(line)
		}
		f.long = errors.Is(err, bufio.ErrBufferFull)
		if f.keep {
			f.out = line
		}
		if err != nil && !f.long && !errors.Is(err, io.EOF) {
			return 0, err
		}
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// line decides whether a line is given.
func (f *fieldReader) line(line []byte) {
	switch {
	case line[0] == '\n' || line[0] == '\r' && len(line) > 1 && line[1] == '\n':
		f.keep = true // the blank line
	case f.begun && (line[0] == ' ' || line[0] == '\t'):
		// It goes on with the field before it.
	default:
		f.keep = f.names.has(fieldName(line)) != f.not
	}
	f.begun = true
}
