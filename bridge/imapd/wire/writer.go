package wire

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// flushAt is how much a Writer gathers before it writes.
const flushAt = 64 << 10

// keepBuffer is the most that a Writer holds on to between flushes, so that
// a thousand idle connections hold a thousand small buffers.
const keepBuffer = 4 << 10

// ErrShort is a literal whose reader ended before the size that was told. The
// client waits for bytes that are not there, so nothing can follow.
var ErrShort = errors.New("wire: a literal ended before its size")

// A Writer builds responses and writes them in large pieces. Methods chain; an
// error is kept and told by Err and Flush, and everything after it is dropped.
//
// All methods but Interject belong to one goroutine.
type Writer struct {
	w     io.Writer
	buf   []byte
	err   error
	whole bool // buf ends with a response's end

	mu   sync.Mutex // guards writes to w, and sent
	sent bool       // what was written ends with a response's end
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, whole: true, sent: true} }

// Raw writes s as it is.
func (w *Writer) Raw(s string) *Writer {
	w.buf = append(w.buf, s...)
	return w.part()
}

// Bytes writes b as it is. A b that is large is not copied.
func (w *Writer) Bytes(b []byte) *Writer {
	if len(b) >= flushAt {
		w.whole = false
		w.write()
		w.buf = nil
		w.put(b, false)
		return w
	}
	w.buf = append(w.buf, b...)
	return w.part()
}

// part is called after something was added.
func (w *Writer) part() *Writer {
	w.whole = false
	if len(w.buf) >= flushAt {
		w.write()
	}
	return w
}

// SP writes a space.
func (w *Writer) SP() *Writer {
	w.buf = append(w.buf, ' ')
	return w.part()
}

// CRLF ends a response.
func (w *Writer) CRLF() *Writer {
	w.buf = append(w.buf, '\r', '\n')
	w.whole = true
	if len(w.buf) >= flushAt {
		w.write()
	}
	return w
}

// Number writes n.
func (w *Writer) Number(n int64) *Writer {
	w.buf = strconv.AppendInt(w.buf, n, 10)
	return w.part()
}

// Unsigned writes n; a modification sequence may need the 64th bit.
func (w *Writer) Unsigned(n uint64) *Writer {
	w.buf = strconv.AppendUint(w.buf, n, 10)
	return w.part()
}

// Quoted writes s as a quoted string; what may not stand in one (line ends,
// bytes above 127, more than 1,000 bytes) goes as a literal instead.
func (w *Writer) Quoted(s string) *Writer { return w.text(s, false) }

// QuotedUTF8 is Quoted for a client that enabled UTF-8.
func (w *Writer) QuotedUTF8(s string) *Writer { return w.text(s, true) }

func (w *Writer) text(s string, asUTF8 bool) *Writer {
	w.buf = AppendString(w.buf, s, asUTF8)
	return w.part()
}

// AppendString writes s to b as a string: quoted where that can be, else a
// literal. NUL, which neither may hold (RFC 9051, section 9, "CHAR8"), becomes
// a space.
func AppendString(b []byte, s string, asUTF8 bool) []byte {
	quotable, nul := len(s) <= 1000, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			nul = true
		case c == '\r' || c == '\n' || c > 0x7e && !asUTF8:
			quotable = false
		}
	}
	if nul {
		clean := []byte(s)
		for i, c := range clean {
			if c == 0 {
				clean[i] = ' '
			}
		}
		s = string(clean)
	}
	if !quotable || asUTF8 && !utf8.ValidString(s) {
		b = append(b, '{')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, "}\r\n"...)
		return append(b, s...)
	}
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// NString writes s as Quoted does, or NIL.
func (w *Writer) NString(s string, null bool) *Writer {
	if null {
		return w.Raw("NIL")
	}
	return w.Quoted(s)
}

// AString writes s bare where it is an atom, else as Quoted does.
func (w *Writer) AString(s string) *Writer {
	if IsAtom(s) && s != "NIL" {
		return w.Raw(s)
	}
	return w.Quoted(s)
}

// Mailbox writes a mailbox name, in UTF-8 or in modified UTF-7.
func (w *Writer) Mailbox(name string, asUTF8 bool) *Writer {
	if !asUTF8 {
		name = EncodeUTF7(name)
	}
	if IsAtom(name) && name != "NIL" {
		return w.Raw(name)
	}
	return w.text(name, asUTF8)
}

// Flags writes flags in parentheses. They must be legal already.
func (w *Writer) Flags(flags []string) *Writer {
	w.buf = append(w.buf, '(')
	for i, f := range flags {
		if i > 0 {
			w.buf = append(w.buf, ' ')
		}
		w.buf = append(w.buf, f...)
	}
	w.buf = append(w.buf, ')')
	return w.part()
}

// Date writes t as INTERNALDATE has it: `"17-Jul-1996 02:44:25 -0700"`.
func (w *Writer) Date(t time.Time) *Writer {
	w.buf = append(w.buf, '"')
	w.buf = t.AppendFormat(w.buf, dateTime)
	w.buf = append(w.buf, '"')
	return w.part()
}

// Literal writes size bytes of r as a literal. Where r has fewer the Writer is
// done for: see ErrShort.
func (w *Writer) Literal(size int64, r io.Reader) error {
	w.Raw("{").Number(size).Raw("}\r\n")
	return w.copy(size, r)
}

// Literal8 is Literal for bytes that may hold NUL (RFC 3516, section 4.4).
func (w *Writer) Literal8(size int64, r io.Reader) error {
	w.Raw("~")
	return w.Literal(size, r)
}

func (w *Writer) copy(size int64, r io.Reader) error {
	for size > 0 && w.err == nil {
		room := min(size, flushAt)
		at := len(w.buf)
		if cap(w.buf)-at < int(room) {
			w.write()
			at = 0
			if cap(w.buf) < int(room) {
				w.buf = make([]byte, 0, room)
			}
		}
		n, err := io.ReadFull(r, w.buf[at:at+int(room)])
		w.buf = w.buf[:at+n]
		w.part()
		size -= int64(n)
		if err != nil && w.err == nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				err = ErrShort
			}
			w.err = fmt.Errorf("write literal: %w", err)
		}
	}
	return w.err
}

// write hands the buffer on.
func (w *Writer) write() {
	if len(w.buf) > 0 {
		w.put(w.buf, w.whole)
		w.buf = w.buf[:0]
	}
}

func (w *Writer) put(b []byte, whole bool) {
	if w.err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = whole
	if _, err := w.w.Write(b); err != nil {
		w.err = fmt.Errorf("write responses: %w", err)
	}
}

// Flush writes what was gathered. Call it before anything that may wait long:
// the client has what is ready, and Interject finds a response's end.
func (w *Writer) Flush() error {
	w.write()
	if cap(w.buf) > keepBuffer {
		w.buf = nil
	}
	return w.err
}

// Err is the first error.
func (w *Writer) Err() error { return w.err }

// Interject writes line and CRLF past the buffer, at once, if what was written
// so far ends with a response's end; else it does nothing, because the bytes
// would land inside a response. It may be called from any goroutine.
func (w *Writer) Interject(line string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sent {
		return false, nil
	}
	_, err := io.WriteString(w.w, line+"\r\n")
	return err == nil, err
}
