package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/postern-mail/postern/bridge/imapd/session"
	"github.com/postern-mail/postern/bridge/imapd/wire"
)

const (
	// lastWords is how long a client that is thrown out has to take its BYE.
	lastWords = 5 * time.Second
	// linger is how long commands go on after the client has closed its end: a
	// script that writes its commands, closes and reads the answers is served.
	linger = time.Second
)

// conn is one client's connection. After login its methods run in the library's
// goroutine, but for those that say otherwise.
type conn struct {
	srv  *Server
	home *sync.WaitGroup // of the Serve that accepted it
	raw  net.Conn
	nc   net.Conn // raw, or TLS over it
	tls  bool
	addr netip.Addr
	in   *wire.Reader
	out  *wire.Writer
	sess *session.Session

	ctx    context.Context // of commands; ends when the client leaves
	cancel context.CancelFunc
	// stopping is closed when the server waits no longer for commands.
	stopping <-chan struct{}

	account string // counted to it; set by Server.admit
	hidden  map[string]bool
	largest int64 // the largest message that APPEND takes
	utf8    bool  // the client enabled it, or IMAP4rev2
	rev2    bool

	mu    sync.Mutex // guards what end needs
	ahead *ahead     // nil before login
	why   string     // to be told with BYE
	now   bool       // no further command is run
}

func (s *Server) newConn(ctx context.Context, raw net.Conn) *conn {
	c := &conn{srv: s, raw: raw, nc: raw, stopping: ctx.Done()}
	if a, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil {
		c.addr = a.Addr().Unmap()
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.out = wire.NewWriter(socket{c})
	c.in = wire.NewReader(source{c}, strangers, c.goOn)
	c.in.SetBudget(s.budget)
	return c
}

// turnAway closes a connection that there is no room for.
func (c *conn) turnAway(why string) {
	defer c.raw.Close()
	defer c.cancel()
	c.raw.SetDeadline(time.Now().Add(lastWords))
	io.WriteString(c.raw, "* BYE [UNAVAILABLE] "+why+"\r\n")
}

// serve is the connection's life. It runs in a goroutine of its own, which after
// login reads ahead.
func (c *conn) serve(implicitTLS bool) {
	defer c.raw.Close()
	defer c.cancel()
	defer c.in.Release()
	defer func() {
		if v := recover(); v != nil {
			c.srv.opt.Log.Error("imap connection panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	c.raw.SetDeadline(time.Now().Add(c.srv.opt.LoginTimeout))
	if implicitTLS {
		if err := c.startTLS(); err != nil {
			return
		}
	}
	c.sess = c.srv.opt.Sessions.Session(session.ConnInfo{Remote: c.addr, TLS: c.tls, Stopping: c.stopping}, updates{c})
	defer c.sess.Close()
	if !c.door() {
		return
	}
	revoked, release := c.srv.opt.Revoked(c.sess.Principal())
	defer release()
	if revoked != nil {
		go func() {
			select {
			case <-revoked:
				c.end("the password was revoked", true)
			case <-c.ctx.Done():
			}
		}()
	}
	f := newFrame(c)
	if !c.srv.handed.give(f) {
		return
	}
	c.ahead.fill(c.nc, func(err error) {
		if errors.Is(err, io.EOF) {
			time.AfterFunc(linger, c.cancel)
			return
		}
		c.cancel()
	})
	<-f.closed
}

// startTLS goes on over TLS.
func (c *conn) startTLS() error {
	t := tls.Server(c.raw, c.srv.tls)
	if err := t.HandshakeContext(c.ctx); err != nil {
		return fmt.Errorf("tls handshake: %w", err)
	}
	c.nc, c.tls = t, true
	c.in.Reset(source{c})
	return nil
}

// readAhead begins the connection's second life.
func (c *conn) readAhead() {
	a := newAhead()
	a.idle, a.limit = c.out.Flush, c.srv.opt.IdleTimeout
	c.mu.Lock()
	c.ahead = a
	ending := c.why != ""
	c.mu.Unlock()
	c.raw.SetDeadline(time.Time{})
	if ending {
		a.end()
	}
	c.in.SetLimits(clients)
}

// end tells the client BYE and why: as soon as nothing of it is left to do, or
// now, and then what it is having done is cut off. It may be called from any
// goroutine.
func (c *conn) end(why string, now bool) {
	c.mu.Lock()
	if c.why == "" {
		c.why = why
	}
	c.now = c.now || now
	a := c.ahead
	c.mu.Unlock()
	if now {
		c.cancel()
		time.AfterFunc(lastWords, func() { c.raw.Close() })
	}
	if a != nil {
		a.end()
		return
	}
	c.raw.SetReadDeadline(time.Unix(1, 0))
}

// ends is what end was called with.
func (c *conn) ends() (why string, now bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why, c.now
}

// farewell is the last that a client hears, where there is somebody to hear.
func (c *conn) farewell(err error) {
	why, _ := c.ends()
	var over *session.Over
	switch {
	case why != "":
	case errors.As(err, &over):
		why = over.Text
	case errors.Is(err, errTimeout), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		why = "nothing was heard for too long"
	case errors.Is(err, errRubbish):
		why = errRubbish.Error()
	case errors.Is(err, wire.ErrFlood):
		why = "the literal is too large"
	default:
		return
	}
	c.out.Raw("* BYE ").Raw(why).CRLF().Flush()
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// goOn lets the client send a literal.
func (c *conn) goOn(int64) error {
	return c.out.Raw("+ go on").CRLF().Flush()
}

// answer ends a command.
func (c *conn) answer(tag string, t *session.Tagged) {
	if tag == "" {
		tag = "*"
	}
	c.out.Raw(tag).SP().Raw(string(t.Status)).SP()
	if t.Code != "" {
		c.out.Raw("[").Raw(t.Code).Raw("] ")
	}
	c.out.Raw(t.Text).CRLF()
}

func bad(text string) *session.Tagged {
	return &session.Tagged{Status: session.Bad, Text: text}
}

// source is what the Reader reads: before login the connection itself, whose
// deadline is the login's.
type source struct{ c *conn }

func (s source) Read(p []byte) (int, error) {
	if s.c.ahead != nil {
		return s.c.ahead.Read(p)
	}
	if err := s.c.out.Flush(); err != nil {
		return 0, err
	}
	return s.c.nc.Read(p)
}

// socket is what the Writer writes to. A client that does not read ends its
// connection.
type socket struct{ c *conn }

func (s socket) Write(p []byte) (int, error) {
	s.c.raw.SetWriteDeadline(time.Now().Add(s.c.srv.opt.WriteTimeout))
	n, err := s.c.nc.Write(p)
	if err != nil {
		s.c.cancel()
	}
	return n, err
}

// updates are the untagged responses that nobody asked for.
type updates struct{ c *conn }

func (u updates) Exists(n uint32) { u.c.out.Raw("* ").Number(int64(n)).Raw(" EXISTS").CRLF() }

func (u updates) Expunge(seq uint32) { u.c.out.Raw("* ").Number(int64(seq)).Raw(" EXPUNGE").CRLF() }

// Fetch has the UID as well, which RFC 9051, section 7.5.2 allows always, and
// which spares clients a question.
func (u updates) Fetch(seq, uid uint32, flags []string, _ uint64) {
	u.c.out.Raw("* ").Number(int64(seq)).Raw(" FETCH (UID ").Number(int64(uid)).Raw(" FLAGS ").Flags(flags).Raw(")").CRLF()
}

func (u updates) Flags(all []string) { u.c.out.Raw("* FLAGS ").Flags(all).CRLF() }

func (u updates) Flush() error { return u.c.out.Flush() }
