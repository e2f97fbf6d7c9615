package smtpd

import (
	"errors"
	"io"
	"time"
)

// message reads a message that DATA announced, without the dots that were put in
// front of its lines (RFC 5321, 4.5.2), and otherwise to the byte. A line ends
// at CRLF alone, and so does the message.
//
// Others end lines at a bare LF or CR, too. Where one of them would see a line
// of a single dot, and so the end of the message and commands behind it, the
// message is refused: it is read to its true end, and not handed on.
type message struct {
	c     *conn
	state byte
	held  int  // a byte that comes before what is read next, or -1
	loose byte // what a reader that ends lines anywhere would be at
	until time.Time
	total int64
	err   error
	// ambiguous: others might see another end.
	ambiguous bool
}

// States of message: at the beginning of a line, after a dot there, after a dot
// and a CR, after a CR, and elsewhere. loose is the first, second or last.
const (
	lineBegin byte = iota
	lineDot
	lineDotCR
	lineCR
	lineMiddle
)

// maxDrained bounds what is read of a message that is refused, so that the
// answer is heard (RFC 5321, 4.1.1.4: it comes after the end).
const maxDrained = 1 << 30

var (
	errSlow    = errors.New("the message comes too slowly")
	errEndless = errors.New("the message does not end")
)

// message is the one that comes in now.
func (c *conn) message() *message {
	if c.data == nil {
		c.data = &message{c: c, held: -1, until: time.Now().Add(c.times.message)}
	}
	return c.data
}

// Read gives what comes of the message.
func (m *message) Read(b []byte) (n int, err error) {
	if m.err != nil || len(b) == 0 {
		return 0, m.err
	}
	if m.held >= 0 {
		b[0], m.held = byte(m.held), -1
		return 1, nil
	}
	for n == 0 && m.err == nil {
		if left := time.Until(m.until); left <= 0 {
			m.err = errSlow
		} else if err := m.c.fill(min(left, m.c.times.data)); err != nil {
			m.err = broken(err)
		}
		if m.err != nil {
			return 0, m.err
		}
		some, _ := m.c.in.Peek(m.c.in.Buffered())
		var used int
		n, used = m.unstuff(b, some)
		m.total += int64(used)
		_, _ = m.c.in.Discard(used) // it is buffered
	}
	if n > 0 {
		return n, nil
	}
	return 0, m.err
}

// unstuff takes bytes from the wire, as far as there is room for them.
func (m *message) unstuff(to, from []byte) (n, used int) {
	for used < len(from) && n < len(to) && m.held < 0 {
		ch := from[used]
		used++
		m.look(ch)
		switch m.state {
		case lineBegin:
			if ch == '.' {
				m.state = lineDot
				continue
			}
		case lineDot:
			if ch == '\r' {
				m.state = lineDotCR
				continue
			}
		case lineDotCR:
			if ch == '\n' {
				m.err = io.EOF
				return n, used
			}
			// The CR was the first byte of the line's words.
			to[n] = '\r'
			n++
			m.state = after(lineCR, ch)
			if n == len(to) {
				m.held = int(ch)
			} else {
				to[n] = ch
				n++
			}
			continue
		}
		m.state = after(m.state, ch)
		to[n] = ch
		n++
	}
	return n, used
}

// after is the state after a byte that is handed on.
func after(state, ch byte) byte {
	switch {
	case ch == '\r':
		return lineCR
	case ch == '\n' && state == lineCR:
		return lineBegin
	}
	return lineMiddle
}

// look sees what a reader that ends lines at CR or LF would see. It is told of a
// byte before the state changes.
func (m *message) look(ch byte) {
	end := ch == '\r' || ch == '\n'
	switch {
	case m.loose == lineDot && end:
		// A line of a dot; it is the true one if CRLF is all around it.
		if m.state != lineDot || ch == '\n' {
			m.ambiguous = true
		}
		m.loose = lineBegin
	case end:
		if m.state == lineDotCR && ch != '\n' {
			m.ambiguous = true
		}
		m.loose = lineBegin
	default:
		if m.state == lineDotCR {
			m.ambiguous = true
		}
		if m.loose == lineBegin && ch == '.' {
			m.loose = lineDot
		} else {
			m.loose = lineMiddle
		}
	}
}

// skip reads to the end of the message.
func (m *message) skip() error {
	var b [4 << 10]byte
	for {
		_, err := m.Read(b[:])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case m.total > maxDrained:
			return errEndless
		}
	}
}
