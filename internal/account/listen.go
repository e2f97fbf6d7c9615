package account

import (
	"context"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// listenRest lies between the end of one Listen and the next, at least: a
// plugin that ends at once must not keep us busy.
const (
	listenRest    = time.Second
	listenRestMax = 5 * time.Minute
)

// listeners are the provider instances that are listened to: those whose
// provider brings hints by a feed of its own, where nobody need reach us.
type listeners struct {
	wake chan struct{}
	mu   sync.Mutex
	// due are instances that began to serve, or were configured anew.
	due map[string]bool
	// rests has, for each instance that is listened to, what ends its rest.
	rests map[string]chan struct{}
}

func newListeners() *listeners {
	return &listeners{wake: make(chan struct{}, 1), due: map[string]bool{}, rests: map[string]chan struct{}{}}
}

// begin has an instance listened to, or tried again at once. It does not block.
func (l *listeners) begin(instance string) {
	l.mu.Lock()
	l.due[instance] = true
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take gives the instances that nobody listens to yet, and wakes the others.
func (l *listeners) take() (fresh map[string]<-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fresh = map[string]<-chan struct{}{}
	for instance := range l.due {
		if rest := l.rests[instance]; rest != nil {
			select {
			case rest <- struct{}{}:
			default:
			}
			continue
		}
		l.rests[instance] = make(chan struct{}, 1)
		fresh[instance] = l.rests[instance]
	}
	clear(l.due)
	return fresh
}

func (l *listeners) end(instance string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.rests, instance)
}

// listen listens to every instance that can be listened to, until ctx ends.
func (s *Service) listen(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.listeners.wake:
		}
		for instance, anew := range s.listeners.take() {
			wg.Go(func() {
				defer s.listeners.end(instance)
				s.listenTo(ctx, instance, anew)
			})
		}
	}
}

// listenTo listens to one instance, again and again. What was not heard
// meanwhile stays with the provider, or is found by a poll.
func (s *Service) listenTo(ctx context.Context, instance string, anew <-chan struct{}) {
	for failures := 0; ; {
		info, err := s.providers.Info(instance)
		if err == nil && !info.Has(provider.CapListen) || mail.KindOf(err) == mail.KindNotFound {
			return
		}
		var p provider.Provider
		if err == nil {
			p, err = s.providers.Provider(instance)
		}
		began := s.now()
		if err == nil {
			err = p.Listen(ctx, &provider.ListenRequest{}, func(h *provider.Hint) error {
				failures = 0
				s.Hint(ctx, instance, h)
				return nil
			})
		}
		if ctx.Err() != nil {
			return
		}
		if s.now().Sub(began) > listenRestMax {
			failures = 0
		}
		rest := min(listenRest<<min(failures, 10), listenRestMax)
		failures++
		if err != nil {
			rest = max(rest, mail.RetryAfter(err))
			s.log.WarnContext(ctx, "provider not listened to", "provider", instance, "kind", mail.KindOf(err), "error", err)
		}
		timer := time.NewTimer(rest)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-anew:
			timer.Stop()
			failures = 0
		case <-timer.C:
		}
	}
}

// watched reports whether the accounts of an instance can have a push channel:
// its provider reaches us, or is listened to.
func (s *Service) watched(instance string) bool {
	if s.opts.Push(instance) {
		return true
	}
	info, err := s.providers.Info(instance)
	return err == nil && info.Has(provider.CapListen)
}
