package webhook

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
)

// transport makes an endpoint's own pool of connections, so that endpoints on
// one host do not wait for each other's.
func (c *Carrier) transport(certificates []tls.Certificate) *http.Transport {
	return &http.Transport{
		// No proxy from the environment: it would connect for us to where the
		// guard does not see. That of CarrierOptions is known to dial.
		Proxy:                  nil,
		DialContext:            c.dial,
		TLSClientConfig:        &tls.Config{RootCAs: c.opts.Roots, MinVersion: tls.VersionTLS12, Certificates: certificates},
		TLSHandshakeTimeout:    c.opts.TLS,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1
		DisableCompression:     true,                                                   // nothing is unpacked
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConnsPerHost:    c.opts.IdleConns,
		IdleConnTimeout:        c.opts.Idle,
	}
}

// dial connects to an address by name or number, where the guard lets it.
func (c *Carrier) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var check func() error
	var conn net.Conn
	if c.opts.Proxy != nil {
		// The proxy resolves names and answers for where they lead; what is no
		// name needs nobody else to be judged.
		check = func() error { return c.guard.checkTarget(address) }
		if err := check(); err != nil {
			return nil, err
		}
		conn, err = c.dialProxy(ctx, address)
	} else {
		d := &net.Dialer{Timeout: c.opts.Connect, Resolver: c.opts.Resolver,
			// It sees the address that the kernel is about to connect to.
			ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
				at, err := netip.ParseAddrPort(address)
				if err != nil {
					return &RefusedError{Address: address, Rule: "not an address"}
				}
				return c.guard.checkDial(host, at)
			}}
		conn, err = d.DialContext(ctx, network, address)
		check = func() error {
			at, err := netip.ParseAddrPort(conn.RemoteAddr().String())
			if err != nil {
				return &RefusedError{Address: conn.RemoteAddr().String(), Rule: "not an address"}
			}
			return c.guard.checkDial(host, at)
		}
	}
	if err != nil {
		return nil, err
	}
	g := &guardedConn{Conn: conn, guard: c.guard, check: check}
	return g, nil
}

// guardedConn asks the guard again before it sends, once its rules have
// changed: a connection that was kept must not outlive the permission for it.
type guardedConn struct {
	net.Conn
	guard *Guard
	check func() error
	// seen are the rules that check was last asked under.
	seen atomic.Pointer[rules]
}

func (g *guardedConn) Write(b []byte) (int, error) {
	if now := g.guard.rules.Load(); g.seen.Load() != now {
		if err := g.check(); err != nil {
			g.Conn.Close() //nolint:errcheck // nothing more is done with it
			return 0, err
		}
		g.seen.Store(now)
	}
	return g.Conn.Write(b)
}

// Recheck closes what is idle, after the guard's rules have changed. What is
// in use is asked about when it is used next.
func (c *Carrier) Recheck() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		p.transport.CloseIdleConnections()
	}
}

// checkTarget judges a host and a port without resolving anything.
func (g *Guard) checkTarget(address string) error {
	r := g.rules.Load()
	host, port, err := splitHostPort(address)
	if err != nil {
		return err
	}
	if err := r.checkPort(host, port); err != nil {
		return err
	}
	return r.checkHost(host)
}
