package smtpd

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

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

// sizeOf finds what MAIL announces.
var sizeOf = regexp.MustCompile(`(?i) SIZE=([0-9]+)( |$)`)

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

// take gives a line to the library, or sees to it here.
func (c *conn) take(line []byte) error {
	if c.mode == modeAuth {
		c.mode = modeCommand
		c.pending = line
		if answer := strings.TrimRight(string(line), "\r\n"); answer != "*" && !encoded(answer) {
			c.pending = []byte("*\r\n") // the library would have it tried again
			c.chunks.swallow = true
			return c.say(notEncoded)
		}
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
	if verb == "AUTH" && !c.authed {
		switch words := strings.Fields(arg); {
		case len(words) == 0:
			return c.say("501 5.5.4 AUTH wants a mechanism")
		case len(words) > 1 && !encoded(words[1]):
			return c.say(notEncoded)
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

// notEncoded answers what is no base64 (RFC 4954, 4: 501, not to be tried again).
const notEncoded = "501 5.5.2 This is no base64"

// encoded reports whether it is base64; "=" is how nothing is written there.
func encoded(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return err == nil || s == "="
}
