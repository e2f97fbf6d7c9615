package google

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// Name is how the control API calls this cloud.
const Name = "google"

// Options are what a Server is given from outside.
type Options struct {
	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	Faults   *traffic.Faults
	Sender   cloud.Sender
	Seed     uint64
	// NotifyRoots are trusted for the endpoints of push subscriptions; nil is
	// the system's.
	NotifyRoots *x509.CertPool
}

// A Server is the cloud. All methods may be called at once.
type Server struct {
	opts    Options
	front   *front.Front
	gmail   *gmail.Server
	handler http.Handler
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
	s := &Server{opts: opts}
	s.front = &front.Front{
		Cloud: Name, Log: opts.Log, Counters: opts.Counters, Faults: opts.Faults, Refuse: s.refuse, Dialect: dialect(),
	}
	s.gmail = gmail.New(settings.Mail, gmail.Options{
		Now: opts.Now, Log: opts.Log.With("part", "gmail"), Sender: opts.Sender,
		Caller:  func(*http.Request) (gmail.Caller, bool) { return gmail.Caller{}, false },
		Publish: func(context.Context, string, string, []byte) error { return nil },
		// The order of the chain is the other cloud's: the counter, the token,
		// the quota, the faults.
		Spoil: s.front.Spoiled, Item: func(next http.Handler) http.Handler { return s.front.Counted(s.known(next)) },
		Counters: opts.Counters,
	})
	s.handler = s.routes()
	return s, nil
}

// Handler serves all hosts; they differ by path.
func (s *Server) Handler() http.Handler { return s.handler }

// routes tells the parts apart by the path.
func (s *Server) routes() http.Handler {
	batch := s.front.Spoiled(s.front.Batch(s.gmail))
	return s.front.Counted(s.known(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/batch" || strings.HasPrefix(path, "/batch/"):
			batch.ServeHTTP(w, r)
		case isMail(path):
			s.gmail.ServeHTTP(w, r)
		default:
			writeError(w, http.StatusNotFound, "notFound", "NOT_FOUND", "Requested entity was not found.")
		}
	})))
}

// isMail tells Gmail's paths from those of sign-in and Pub/Sub.
func isMail(path string) bool {
	return strings.HasPrefix(path, "/gmail/") || strings.HasPrefix(path, "/upload/") || strings.HasPrefix(path, "/resumable/")
}

// Run serves plain http on l and returns when ctx has ended and all requests
// are done.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	return front.Serve(ctx, l, nil, s.handler, s.opts.Log)
}
