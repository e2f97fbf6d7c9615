package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// cloudProxy stands between a plugin and its provider. It changes nothing,
// but sees what is in flight, and a trap holds it there.
type cloudProxy struct {
	srv *httptest.Server

	mu   sync.Mutex
	trap *trap
}

// A trap waits for a request of some kind. Once one is caught it is held until
// the gateway is dead, and then dropped.
type trap struct {
	want   func(r *http.Request, body string) bool
	at     stage
	caught chan struct{}
	dead   chan struct{}
	gone   <-chan struct{} // closed once who asked has hung up; set when caught
}

type stage int

const (
	atRequest stage = iota // the provider has not seen it
	atAnswer               // the provider has done it and nobody knows
	atHalf                 // half of the answer is on its way
)

func newTrap(at stage, want func(r *http.Request, body string) bool) *trap {
	return &trap{want: want, at: at, caught: make(chan struct{}), dead: make(chan struct{})}
}

// spring tells that something is caught and waits for the gateway's death.
func (t *trap) spring(gone <-chan struct{}) {
	t.gone = gone
	close(t.caught)
	<-t.dead
}

func newCloudProxy(t *testing.T, target string, ca []byte) *cloudProxy {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		t.Fatal("the sandbox's certificate authority cannot be read")
	}
	p := &cloudProxy{}
	through := &httputil.ReverseProxy{
		// Host stays as it came: the provider's links lead here again.
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host },
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: to.Hostname(), MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64},
		FlushInterval:  -1,
		ModifyResponse: p.answered,
		ErrorHandler:   func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	p.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(through, w, r) }))
	p.srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if to.Scheme == "https" {
		p.srv.StartTLS()
	} else {
		p.srv.Start()
	}
	t.Cleanup(p.srv.Close)
	return p
}

// certificate is what the proxy shows, in PEM; nothing where it shows none.
func (p *cloudProxy) certificate() []byte {
	if p.srv.Certificate() == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.srv.Certificate().Raw})
}

type bodyKey struct{}

func (p *cloudProxy) serve(through http.Handler, w http.ResponseWriter, r *http.Request) {
	body := ""
	if strings.HasSuffix(r.URL.Path, "/$batch") { // what it does stands inside
		b, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		body, r.Body = string(b), io.NopCloser(bytes.NewReader(b))
	}
	if t := p.take(r, body, atRequest); t != nil {
		t.spring(r.Context().Done())
		panic(http.ErrAbortHandler)
	}
	through.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), bodyKey{}, body)))
}

// set lays a trap in place of the one before; nil takes it away.
func (p *cloudProxy) set(t *trap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trap = t
}

// take gives the trap that a request falls into, once.
func (p *cloudProxy) take(r *http.Request, body string, at ...stage) *trap {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.trap
	if t == nil || !t.want(r, body) {
		return nil
	}
	for _, a := range at {
		if t.at == a {
			p.trap = nil
			return t
		}
	}
	return nil
}

var errTrapped = errors.New("caught")

// answered catches what the provider has answered well.
func (p *cloudProxy) answered(resp *http.Response) error {
	if resp.StatusCode >= 300 {
		return nil
	}
	body, _ := resp.Request.Context().Value(bodyKey{}).(string)
	t := p.take(resp.Request, body, atAnswer, atHalf)
	if t == nil {
		return nil
	}
	if t.at == atAnswer {
		_ = resp.Body.Close()
		t.spring(resp.Request.Context().Done())
		return errTrapped
	}
	whole, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		close(t.caught) // what is in flight ends here by itself
		return err
	}
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(whole[:len(whole)/2]), &springing{t, resp.Request.Context().Done()}))
	return nil
}

// springing is the second half of an answer that never comes.
type springing struct {
	t    *trap
	gone <-chan struct{}
}

func (s *springing) Read([]byte) (int, error) {
	s.t.spring(s.gone)
	return 0, errTrapped
}

// cutter carries connections to the gateway and cuts them: abruptly, after so
// many bytes of an answer.
type cutter struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	conns map[net.Conn]bool
	armed bool
	left  int
	cuts  int
}

func newCutter(t *testing.T, to string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{l: l, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cutAll()
	})
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go c.carry(in)
		}
	}()
	return c
}

// arm cuts every connection after the next n bytes of answers.
func (c *cutter) arm(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.armed, c.left = true, n
	if n == 0 {
		c.cut()
	}
}

func (c *cutter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// cut is called with the lock held.
func (c *cutter) cut() {
	c.armed = false
	if len(c.conns) > 0 {
		c.cuts++
	}
	c.cutAll()
}

func (c *cutter) cutAll() {
	for conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not a farewell
		}
		_ = conn.Close()
	}
	clear(c.conns)
}

func (c *cutter) carry(in net.Conn) {
	out, err := net.Dial("tcp", c.to)
	if err != nil {
		_ = in.Close() // the gateway is being restarted
		return
	}
	c.mu.Lock()
	c.conns[in], c.conns[out] = true, true
	c.mu.Unlock()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	buf := make([]byte, 4<<10)
	for {
		n, err := out.Read(buf)
		if !c.pass(in, buf[:n]) || err != nil {
			break
		}
	}
	_ = in.Close()
	_ = out.Close()
	c.mu.Lock()
	delete(c.conns, in)
	delete(c.conns, out)
	c.mu.Unlock()
}

// pass hands bytes on, as many as are still allowed.
func (c *cutter) pass(in net.Conn, b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || len(b) < c.left {
		c.left -= len(b)
		_, err := in.Write(b)
		return err == nil
	}
	_, _ = in.Write(b[:c.left])
	c.cut()
	return false
}
