package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
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
	// Proxy is what every connection goes through, nil for none (ParseProxy).
	Proxy *url.URL
}

// Carrier sends deliveries over HTTP/1.1. It is an outbox.Carrier.
type Carrier struct {
	guard *Guard
	opts  CarrierOptions

	mu    sync.Mutex
	peers map[string]*peer

	// trouble is what was last wrong with the proxy, nil for nothing.
	trouble atomic.Pointer[string]
}

// peer is what is kept for an endpoint between attempts.
type peer struct {
	transport *http.Transport
	used      time.Time
	// source is the record that config was decoded from.
	source []byte
	config *config
	url    *url.URL
	tokens *tokens
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
	if err := c.guard.checkURL(p.url); err != nil {
		return refusal(err)
	}
	times := &timing{now: c.opts.Now}
	plain := ctx
	ctx = times.trace(ctx)
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
		HeaderPrevious:      {strconv.FormatUint(d.Previous, 10)},
	}

	addHeaders(req.Header, p.config.Headers)
	if own != "" {
		req.Header.Set(HeaderPostern, own)
	}
	if d.Replay != "" {
		req.Header.Set(HeaderReplay, d.Replay)
	}
	finish := func(out outbox.Outcome) outbox.Outcome {
		times.into(&out)
		out.Duration = c.opts.Now().Sub(began)
		for _, k := range keys {
			out.Keys = append(out.Keys, k.id)
		}
		return out
	}

	// The transport alone follows no redirects and keeps no cookies.
	resp, noToken, err := c.authorized(plain, &p, req)
	if noToken != nil {
		return finish(*noToken)
	}
	if err != nil {
		return finish(failure(ctx, err, c.opts))
	}
	var answer []byte
	if resp.StatusCode != http.StatusSwitchingProtocols { // whose body is the connection, and knows no budget
		answer, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what is cut off stays cut off
	}
	resp.Body.Close() // closes the connection where more would come

	out := outcome(resp, c.opts.Now())
	out.Answer = answer[:min(len(answer), maxKept):min(len(answer), maxKept)]
	return finish(out)
}

// refusal is the outcome of a URL that the guard does not let us ask.
func refusal(err error) outbox.Outcome {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return outbox.Outcome{Class: outbox.ClassGuard, Error: refused.Error()}
	}
	return outbox.Outcome{Class: outbox.ClassLocal, Error: err.Error()}
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
		p = &peer{transport: c.transport(nil)}
		c.peers[e.ID] = p
	}
	p.used = now
	if p.config == nil || !bytes.Equal(p.source, e.Config) {
		config, err := decodeConfig(e.Config)
		if err != nil {
			return peer{}, err
		}
		u, err := url.Parse(config.URL)
		if err != nil {
			return peer{}, errors.New("make request: the URL is damaged")
		}
		certificates, err := config.certificates()
		if err != nil {
			return peer{}, errors.New("show a certificate: the endpoint's client certificate is damaged")
		}
		if p.config == nil || p.config.ClientCertificate != config.ClientCertificate || p.config.ClientKey != config.ClientKey {
			p.transport.CloseIdleConnections() // they were made with the former certificate
			p.transport = c.transport(certificates)
		}
		if p.config == nil || !p.config.OAuth.same(config.OAuth) {
			p.tokens = newTokens()
		}
		p.source, p.config, p.url = bytes.Clone(e.Config), config, u
	}
	return *p, nil
}
