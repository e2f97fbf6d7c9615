package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapHash tells texts apart that both servers send; it is quick, so that what
// is measured is the servers.
var imapHash = maphash.MakeSeed()

// imapClient is an IMAP client that reads no more of an answer than the bench
// needs. It is the same for every server that is measured.
type imapClient struct {
	conn net.Conn
	br   *bufio.Reader
	tag  int
	// stop ends waiting for the end of the context, which closes conn.
	stop func() bool
	long []byte // room for a line and the literals of a response
}

// imapServer is where an account can be logged in to.
type imapServer struct {
	address, user, password string
}

func (s *imapServer) dial(ctx context.Context) (*imapClient, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	c := &imapClient{conn: conn, br: bufio.NewReaderSize(conn, 256<<10), stop: context.AfterFunc(ctx, func() { _ = conn.Close() })}
	if d, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(d) // one that cannot be set is not kept
	}
	if line, err := c.br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "* OK") {
		return nil, errors.Join(fmt.Errorf("greeting %q: %w", line, err), c.close())
	}
	return c, nil
}

// login dials, logs in and selects the inbox.
func (s *imapServer) login(ctx context.Context) (*imapClient, error) {
	c, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	for _, command := range []string{fmt.Sprintf("LOGIN %q %q", s.user, s.password), "SELECT INBOX"} {
		if err := c.do(command, nil); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *imapClient) close() error {
	c.stop()
	return c.conn.Close()
}

// response is an untagged response: its line, with literals taken out, and what
// the literals were.
type response struct {
	line     []byte
	literals []literal
}

type literal struct {
	size int
	hash uint64
}

// do sends a command and reads to its end. What is told in between goes to each.
func (c *imapClient) do(command string, each func(*response) error) error {
	_, err := c.ask(command, each)
	return err
}

// ask is do that gives the tagged response.
func (c *imapClient) ask(command string, each func(*response) error) (string, error) {
	tag, err := c.send(command)
	if err != nil {
		return "", err
	}
	var r response
	for {
		if err := c.read(&r); err != nil {
			return "", fmt.Errorf("%.60s: %w", command, err)
		}
		if rest, ok := bytes.CutPrefix(r.line, tag); ok {
			text := strings.TrimSpace(string(rest))
			if !strings.HasPrefix(text, "OK") {
				return text, fmt.Errorf("%.60s: %s", command, text)
			}
			return text, nil
		}
		if each != nil {
			if err := each(&r); err != nil {
				return "", fmt.Errorf("%.60s: %w", command, err)
			}
		}
	}
}

// send sends a command and gives the tag that its end begins with.
func (c *imapClient) send(command string) ([]byte, error) {
	c.tag++
	tag := fmt.Appendf(nil, "b%d ", c.tag)
	_, err := c.conn.Write(append(append(bytes.Clone(tag), command...), "\r\n"...))
	return tag, err
}

// read reads one response. The line is valid until the next.
func (c *imapClient) read(r *response) error {
	c.long, r.literals = c.long[:0], r.literals[:0]
	for {
		line, err := c.br.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			c.long = append(c.long, line...)
			line, err = c.br.ReadSlice('\n')
		}
		if err != nil {
			return err
		}
		size, head := literalAt(line)
		if size < 0 {
			if len(c.long) == 0 {
				r.line = line
				return nil
			}
			c.long = append(c.long, line...)
			r.line = c.long
			return nil
		}
		c.long = append(c.long, line[:head]...)
		hash, err := c.literal(size)
		if err != nil {
			return err
		}
		r.literals = append(r.literals, literal{size, hash})
	}
}

// literalAt gives the size of the literal that a line ends with, and where its
// head begins; -1 where there is none.
func literalAt(line []byte) (size, head int) {
	line, ok := bytes.CutSuffix(line, []byte("}\r\n"))
	if !ok {
		return -1, 0
	}
	head = bytes.LastIndexByte(line, '{')
	if head < 0 {
		return -1, 0
	}
	size, err := strconv.Atoi(string(line[head+1:]))
	if err != nil {
		return -1, 0
	}
	return size, head
}

func (c *imapClient) literal(size int) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(imapHash)
	for size > 0 {
		some, err := c.br.Peek(min(size, max(c.br.Buffered(), 1)))
		if err != nil {
			return 0, err
		}
		_, _ = h.Write(some)
		size -= len(some)
		if _, err := c.br.Discard(len(some)); err != nil {
			return 0, err
		}
	}
	return h.Sum64(), nil
}

// number reads the number that follows a word in a line, 0 where there is none.
func (r *response) number(word string) uint64 {
	i := bytes.Index(r.line, []byte(word))
	if i < 0 {
		return 0
	}
	var n uint64
	for _, c := range r.line[i+len(word):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// tally is what a command told, so that two servers can be compared: sums that
// do not depend on the order.
type tally struct {
	count             int
	uids, sizes, text uint64
}

// mix makes sums differ where pairs differ.
func mix(a, b uint64) uint64 {
	a ^= b * 0x9e3779b97f4a7c15
	a ^= a >> 29
	a *= 0xbf58476d1ce4e5b9
	return a ^ a>>32
}

// fetch counts what a FETCH tells.
func (c *imapClient) fetch(command string) (t tally, err error) {
	err = c.do(command, func(r *response) error {
		if !bytes.Contains(r.line, []byte(" FETCH (")) {
			return nil
		}
		t.count++
		uid := r.number("UID ")
		t.uids += mix(uid, 1)
		t.sizes += mix(r.number("RFC822.SIZE "), uid)
		for i, l := range r.literals {
			if bytes.Contains(r.line, []byte("BODY[")) {
				t.text += mix(l.hash+uint64(i), uid)
			}
		}
		return nil
	})
	return t, err
}

// search counts what a SEARCH finds.
func (c *imapClient) search(command string) (t tally, err error) {
	err = c.do(command, func(r *response) error {
		rest, ok := bytes.CutPrefix(r.line, []byte("* SEARCH"))
		if !ok {
			return nil
		}
		for word := range bytes.FieldsSeq(rest) {
			n, err := strconv.ParseUint(string(word), 10, 32)
			if err != nil {
				return fmt.Errorf("found %q", word)
			}
			t.count++
			t.uids += mix(n, 1)
		}
		return nil
	})
	return t, err
}

// append stores a message.
func (c *imapClient) append(mailbox string, raw []byte) error {
	tag, err := c.send(fmt.Sprintf("APPEND %s (\\Seen) {%d}", mailbox, len(raw)))
	if err != nil {
		return err
	}
	var r response
	for {
		if err := c.read(&r); err != nil {
			return err
		}
		switch rest, done := bytes.CutPrefix(r.line, tag); {
		case done && !bytes.HasPrefix(rest, []byte("OK")):
			return fmt.Errorf("append: %s", bytes.TrimSpace(rest))
		case done:
			return nil
		case r.line[0] == '+':
			if _, err := c.conn.Write(append(bytes.Clone(raw), "\r\n"...)); err != nil {
				return err
			}
		}
	}
}

// idle begins to IDLE.
func (c *imapClient) idle() (tag []byte, err error) {
	if tag, err = c.send("IDLE"); err != nil {
		return nil, err
	}
	var r response
	for err == nil && (len(r.line) == 0 || r.line[0] != '+') {
		err = c.read(&r)
	}
	return tag, err
}

// told waits for a response with a word in it, and gives when it came.
func (c *imapClient) told(word string) (time.Time, error) {
	var r response
	for {
		if err := c.read(&r); err != nil {
			return time.Time{}, err
		}
		if bytes.Contains(r.line, []byte(word)) {
			return time.Now(), nil
		}
	}
}

// done ends IDLE.
func (c *imapClient) done(tag []byte) error {
	if _, err := io.WriteString(c.conn, "DONE\r\n"); err != nil {
		return err
	}
	var r response
	for {
		if err := c.read(&r); err != nil {
			return err
		}
		if bytes.HasPrefix(r.line, tag) {
			return nil
		}
	}
}
