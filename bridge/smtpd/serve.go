package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/postern-mail/postern/internal/submission"
)

// Serve serves what a listener accepts until ctx ends and the connections are
// drained: those that wait for a command are told to go, messages under way are
// finished for Options.Grace. With implicitTLS they begin with TLS (RFC 8314,
// 3.3). Several listeners may be served at once.
func (s *Server) Serve(ctx context.Context, l net.Listener, implicitTLS bool) error {
	if implicitTLS && s.tls == nil {
		return errors.Join(errors.New("smtpd: TLS without a certificate"), l.Close())
	}
	d := &door{s: s, implicit: implicitTLS, closing: make(chan struct{}), open: map[*conn]context.CancelFunc{}}
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	err := d.accept(ctx, work, l)
	d.drain(cut)
	return err
}

// door is one listener.
type door struct {
	s        *Server
	implicit bool
	closing  chan struct{}
	wg       sync.WaitGroup
	mu       sync.Mutex
	open     map[*conn]context.CancelFunc
}

// accept takes connections until ctx ends.
func (d *door) accept(ctx, work context.Context, l net.Listener) error {
	pause := 5 * time.Millisecond
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept connections: %w", err)
		}
		if err != nil {
			// No more files, mostly: some will be given back.
			d.s.log.WarnContext(ctx, "connection not accepted", "error", err)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause, time.Second)
			continue
		}
		pause = 5 * time.Millisecond
		if !d.s.enter() {
			d.wg.Go(func() { d.full(c) })
			continue
		}
		d.wg.Go(func() {
			defer d.s.exit()
			d.serve(work, c)
		})
	}
}

// full turns a connection away.
func (d *door) full(c net.Conn) {
	d.s.metrics.refused.Inc()
	if !d.implicit { // who waits for TLS would not understand it
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte("421 4.3.2 Too many connections, try again later\r\n"))
	}
	_ = c.Close()
}

func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns >= s.opts.MaxConnections {
		return false
	}
	s.conns++
	s.metrics.connections.Set(float64(s.conns))
	return true
}

func (s *Server) exit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns--
	s.metrics.connections.Set(float64(s.conns))
}

// serve serves one connection to its end.
func (d *door) serve(ctx context.Context, raw net.Conn) {
	s := d.s
	defer raw.Close()
	if d.implicit {
		secured := tls.Server(raw, s.tls)
		if err := raw.SetDeadline(time.Now().Add(s.times.handshake)); err != nil {
			return
		}
		if err := secured.HandshakeContext(ctx); err != nil {
			s.log.DebugContext(ctx, "TLS did not begin", "remote", raw.RemoteAddr(), "error", err)
			return
		}
		_ = raw.SetDeadline(time.Time{})
		raw = secured
	}
	c := newConn(raw, s.times, s.tls, d.closing)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Whoever ends the context ends what the connection waits for, too.
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	d.mu.Lock()
	d.open[c] = cancel
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.open, c)
	}()

	// Every connection has a library server of its own, so that what it offers
	// can be that of the account.
	lib := smtp.NewServer(nil)
	sess := &session{s: s, c: c, lib: lib, ctx: ctx, cut: cancel, remote: addrOf(raw)}
	defer sess.leave()
	lib.Backend = smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return sess, nil })
	lib.Domain, lib.ErrorLog = s.opts.Domain, logger{s.log}
	lib.MaxLineLength = 0 // conn has limits of its own
	lib.MaxRecipients = submission.MaxRecipients
	lib.EnableSMTPUTF8, lib.EnableDSN = true, true
	lib.AllowInsecureAuth = true // session says whether
	lib.MaxMessageBytes = ceiling(s.opts.Submissions.Largest())
	if !c.secure {
		lib.TLSConfig = s.tls // offers STARTTLS, which conn carries out
	}
	c.limit = func() int64 { return lib.MaxMessageBytes }
	c.started = func(ok bool) {
		lib.TLSConfig = nil
		if !ok {
			s.log.DebugContext(ctx, "TLS did not begin", "remote", raw.RemoteAddr())
		}
	}
	_ = lib.Serve(&single{c: c})
	_ = lib.Shutdown(context.WithoutCancel(ctx)) // waits for the connection's end
}

// drain ends the connections.
func (d *door) drain(cut context.CancelFunc) {
	close(d.closing)
	d.mu.Lock()
	for c := range d.open {
		c.wake()
	}
	d.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		d.wg.Wait()
		close(gone)
	}()
	timer := time.NewTimer(d.s.opts.Grace)
	defer timer.Stop()
	select {
	case <-gone:
		return
	case <-timer.C:
	}
	cut()
	<-gone
}

// maxMessage is how large a message may be where the provider names no limit.
const maxMessage = 150 << 20

func ceiling(limit int64) int64 {
	if limit <= 0 {
		return maxMessage
	}
	return limit
}

func addrOf(c net.Conn) netip.Addr {
	if a, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		return a.Addr().Unmap()
	}
	return netip.Addr{}
}

// single is a listener that gives one connection, and ends with it.
type single struct {
	c     *conn
	given bool
}

// Accept gives the connection, then waits for its end.
func (l *single) Accept() (net.Conn, error) {
	if !l.given {
		l.given = true
		return l.c, nil
	}
	<-l.c.done
	return nil, net.ErrClosed
}

// Close does nothing: the connection closes itself.
func (l *single) Close() error { return nil }

// Addr is the connection's.
func (l *single) Addr() net.Addr { return l.c.LocalAddr() }

// logger takes the library's own log lines.
type logger struct{ log *slog.Logger }

// Printf takes a line.
func (l logger) Printf(format string, v ...any) {
	l.log.Debug("smtp library", "line", fmt.Sprintf(format, v...))
}

// Println takes a line.
func (l logger) Println(v ...any) { l.log.Debug("smtp library", "line", fmt.Sprintln(v...)) }
