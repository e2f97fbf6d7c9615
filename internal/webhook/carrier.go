package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/store"
)

// Limits of what a receiver may answer.
const (
	maxAnswer       = 16 << 10 // read, so that the connection can be used again
	maxKept         = 4 << 10  // kept in the attempt
	maxAnswerHeader = 16 << 10
)

// CarrierOptions are settings with defaults; the zero value works.
type CarrierOptions struct {
	Now func() time.Time
	// Version stands in the User-Agent.
	Version string
	// Connect, TLS and Total bound the parts of an attempt (5 s, 5 s, 15 s);
	// Total includes reading the answer.
	Connect, TLS, Total time.Duration
	// Idle is how long an unused connection is kept (30 s), IdleConns how many
	// per endpoint (16).
	Idle      time.Duration
	IdleConns int
	// Roots are the authorities that receivers' certificates are checked
	// against, nil for the system's.
	Roots *x509.CertPool
	// Resolver resolves names, nil for the system's.
	Resolver *net.Resolver
}

// Carrier sends deliveries over HTTP/1.1. It is an outbox.Carrier.
type Carrier struct {
	guard *Guard
	opts  CarrierOptions

	mu    sync.Mutex
	peers map[string]*peer
}

// peer is what is kept for an endpoint between attempts.
type peer struct {
	transport *http.Transport
	used      time.Time
	// source is the record that config was decoded from.
	source []byte
	config *config
}

// NewCarrier makes a carrier that connects only where guard lets it.
func NewCarrier(guard *Guard, opts CarrierOptions) *Carrier {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Version == "" {
		opts.Version = "dev"
	}
	for _, d := range []struct {
		v  *time.Duration
		to time.Duration
	}{{&opts.Connect, 5 * time.Second}, {&opts.TLS, 5 * time.Second}, {&opts.Total, 15 * time.Second}, {&opts.Idle, 30 * time.Second}} {
		if *d.v == 0 {
			*d.v = d.to
		}
	}
	if opts.IdleConns == 0 {
		opts.IdleConns = 16
	}
	return &Carrier{guard: guard, opts: opts, peers: map[string]*peer{}}
}

// Deliver makes one attempt. A 2xx is success as soon as its header is there:
// what follows is read within the same budget, and kept in part, but changes
// nothing.
func (c *Carrier) Deliver(ctx context.Context, e *store.Endpoint, d *store.Delivery, body []byte) outbox.Outcome {
	began := c.opts.Now()
	p, err := c.peer(e, began)
	if err != nil {
		return outbox.Outcome{Class: outbox.ClassLocal, Error: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, c.opts.Total)
	defer cancel()
	var remote string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) { remote = i.Conn.RemoteAddr().String() },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.config.URL, bytes.NewReader(body))
	if err != nil {
		return outbox.Outcome{Class: outbox.ClassLocal, Error: "make request: the URL is damaged"}
	}
	keys := p.config.active(began)
	if len(keys) == 0 {
		return outbox.Outcome{Class: outbox.ClassLocal, Error: "sign: the endpoint has no key"}
	}
	at := began.Unix()
	standard, own := sign(keys, d.Event, at, body)
	req.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Postern/" + c.opts.Version},
		"Webhook-Id":        {d.Event},
		"Webhook-Timestamp": {strconv.FormatInt(at, 10)},
		"Webhook-Signature": {standard},
		HeaderPostern:       {own},
		HeaderPrevious:      {strconv.FormatUint(d.Previous, 10)},
	}

	// The transport alone follows no redirects and keeps no cookies.
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		out := failure(ctx, err, c.opts)
		out.Peer, out.Duration = remote, c.opts.Now().Sub(began)
		return out
	}
	var answer []byte
	if resp.StatusCode != http.StatusSwitchingProtocols { // whose body is the connection, and knows no budget
		answer, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what is cut off stays cut off
	}
	resp.Body.Close() // closes the connection where more would come

	out := outcome(resp, c.opts.Now())
	out.Answer = answer[:min(len(answer), maxKept):min(len(answer), maxKept)]
	out.Peer, out.Duration = remote, c.opts.Now().Sub(began)
	return out
}

// outcome reads the status, and the wish to be left alone.
func outcome(resp *http.Response, now time.Time) outbox.Outcome {
	out := outbox.Outcome{Status: resp.StatusCode}
	switch s := resp.StatusCode; {
	case s >= 200 && s <= 299:
		out.OK, out.Class = true, outbox.ClassOK
		return out
	case s >= 300 && s <= 399:
		out.Class, out.Error = outbox.Class3xx, fmt.Sprintf("answered %d: redirects are not followed", s)
		return out
	case s == http.StatusGone:
		out.Class = outbox.Class410
	case s == http.StatusRequestTimeout:
		out.Class = outbox.Class408
	case s == http.StatusTooEarly:
		out.Class = outbox.Class425
	case s == http.StatusTooManyRequests:
		out.Class = outbox.Class429
	case s >= 400 && s <= 499:
		out.Class = outbox.Class4xx
	default:
		out.Class = outbox.Class5xx
	}
	out.Error = strings.TrimSpace(fmt.Sprintf("answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	if out.Class != outbox.Class4xx && out.Class != outbox.Class410 {
		out.RetryAfter = retryAfter(resp.Header.Get("Retry-After"), now)
	}
	return out
}

// retryAfter reads RFC 9110, 10.2.3: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	v = strings.TrimSpace(v)
	const longest = 366 * 24 * time.Hour
	if v != "" && strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(longest/time.Second) {
			return longest
		}
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, min(longest, at.Sub(now)))
	}
	return 0
}

// failure says why there is no answer.
func failure(ctx context.Context, err error, opts CarrierOptions) outbox.Outcome {
	var refused *RefusedError
	var timeout net.Error
	switch {
	case errors.As(err, &refused):
		return outbox.Outcome{Class: outbox.ClassGuard, Error: refused.Error()}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return outbox.Outcome{Class: outbox.ClassTimeout, Error: fmt.Sprintf("no answer within %s", opts.Total)}
	case errors.As(err, &timeout) && timeout.Timeout():
		return outbox.Outcome{Class: outbox.ClassTimeout, Error: err.Error()}
	}
	return outbox.Outcome{Class: outbox.ClassNetwork, Error: err.Error()}
}

// peer gives what is kept for an endpoint, in the state of its record.
func (c *Carrier) peer(e *store.Endpoint, now time.Time) (peer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.peers[e.ID]
	if p == nil {
		for id, old := range c.peers {
			if now.Sub(old.used) > 10*c.opts.Idle {
				old.transport.CloseIdleConnections()
				delete(c.peers, id)
			}
		}
		p = &peer{transport: c.transport()}
		c.peers[e.ID] = p
	}
	p.used = now
	if p.config == nil || !bytes.Equal(p.source, e.Config) {
		config, err := decodeConfig(e.Config)
		if err != nil {
			return peer{}, err
		}
		p.source, p.config = bytes.Clone(e.Config), config
	}
	return *p, nil
}

// transport makes an endpoint's own pool of connections, so that endpoints on
// one host do not wait for each other's.
func (c *Carrier) transport() *http.Transport {
	guarded := &net.Dialer{Timeout: c.opts.Connect, Resolver: c.opts.Resolver, ControlContext: c.guard.control}
	free := &net.Dialer{Timeout: c.opts.Connect, Resolver: c.opts.Resolver}
	return &http.Transport{
		// No proxy from the environment: it would connect for us to where the
		// guard does not see.
		Proxy: nil,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, _, err := net.SplitHostPort(address)
			if err == nil && c.guard.AllowsHost(host) {
				return free.DialContext(ctx, network, address)
			}
			return guarded.DialContext(ctx, network, address)
		},
		TLSClientConfig:        &tls.Config{RootCAs: c.opts.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.opts.TLS,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{}, // HTTP/1.1
		DisableCompression:     true,                                                   // nothing is unpacked
		MaxResponseHeaderBytes: maxAnswerHeader,
		MaxIdleConnsPerHost:    c.opts.IdleConns,
		IdleConnTimeout:        c.opts.Idle,
	}
}
