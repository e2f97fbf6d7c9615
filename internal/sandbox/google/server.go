package google

import (
	"context"
	"crypto/rsa"
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
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// Name is how the control API calls this cloud.
const Name = oauth.CloudName

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
	// Key is that of tokens and of service accounts; nil makes one for each.
	Key *rsa.PrivateKey
}

// A Server is the cloud. All methods may be called at once.
type Server struct {
	opts     Options
	front    *front.Front
	oauth    *oauth.Provider
	gmail    *gmail.Server
	pubsub   *pubsub.Service
	accounts *accounts
	push     *http.Transport
	handler  http.Handler
}

// New makes a cloud without users.
func New(settings Settings, opts Options) (*Server, error) {
	front.Defaults(&opts.Now, &opts.Log, &opts.Counters, &opts.Faults)
	s := &Server{opts: opts}
	s.front = &front.Front{
		Cloud: Name, Log: opts.Log, Counters: opts.Counters, Faults: opts.Faults, Refuse: s.refuse, Dialect: dialect(),
	}
	s.gmail = gmail.New(settings.Mail, gmail.Options{
		Now: opts.Now, Log: opts.Log.With("part", "gmail"), Sender: opts.Sender, Caller: s.mailCaller,
		Publish: func(ctx context.Context, topic, publisher string, data []byte) error {
			return s.pubsub.Publish(ctx, topic, publisher, data)
		},
		// The order of the chain is the other cloud's: the counter, the token,
		// the quota, the faults.
		Spoil: s.front.Spoiled, Item: func(next http.Handler) http.Handler { return s.front.Counted(s.known(next)) },
		Counters: opts.Counters,
	})
	s.accounts = &accounts{gmail: s.gmail}
	apps := settings.Apps
	if len(apps) == 0 {
		apps = []oauth.App{oauth.DefaultApp(settings.RedirectURIs...)}
	}
	var err error
	s.oauth, err = oauth.New(settings.OAuth, oauth.Options{
		Users: s.accounts, Now: opts.Now, Log: opts.Log.With("part", "oauth"), Counters: opts.Counters, Key: opts.Key,
	}, apps...)
	if err != nil {
		return nil, err
	}
	s.push = front.NotifyTransport(opts.NotifyRoots)
	s.pubsub = pubsub.New(settings.PubSub, pubsub.Options{
		Caller: s.topicCaller, Sign: s.oauth.Sign, AccountID: oauth.AccountID,
		Client: front.NotifyClient(s.push),
		Now:    opts.Now, Log: opts.Log.With("part", "pubsub"), Counters: opts.Counters, Faults: opts.Faults,
	})
	if err := s.furnish(); err != nil {
		return nil, err
	}
	s.handler = s.routes()
	return s, nil
}

// furnish makes what exists from the start.
func (s *Server) furnish() error {
	if err := s.pubsub.AddTopic(Topic); err != nil {
		return err
	}
	if err := s.pubsub.AddSubscription(Subscription, Topic); err != nil {
		return err
	}
	if err := s.pubsub.Grant(Topic, "roles/pubsub.publisher", "serviceAccount:"+pushAccount); err != nil {
		return err
	}
	account, err := s.oauth.AddServiceAccount(accountName, oauth.Project)
	if err != nil {
		return err
	}
	return s.pubsub.Grant("projects/"+oauth.Project, "roles/pubsub.editor", "serviceAccount:"+account.Email)
}

// Handler serves all hosts; they differ by path.
func (s *Server) Handler() http.Handler { return s.handler }

// routes tells the parts apart by the path.
func (s *Server) routes() http.Handler {
	batch := s.front.Spoiled(s.front.Batch(s.gmail))
	topics := s.front.Spoiled(s.pubsub)
	login := s.front.Spoiled(s.oauth.Handler())
	return s.front.Counted(s.known(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/batch" || strings.HasPrefix(path, "/batch/"):
			batch.ServeHTTP(w, r)
		case isMail(path):
			s.gmail.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/v1/projects/"):
			topics.ServeHTTP(w, r)
		default:
			login.ServeHTTP(w, r)
		}
	})))
}

// isMail tells Gmail's paths from those of sign-in and Pub/Sub.
func isMail(path string) bool {
	return strings.HasPrefix(path, "/gmail/") || strings.HasPrefix(path, "/upload/") || strings.HasPrefix(path, "/resumable/")
}

// Run serves plain http on l, pushes, and returns when ctx has ended and both
// are done.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var pushErr error
	var wg sync.WaitGroup
	wg.Go(func() { pushErr = s.pubsub.Run(ctx) })
	err := front.Serve(ctx, l, nil, s.handler, s.opts.Log)
	cancel()
	wg.Wait()
	s.push.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("serve google: %w", err)
	}
	return pushErr
}
