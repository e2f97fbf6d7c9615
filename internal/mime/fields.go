package mime

import (
	"bytes"
)

// maxField bounds how much of one field is held; what is longer comes in
// pieces.
const maxField = 1 << 20

// fields gathers header fields from lines (RFC 5322, 2.2), unfolded: the end of
// a line and the white space around it become one space. An mbox From line and
// lines that are no field are passed over, as headerBlock does.
type fields struct {
	// want reports whether a field matters; nil: all do. Names are in lower case.
	want func(name string) bool
	// take gets each field.
	take func(name string, value []byte)

	name    string
	value   []byte
	inField bool // the last line belonged to a field that is wanted
}

var space = []byte{' '}

// add takes the current line of a header.
func (f *fields) add(l *lines) {
	line := bytes.TrimRight(l.line, "\r\n")
	if l.eol == 0 {
		line = l.line
	}
	folded := l.first && len(line) > 0 && (line[0] == ' ' || line[0] == '\t')
	if folded {
		line = bytes.TrimLeft(line, " \t")
	}
	if folded || !l.first {
		if f.inField {
			if folded && len(line) > 0 {
				f.value = bytes.TrimRight(f.value, " \t")
				f.grow(space)
			}
			f.grow(line)
		}
		return
	}
	f.flush()
	if !isField(line) {
		return
	}
	colon := bytes.IndexByte(line, ':')
	name := string(bytes.ToLower(bytes.TrimRight(line[:colon], " \t")))
	if f.want != nil && !f.want(name) {
		return
	}
	f.inField, f.name = true, name
	f.grow(line[colon+1:])
}

func (f *fields) grow(b []byte) {
	if len(f.value)+len(b) > maxField {
		f.take(f.name, bytes.Trim(f.value, " \t"))
		f.value = f.value[:0]
	}
	f.value = append(f.value, b...)
}

// flush ends the field at hand.
func (f *fields) flush() {
	if f.inField {
		f.take(f.name, bytes.Trim(f.value, " \t"))
	}
	f.inField, f.value = false, f.value[:0]
}
