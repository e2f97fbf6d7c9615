package smtpd

import (
	"io"
	"strconv"
	"strings"
)

// chunks is where a message in chunks stands (RFC 3030). Of those the library
// leaves open what is seen to here:
//
//   - where a chunk's length cannot be read, its bytes would be taken for
//     commands: the connection ends;
//   - a chunk that the connection breaks off in would be taken for whole;
//   - a message that is given up (RSET, EHLO, one chunk too many) would end in its
//     own time, and what became of it be said of the next one. So it is ended
//     properly first, by an empty last chunk whose answer nobody sees.
type chunks struct {
	left    int64 // of the chunk that comes in
	open    bool  // the library is in the midst of a message
	size    int64 // of the message, so far
	last    bool  // the chunk that is answered next is the last
	asked   bool  // a chunk is answered next
	now     int64 // its size
	swallow bool  // the next answer is for nobody
	aborted bool  // the message is given up
	then    []byte
	drop    int64 // what comes of the chunk that was too much
}

// announce takes BDAT (RFC 3030, 2): size octets follow, whatever is answered.
func (c *conn) announce(text, arg string) error {
	args := strings.Fields(arg)
	if len(args) == 0 || len(args) > 2 || len(args) == 2 && !strings.EqualFold(args[1], "LAST") {
		return c.bye("501 5.5.4 BDAT wants a size, and LAST or nothing")
	}
	n, err := strconv.ParseUint(args[0], 10, 63)
	if err != nil {
		return c.bye("501 5.5.4 The chunk's size cannot be read")
	}
	if n > maxChunk {
		return c.bye("552 5.3.4 The chunk is too large")
	}
	if c.hello {
		return c.bye("503 5.5.1 EHLO first")
	}
	size := int64(n)
	if c.chunks.open && c.chunks.size+size > c.limit() {
		c.abort(nil, size)
		return nil
	}
	c.chunks.left, c.chunks.now, c.chunks.last, c.chunks.asked = size, size, len(args) == 2, true
	c.mode, c.idle = modeChunk, 0
	c.pending = []byte(text + "\r\n")
	return nil
}

// answered notes what the library says of a chunk.
func (k *chunks) answered(code string) {
	if !k.asked {
		return
	}
	k.asked = false
	k.open = code == "250 " && !k.last
	k.size += k.now
	if !k.open {
		k.size, k.aborted = 0, false
	}
}

// abort ends the message in chunks that the library is in the midst of. Then
// comes a command, or a chunk that is read and refused.
func (c *conn) abort(then []byte, drop int64) {
	k := &c.chunks
	k.then, k.drop = then, drop
	k.aborted, k.swallow, k.asked, k.last, k.now = true, true, true, true, 0
	c.pending = []byte("BDAT 0 LAST\r\n")
}

// afterAbort goes on with what comes after a message that was given up, and
// reports whether there was anything.
func (c *conn) afterAbort() (again bool, err error) {
	k := &c.chunks
	switch {
	case k.then != nil:
		c.pending, k.then = k.then, nil
		return true, nil
	case k.drop > 0:
		for k.drop > 0 {
			if err := c.fill(c.times.data); err != nil {
				return false, broken(err)
			}
			n, _ := c.in.Discard(int(min(k.drop, int64(c.in.Buffered())))) // they are buffered
			k.drop -= int64(n)
		}
		return true, c.say(replyLine(errSize))
	}
	return false, nil
}

// readChunk gives bytes of a chunk. One that the connection breaks off in ends
// in an error, not in its end: the library would take it for whole.
func (c *conn) readChunk(b []byte) (int, error) {
	if err := c.fill(c.times.data); err != nil {
		return c.fail(broken(err))
	}
	n, err := c.in.Read(b[:min(int64(len(b)), c.chunks.left)])
	c.chunks.left -= int64(n)
	if err != nil {
		return c.fail(broken(err))
	}
	return n, nil
}

func broken(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
