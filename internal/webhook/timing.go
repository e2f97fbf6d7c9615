package webhook

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/outbox"
)

// timing takes the parts of an attempt. Package net reports from goroutines of
// its own, which may outlive the attempt.
type timing struct {
	now func() time.Time

	mu                             sync.Mutex
	dnsAt, connectAt, tlsAt, ready time.Time
	dns, connect, tls, firstByte   time.Duration
	peer                           string
}

// trace makes a context whose connections report to t.
func (t *timing) trace(ctx context.Context) context.Context {
	at := func(to *time.Time) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if to.IsZero() {
			*to = t.now() // several addresses of a name are tried side by side
		}
	}
	since := func(from *time.Time, to *time.Duration) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !from.IsZero() {
			*to = max(t.now().Sub(*from), 1) // 0 is for what did not take place
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart:          func(httptrace.DNSStartInfo) { at(&t.dnsAt) },
		DNSDone:           func(httptrace.DNSDoneInfo) { since(&t.dnsAt, &t.dns) },
		ConnectStart:      func(string, string) { at(&t.connectAt) },
		ConnectDone:       func(string, string, error) { since(&t.connectAt, &t.connect) },
		TLSHandshakeStart: func() { at(&t.tlsAt) },
		TLSHandshakeDone:  func(tls.ConnectionState, error) { since(&t.tlsAt, &t.tls) },
		GotConn: func(i httptrace.GotConnInfo) {
			at(&t.ready)
			t.mu.Lock()
			defer t.mu.Unlock()
			t.peer = i.Conn.RemoteAddr().String()
		},
		GotFirstResponseByte: func() { since(&t.ready, &t.firstByte) },
	})
}

// into writes what is known by now.
func (t *timing) into(out *outbox.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.DNS, out.Connect, out.TLS, out.FirstByte, out.Peer = t.dns, t.connect, t.tls, t.firstByte, t.peer
}
