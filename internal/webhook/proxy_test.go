package webhook

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// throughTo makes a proxy that brings everything to one receiver, or answers
// what it is told to.
type throughTo struct {
	address string // of the receiver
	asked   atomic.Pointer[string]
	answer  atomic.Pointer[string] // in place of a tunnel
}

func (p *throughTo) say(answer string) { p.answer.Store(&answer) }

// pipe joins two connections until one ends.
func pipe(a, b net.Conn) {
	done := make(chan struct{})
	go func() { defer close(done); io.Copy(a, b); a.Close() }()
	io.Copy(b, a)
	b.Close()
	<-done
}

func (p *throughTo) connect(c net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	asked := r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization")
	p.asked.Store(&asked)
	if s := p.answer.Load(); s != nil {
		io.WriteString(c, *s)
		return
	}
	to, err := net.Dial("tcp", p.address)
	if err != nil {
		return
	}
	io.WriteString(c, "HTTP/1.1 200 Connection established\r\n\r\n")
	pipe(c, to)
}

// socks is RFC 1928 from the other side.
func (p *throughTo) socks(c net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		io.ReadFull(c, b)
		return b
	}
	methods := read(2)
	method := read(int(methods[1]))[0]
	c.Write([]byte{5, method})
	asked := "SOCKS "
	if method == 2 {
		user := read(int(read(2)[1]))
		password := read(int(read(1)[0]))
		asked += string(user) + ":" + string(password) + " "
		c.Write([]byte{1, 0})
	}
	switch read(4)[3] {
	case 1:
		asked += net.IP(read(4)).String()
	case 4:
		asked += net.IP(read(16)).String()
	case 3:
		asked += string(read(int(read(1)[0])))
	}
	asked += fmt.Sprintf(":%d", binary.BigEndian.Uint16(read(2)))
	p.asked.Store(&asked)
	if s := p.answer.Load(); s != nil {
		io.WriteString(c, *s)
		return
	}
	to, err := net.Dial("tcp", p.address)
	if err != nil {
		return
	}
	c.Write([]byte{5, 0, 0, 3, 4, 'h', 'o', 's', 't', 0, 80})
	pipe(c, to)
}

func TestProxies(t *testing.T) {
	sink := receive(t, nil)
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			p := &throughTo{address: sink.Listener.Addr().String()}
			serve, wantAsked := p.connect, "CONNECT hooks.example:80 Basic "+base64.StdEncoding.EncodeToString([]byte("gate:s3cret"))
			if scheme == "socks5" {
				serve, wantAsked = p.socks, "SOCKS gate:s3cret hooks.example:80"
			}
			proxy, err := ParseProxy(strings.Replace(hostile(t, serve), "http://", scheme+"://gate:s3cret@", 1))
			if err != nil {
				t.Fatal(err)
			}
			// A name that nobody here resolves: the proxy does.
			send := func(u string) (outbox.Outcome, *Carrier) {
				c := NewCarrier(mustGuard(t), CarrierOptions{Proxy: proxy})
				return c.Deliver(context.Background(), record(t, u), delivery(), testBody), c
			}
			out, c := send("http://hooks.example/x")
			if !out.OK || c.ProxyTrouble() != "" || *p.asked.Load() != wantAsked {
				t.Fatalf("%+v, trouble %q, the proxy was asked %q, want %q", out, c.ProxyTrouble(), *p.asked.Load(), wantAsked)
			}
			if r := sink.next(t); verify(r, testSecret) != nil || r.header.Get("Proxy-Authorization") != "" {
				t.Errorf("the receiver got %v", r.header)
			}

			// Literal addresses and ports are judged here.
			for _, u := range []string{"http://10.0.0.1/", "http://[::1]/", "http://hooks.example:25/"} {
				p.asked.Store(nil)
				if out, _ := send(u); out.Class != outbox.ClassGuard || p.asked.Load() != nil {
					t.Errorf("%s: %+v", u, out)
				}
			}

			// Whose fault it is.
			answers := map[string]outbox.Class{
				"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n": outbox.ClassProxy,
				"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n":                          outbox.ClassProxy,
				"220 smtp ready\r\n":                        outbox.ClassProxy,
				"HTTP/1.1 200 OK\r\nX: " + long('x', 1<<20): outbox.ClassProxy,
				"": outbox.ClassProxy,
				"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n":                                      outbox.ClassGuard,
				"HTTP/1.1 407 Denied\r\nX-Smokescreen-Error: host is private\r\nContent-Length: 0\r\n\r\n": outbox.ClassGuard,
				"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n":                                    outbox.ClassNetwork,
				"HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\n\r\n":                                outbox.ClassNetwork,
			}
			if scheme == "socks5" {
				answers = map[string]outbox.Class{
					"": outbox.ClassProxy,
					"\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00": outbox.ClassProxy,
					"\x05\x00\x00\x09":                         outbox.ClassProxy,
					"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00": outbox.ClassGuard,
					"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00": outbox.ClassNetwork,
				}
			}
			for answer, class := range answers {
				p.say(answer)
				out, c := send("http://hooks.example/x")
				if out.Class != class || out.OK || (c.ProxyTrouble() != "") != (class == outbox.ClassProxy) || strings.Contains(out.Error+c.ProxyTrouble(), "s3cret") {
					t.Errorf("%.40q: %s, %q, trouble %q; want %s", answer, out.Class, out.Error, c.ProxyTrouble(), class)
				}
			}
		})
	}
	for _, bad := range []string{"ftp://x", "http://", "http://x/path", "x", "http://u:hunter2@x/%zz"} {
		if _, err := ParseProxy(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestProxyFaultsCostNoAttempt: while the proxy is down nothing is charged, and
// when it is back everything goes out.
func TestProxyFaultsCostNoAttempt(t *testing.T) {
	sink := receive(t, nil)
	p := &throughTo{address: sink.Listener.Addr().String()}
	var tries atomic.Int32
	p.say("")
	proxy, err := ParseProxy(hostile(t, func(c net.Conn) { tries.Add(1); p.connect(c) }))
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t, houseOptions{carrier: CarrierOptions{Proxy: proxy}, outbox: outbox.Options{Policy: fastPolicy()}})
	h.account("a")
	e, _ := h.create(Create{URL: (&url.URL{Scheme: "http", Host: "hooks.example"}).String(), Attempts: 2})
	h.journal(updated("a"))
	eventually(t, "the proxy is tried more often than an attempt would be", func() bool { return tries.Load() > 5 })
	if got, err := h.service.GetEndpoint(context.Background(), e.ID); err != nil || got.State != StateActive || got.Failures != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	p.answer.Store(nil)
	sink.next(t)
	eventually(t, "one attempt is written down", func() bool {
		list, err := h.outbox.Deliveries(context.Background(), store.DeliveryFilter{Endpoint: e.ID, State: store.DeliveryDelivered}, store.DateKey{}, 10)
		return err == nil && len(list) == 1 && list[0].Attempts == 1
	})
}
