package imapd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

// A Server serves IMAP on any number of listeners.
type Server struct {
	opt     Options
	tls     *tls.Config // nil without a certificate
	metrics *metrics
	library *imapserver.Server
	handed  *handover
	served  chan error
	budget  *wire.Budget

	mu       sync.Mutex
	conns    map[*conn]struct{}
	accounts map[string]int // connections that are logged in
}

// New returns a Server; Serve starts it. Close it when every Serve has
// returned.
func New(opt Options) (*Server, error) {
	if opt.Sessions == nil {
		return nil, errors.New("imapd: Sessions is needed")
	}
	opt.fill()
	s := &Server{opt: opt, metrics: newMetrics(), handed: newHandover(), served: make(chan error, 1), budget: wire.NewBudget(largeCommands),
		conns: map[*conn]struct{}{}, accounts: map[string]int{}}
	if opt.Registerer != nil {
		if err := s.metrics.register(opt.Registerer); err != nil {
			return nil, err
		}
	}
	if opt.Certificate != nil {
		// A session ticket (RFC 8446, section 4.6.1) comes after the handshake, when
		// no answer is due. Programs that read in one thread and write in another,
		// as Python's imaplib2 does, may take it for one and wait for ever.
		s.tls = &tls.Config{GetCertificate: opt.Certificate, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	}
	s.library = newLibrary(s)
	go func() { s.served <- s.library.Serve(s.handed) }()
	<-s.handed.open // the library's Close may not overtake its Serve
	return s, nil
}

// Close ends what New started.
func (s *Server) Close() error {
	return errors.Join(s.library.Close(), <-s.served)
}

// Serve accepts connections of l until ctx ends. Then it closes l, tells every
// client BYE when its command is done, and returns when the last one is gone.
// implicitTLS means that a connection starts with a TLS handshake.
func (s *Server) Serve(ctx context.Context, l net.Listener, implicitTLS bool) error {
	if implicitTLS && s.tls == nil {
		return errors.Join(errors.New("imapd: TLS needs a certificate"), l.Close())
	}
	// Commands outlive ctx for a while, so theirs is another one.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()

	var all sync.WaitGroup
	err := s.accept(ctx, l, func(raw net.Conn) {
		c := s.newConn(work, raw)
		c.home = &all
		if !s.enter(c) {
			go c.turnAway("too many connections")
			return
		}
		all.Go(func() {
			defer s.leave(c)
			c.serve(implicitTLS)
		})
	})
	s.drain(&all, cancel)
	return err
}

// accept calls each for every connection until ctx ends. A passing trouble, such
// as too few file descriptors, is waited out.
func (s *Server) accept(ctx context.Context, l net.Listener, each func(net.Conn)) error {
	const longest = time.Second
	wait := 5 * time.Millisecond
	for {
		raw, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if raw != nil {
				raw.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept imap connections: %w", err)
		case err != nil:
			s.opt.Log.Warn("accept imap connection failed", "error", err)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(wait):
			}
			wait = min(2*wait, longest)
			continue
		}
		wait = 5 * time.Millisecond
		each(raw)
	}
}

// drain says goodbye, waits, then cancels what still runs.
func (s *Server) drain(all *sync.WaitGroup, cancel context.CancelFunc) {
	s.each(all, func(c *conn) { c.end("the server is shutting down", false) })
	limit := time.AfterFunc(s.opt.DrainTimeout, func() {
		cancel()
		s.each(all, func(c *conn) { c.end("the server is shutting down", true) })
	})
	defer limit.Stop()
	all.Wait()
}

// each does something to the connections of one Serve.
func (s *Server) each(home *sync.WaitGroup, do func(*conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.home == home {
			do(c)
		}
	}
}

// enter counts a connection in.
func (s *Server) enter(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.conns) >= s.opt.MaxConnections {
		return false
	}
	s.conns[c] = struct{}{}
	s.metrics.connections.Set(float64(len(s.conns)))
	return true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	s.metrics.connections.Set(float64(len(s.conns)))
	if c.account != "" {
		if s.accounts[c.account]--; s.accounts[c.account] == 0 {
			delete(s.accounts, c.account)
		}
	}
}

// admit counts a connection to its account.
func (s *Server) admit(c *conn, account string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accounts[account] >= s.opt.MaxPerAccount {
		return false
	}
	s.accounts[account]++
	c.account = account
	return true
}
