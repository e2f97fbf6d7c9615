package smtpd

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// conn stands between the network and the library. The library asks for input
// only when it has done with what it had, and has answered it; so conn gives it
// one command at a time, knows from the answer what comes next, and sees to what
// the library leaves open:
//
//   - a command has its own limit of length, apart from the message's lines, and
//     no control characters, which answers would repeat;
//   - STARTTLS is carried out here, and forgets what came before it;
//   - a message sent by DATA is read here (message.go), for the library ends
//     it in other places than CRLF.CRLF, and loses bytes;
//   - chunks are whole, and what becomes of a message in chunks is said of that
//     message (chunk.go);
//   - every wait has its own limit of time, and answers are sent together;
//   - who may not be here any more is told so at once, whatever is awaited
//     (dismiss.go).
type conn struct {
	net.Conn               // plain, or TLS from the first byte
	net      net.Conn      // the same, or TLS after STARTTLS
	tls      *tls.Config   // for STARTTLS; nil offers none
	started  func(ok bool) // told of STARTTLS
	limit    func() int64  // of a message
	times    times
	born     time.Time
	closing  <-chan struct{} // the server drains
	waiting  atomic.Bool     // for a command
	in       *bufio.Reader
	out      *bufio.Writer
	err      error // input is over
	done     chan struct{}
	secure   bool
	authed   bool // the library has answered 235
	hello    bool // a greeting is needed before anything else
	helo     string
	end      bool // once the answer that comes now is written
	long     int  // lines that were too long
	idle     int  // commands since the last one that was for a message

	pending []byte // of a command, for the library to read
	mode    mode
	data    *message // while it comes
	chunks  chunks

	at     int // in the line of the answer that is being written
	answer [4]byte

	dismissal
}

// mode is what the next bytes are.
type mode int

const (
	modeCommand mode = iota
	modeAuth         // an answer to a challenge
	modeData         // a message
	modeChunk        // a chunk of one
)

// strange is how many times the wait for a command a connection may last before
// somebody has logged in: connections are few, and one is not to be held by
// saying NOOP.
const strange = 5

// times are how long to wait (RFC 5321, 4.5.3.2): for a command, before and
// after the login, for some bytes of a message, for all of it, for the client to
// read, for TLS to begin, and for who is put out to hear why.
type times struct {
	login, command, data, message, write, handshake, farewell time.Duration
}

func newConn(c net.Conn, t times, cfg *tls.Config, closing <-chan struct{}) *conn {
	_, secure := c.(*tls.Conn)
	return &conn{Conn: c, net: c, tls: cfg, started: func(bool) {}, limit: func() int64 { return maxMessage }, times: t, born: time.Now(), closing: closing, done: make(chan struct{}),
		in: bufio.NewReaderSize(c, 16<<10), out: bufio.NewWriterSize(c, 4<<10), secure: secure, hello: true}
}

// Read gives the library what comes next.
func (c *conn) Read(b []byte) (int, error) {
	for {
		if c.err == nil && c.end {
			c.err = io.EOF
		}
		if c.err != nil {
			return 0, c.err
		}
		if len(c.pending) > 0 {
			n := copy(b, c.pending)
			c.pending = c.pending[n:]
			return n, nil
		}
		switch c.mode {
		case modeData:
			// The message was read past the library, which gets its end.
			if err := c.message().skip(); err != nil {
				return c.fail(err)
			}
			c.data = nil
			c.mode = modeCommand
			c.pending = []byte(".\r\n")
			continue
		case modeChunk:
			if c.chunks.left > 0 {
				return c.readChunk(b)
			}
			c.mode = modeCommand
		}
		if again, err := c.afterAbort(); err != nil {
			return c.fail(err)
		} else if again {
			continue
		}
		line, err := c.readLine()
		if err != nil {
			return c.fail(err)
		}
		if err := c.take(line); err != nil {
			return c.fail(err)
		}
	}
}

func (c *conn) fail(err error) (int, error) {
	if c.err == nil {
		c.err = err
	}
	return 0, err
}

// fill waits for input, for so long, once what was answered is on its way.
func (c *conn) fill(wait time.Duration) error {
	if c.revoked() {
		return c.dismiss()
	}
	if c.in.Buffered() > 0 {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	if !c.authed {
		wait = min(wait, time.Until(c.born.Add(strange*c.times.login)))
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if c.waiting.Load() && c.drains() {
		c.wake() // whoever said so may have done it before there was a wait
	}
	if c.revoked() {
		return c.dismiss()
	}
	_, err := c.in.Peek(1)
	if err != nil && c.revoked() {
		return c.dismiss()
	}
	return err
}

func (c *conn) drains() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

func (c *conn) flush() error {
	if c.out.Buffered() == 0 {
		return nil
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.times.write)); err != nil {
		return err
	}
	return c.out.Flush()
}

// timedOut answers a connection that is silent for too long.
func (c *conn) timedOut(err error) error {
	var ne net.Error
	if !errors.As(err, &ne) || !ne.Timeout() {
		return err
	}
	if c.drains() {
		return c.bye("421 4.3.2 Service closing transmission channel")
	}
	return c.bye("421 4.4.2 Idle for too long")
}

// wake ends a wait for a command. It may be called at any time.
func (c *conn) wake() {
	if c.waiting.Load() {
		_ = c.Conn.SetReadDeadline(time.Now())
	}
}

// bye answers, and ends the connection.
func (c *conn) bye(line string) error {
	_, _ = c.out.WriteString(line + "\r\n")
	_ = c.flush()
	return io.EOF
}

// say answers past the library.
func (c *conn) say(line string) error {
	_, _ = c.out.WriteString(line + "\r\n")
	if c.in.Buffered() > 0 {
		return nil
	}
	return c.flush()
}

// Write takes an answer of the library, and notes what it lets come.
func (c *conn) Write(b []byte) (int, error) {
	if c.dismissed {
		return len(b), nil // the last word is said
	}
	for _, ch := range b {
		if c.at < len(c.answer) {
			c.answer[c.at] = ch
		}
		c.at++
		if ch == '\n' {
			c.at = 0
			c.answered(string(c.answer[:]))
		}
	}
	if c.chunks.swallow {
		c.chunks.swallow = c.answer[3] == '-' || c.at > 0
		return len(b), nil
	}
	if c.out.Available() < len(b) {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(c.times.write)); err != nil {
			return 0, err
		}
	}
	n, err := c.out.Write(b)
	if err != nil {
		c.err = err
	}
	return n, err
}

func (c *conn) answered(code string) {
	switch code {
	case "354 ":
		c.mode = modeData
	case "334 ":
		c.mode = modeAuth
	case "235 ":
		c.authed = true
	}
	if code[3] == ' ' {
		c.chunks.answered(code)
	}
	if code == "354 " {
		c.idle = 0
	}
}

// Close sends what was answered and closes. What was sent after that is not for
// us.
func (c *conn) Close() error {
	select {
	case <-c.done:
		return nil
	default:
	}
	close(c.done)
	_ = c.flush()
	c.err = io.EOF
	return c.net.Close()
}

// The library's own times are none: every wait here has one.

func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
