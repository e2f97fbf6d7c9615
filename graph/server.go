package graph

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/99designs/gqlgen/graphql/handler/extension"
	"github.com/99designs/gqlgen/graphql/handler/lru"
	"github.com/99designs/gqlgen/graphql/handler/transport"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/vektah/gqlparser/v2/ast"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/postern-mail/postern/graph/generated"
	"github.com/postern-mail/postern/graph/graphiql"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store"
)

// Services are what the resolvers need of others. All are needed.
type Services struct {
	Auth        service.Authenticator
	Providers   service.Providers
	Accounts    service.Accounts
	Mailboxes   service.Mailboxes
	Mailer      service.Mailer
	Reader      service.Reader
	Bytes       service.Bytes
	Drafts      service.Drafts
	Submissions service.Submissions
	Endpoints   service.Endpoints
	Deliverer   service.Deliverer
	// AppPasswords let mail programs in.
	AppPasswords service.AppPasswords
}

// Options are settings; the zero value of each has a default.
type Options struct {
	// BaseURL begins the URLs of blobs: http://localhost:8080 by default.
	BaseURL string
	// BlobKey signs the URLs of blobs: 32 bytes. Without it one is made that dies
	// with the process, and the URLs with it.
	BlobKey []byte
	// BlobTTL is how long such a URL is good: 10 minutes.
	BlobTTL time.Duration

	// MaxBody limits what is read before anybody knows who asks, a message of a
	// WebSocket, and the operation in a multipart request: 1 MiB.
	MaxBody int64
	// MaxJSON limits the body of a request with a good key: MaxBody.
	MaxJSON int64
	// MaxUpload limits a multipart request: 40 MiB.
	MaxUpload int64
	// MaxDepth is how deep fields may stand in each other: 15. Introspection is
	// not counted.
	MaxDepth int
	// MaxComplexity limits what a question costs: 50,000. A field costs 1, what is
	// under a connection counts `first` times.
	MaxComplexity int
	// MaxSubscriptions is how many run at once: 1,000.
	MaxSubscriptions int
	// Timeout limits a query or mutation: 30 s.
	Timeout time.Duration
	// InitTimeout is how long a WebSocket may wait with its connection_init: 10 s.
	InitTimeout time.Duration
	// KeepAlive is how often a stream shows that it lives: 15 s.
	KeepAlive time.Duration

	// Listening, when set, is told that somebody waits for changes of accounts,
	// of all of them where none is named, until it calls what that gives.
	Listening func(accounts []string) (stop func())

	Log *slog.Logger
	// Metrics takes postern_graphql_seconds and postern_graphql_subscriptions.
	Metrics prometheus.Registerer
	Tracer  trace.TracerProvider
	Now     func() time.Time
}

func (o *Options) defaults() error {
	if o.BaseURL == "" {
		o.BaseURL = "http://localhost:8080"
	}
	o.BaseURL = strings.TrimRight(o.BaseURL, "/")
	if o.BlobKey == nil {
		o.BlobKey = make([]byte, 32)
		_, _ = rand.Read(o.BlobKey)
	}
	if len(o.BlobKey) != 32 {
		return fmt.Errorf("the key of blob URLs has %d bytes, not 32", len(o.BlobKey))
	}
	def(&o.BlobTTL, 10*time.Minute)
	def(&o.MaxBody, 1<<20)
	def(&o.MaxJSON, o.MaxBody)
	def(&o.MaxUpload, 40<<20)
	def(&o.MaxDepth, 15)
	def(&o.MaxComplexity, 50_000)
	def(&o.MaxSubscriptions, 1000)
	def(&o.Timeout, 30*time.Second)
	def(&o.InitTimeout, 10*time.Second)
	def(&o.KeepAlive, 15*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Server answers GraphQL.
type Server struct {
	store    store.Store
	bus      *event.Bus
	services Services
	opts     Options
	log      *slog.Logger
	html     *sanitiser
	metrics  *metrics
	exec     *executor.Executor
	sockets  transport.Websocket

	streams atomic.Int64 // subscriptions that run

	// closing ends the streams; open counts the requests that run.
	closing context.Context
	cancel  context.CancelFunc
	mu      sync.Mutex
	closed  bool
	open    sync.WaitGroup
}

// New makes a server over a store. The bus wakes its subscriptions.
func New(st store.Store, bus *event.Bus, services Services, opts Options) (*Server, error) {
	if err := opts.defaults(); err != nil {
		return nil, err
	}
	s := &Server{store: st, bus: bus, services: services, opts: opts, log: opts.Log, html: newSanitiser()}
	s.closing, s.cancel = context.WithCancel(context.Background())
	var err error
	if s.metrics, err = newMetrics(opts.Metrics, &s.streams); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	schema := generated.NewExecutableSchema(generated.Config{Resolvers: &resolvers{s}, Complexity: complexities()})
	s.exec = executor.New(schema)
	s.exec.SetErrorPresenter(s.present)
	s.exec.SetRecoverFunc(s.recovered)
	s.exec.SetQueryCache(smallCache[*ast.QueryDocument]{lru.New[*ast.QueryDocument](1000)})
	// What a query of the largest body could hold is no question any more.
	s.exec.SetParserTokenLimit(20_000)
	s.exec.Use(extension.Introspection{})
	s.exec.Use(extension.AutomaticPersistedQuery{Cache: smallCache[string]{lru.New[string](1000)}})
	s.exec.Use(&limits{server: s, schema: schema})
	s.exec.AroundOperations(s.aroundOperation)
	s.exec.AroundResponses(s.aroundResponse)
	s.exec.AroundRootFields(aroundRootField)
	s.sockets = transport.Websocket{
		Implementation:   acceptor{s},
		InitFunc:         s.initSocket,
		InitTimeout:      opts.InitTimeout,
		PingPongInterval: opts.KeepAlive,
		PayloadReadLimit: &opts.MaxBody,
		ErrorFunc: func(ctx context.Context, err error) {
			s.log.DebugContext(ctx, "websocket failed", "error", err.Error())
		},
	}
	return s, nil
}

// Handler answers at /graphql: JSON by POST or GET, SSE, WebSocket.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Close ends all streams and takes no more requests. It does not wait: an
// http.Server that is shut down waits for its requests, Shutdown for those too
// that were upgraded.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
}

// Shutdown closes and waits for what runs.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Close()
	done := make(chan struct{})
	go func() {
		s.open.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.New("graphql requests are still running")
	}
}

// enter counts a request in; false when the server is closing.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.open.Add(1)
	return true
}

// streaming gives a context that also ends when the server closes.
func (s *Server) streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() { stop(); cancel() }
}

// aroundOperation limits the time of what is no stream.
func (s *Server) aroundOperation(ctx context.Context, next graphql.OperationHandler) graphql.ResponseHandler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Subscription {
		return next(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	respond := next(ctx)
	return func(ctx context.Context) *graphql.Response {
		defer cancel()
		return respond(ctx)
	}
}

// aroundResponse gives every answer, each event of a stream too, its own loaders,
// and measures it.
func (s *Server) aroundResponse(ctx context.Context, next graphql.ResponseHandler) *graphql.Response {
	ctx = s.withLoaders(ctx)
	return s.measure(ctx, next)
}

// aroundRootField forgets what was loaded before a mutation's next field, which
// shall show what it did.
func aroundRootField(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
	if graphql.GetOperationContext(ctx).Operation.Operation == ast.Mutation {
		loadersOf(ctx).reset()
	}
	return next(ctx)
}

// GraphiQL answers at path and below with a page that asks at /graphql and
// presents key. Whoever can load the page has the key: it is for the demo.
func (s *Server) GraphiQL(path, key string) http.Handler {
	return graphiql.Handler(path, "/graphql", key)
}
