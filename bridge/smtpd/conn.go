package smtpd

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"
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
//   - every wait has its own limit of time, and answers are sent together.
type conn struct {
	net.Conn               // plain, or TLS from the first byte
	net      net.Conn      // the same, or TLS after STARTTLS
	tls      *tls.Config   // for STARTTLS; nil offers none
	started  func(ok bool) // told of STARTTLS
	limit    func() int64  // of a message
	times    times
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
}

// mode is what the next bytes are.
type mode int

const (
	modeCommand mode = iota
	modeAuth         // an answer to a challenge
	modeData         // a message
	modeChunk        // a chunk of one
)

// sizeOf finds what MAIL announces.
var sizeOf = regexp.MustCompile(`(?i) SIZE=([0-9]+)( |$)`)

// times are how long to wait (RFC 5321, 4.5.3.2): for a command, before and
// after the login, for some bytes of a message, for all of it, for the client to
// read, and for TLS to begin.
type times struct {
	login, command, data, message, write, handshake time.Duration
}

const (
	// maxCommand bounds a command with its line end (RFC 5321, 4.5.3.1.4, with
	// room for what extensions add), maxAuth one that authenticates (RFC 4954, 4.3).
	maxCommand = 2048
	maxAuth    = 12288
	// maxIdle bounds the commands without a message: a program that asks whether
	// the connection is still there does so for days.
	maxIdle = 5000
	// maxChunk is how long a chunk that is not taken may be and still be read.
	maxChunk = 1 << 30
)

func newConn(c net.Conn, t times, cfg *tls.Config, closing <-chan struct{}) *conn {
	_, secure := c.(*tls.Conn)
	return &conn{Conn: c, net: c, tls: cfg, started: func(bool) {}, limit: func() int64 { return maxMessage }, times: t, closing: closing, done: make(chan struct{}),
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
	if c.in.Buffered() > 0 {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if c.waiting.Load() && c.drains() {
		c.wake() // whoever said so may have done it before there was a wait
	}
	_, err := c.in.Peek(1)
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

// readLine reads a line, no longer than a command may be. A longer one is read
// to its end, and answered. However slowly its bytes come, it has so much time.
func (c *conn) readLine() ([]byte, error) {
	c.waiting.Store(true)
	defer c.waiting.Store(false)
	wait := c.times.command
	if !c.authed {
		wait = c.times.login
	}
	until := time.Now().Add(wait)
	var line []byte
	for {
		if c.in.Buffered() == 0 && c.drains() {
			return nil, c.bye("421 4.3.2 Service closing transmission channel")
		}
		if err := c.fill(time.Until(until)); err != nil {
			return nil, c.timedOut(err)
		}
		some, _ := c.in.Peek(c.in.Buffered())
		end := bytes.IndexByte(some, '\n')
		if end >= 0 {
			some = some[:end+1]
		}
		if len(line) <= maxAuth {
			line = append(line, some...)
		}
		_, _ = c.in.Discard(len(some)) // it is buffered
		if end < 0 {
			continue
		}
		switch auth := len(line) >= 5 && strings.EqualFold(string(line[:5]), "AUTH "); {
		case len(line) <= maxCommand, len(line) <= maxAuth && (auth || c.mode == modeAuth):
			return line, nil
		case c.mode == modeAuth, c.long >= 3:
			return nil, c.bye("500 5.5.2 Line too long")
		}
		c.long++
		line = nil
		if err := c.say("500 5.5.2 Line too long"); err != nil {
			return nil, err
		}
	}
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

// take gives a line to the library, or sees to it here.
func (c *conn) take(line []byte) error {
	if c.mode == modeAuth {
		c.mode = modeCommand
		c.pending = line
		return nil
	}
	text := strings.TrimRight(string(line), "\r\n")
	// RFC 5321, 4.1.2, and RFC 6531, 3.3: printable ASCII, or UTF-8.
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		c.pending = []byte("?\r\n") // counts as a bad command
		return nil
	}
	verb, arg, _ := strings.Cut(text, " ")
	if c.idle++; c.idle > maxIdle {
		return c.bye("421 4.7.0 Too many commands for nothing")
	}
	switch verb = strings.ToUpper(verb); verb {
	case "EHLO", "HELO":
		c.hello, c.helo = false, arg
		fallthrough
	case "RSET":
		if c.chunks.open {
			c.abort([]byte(text+"\r\n"), 0)
			return nil
		}
	case "STARTTLS":
		return c.upgrade(arg)
	case "BDAT":
		return c.announce(text, arg)
	case "QUIT", "NOOP", "VRFY", "HELP":
	case "MAIL":
		// The library reads a size of 32 bits, and RFC 1870, 4, has twenty digits.
		if m := sizeOf.FindStringSubmatch(text); c.authed && m != nil {
			if n, err := strconv.ParseUint(m[1], 10, 64); err != nil || n > uint64(c.limit()) {
				return c.say(replyLine(errSize))
			}
		}
		fallthrough
	default:
		if c.hello && len(verb) == 4 {
			return c.say("503 5.5.1 EHLO first")
		}
	}
	if strings.HasPrefix(verb, "STARTTLS") {
		c.pending = []byte("?\r\n") // the library would take it for STARTTLS
		return nil
	}
	c.pending = []byte(text + "\r\n")
	return nil
}

// upgrade carries out STARTTLS (RFC 3207).
func (c *conn) upgrade(arg string) error {
	switch {
	case arg != "":
		return c.say("501 5.5.4 STARTTLS has no arguments")
	case c.secure:
		return c.say("503 5.5.1 TLS is active already")
	case c.tls == nil:
		return c.say("502 5.5.1 TLS is not offered")
	case c.hello:
		return c.say("503 5.5.1 EHLO first")
	case c.authed:
		return c.say("503 5.5.1 Not after authentication")
	case c.in.Buffered() > 0:
		// What comes before TLS may be anybody's, and must not be taken for what
		// came after it (RFC 3207, 4.1; CVE-2011-0411).
		return c.bye("554 5.5.1 Commands after STARTTLS must wait for its answer")
	}
	if err := c.say("220 2.0.0 Ready to start TLS"); err != nil {
		return err
	}
	secured := tls.Server(c.Conn, c.tls)
	if err := c.Conn.SetDeadline(time.Now().Add(c.times.handshake)); err != nil {
		return err
	}
	err := secured.Handshake()
	c.started(err == nil)
	if err != nil {
		return io.EOF // nothing that both sides understand can be said
	}
	if err := c.Conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.net, c.secure, c.hello = secured, true, true
	c.in.Reset(secured)
	c.out.Reset(secured)
	return nil
}

// Write takes an answer of the library, and notes what it lets come.
func (c *conn) Write(b []byte) (int, error) {
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
