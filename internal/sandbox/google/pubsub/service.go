package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// cloudName is how counters and faults call this cloud.
const cloudName = "google"

// Why Publish refuses.
var (
	ErrNotFound  = errors.New("pubsub: topic not found")
	ErrForbidden = errors.New("pubsub: not authorized to publish")
)

// A Caller is who makes a request.
type Caller struct {
	Member string // serviceAccount:... or user:..., as in a policy
	Scopes []string
}

// Options are what a Service needs beside its settings.
type Options struct {
	// Caller finds out who makes a request; required.
	Caller func(*http.Request) (Caller, bool)
	// Sign makes the token of a pushed message; required.
	Sign func(claims any) (string, error)
	// AccountID is the id of a service account, for azp and sub; required.
	AccountID func(email string) string
	// Client posts to endpoints. It must follow no redirect; default a client
	// that does not.
	Client *http.Client

	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	Faults   *traffic.Faults
}

// A Service keeps topics and subscriptions. All methods may be called at once.
type Service struct {
	settings Settings
	opts     Options

	mu       sync.Mutex
	topics   map[string]*topic
	subs     map[string]*subscription
	projects map[string]policy // roles in a whole project
	lastID   uint64
	ctx      context.Context // of Run; nil when not running
	stopping chan struct{}   // closed when Run ends
	wg       sync.WaitGroup
}

// A topic is what is published to.
type topic struct {
	Name   string
	Policy policy
}

// New makes a service without topics.
func New(settings Settings, opts Options) *Service {
	front.Defaults(&opts.Now, &opts.Log, &opts.Counters, &opts.Faults)
	if opts.Client == nil {
		opts.Client = front.NotifyClient(nil)
	}
	return &Service{
		settings: settings.withDefaults(), opts: opts, topics: map[string]*topic{}, subs: map[string]*subscription{},
		projects: map[string]policy{}, lastID: 2070443601311540, stopping: make(chan struct{}),
	}
}

// Run pushes until ctx ends, and returns when all that it started did. What is
// then not acknowledged stays in its subscription.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.ctx != nil {
		s.mu.Unlock()
		return errors.New("pubsub: running already")
	}
	s.ctx = ctx
	for _, sub := range s.subs {
		s.startPush(sub)
	}
	s.mu.Unlock()
	<-ctx.Done()
	close(s.stopping)
	s.wg.Wait()
	return nil
}

// names are what topics and subscriptions may be called.
var names = regexp.MustCompile(`^projects/[a-z][a-z0-9:.-]{2,98}/(topics|subscriptions)/[A-Za-z][A-Za-z0-9._~+%-]{2,254}$`)

func goodName(name, kind string) bool {
	return names.MatchString(name) && strings.Contains(name, "/"+kind+"/") && !strings.Contains(name, "/"+kind+"/goog")
}

// AddTopic makes a topic, if there is none of the name.
func (s *Service) AddTopic(name string) error {
	if !goodName(name, "topics") {
		return fmt.Errorf("add topic: %q is not projects/p/topics/t", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.topics[name] == nil {
		s.topics[name] = &topic{Name: name, Policy: policy{}}
	}
	return nil
}

// AddSubscription makes one that is pulled, if there is none of the name.
func (s *Service) AddSubscription(name, topic string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[name] != nil {
		return nil
	}
	if _, why := s.create(subscriptionJSON{Name: name, Topic: topic}); why != nil {
		return fmt.Errorf("add subscription: %w", why)
	}
	return nil
}

// Grant gives a member a role in a topic, a subscription or a project
// (projects/p).
func (s *Service) Grant(resource, role, member string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.policyOf(resource)
	if p == nil {
		return fmt.Errorf("grant %s: no resource %s", role, resource)
	}
	p.grant(role, member)
	return nil
}

// Publish brings a message of a service account to a topic: Gmail's, say.
func (s *Service) Publish(_ context.Context, topic, publisher string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[topic]
	switch {
	case t == nil:
		return ErrNotFound
	case !s.allowed("serviceAccount:"+publisher, topic, "pubsub.topics.publish"):
		return ErrForbidden
	}
	s.publish(t, data, nil)
	return nil
}

// publish puts a message into every subscription of a topic and returns its
// id. Called with the lock held.
func (s *Service) publish(t *topic, data []byte, attributes map[string]string) string {
	s.lastID++
	now := s.opts.Now()
	m := &message{ID: strconv.FormatUint(s.lastID, 10), Data: data, Attributes: attributes, Published: now, User: userOf(data)}
	fault, _ := s.opts.Faults.Notification(cloudName, m.User)
	times := 1
	switch {
	case fault.Drop:
		s.count(m, "dropped_by_fault")
		return m.ID
	case fault.Double:
		s.count(m, "doubled")
		times = 2
	}
	if fault.DelayMS > 0 {
		s.count(m, "delayed")
	}
	for _, sub := range s.subs {
		if sub.Topic != t.Name {
			continue
		}
		for range times {
			s.enqueue(sub, &item{Message: m, NotBefore: now.Add(time.Duration(fault.DelayMS) * time.Millisecond)})
		}
	}
	return m.ID
}

// userOf is whose notification it is; "" for messages that are none.
func userOf(data []byte) string {
	var n struct {
		EmailAddress string `json:"emailAddress"`
	}
	if json.Unmarshal(data, &n) != nil {
		return ""
	}
	return n.EmailAddress
}

func (s *Service) count(m *message, outcome string) {
	s.opts.Counters.Notification(cloudName, m.User, outcome)
}
