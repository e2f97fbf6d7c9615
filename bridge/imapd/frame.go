package imapd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// libraryTag is the tag under which the library gets every command; the answer
// goes out under the client's.
const libraryTag = "T"

// frame is the net.Conn that the library serves. Reading from it runs the
// commands that are not the library's; the library knows nothing of them.
type frame struct {
	c      *conn
	closed chan struct{}
	once   sync.Once

	feed  []byte // what the library has not read yet of its command
	begun bool   // the library has asked for its first command
	inner bool   // what the library writes goes on within a response
	cut   bool   // of which a carriage return was held back: a line feed may follow

	rubbish int // lines in a row that were no commands

	tag, name string // of the command that the library is at
	readOnly  bool   // SELECT's answer has to say READ-ONLY
	end       func(status session.Status)
}

// maxRubbish is how many lines in a row may be no commands: each of them costs
// an answer, and who sends nothing else speaks another protocol.
const maxRubbish = 50

var errRubbish = errors.New("too many lines are no commands")

func newFrame(c *conn) *frame { return &frame{c: c, closed: make(chan struct{})} }

// Read gives the library its next command.
func (f *frame) Read(p []byte) (int, error) {
	f.begun = true
	if len(f.feed) == 0 {
		if err := f.next(); err != nil {
			f.c.farewell(err)
			return 0, io.EOF
		}
	}
	n := copy(p, f.feed)
	f.feed = f.feed[n:]
	return n, nil
}

// next carries out commands until there is one for the library.
func (f *frame) next() error {
	c := f.c
	if f.end != nil { // the library left a command without an answer
		f.end(session.Bad)
	}
	for {
		c.ahead.limit = c.srv.opt.IdleTimeout
		if err := c.in.Wait(); err != nil {
			return err
		}
		if _, now := c.ends(); now {
			return errEnding
		}
		c.ahead.limit = c.srv.opt.CommandTimeout
		cmd, err := c.in.Next()
		var none *wire.BadCommand
		if errors.As(err, &none) {
			if c.answerBad(none); none.TooBig || none.Busy {
				continue
			}
			if f.rubbish++; f.rubbish == maxRubbish {
				return errRubbish
			}
			continue
		}
		if err != nil {
			return err
		}
		f.rubbish = 0
		cmd.UTF8, cmd.Rev2 = c.utf8, c.rev2
		end := c.begin(cmd)
		t, err := c.ours(cmd)
		if err != nil {
			status := session.No
			if t != nil {
				c.answer(cmd.Tag, t)
				status = t.Status
			}
			end(status)
			return err
		}
		if t == nil {
			if f.feed, t = c.feed(cmd); t == nil {
				// What is done before is told before: the provider may take long.
				if err := c.out.Flush(); err != nil {
					return err
				}
				f.tag, f.name, f.readOnly, f.end = cmd.Tag, cmd.Name, false, end
				return nil
			}
		}
		c.answer(cmd.Tag, t)
		end(t.Status)
	}
}

// begin notes that a command runs; what it gives notes the end. Meanwhile the
// client is told from time to time that somebody is there, as clients give up on
// a connection that says nothing for a minute or so.
func (c *conn) begin(cmd *wire.Command) func(session.Status) {
	start, name := time.Now(), metricName(cmd.Name)
	stop := func() {}
	if name != "IDLE" {
		stop = c.beat("* OK Still here", c.srv.opt.StillHere)
	}
	return func(status session.Status) {
		stop()
		c.srv.metrics.done(name, string(status), time.Since(start))
	}
}

// beat says line now and again until stop is called. Stop does not wait for a
// line that is being written: a client that does not read would hold it up.
func (c *conn) beat(line string, every time.Duration) (stop func()) {
	var stopped atomic.Bool
	var timer *time.Timer
	var mu sync.Mutex // timer is set before it fires
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped.Load() {
			return
		}
		c.out.Interject(line)
		if !stopped.Load() {
			timer.Reset(every)
		}
	})
	return func() {
		stopped.Store(true)
		timer.Stop()
	}
}

// Write takes a piece of the library's output: one response, or a part of a
// long one, which may be cut anywhere. None has a literal: what could is written
// past the library.
func (f *frame) Write(p []byte) (int, error) {
	if !f.begun {
		return len(p), nil // the greeting, which the client has had
	}
	text := p
	if f.cut {
		text, f.cut = append([]byte{'\r'}, p...), false
	}
	text, whole := bytes.CutSuffix(text, []byte("\r\n"))
	if !whole {
		text, f.cut = bytes.CutSuffix(text, []byte{'\r'})
	}
	if rest, ok := bytes.CutPrefix(text, []byte(libraryTag+" ")); ok && !f.inner {
		f.tagged(string(rest))
	} else {
		f.c.out.Bytes(text)
	}
	if f.inner = !whole; whole {
		f.c.out.CRLF()
	}
	return len(p), f.c.out.Err()
}

// tagged passes an answer on under the client's tag.
func (f *frame) tagged(rest string) {
	status, _, _ := strings.Cut(rest, " ")
	if f.readOnly {
		// The library goes by the command alone, but some mailboxes and some
		// passwords are for reading only (RFC 9051, section 6.3.2).
		rest = strings.Replace(rest, "[READ-WRITE]", "[READ-ONLY]", 1)
	}
	f.c.out.Raw(f.tag).SP().Raw(rest)
	if f.end != nil {
		f.end(session.Status(status))
		f.end = nil
	}
}

// Close is the library's last word.
func (f *frame) Close() error {
	f.once.Do(func() {
		if f.end != nil {
			f.end(session.Bad)
		}
		f.c.out.Flush()
		f.c.cancel()
		f.c.nc.Close()
		f.c.ahead.end()
		close(f.closed)
	})
	return nil
}

func (f *frame) LocalAddr() net.Addr  { return f.c.raw.LocalAddr() }
func (f *frame) RemoteAddr() net.Addr { return f.c.raw.RemoteAddr() }

// Deadlines are ours (ahead.go, socket); the library's are not heard.

func (f *frame) SetDeadline(time.Time) error      { return nil }
func (f *frame) SetReadDeadline(time.Time) error  { return nil }
func (f *frame) SetWriteDeadline(time.Time) error { return nil }
