package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits are what one command may take.
type Limits struct {
	Line     int   // its bytes without literals
	Literals int64 // its literals together; APPEND's message does not count
}

// maxDrain is the largest literal, sent without waiting for our word, that is
// read to its end only to be refused. Above it the connection is not worth it.
const maxDrain = 1 << 30

// ErrFlood is a literal that cannot be skipped: what follows would be taken for
// commands, so the connection has to end.
var ErrFlood = errors.New("wire: a literal is too large to be skipped")

// A BadCommand is a command that was read to its end and not kept, or is none.
// The next call of Next gives the next one.
type BadCommand struct {
	Tag    string // empty where there was none to be made out
	Why    string
	TooBig bool // a literal was refused: NO [TOOBIG]
	Busy   bool // other clients' commands take all the room: NO [LIMIT]
}

func (e *BadCommand) Error() string { return "bad command: " + e.Why }

// Reader cuts what a client sends into commands. It belongs to one goroutine.
type Reader struct {
	br     *bufio.Reader
	limits Limits
	cont   func(size int64) error

	budget  *Budget // nil is no limit
	held    int64   // what the command has of it
	starved bool    // it got no more, so that it is not kept

	buf  []byte // the command being read; Args point into it
	data *Data  // APPEND's message, while it has not been read to its end
}

// NewReader returns a Reader of r. cont tells the client to send a literal that
// it announced; it has to reach the client before it returns.
func NewReader(r io.Reader, limits Limits, cont func(size int64) error) *Reader {
	return &Reader{br: bufio.NewReaderSize(r, 4<<10), limits: limits, cont: cont}
}

// SetLimits changes the limits from the next command on.
func (r *Reader) SetLimits(l Limits) { r.limits = l }

// SetBudget makes large commands share b with those of other Readers. Release
// has to be called when the Reader is no longer used.
func (r *Reader) SetBudget(b *Budget) { r.budget = b }

// Buffered is how many bytes were read and not used yet.
func (r *Reader) Buffered() int { return r.br.Buffered() }

// Reset goes on with another stream, such as TLS over the one before.
func (r *Reader) Reset(from io.Reader) { r.br.Reset(from); r.buf = nil }

// Wait returns when the next command begins to arrive. The Args of the one before
// are over.
func (r *Reader) Wait() error {
	if r.data == nil {
		r.Release()
	}
	_, err := r.br.Peek(1)
	return err
}

// Next is the next command. Its Args are good until the call after it. A
// *BadCommand wants an answer and is no end; every other error is.
func (r *Reader) Next() (*Command, error) {
	if r.data != nil {
		return nil, errors.New("wire: APPEND's message was not read to its end")
	}
	r.Release()
	var head *header // parsed from the first line
	var bad *BadCommand
	var line int
	var literals int64
	for {
		from := len(r.buf)
		room := r.limits.Line - line
		tail, n, err := r.readLine(room, bad == nil)
		if err != nil {
			if err == io.EOF && (n > 0 || head != nil || bad != nil) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		line += n
		if head == nil {
			head, err = parseHeader(r.buf[from:])
			if err != nil && bad == nil {
				bad = &BadCommand{Tag: head.tag, Why: err.Error()}
			}
		}
		if n > room && bad == nil {
			bad = &BadCommand{Tag: head.tag, Why: fmt.Sprintf("a command may have %d bytes beside its literals", r.limits.Line)}
		}
		bad = r.room(head, bad)
		lit, is := literalTail(tail)
		if !is {
			return r.finish(head, bad)
		}
		if bad == nil && head.name == "APPEND" && !onlySpace(r.buf[head.args:len(r.buf)-lit.text]) {
			return r.append(head, lit)
		}
		if literals += lit.size; bad == nil && (lit.size < 0 || literals > r.limits.Literals) {
			bad = &BadCommand{Tag: head.tag, TooBig: true, Why: fmt.Sprintf("the literals of a command may have %d bytes", r.limits.Literals)}
		}
		switch {
		case bad != nil && lit.sync:
			return nil, bad // the client waits for our word and sends nothing more
		case bad != nil:
			if err := r.skip(lit.size); err != nil {
				return nil, err
			}
		default:
			if lit.sync {
				if err := r.cont(lit.size); err != nil {
					return nil, err
				}
			}
			r.buf = append(r.buf, "\r\n"...)
			if err := r.keep(lit.size); err != nil {
				return nil, err
			}
			bad = r.room(head, bad)
		}
		if bad != nil {
			r.Release()
		}
	}
}

// room refuses a command that got no more memory.
func (r *Reader) room(h *header, bad *BadCommand) *BadCommand {
	if bad != nil || !r.starved {
		return bad
	}
	return &BadCommand{Tag: h.tag, Busy: true, Why: "too many large commands at once"}
}

// readLine reads to the end of a line. The line without its end is appended to
// buf, as far as room goes and if it is to be kept at all; tail is its last
// bytes in any case, n how many it had.
func (r *Reader) readLine(room int, keep bool) (tail []byte, n int, err error) {
	const most = 32 // longer than any literal's head that means something
	var last [2 * most]byte
	ends := last[:0]
	for {
		piece, err := r.br.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return nil, n + len(piece), err
		}
		if keep && n <= room && !r.hold(len(piece)) {
			keep, r.starved = false, true
		}
		if keep && n <= room {
			r.buf = append(r.buf, piece[:min(len(piece), room+2-n)]...)
		}
		n += len(piece)
		if len(piece) >= most {
			ends = append(ends[:0], piece[len(piece)-most:]...)
		} else {
			ends = append(ends, piece...)
			if len(ends) > most {
				ends = append(ends[:0], ends[len(ends)-most:]...)
			}
		}
		if err == nil {
			break
		}
	}
	// A lone line feed ends a line as well: people type into a raw connection.
	cut := 1
	if len(ends) > 1 && ends[len(ends)-2] == '\r' {
		cut = 2
	}
	ends = ends[:len(ends)-cut]
	if n -= cut; keep && n <= room {
		r.buf = r.buf[:len(r.buf)-cut]
	}
	return ends, n, nil
}

// keep reads a literal into buf, growing with what really arrives.
func (r *Reader) keep(size int64) error {
	for size > 0 {
		step := int(min(size, 64<<10))
		if !r.hold(step) {
			r.starved = true
			return r.skip(size)
		}
		at := len(r.buf)
		r.buf = append(r.buf, make([]byte, step)...)
		if n, err := io.ReadFull(r.br, r.buf[at:]); err != nil {
			r.buf = r.buf[:at+n]
			return unexpected(err)
		}
		size -= int64(step)
	}
	return nil
}

// skip reads size bytes and forgets them.
func (r *Reader) skip(size int64) error {
	if size < 0 || size > maxDrain {
		return ErrFlood
	}
	_, err := io.CopyN(io.Discard, r.br, size)
	return unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// finish makes the command of a whole one.
func (r *Reader) finish(h *header, bad *BadCommand) (*Command, error) {
	if bad != nil {
		return nil, bad
	}
	return &Command{Tag: h.tag, Name: h.name, UID: h.uid, Args: NewArgs(r.buf[h.args:])}, nil
}

// Line reads one line that is no command: the end of IDLE, an answer of SASL.
// One that is longer than limit is read to its end; ok is false then.
func (r *Reader) Line(limit int) (line string, ok bool, err error) {
	r.Release()
	_, n, err := r.readLine(limit, true)
	if err != nil {
		return "", false, err
	}
	if n > limit {
		return "", false, nil
	}
	return string(r.buf), true, nil
}

// header is what a command starts with.
type header struct {
	tag, name string
	uid       bool
	args      int // where the arguments begin
}

var (
	errBlank = errors.New("an empty line is no command")
	errTag   = errors.New("a tag and a command are missing")
	errName  = errors.New("a command is missing")
)

// parseHeader reads tag and name. The header is never nil; its tag is empty
// where none can be made out.
func parseHeader(b []byte) (*header, error) {
	h := &header{}
	if len(b) == 0 {
		return h, errBlank
	}
	i := 0
	for i < len(b) && isTag(b[i]) {
		i++
	}
	// A tag is echoed, so a long one is none.
	if i == 0 || i > 128 || i == len(b) || b[i] != ' ' {
		return h, errTag
	}
	h.tag = string(b[:i])
	name, rest := word(b[i+1:])
	if name == "" {
		return h, errName
	}
	h.name, h.args = name, len(b)-len(rest)
	if name == "UID" && len(rest) > 1 && rest[0] == ' ' {
		if name, rest = word(rest[1:]); name == "" {
			return h, errName
		}
		h.name, h.uid, h.args = name, true, len(b)-len(rest)
	}
	return h, nil
}

// word is a command's name in upper case, and what follows it.
func word(b []byte) (string, []byte) {
	i := 0
	for i < len(b) && isAtom(b[i]) {
		i++
	}
	if i > 32 {
		return "", b
	}
	return strings.ToUpper(string(b[:i])), b[i:]
}

// announced is a literal that a line ends with.
type announced struct {
	size int64 // -1: more than a number holds
	sync bool  // the client waits for our word
	text int   // how many bytes at the line's end announce it
}

// literalTail finds "{n}", "{n+}" or "{n-}" at a line's end. That a quote may be
// open before it does not matter: a quoted string cannot go on behind a line's
// end, and taking the bytes for a literal is the reading that runs none of
// them.
func literalTail(tail []byte) (announced, bool) {
	end := len(tail)
	if end < 3 || tail[end-1] != '}' {
		return announced{}, false
	}
	lit := announced{sync: true}
	end--
	if tail[end-1] == '+' || tail[end-1] == '-' {
		lit.sync = false
		end--
	}
	open := end
	for open > 0 && isDigit(tail[open-1]) {
		open--
	}
	if open == end {
		return announced{}, false
	}
	digits := bytes.TrimLeft(tail[open:end], "0")
	switch {
	case open == 0:
		lit.size = -1 // digits without an end
	case tail[open-1] != '{':
		return announced{}, false
	case len(digits) > 18:
		lit.size = -1
	default:
		for _, c := range digits {
			lit.size = lit.size*10 + int64(c-'0')
		}
	}
	lit.text = len(tail) - open + 1
	return lit, true
}

func onlySpace(b []byte) bool { return len(bytes.TrimLeft(b, " ~")) == 0 }
