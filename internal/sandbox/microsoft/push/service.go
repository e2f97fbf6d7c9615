package push

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// cloudName is how counters and faults call this cloud.
const cloudName = "microsoft"

// A Caller is for whom a request is made, and by which app.
type Caller struct {
	User   cloud.User
	App    string
	Scopes []string
}

// Options are what a Service needs beside its settings.
type Options struct {
	// Caller finds out who makes a request; required.
	Caller func(context.Context) (Caller, bool)
	// WriteError answers with an error in Graph's form; required.
	WriteError func(w http.ResponseWriter, r *http.Request, status int, code, message string)
	// Folder resolves a folder of a user, by id or well-known name; required.
	Folder func(address, ref string) (id string, ok bool)
	// Tenant is the tenantId in a user's notifications, "" for personal
	// accounts; required.
	Tenant func(cloud.User) string
	// Client sends notifications. It must follow no redirect; default a client
	// that does not.
	Client *http.Client

	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	Faults   *traffic.Faults
}

// A Service keeps subscriptions and sends notifications. All methods may be
// called at once.
type Service struct {
	settings Settings
	opts     Options

	mu     sync.Mutex
	subs   map[string]*subscription
	byUser map[string]map[string]*subscription // user id, then id: what Notify and conflicts look at
	queues map[queueKey]*queue
	hosts  map[string]*host
	ctx    context.Context // of Run; nil when not running
	wg     sync.WaitGroup
}

// New makes a service without subscriptions.
func New(settings Settings, opts Options) *Service {
	front.Defaults(&opts.Now, &opts.Log, &opts.Counters, &opts.Faults)
	if opts.Client == nil {
		opts.Client = front.NotifyClient(nil)
	}
	return &Service{
		settings: settings.withDefaults(), opts: opts,
		subs: map[string]*subscription{}, byUser: map[string]map[string]*subscription{}, queues: map[queueKey]*queue{}, hosts: map[string]*host{},
	}
}

// Run sends what Notify takes until ctx ends, and returns when all its
// goroutines did. What is then still unsent is lost, as in a crash.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	if s.ctx != nil {
		s.mu.Unlock()
		return fmt.Errorf("push: running already")
	}
	s.ctx = ctx
	for key, q := range s.queues { // what came before, or was left by an earlier Run
		q.running = s.goroutine(func(ctx context.Context) { s.drain(ctx, key, q) })
	}
	s.mu.Unlock()
	tick := time.NewTicker(s.settings.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.sweep()
		case <-ctx.Done():
			s.mu.Lock()
			s.ctx = nil // no goroutine is started from here on
			s.mu.Unlock()
			s.wg.Wait()
			return nil
		}
	}
}

// goroutine starts f under Run's context; without a Run it does nothing.
// Called with the lock held.
func (s *Service) goroutine(f func(context.Context)) bool {
	if s.ctx == nil || s.ctx.Err() != nil {
		return false
	}
	ctx := s.ctx
	s.wg.Go(func() { f(ctx) })
	return true
}

// Notify queues notifications of a change for every subscription that covers
// it.
func (s *Service) Notify(c cloud.Change) {
	if c.Silent {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	for _, sub := range sorted(s.byUser[c.User.ID], func(sub *subscription) bool { return sub.covers(c) && now.Before(sub.Expires) }) {
		if sub.paused(now, s.settings.ReauthorizePause) {
			sub.missed = true
			s.count(sub, "paused")
			continue
		}
		fault, _ := s.opts.Faults.Notification(cloudName, sub.User.Address)
		if fault.Drop {
			s.count(sub, "dropped_by_fault")
			continue
		}
		n := s.notification(sub, c)
		times := 1
		if fault.Double {
			times = 2
			s.count(sub, "doubled")
		}
		for range times {
			if fault.DelayMS > 0 {
				s.count(sub, "delayed")
				s.goroutine(func(ctx context.Context) {
					if sleep(ctx, time.Duration(fault.DelayMS)*time.Millisecond) == nil {
						s.mu.Lock()
						defer s.mu.Unlock()
						s.enqueue(queueKey{sub.NotificationURL, false}, n)
					}
				})
				continue
			}
			s.enqueue(queueKey{sub.NotificationURL, false}, n)
		}
	}
}

// Lifecycle events.
const (
	ReauthorizationRequired = "reauthorizationRequired"
	SubscriptionRemoved     = "subscriptionRemoved"
	Missed                  = "missed"
)

// Lifecycle sends an event for all subscriptions of a user, as if the service
// had its reasons: subscriptionRemoved removes them first. It returns how many
// were told; one without a lifecycleNotificationUrl cannot be.
func (s *Service) Lifecycle(user cloud.User, event string) (int, error) {
	switch event {
	case ReauthorizationRequired, SubscriptionRemoved, Missed:
	default:
		return 0, fmt.Errorf("lifecycle event %q is not one of %s, %s, %s", event, ReauthorizationRequired, SubscriptionRemoved, Missed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	told := 0
	for _, sub := range sorted(s.byUser[user.ID], func(*subscription) bool { return true }) {
		if event == SubscriptionRemoved {
			s.forget(sub)
		}
		if s.tell(sub, event) {
			told++
		}
	}
	return told, nil
}

// tell queues a lifecycle event. Called with the lock held.
func (s *Service) tell(sub *subscription, event string) bool {
	if sub.LifecycleURL == "" {
		return false
	}
	if event == ReauthorizationRequired {
		now := s.opts.Now()
		sub.asked = now
		if sub.askedFirst.IsZero() {
			sub.askedFirst = now
		}
	}
	s.enqueue(queueKey{sub.LifecycleURL, true}, item{sub: sub, lifecycle: event})
	return true
}

// sweep ends subscriptions that ran out and asks for those that soon will.
func (s *Service) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	ended := func(sub *subscription) bool { return !now.Before(sub.Expires) }
	due := func(sub *subscription) bool {
		return sub.Expires.Sub(now) <= s.settings.ReauthorizeBefore && now.Sub(sub.asked) >= s.settings.ReauthorizeEvery
	}
	for _, sub := range sorted(s.subs, func(sub *subscription) bool { return ended(sub) || due(sub) }) {
		if !ended(sub) {
			s.tell(sub, ReauthorizationRequired)
			continue
		}
		s.forget(sub)
		s.opts.Log.Info("subscription expired", "subscription", sub.ID, "user", sub.User.Address)
		if s.settings.RemovedOnExpiry {
			s.tell(sub, SubscriptionRemoved)
		}
	}
}

// remember and forget keep both indexes. Called with the lock held.
func (s *Service) remember(sub *subscription) {
	s.subs[sub.ID] = sub
	if s.byUser[sub.User.ID] == nil {
		s.byUser[sub.User.ID] = map[string]*subscription{}
	}
	s.byUser[sub.User.ID][sub.ID] = sub
}

func (s *Service) forget(sub *subscription) {
	delete(s.subs, sub.ID)
	delete(s.byUser[sub.User.ID], sub.ID)
	if len(s.byUser[sub.User.ID]) == 0 {
		delete(s.byUser, sub.User.ID)
	}
}

// sorted lists the subscriptions that match, oldest first.
func sorted(subs map[string]*subscription, match func(*subscription) bool) []*subscription {
	var out []*subscription
	for _, sub := range subs {
		if match(sub) {
			out = append(out, sub)
		}
	}
	slices.SortFunc(out, func(a, b *subscription) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

func (s *Service) count(sub *subscription, outcome string) {
	s.opts.Counters.Notification(cloudName, sub.User.Address, outcome)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
