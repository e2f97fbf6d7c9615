package mime

import (
	"bytes"
	"errors"
	"io"
)

// lines gives the bytes of a message line by line and says where each lies. A
// line ends with a line feed, with or without a carriage return before it; a
// carriage return alone is nothing. One that is longer than the buffer comes in
// pieces.
type lines struct {
	r    io.ReaderAt
	next int64 // what is to be read next
	end  int64 // where the lines end
	buf  []byte
	have []byte // what was read and not given yet, in buf

	line  []byte // the current line, or piece of one, with its end
	off   int64  // where it lies
	first bool   // it begins a line
	eol   int    // how many octets end it: 0 of a piece that is not the last
	err   error  // what the reader said
}

const lineBuffer = 64 << 10

func newLines(r io.ReaderAt, from Range) *lines {
	return &lines{r: r, next: from.Offset, end: from.End(), off: from.Offset, buf: make([]byte, min(lineBuffer, max(from.Length, 2))), first: true}
}

// advance goes to the next line or piece, and reports whether there is one.
func (l *lines) advance() bool {
	l.first = l.first && l.line == nil || l.eol > 0
	l.off += int64(len(l.line))
	for {
		if i := bytes.IndexByte(l.have, '\n'); i >= 0 {
			return l.give(i + 1)
		}
		if l.err != nil || l.next == l.end {
			return len(l.have) > 0 && l.err == nil && l.give(len(l.have))
		}
		if len(l.have) == len(l.buf) {
			// A carriage return waits for the line feed that may follow.
			return l.give(len(l.have) - 1)
		}
		l.fill()
	}
}

func (l *lines) fill() {
	n := copy(l.buf, l.have)
	free := l.buf[n:min(int64(len(l.buf)), int64(n)+l.end-l.next)]
	read, err := l.r.ReadAt(free, l.next)
	if read < len(free) && err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // it is shorter than was said
		}
		l.err = err
	}
	l.have = l.buf[:n+read]
	l.next += int64(read)
}

func (l *lines) give(n int) bool {
	l.line, l.have = l.have[:n], l.have[n:]
	l.eol = 0
	if l.line[n-1] == '\n' {
		l.eol = 1
		if n > 1 && l.line[n-2] == '\r' {
			l.eol = 2
		}
	}
	return true
}

// blank reports whether the line is empty, and so ends a header.
func (l *lines) blank() bool {
	return l.first && l.eol > 0 && len(bytes.TrimRight(l.line, "\r\n")) == 0
}
