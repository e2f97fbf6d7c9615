package front

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// Defaults puts what a part of a cloud can work with where nothing is given:
// the system's clock, no log, and nobody's counters and faults.
func Defaults(now *func() time.Time, log **slog.Logger, counters **traffic.Counters, faults **traffic.Faults) {
	if *now == nil {
		*now = time.Now
	}
	if *log == nil {
		*log = slog.New(slog.DiscardHandler)
	}
	if *counters == nil {
		*counters = &traffic.Counters{}
	}
	if *faults == nil {
		*faults = traffic.NewFaults(0)
	}
}

// NotifyTransport is how a cloud reaches the endpoints that it notifies. roots
// are trusted; nil is the system's.
func NotifyTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext, MaxIdleConnsPerHost: 16,
		IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
}

// NotifyClient posts by way of a transport; nil is Go's own. An endpoint that
// redirects did not answer.
func NotifyClient(t *http.Transport) *http.Client {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if t != nil {
		c.Transport = t
	}
	return c
}
