package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// ParseProxy reads the setting webhooks.proxy: http://, https:// or socks5://,
// with user and password where the proxy wants them.
func ParseProxy(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("webhooks.proxy is no URL") // the error would quote the password
	}
	switch u.Scheme {
	case "http", "https", "socks5":
	default:
		return nil, errors.New("webhooks.proxy must begin with http://, https:// or socks5://")
	}
	if u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("webhooks.proxy must name a host and a port, and nothing else")
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443", "socks5": "1080"}[u.Scheme])
	}
	return u, nil
}

// proxyError is a fault of the proxy. It says nothing about the receiver, so
// it costs a delivery no attempt.
type proxyError struct{ err error }

func (e *proxyError) Error() string { return "the proxy of webhooks.proxy: " + e.err.Error() }
func (e *proxyError) Unwrap() error { return e.err }

// ProxyTrouble says what was wrong with the proxy when it was last used, empty
// where nothing was.
func (c *Carrier) ProxyTrouble() string {
	if s := c.trouble.Load(); s != nil {
		return *s
	}
	return ""
}

// dialProxy connects to a target through the proxy.
func (c *Carrier) dialProxy(ctx context.Context, target string) (net.Conn, error) {
	conn, err := c.tunnel(ctx, target)
	var fault *proxyError
	if errors.As(err, &fault) {
		s := fault.Error()
		c.trouble.Store(&s)
	} else {
		c.trouble.Store(nil) // it answered, whatever it said of the target
	}
	return conn, err
}

func (c *Carrier) tunnel(ctx context.Context, target string) (net.Conn, error) {
	proxy := c.opts.Proxy
	ctx, cancel := context.WithTimeout(ctx, c.opts.Connect)
	defer cancel()
	d := &net.Dialer{Resolver: c.opts.Resolver}
	conn, err := d.DialContext(ctx, "tcp", proxy.Host)
	if err != nil {
		return nil, &proxyError{err}
	}
	if proxy.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{RootCAs: c.opts.Roots, MinVersion: tls.VersionTLS12, ServerName: proxy.Hostname()})
	}
	if at, ok := ctx.Deadline(); ok {
		conn.SetDeadline(at) //nolint:errcheck // reading says what is wrong
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck // as above
	open := connectHTTP
	if proxy.Scheme == "socks5" {
		open = connectSOCKS
	}
	tunnel, err := open(conn, proxy, target)
	if !stop() && err == nil {
		err = &proxyError{ctx.Err()}
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close() //nolint:errcheck // there is an error already
		return nil, err
	}
	return tunnel, nil
}

// connectHTTP is CONNECT (RFC 9110, 9.3.6).
func connectHTTP(conn net.Conn, proxy *url.URL, target string) (net.Conn, error) {
	head := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return nil, &proxyError{err}
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswerHeader}
	buffered := bufio.NewReader(limited)
	resp, err := http.ReadResponse(buffered, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, &proxyError{err}
	}
	switch s := resp.StatusCode; {
	case s >= 200 && s <= 299:
		limited.N = 1<<63 - 1
		return &bufferedConn{conn, buffered}, nil
	case s == http.StatusForbidden, resp.Header.Get("X-Smokescreen-Error") != "":
		return nil, &RefusedError{Address: target, Rule: fmt.Sprintf("the proxy answered %d; its own rules decide", s)}
	case s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		return nil, fmt.Errorf("the proxy could not reach %s: it answered %d", target, s)
	default:
		return nil, &proxyError{fmt.Errorf("CONNECT was answered with %d %s", s, http.StatusText(s))}
	}
}

// bufferedConn reads what came with the proxy's answer first.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *bufferedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// connectSOCKS is SOCKS version 5 (RFC 1928), with user and password (RFC
// 1929) where the URL has them. The proxy resolves names.
func connectSOCKS(conn net.Conn, proxy *url.URL, target string) (net.Conn, error) {
	fault := func(format string, args ...any) (net.Conn, error) {
		return nil, &proxyError{fmt.Errorf(format, args...)}
	}
	host, port, err := splitHostPort(target)
	if err != nil {
		return nil, err
	}
	method := byte(0) // none
	if proxy.User != nil {
		method = 2
	}
	var two [2]byte
	if err := exchange(conn, []byte{5, 1, method}, two[:]); err != nil {
		return fault("greet: %w", err)
	}
	if two[0] != 5 || two[1] != method {
		return fault("it takes no such authentication (version %d, method %d)", two[0], two[1])
	}
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		if len(u.Username()) > 255 || len(password) > 255 {
			return fault("user and password have at most 255 bytes")
		}
		ask := append([]byte{1, byte(len(u.Username()))}, u.Username()...)
		ask = append(append(ask, byte(len(password))), password...)
		if err := exchange(conn, ask, two[:]); err != nil {
			return fault("authenticate: %w", err)
		}
		if two[1] != 0 {
			return fault("it refuses user and password")
		}
	}
	ask := []byte{5, 1, 0}
	if a, err := netip.ParseAddr(host); err == nil && a.Unmap().Is4() {
		ask = append(append(ask, 1), a.Unmap().AsSlice()...)
	} else if err == nil {
		ask = append(append(ask, 4), a.AsSlice()...)
	} else if len(host) > 255 {
		return nil, errors.New("the host's name is too long")
	} else {
		ask = append(append(ask, 3, byte(len(host))), host...)
	}
	ask = binary.BigEndian.AppendUint16(ask, port)
	var head [4]byte
	if err := exchange(conn, ask, head[:]); err != nil {
		return fault("connect: %w", err)
	}
	switch head[1] {
	case 0:
	case 2:
		return nil, &RefusedError{Address: target, Rule: "the proxy does not allow it; its own rules decide"}
	case 3, 4, 5, 6:
		return nil, fmt.Errorf("the proxy could not reach %s: it answered %d", target, head[1])
	default:
		return fault("it answered %d", head[1])
	}
	// The address it is bound to, which is of no use here.
	length := map[byte]int{1: 4, 4: 16}[head[3]]
	if head[3] == 3 {
		var n [1]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return fault("connect: %w", err)
		}
		length = int(n[0])
	} else if length == 0 {
		return fault("it answered with an address of type %d", head[3])
	}
	if _, err := io.CopyN(io.Discard, conn, int64(length)+2); err != nil {
		return fault("connect: %w", err)
	}
	return conn, nil
}

// exchange writes a message and reads an answer of fixed length.
func exchange(conn net.Conn, say, answer []byte) error {
	if _, err := conn.Write(say); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, answer)
	return err
}

func splitHostPort(address string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	return host, uint16(n), err
}
