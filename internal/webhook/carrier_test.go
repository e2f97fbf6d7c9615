package webhook

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

const testSecret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// record makes an endpoint's record for a URL.
func record(t testing.TB, url string, keys ...signingKey) *store.Endpoint {
	t.Helper()
	if len(keys) == 0 {
		keys = []signingKey{{Secret: testSecret}}
	}
	c := config{URL: url, Payload: PayloadThin, Keys: keys}
	b, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	return &store.Endpoint{ID: "ep_" + url, Config: b, Ordered: true}
}

func delivery() *store.Delivery {
	return &store.Delivery{ID: "d1", Event: "evt_1", Sequence: 8, Previous: 7}
}

var testBody = []byte(`{"type":"ping","data":{"a":"ü<>&"}}`)

// deliver makes one attempt with a carrier that may connect to loopback.
func deliver(t testing.TB, opts CarrierOptions, url string) outbox.Outcome {
	t.Helper()
	c := NewCarrier(mustGuard(t, "127.0.0.0/8", "::1"), opts)
	return c.Deliver(context.Background(), record(t, url), delivery(), testBody)
}

func TestRequestIsWhatTheDocumentationSays(t *testing.T) {
	var got *http.Request
	var body []byte
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, "thanks")
	}))
	defer sink.Close()
	out := deliver(t, CarrierOptions{Version: "1.2.3"}, sink.URL+"/hook?a=b")
	if !out.OK || out.Status != 200 || out.Class != outbox.ClassOK || string(out.Answer) != "thanks" {
		t.Fatalf("outcome %+v", out)
	}
	if out.Peer != sink.Listener.Addr().String() || out.Duration <= 0 {
		t.Errorf("peer %q, duration %s", out.Peer, out.Duration)
	}
	if got.Method != "POST" || got.RequestURI != "/hook?a=b" || got.Proto != "HTTP/1.1" || !bytes.Equal(body, testBody) {
		t.Errorf("%s %s %s: %s", got.Method, got.RequestURI, got.Proto, body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "Postern/1.2.3", "webhook-id": "evt_1", "Postern-Previous": "7",
		"Accept-Encoding": "", "Content-Length": strconv.Itoa(len(testBody)),
	} {
		if have := got.Header.Get(name); have != want {
			t.Errorf("%s: %q, want %q", name, have, want)
		}
	}
	// Independently: the public library.
	wh, err := standardwebhooks.NewWebhook(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(body, got.Header); err != nil {
		t.Error(err)
	}
	if err := wh.Verify(append(body, ' '), got.Header); err == nil {
		t.Error("a changed body verifies")
	}
	if own := got.Header.Get(HeaderPostern); !strings.HasPrefix(own, "t="+got.Header.Get("webhook-timestamp")+",v1=") || len(own) != len("t=1234567890,v1=")+64 {
		t.Errorf("%s: %q", HeaderPostern, own)
	}
}

func TestRotatedKeysSignTogether(t *testing.T) {
	now := time.Now()
	old, gone, fresh := newSecret(), newSecret(), newSecret()
	var header http.Header
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { header = r.Header }))
	defer sink.Close()
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{})
	e := record(t, sink.URL, signingKey{Secret: fresh}, signingKey{Secret: old, Until: now.Add(time.Hour)},
		signingKey{Secret: gone, Until: now.Add(-time.Second)})
	if out := c.Deliver(context.Background(), e, delivery(), testBody); !out.OK {
		t.Fatalf("%+v", out)
	}
	for secret, valid := range map[string]bool{fresh: true, old: true, gone: false} {
		wh, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := wh.Verify(testBody, header); (err == nil) != valid {
			t.Errorf("verifies %v, want %v", err == nil, valid)
		}
	}
	if n := strings.Count(header.Get(HeaderPostern), ",v1="); n != 2 {
		t.Errorf("%d signatures in %s", n, HeaderPostern)
	}
}

func TestStatusDecides(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		status int
		after  string
		class  outbox.Class
		wait   time.Duration
	}{
		{status: 200, class: outbox.ClassOK}, {status: 201, class: outbox.ClassOK}, {status: 204, class: outbox.ClassOK},
		{status: 299, class: outbox.ClassOK, after: "60"},
		{status: 301, class: outbox.Class3xx}, {status: 302, class: outbox.Class3xx}, {status: 307, class: outbox.Class3xx}, {status: 304, class: outbox.Class3xx},
		{status: 400, class: outbox.Class4xx}, {status: 401, class: outbox.Class4xx}, {status: 404, class: outbox.Class4xx, after: "60"},
		{status: 408, class: outbox.Class408}, {status: 410, class: outbox.Class410}, {status: 425, class: outbox.Class425},
		{status: 429, class: outbox.Class429}, {status: 500, class: outbox.Class5xx}, {status: 502, class: outbox.Class5xx}, {status: 599, class: outbox.Class5xx}, {status: 700, class: outbox.Class5xx},
		{status: 429, after: "120", class: outbox.Class429, wait: 2 * time.Minute},
		{status: 503, after: "Fri, 01 May 2026 12:10:00 GMT", class: outbox.Class5xx, wait: 10 * time.Minute},
		{status: 503, after: "Fri, 01 May 2026 11:00:00 GMT", class: outbox.Class5xx},
		{status: 503, after: "99999999999999999999999", class: outbox.Class5xx, wait: 366 * 24 * time.Hour},
		{status: 503, after: "-5", class: outbox.Class5xx}, {status: 503, after: "soon", class: outbox.Class5xx},
	} {
		out := outcome(&http.Response{StatusCode: tc.status, Header: http.Header{"Retry-After": {tc.after}}}, now)
		if out.Class != tc.class || out.RetryAfter != tc.wait || out.OK != (tc.class == outbox.ClassOK) || out.OK == (out.Error != "") {
			t.Errorf("%d, Retry-After %q: %+v", tc.status, tc.after, out)
		}
	}
}

func TestRedirectIsFailureAndNotFollowed(t *testing.T) {
	var followed atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer target.Close()
	sink := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer sink.Close()
	out := deliver(t, CarrierOptions{}, sink.URL)
	if out.OK || out.Class != outbox.Class3xx || out.Status != 307 || followed.Load() != 0 {
		t.Errorf("%+v, followed %d times", out, followed.Load())
	}
}

// hostile serves raw answers: what a receiver should never do.
func hostile(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			conns.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-accepted
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		conns.Wait()
	})
	return "http://" + l.Addr().String()
}

// readRequest swallows a request whole.
func readRequest(c net.Conn) {
	r, err := http.ReadRequest(bufio.NewReader(c))
	if err == nil {
		io.Copy(io.Discard, r.Body)
	}
}

// drip has no end for who keeps his limits. Anyone else has to wait, and for no
// more than memory holds.
func drip(c net.Conn, piece string) {
	for range (64 << 20) / len(piece) {
		if _, err := io.WriteString(c, piece); err != nil {
			return
		}
	}
	io.Copy(io.Discard, c)
}

func TestHostileReceivers(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	const ample = 30 * time.Second
	for _, tc := range []struct {
		name   string
		budget time.Duration // of what ends by nothing else, ample for the others
		serve  func(net.Conn)
		class  outbox.Class
		status int
		answer int // bytes kept
	}{
		{name: "hangs without a word", budget: 300 * time.Millisecond, class: outbox.ClassTimeout, serve: func(c net.Conn) { io.Copy(io.Discard, c) }},
		{name: "hangs up", class: outbox.ClassNetwork, serve: func(c net.Conn) { readRequest(c) }},
		{name: "speaks something else", class: outbox.ClassNetwork, serve: func(c net.Conn) { readRequest(c); io.WriteString(c, "220 smtp ready\r\n") }},
		{name: "drips its header", class: outbox.ClassNetwork, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			drip(c, "X-A: b\r\n") // without an end: the limit of the header
		}},
		{name: "a header without an end", class: outbox.ClassNetwork, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nX-A: "+long('a', 1<<20))
		}},
		{name: "1xx without an end", class: outbox.ClassNetwork, serve: func(c net.Conn) {
			readRequest(c)
			drip(c, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n")
		}},
		{name: "a 200 whose body hangs", budget: 3 * time.Second, class: outbox.ClassOK, status: 200, answer: 5, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
			io.Copy(io.Discard, c)
		}},
		{name: "a 500 whose body never ends", class: outbox.Class5xx, status: 500, answer: maxKept, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
			drip(c, "400\r\n"+long('x', 0x400)+"\r\n")
		}},
		{name: "a 200 whose body never ends", class: outbox.ClassOK, status: 200, answer: maxKept, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			drip(c, long('x', 1000))
		}},
		{name: "a gzip bomb", class: outbox.ClassOK, status: 200, answer: maxKept, serve: func(c net.Conn) {
			readRequest(c)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", bomb.Len())
			c.Write(bomb.Bytes())
		}},
		{name: "switches protocols", class: outbox.Class5xx, status: 101, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			io.Copy(io.Discard, c)
		}},
		{name: "asks to continue and answers 200", class: outbox.ClassOK, status: 200, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			url := hostile(t, tc.serve)
			budget, most := tc.budget, tc.budget+10*time.Second
			if budget == 0 {
				budget, most = ample, ample
			}
			began := time.Now()
			out := deliver(t, CarrierOptions{Total: budget}, url)
			if out.Class != tc.class || out.Status != tc.status || len(out.Answer) != tc.answer {
				t.Errorf("class %s, status %d, %d bytes kept, error %q", out.Class, out.Status, len(out.Answer), out.Error)
			}
			if took := time.Since(began); took > most {
				t.Errorf("took %s with a budget of %s", took, budget)
			}
		})
	}
}

func TestTLSStallAndForeignCertificates(t *testing.T) {
	stall := strings.Replace(hostile(t, func(c net.Conn) { io.Copy(io.Discard, c) }), "http", "https", 1)
	if out := deliver(t, CarrierOptions{TLS: 100 * time.Millisecond}, stall); out.Class != outbox.ClassTimeout {
		t.Errorf("a stalled handshake: %+v", out)
	}
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	sink.Config.ErrorLog = quiet()
	sink.StartTLS()
	defer sink.Close()
	if out := deliver(t, CarrierOptions{}, sink.URL); out.Class != outbox.ClassNetwork || !strings.Contains(out.Error, "certificate") {
		t.Errorf("an unknown authority: %+v", out)
	}
	roots := x509.NewCertPool()
	roots.AddCert(sink.Certificate())
	if out := deliver(t, CarrierOptions{Roots: roots}, sink.URL); !out.OK {
		t.Errorf("a known authority: %+v", out)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	sink.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	sink.Start()
	defer sink.Close()
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{})
	e := record(t, sink.URL)
	for range 20 {
		if out := c.Deliver(context.Background(), e, delivery(), testBody); !out.OK {
			t.Fatalf("%+v", out)
		}
	}
	if conns.Load() != 1 {
		t.Errorf("%d connections for 20 deliveries", conns.Load())
	}
}

func TestGuardAtDialTime(t *testing.T) {
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the receiver was reached") }))
	defer sink.Close()
	c := NewCarrier(mustGuard(t), CarrierOptions{})
	// The record is in the store already: only the dialler stands in between.
	out := c.Deliver(context.Background(), record(t, sink.URL), delivery(), testBody)
	if out.Class != outbox.ClassGuard || !strings.Contains(out.Error, "127.0.0.1") || !strings.Contains(out.Error, "loopback") || !strings.Contains(out.Error, SettingAllow) {
		t.Errorf("%+v", out)
	}
	_, port, _ := net.SplitHostPort(sink.Listener.Addr().String())
	for _, host := range []string{"localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		out := c.Deliver(context.Background(), record(t, "http://"+host+":"+port), delivery(), testBody)
		if out.OK || out.Class != outbox.ClassGuard {
			t.Errorf("%s: %+v", host, out)
		}
	}
}

func TestRebinding(t *testing.T) {
	var hits atomic.Int32
	sink := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	sink.Listener.Close()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatalf("listen beside 127.0.0.1: %v", err)
	}
	sink.Listener = l
	sink.Config.SetKeepAlivesEnabled(false) // every attempt dials
	sink.Start()
	defer sink.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	// A second receiver on the same port, where it must not be reached.
	inner, err := net.Listen("tcp", "127.0.0.3:"+port)
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	defer inner.Close()
	go func() {
		for {
			conn, err := inner.Accept()
			if err != nil {
				return
			}
			t.Error("the inner receiver was reached")
			conn.Close()
		}
	}()

	answers := []string{"127.0.0.2", "127.0.0.3", "169.254.169.254", "127.0.0.2"}
	resolver := fakeDNS(t, func(n int) netip.Addr { return netip.MustParseAddr(answers[min(n, len(answers)-1)]) })
	c := NewCarrier(mustGuard(t, "127.0.0.2"), CarrierOptions{Resolver: resolver})
	e := record(t, "http://rebind.example:"+port)
	want := []outbox.Class{outbox.ClassOK, outbox.ClassGuard, outbox.ClassGuard, outbox.ClassOK}
	for i, class := range want {
		out := c.Deliver(context.Background(), e, delivery(), testBody)
		if out.Class != class {
			t.Errorf("attempt %d, resolved to %s: %+v", i+1, answers[i], out)
		}
	}
	if hits.Load() != 2 {
		t.Errorf("the outer receiver was reached %d times", hits.Load())
	}

	// A host that is allowed by name may be anywhere.
	named := NewCarrier(mustGuard(t, "rebind.example"), CarrierOptions{Resolver: resolver})
	if out := named.Deliver(context.Background(), e, delivery(), testBody); !out.OK {
		t.Errorf("allowed by name: %+v", out)
	}
}

// fakeDNS is a resolver whose nth answer to a question for A is address(n).
func fakeDNS(t *testing.T, address func(n int) netip.Addr) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf, n := make([]byte, 1500), 0
		for {
			size, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(buf[:size]); err != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: address(n).As4()},
				}}
				n++
			}
			packed, err := m.Pack()
			if err != nil {
				continue
			}
			pc.WriteTo(packed, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", pc.LocalAddr().String())
	}}
}

func TestDamagedRecordsAreLocalErrors(t *testing.T) {
	c := NewCarrier(mustGuard(t), CarrierOptions{})
	for name, e := range map[string]*store.Endpoint{
		"no JSON": {ID: "1", Config: []byte(`{"keys":"` + testSecret)},
		"no keys": record(t, "https://x.example", signingKey{Secret: testSecret, Until: time.Now().Add(-time.Hour)}),
		"bad key": record(t, "https://y.example", signingKey{Secret: "whsec_%%%"}),
	} {
		out := c.Deliver(context.Background(), e, delivery(), testBody)
		if out.Class != outbox.ClassLocal || out.OK || strings.Contains(out.Error, "MDEy") {
			t.Errorf("%s: %+v", name, out)
		}
	}
}

func TestCutAttemptEndsAtOnce(t *testing.T) {
	arrived := make(chan struct{})
	url := hostile(t, func(c net.Conn) { readRequest(c); close(arrived); io.Copy(io.Discard, c) })
	ctx, cancel := context.WithCancel(context.Background())
	c := NewCarrier(mustGuard(t, "127.0.0.1"), CarrierOptions{})
	done := make(chan outbox.Outcome)
	go func() { done <- c.Deliver(ctx, record(t, url), delivery(), testBody) }()
	<-arrived
	cancel()
	if out := <-done; out.OK || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("%+v", out)
	}
}
