package microsoft

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
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
}

// A Server is the cloud. All methods may be called at once.
type Server struct {
	identity *identity.Provider
	graph    *graph.Server
	push     *push.Service
	throttle *throttle
	opts     Options
	notify   *http.Transport
	handler  http.Handler
}

// New makes a cloud without users.
func New(settings Settings, opts Options) (*Server, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Counters == nil {
		opts.Counters = &traffic.Counters{}
	}
	if opts.Faults == nil {
		opts.Faults = traffic.NewFaults(opts.Seed)
	}
	mail := graph.DefaultSettings()
	if settings.Mail != nil {
		settings.Mail(&mail)
	}
	s := &Server{opts: opts, throttle: newThrottle(settings.Throttle, opts.Seed, opts.Now)}
	s.graph = graph.New(mail, graph.Options{
		Now: opts.Now, Sender: opts.Sender, Log: opts.Log.With("part", "graph"), BaseURL: opts.BaseURL,
	})
	apps := settings.Apps
	if len(apps) == 0 {
		apps = []identity.App{identity.DefaultApp(settings.RedirectURIs...)}
	}
	var err error
	s.identity, err = identity.New(settings.Identity, identity.Options{
		Users: s.graph, Now: opts.Now, Log: opts.Log.With("part", "identity"), Counters: opts.Counters,
	}, apps...)
	if err != nil {
		return nil, err
	}
	s.notify = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: opts.NotifyRoots, MinVersion: tls.VersionTLS12},
		DialContext:     (&net.Dialer{Timeout: 10 * time.Second}).DialContext, MaxIdleConnsPerHost: 16,
		IdleConnTimeout: 30 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
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
		Client: &http.Client{Transport: s.notify, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
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

// shutdownGrace is how long requests under way have when the server ends.
const shutdownGrace = time.Second

// Run serves https on l, sends notifications, and returns when ctx has ended
// and both are done.
func (s *Server) Run(ctx context.Context, l net.Listener, cert tls.Certificate) error {
	srv := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       5 * time.Minute,  // upload sessions send 4 MB at a time
		WriteTimeout:      10 * time.Minute, // faults may delay an answer
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:          log.New(quiet{s.opts.Log}, "", 0),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pushErr error
	var wg sync.WaitGroup
	wg.Go(func() { pushErr = s.push.Run(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		grace, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
		defer stop()
		if err := srv.Shutdown(grace); err != nil {
			_ = srv.Close() // what is left is cut; nothing else could be done
		}
	})
	err := srv.ServeTLS(l, "", "")
	cancel()
	wg.Wait()
	s.notify.CloseIdleConnections()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve microsoft: %w", err)
	}
	return pushErr
}

// quiet passes net/http's own complaints, which are about clients, to the log
// at debug level.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("https server", "message", strings.TrimSpace(string(p)))
	return len(p), nil
}
