// Package httpd is the HTTP door: the pages of connecting an account, the
// providers' notifications, health, metrics, and the mux that the other doors
// hang in.
//
// Every request has limits: header, body, time. What a provider sends to
// /notify is bounded to 1 MiB and answered by its plugin; nothing of it is
// believed, a notification is only ever a hint to look.
package httpd

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Accounts is the way in for owners.
type Accounts interface {
	Asking(ctx context.Context, token string) (account.Asking, error)
	OpenLink(ctx context.Context, token, browser string) (string, error)
	Callback(ctx context.Context, provider, browser string, params map[string][]string) (*account.Finished, error)
	Hint(ctx context.Context, instance string, h *provider.Hint)
}

// Providers answer notifications.
type Providers interface {
	Provider(instance string) (provider.Provider, error)
}

// Options of the door.
type Options struct {
	Log *slog.Logger
	// Accounts and Providers serve connecting and notifications.
	Accounts  Accounts
	Providers Providers
	// GraphQL, Blobs, Messages, GraphiQL and Metrics are hung in where they are
	// given.
	GraphQL, Blobs, Messages, GraphiQL, Metrics http.Handler
	// WebhookKeys serves the public keys that webhooks are signed with.
	WebhookKeys http.Handler
	// Authority serves the root that mail programs trust; see the function.
	Authority http.Handler
	// Registerer takes the metrics; nil keeps them unregistered.
	Registerer prometheus.Registerer
	// Ready says why the gateway is not ready, nothing when it is.
	Ready func(ctx context.Context) []string
	// Warnings says what needs a look while the gateway is ready.
	Warnings func(ctx context.Context) []string
	// Prove answers nonces, to show that an address leads here.
	Prove func(nonce string) string
	// Secure: owners come by https, so cookies go by nothing else.
	Secure bool
	// Version is shown by /healthz.
	Version string
}

// Handler gives everything under one mux.
func Handler(o Options) http.Handler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return (&server{Options: o, bodyTimeout: bodyTimeout, progressTimeout: progressTimeout}).handler()
}

func (s *server) handler() http.Handler {
	o := s.Options
	mux, m := http.NewServeMux(), newMetrics(o.Registerer)
	page := func(pattern, door string, h http.HandlerFunc) { mux.Handle(pattern, m.measure(door, h)) }
	page("GET /{$}", "home", s.home)
	page("GET /connect/{token}", "connect", s.connect)
	page("POST /connect/{token}", "connect", s.connect)
	page("/oauth/{provider}/callback", "oauth", s.callback)
	page("/notify/{provider}", "notify", s.notify)
	page("/notify/{provider}/{rest...}", "notify", s.notify)
	if o.Prove != nil {
		page("GET /notify/{provider}"+ProofPath, "proof", Proof(o.Prove))
		page("GET /oauth/{provider}"+ProofPath, "proof", Proof(o.Prove))
	}
	page("GET /healthz", "health", s.healthz)
	page("GET /readyz", "health", s.readyz)
	if o.GraphQL != nil {
		mux.Handle("/graphql", m.count("graphql", o.GraphQL))
	}
	for _, d := range []struct {
		pattern, door string
		handler       http.Handler
	}{
		{"/blobs/", "blobs", progress(o.Blobs, s.progressTimeout)},
		{"/messages/{id}", "blobs", o.Messages},
		{"/graphiql", "graphiql", o.GraphiQL}, {"/graphiql/", "graphiql", o.GraphiQL},
		{"GET /metrics", "metrics", o.Metrics}, {"GET /metrics/dashboard.json", "metrics", http.HandlerFunc(dashboard)},
		{"GET /.well-known/postern/webhook-keys/{endpoint}", "webhook-keys", o.WebhookKeys},
		{"GET /ca.pem", "ca", o.Authority},
	} {
		if d.handler != nil {
			mux.Handle(d.pattern, m.measure(d.door, d.handler))
		}
	}
	return s.guard(mux)
}

type server struct {
	Options
	bodyTimeout, progressTimeout time.Duration
}

// guard sets what every answer has and turns a panic into an error.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		limitBody(w, r, s.bodyTimeout)
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.Log.ErrorContext(r.Context(), "request panicked", "path", r.URL.Path, "panic", p)
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

// Serve answers on a listener until ctx ends, then lets running requests
// finish within grace. Subscriptions end at once with ctx.
func Serve(ctx context.Context, l net.Listener, h http.Handler, grace time.Duration) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return base },
	}
	unused := &unusedConns{m: map[net.Conn]struct{}{}}
	srv.ConnState = unused.changed
	srv.RegisterOnShutdown(unused.close)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(l) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	// Streams never end by themselves: their requests' contexts do it.
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer done()
	timer := time.AfterFunc(grace/2, cancel)
	defer timer.Stop()
	err := srv.Shutdown(stop)
	<-failed
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(errors.New("http: requests were cut off after "+grace.String()), srv.Close())
	}
	return err
}

// unusedConns are connections that nothing has come by yet. Clients keep spare
// ones; to Shutdown each would be a request that runs.
type unusedConns struct {
	mu sync.Mutex
	m  map[net.Conn]struct{}
}

func (u *unusedConns) changed(c net.Conn, to http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if to == http.StateNew {
		u.m[c] = struct{}{}
		return
	}
	delete(u.m, c)
}

func (u *unusedConns) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for c := range u.m {
		_ = c.Close()
	}
}
