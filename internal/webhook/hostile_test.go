package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// answering serves one answer to each connection, and says that it closes.
func answering(answer string) func(net.Conn) {
	if head, rest, ok := strings.Cut(answer, "\r\n"); ok && strings.HasPrefix(head, "HTTP/1.1 ") && !strings.Contains(head, "100") {
		answer = head + "\r\nConnection: close\r\n" + rest
	}
	return func(c net.Conn) {
		readRequest(c)
		io.WriteString(c, answer)
	}
}

// TestHealthyEndpointBesideHostileOnes: one endpoint for everything that a
// receiver can do to its sender, and one that just answers. Whatever happens
// to the others, it gets everything once and in order.
func TestHealthyEndpointBesideHostileOnes(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	z.Write(make([]byte, 10<<20))
	z.Close()
	var metadata, late, rebound atomic.Int32
	trap := receive(t, func(int, http.ResponseWriter, request) { metadata.Add(1) })
	answers := []string{"127.0.0.1", "169.254.169.254"}
	resolver := fakeDNS(t, func(n int) netip.Addr { return netip.MustParseAddr(answers[min(n, 1)]) })
	const total = 4 * time.Second
	h := buildHouse(t, houseOptions{
		carrier: CarrierOptions{Total: total, TLS: 200 * time.Millisecond, Resolver: resolver},
		outbox:  outbox.Options{Policy: fastPolicy()},
	})
	release := make(chan struct{})
	slow := receive(t, func(_ int, w http.ResponseWriter, _ request) { // a 2xx after we have given up
		late.Add(1)
		<-release
	})
	t.Cleanup(func() { close(release) }) // before the receiver's own, which waits for it
	rebind := hostile(t, func(c net.Conn) {
		rebound.Add(1)
		answering("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")(c)
	})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(rebind, "http://"))

	cases := []struct {
		name   string
		url    string
		serve  func(net.Conn)
		class  outbox.Class
		kept   int // bytes of the answer
		second outbox.Class
		state  State
	}{
		{name: "hangs", class: outbox.ClassTimeout, serve: func(c net.Conn) { io.Copy(io.Discard, c) }},
		{name: "answers 2xx too late", class: outbox.ClassTimeout, url: slow.URL},
		{name: "stalls in TLS", class: outbox.ClassTimeout, url: "https", serve: func(c net.Conn) { io.Copy(io.Discard, c) }},
		{name: "drips its body", class: outbox.ClassOK, kept: -1, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
			for range 20 {
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
			}
			io.Copy(io.Discard, c)
		}},
		{name: "a body without an end", class: outbox.ClassOK, kept: maxKept, serve: func(c net.Conn) {
			readRequest(c)
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			drip(c, long('x', 1000))
		}},
		{name: "a gzip bomb", class: outbox.ClassOK, kept: maxKept,
			serve: answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.Bytes()))},
		{name: "huge header", class: outbox.ClassNetwork, serve: answering("HTTP/1.1 200 OK\r\nX-A: " + long('a', 1<<20))},
		{name: "1xx without an end", class: outbox.ClassNetwork, serve: func(c net.Conn) {
			readRequest(c)
			drip(c, "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n")
		}},
		{name: "asks to continue", class: outbox.ClassOK, serve: answering("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")},
		{name: "points at metadata", class: outbox.Class3xx, second: outbox.Class3xx,
			serve: answering("HTTP/1.1 307 Temporary Redirect\r\nLocation: http://169.254.169.254/latest/\r\nContent-Length: 0\r\n\r\n")},
		{name: "points at a receiver inside", class: outbox.Class3xx, second: outbox.Class3xx,
			serve: answering("HTTP/1.1 302 Found\r\nLocation: " + trap.URL + "\r\nContent-Length: 0\r\n\r\n")},
		{name: "another address the second time", url: "http://rebind.example:" + port, class: outbox.Class5xx, second: outbox.ClassGuard},
		{name: "resets", class: outbox.ClassNetwork, serve: func(c net.Conn) {
			readRequest(c)
			c.(*net.TCPConn).SetLinger(0)
		}},
		{name: "garbage", class: outbox.ClassNetwork, serve: answering("\x00\x01\x02 220 smtp ready\r\n")},
		{name: "an absurd Retry-After in seconds", class: outbox.Class429, state: StateFailing,
			serve: answering("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n")},
		{name: "an absurd Retry-After as a date", class: outbox.Class5xx, state: StateFailing,
			serve: answering("HTTP/1.1 503 Service Unavailable\r\nRetry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\nContent-Length: 0\r\n\r\n")},
		{name: "gone", class: outbox.Class410, state: StateDisabled, serve: answering("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")},
	}
	ids := map[string]string{}
	for _, tc := range cases {
		url := tc.url
		switch {
		case url == "":
			url = hostile(t, tc.serve)
		case url == "https":
			url = strings.Replace(hostile(t, tc.serve), "http", "https", 1)
		}
		e, _ := h.create(Create{URL: url, Attempts: 2, Events: []event.Type{event.MessageUpdated}})
		ids[tc.name] = e.ID
	}
	good := receive(t, nil)
	h.create(Create{URL: good.URL, Events: []event.Type{event.MessageUpdated}})
	const accounts, each = 4, 25
	for a := range accounts {
		h.account(fmt.Sprintf("a%d", a))
	}
	h.run()
	for range each {
		var events []event.Event
		for a := range accounts {
			events = append(events, updated(fmt.Sprintf("a%d", a)))
		}
		h.journal(events...)
	}

	// Order and count at the healthy one.
	last := map[string]uint64{}
	for range accounts * each {
		var body struct {
			Account  struct{ ID string }
			Sequence uint64
		}
		if err := json.Unmarshal(good.next(t).body, &body); err != nil {
			t.Fatal(err)
		}
		if before := last[body.Account.ID]; before != 0 && body.Sequence != before+1 {
			t.Errorf("account %s: %d came after %d", body.Account.ID, body.Sequence, before)
		}
		last[body.Account.ID] = body.Sequence
	}

	// What became of the others: the first delivery's attempts.
	ctx := context.Background()
	for _, tc := range cases {
		var attempts []store.Attempt
		want := 1
		if tc.second != "" {
			want = 2
		}
		eventually(t, tc.name+" is tried", func() bool {
			list, err := h.outbox.Deliveries(ctx, store.DeliveryFilter{Endpoint: ids[tc.name]}, store.DateKey{}, 200)
			if err != nil {
				t.Fatal(err)
			}
			attempts = nil
			for _, d := range list {
				if _, of, err := h.outbox.Delivery(ctx, d.ID); err == nil && len(of) > len(attempts) {
					attempts = of
				}
			}
			return len(attempts) >= want
		})
		first := attempts[0]
		if tc.name == "another address the second time" && first.Class == string(outbox.ClassGuard) {
			first.Class = string(outbox.Class5xx) // that it was another delivery that saw the first answer
		}
		if first.Class != string(tc.class) || (first.Error == "") != (tc.class == outbox.ClassOK) {
			t.Errorf("%s: class %s, status %d, %q", tc.name, first.Class, first.Status, first.Error)
		}
		if tc.kept >= 0 && len(first.Answer) != tc.kept || tc.kept < 0 && len(first.Answer) == 0 {
			t.Errorf("%s: %d bytes of the answer are kept", tc.name, len(first.Answer))
		}
		if tc.second != "" && attempts[1].Class != string(tc.second) {
			t.Errorf("%s: the second attempt is %s, %q", tc.name, attempts[1].Class, attempts[1].Error)
		}
		if tc.state != "" {
			eventually(t, tc.name+" is "+string(tc.state), func() bool {
				e, err := h.service.GetEndpoint(ctx, ids[tc.name])
				if err == nil && tc.state == StateFailing && e.PausedUntil.After(time.Now().Add(25*time.Hour)) {
					t.Fatalf("%s: paused until %s", tc.name, e.PausedUntil)
				}
				return err == nil && e.State == tc.state && e.PausedUntil.IsZero() == (tc.state != StateFailing)
			})
		}
	}
	if metadata.Load() != 0 || late.Load() == 0 || rebound.Load() != 1 {
		t.Errorf("%d redirects were followed, %d late answers, %d connections by the first address", metadata.Load(), late.Load(), rebound.Load())
	}
	if n := good.count(); n != accounts*each {
		t.Errorf("the healthy endpoint got %d requests for %d events", n, accounts*each)
	}
}
