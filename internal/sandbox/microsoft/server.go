package microsoft

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/graph"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/push"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// Name is how the control API calls this cloud.
const Name = identity.CloudName

// Options are what a Server is given from outside.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	Faults   *traffic.Faults
	Sender   cloud.Sender
	Seed     uint64
	// BaseURL is scheme and host as links in answers show it, once known; nil
	// takes each request's own host.
	BaseURL func() string
	// NotifyRoots are trusted for notification URLs; nil is the system's.
	NotifyRoots *x509.CertPool
	// Key signs the identity platform's tokens; nil makes one.
	Key *rsa.PrivateKey
}

// A Server is the cloud. All methods may be called at once.
type Server struct {
	identity *identity.Provider
	graph    *graph.Server
	push     *push.Service
	throttle *throttle
	front    *front.Front
	opts     Options
	notify   *http.Transport
	handler  http.Handler
}

// New makes a cloud without users.
func New(settings Settings, opts Options) (*Server, error) {
	front.Defaults(&opts.Now, &opts.Log, &opts.Counters, &opts.Faults)
	s := &Server{opts: opts, throttle: newThrottle(settings.Throttle, opts.Seed, opts.Now)}
	s.front = &front.Front{
		Cloud: Name, Log: opts.Log, Counters: opts.Counters, Faults: opts.Faults, Refuse: s.refuse, Dialect: s.dialect(),
	}
	mail := graph.DefaultSettings()
	if settings.Mail != nil {
		settings.Mail(&mail)
	}
	s.graph = graph.New(mail, graph.Options{
		Now: opts.Now, Sender: opts.Sender, Log: opts.Log.With("part", "graph"), BaseURL: opts.BaseURL,
	})
	apps := settings.Apps
	if len(apps) == 0 {
		apps = []identity.App{identity.DefaultApp(settings.RedirectURIs...)}
	}
	var err error
	s.identity, err = identity.New(settings.Identity, identity.Options{
		Users: s.graph, Now: opts.Now, Log: opts.Log.With("part", "identity"), Counters: opts.Counters, Key: opts.Key,
	}, apps...)
	if err != nil {
		return nil, err
	}
	s.notify = front.NotifyTransport(opts.NotifyRoots)
	s.push = push.New(settings.Push, push.Options{
		Caller:     callerOf,
		WriteError: s.writeError,
		Folder:     s.graph.FolderByRef,
		Tenant: func(u cloud.User) string {
			if s.identity.Personal(u) {
				return ""
			}
			return s.identity.TenantOf(u)
		},
		Client: front.NotifyClient(s.notify),
		Now:    opts.Now, Log: opts.Log.With("part", "push"), Counters: opts.Counters, Faults: opts.Faults,
	})
	s.graph.OnChange(s.push.Notify)
	s.handler = s.routes()
	return s, nil
}

// Handler serves both hosts; they differ by path.
func (s *Server) Handler() http.Handler { return s.handler }

// routes tells the parts apart by the path.
func (s *Server) routes() http.Handler {
	graphAPI := s.graphChain()
	login := s.loginChain()
	upload := s.uploadChain()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1.0/"):
			graphAPI.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/upload/"):
			upload.ServeHTTP(w, r)
		default:
			login.ServeHTTP(w, r)
		}
	})
}

// Run serves https on l, sends notifications, and returns when ctx has ended
// and both are done.
func (s *Server) Run(ctx context.Context, l net.Listener, cert tls.Certificate) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pushErr error
	var wg sync.WaitGroup
	wg.Go(func() { pushErr = s.push.Run(ctx) })
	config := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	err := front.Serve(ctx, l, config, s.handler, s.opts.Log)
	cancel()
	wg.Wait()
	s.notify.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("serve microsoft: %w", err)
	}
	return pushErr
}
