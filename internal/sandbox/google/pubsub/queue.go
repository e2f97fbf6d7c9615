package pubsub

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A subscription is a queue of its own.
type subscription struct {
	Name        string
	Topic       string
	Push        *pushConfig
	AckDeadline time.Duration
	Retention   time.Duration
	Policy      policy
	Items       []*item

	changed chan struct{} // closed and replaced when there is something to look at
	pushing bool          // a goroutine pushes
	posts   int           // pushes under way
}

// A message is what was published.
type message struct {
	ID         string
	Data       []byte
	Attributes map[string]string `json:",omitempty"`
	Published  time.Time
	User       string
}

// An item is a message in a subscription.
type item struct {
	Message   *message
	NotBefore time.Time // when it may be handed out next
	Attempt   int
	ackID     string
	posting   bool
}

// wake tells all who wait for the subscription. Called with the lock held.
func (sub *subscription) wake() {
	close(sub.changed)
	sub.changed = make(chan struct{})
}

// enqueue adds an item. Called with the lock held.
func (s *Service) enqueue(sub *subscription, it *item) {
	sub.Items = append(sub.Items, it)
	if len(sub.Items) > s.settings.MaxQueued {
		s.count(sub.Items[0].Message, "dropped")
		sub.Items = sub.Items[1:]
	}
	sub.wake()
}

// take hands out at most n items that are due, and says when the next one is;
// zero when none waits. Called with the lock held.
func (s *Service) take(sub *subscription, n int) (due []*item, next time.Time) {
	now := s.opts.Now()
	sub.Items = slices.DeleteFunc(sub.Items, func(it *item) bool {
		old := now.Sub(it.Message.Published) >= sub.Retention && !it.posting
		if old {
			s.count(it.Message, "dropped")
		}
		return old
	})
	for _, it := range sub.Items {
		switch {
		case it.posting:
		case it.NotBefore.After(now):
			if next.IsZero() || it.NotBefore.Before(next) {
				next = it.NotBefore
			}
		case len(due) < n:
			if it.Attempt++; it.Attempt > 1 {
				s.count(it.Message, "retried")
			}
			it.NotBefore = now.Add(sub.AckDeadline)
			due = append(due, it)
		}
	}
	return due, next
}

// remove takes an item out; false when it is gone already. Called with the
// lock held.
func (sub *subscription) remove(it *item) bool {
	i := slices.Index(sub.Items, it)
	if i < 0 {
		return false
	}
	sub.Items = slices.Delete(sub.Items, i, i+1)
	return true
}

// pull hands out messages, and waits for a first one.
func (s *Service) pull(ctx context.Context, name string, n int, wait bool) ([]*item, *problem) {
	limit := time.NewTimer(s.settings.PollFor)
	defer limit.Stop()
	for {
		s.mu.Lock()
		sub := s.subs[name]
		if sub == nil {
			s.mu.Unlock()
			return nil, notFound(name)
		}
		if sub.Push != nil {
			s.mu.Unlock()
			return nil, &problem{400, "FAILED_PRECONDITION", "This method is not supported for this subscription type. (" + name + " is a push subscription.)"}
		}
		if ctx.Err() != nil { // nobody is there to have them
			s.mu.Unlock()
			return nil, nil
		}
		due, next := s.take(sub, n)
		out := make([]*item, 0, len(due))
		for _, it := range due {
			it.ackID = s.newAckID(it)
			s.count(it.Message, "pulled")
			handed := *it
			out = append(out, &handed)
		}
		changed, now := sub.changed, s.opts.Now()
		s.mu.Unlock()
		if len(out) > 0 || !wait {
			return out, nil
		}
		again, stop := after(next, now)
		select {
		case <-changed:
		case <-again:
		case <-limit.C:
			wait = false
		case <-s.stopping:
			wait = false
		case <-ctx.Done():
		}
		stop()
	}
}

// after fires when next has come; never for the zero time.
func after(next, now time.Time) (<-chan time.Time, func()) {
	if next.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(max(next.Sub(now), time.Millisecond))
	return t.C, func() { t.Stop() }
}

// ackPrefix begins every ackId, as the real ones have a common beginning.
const ackPrefix = "UAYWLF1GSFE3GQhoUQ5PXiM_"

func (s *Service) newAckID(it *item) string {
	return fmt.Sprintf("%s%s-%d-%x", ackPrefix, it.Message.ID, it.Attempt, s.opts.Now().UnixNano())
}

// acknowledge removes the messages of ackIds. One that is not known any more
// is not an error: its message was acknowledged, or handed out again.
func (s *Service) acknowledge(name string, ackIDs []string) *problem {
	return s.withAcks(name, ackIDs, func(sub *subscription, it *item) {
		sub.remove(it)
		s.count(it.Message, "delivered")
	})
}

// modifyAckDeadline gives messages more time, or with 0 none at all.
func (s *Service) modifyAckDeadline(name string, ackIDs []string, d time.Duration) *problem {
	if d < 0 || d > 600*time.Second {
		return invalid("The value for ack_deadline_seconds is not between 0 and 600.")
	}
	return s.withAcks(name, ackIDs, func(sub *subscription, it *item) {
		it.NotBefore = s.opts.Now().Add(d)
		if d == 0 {
			it.ackID = ""
		}
		sub.wake()
	})
}

func (s *Service) withAcks(name string, ackIDs []string, do func(*subscription, *item)) *problem {
	if len(ackIDs) == 0 {
		return invalid("No ack ids specified.")
	}
	for _, id := range ackIDs {
		if !strings.HasPrefix(id, ackPrefix) {
			return invalid("You have passed an invalid ack ID to the service (ack_id=" + id + ").")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.subs[name]
	if sub == nil {
		return notFound(name)
	}
	for _, it := range slices.Clone(sub.Items) {
		if it.ackID != "" && slices.Contains(ackIDs, it.ackID) {
			do(sub, it)
		}
	}
	return nil
}

// create makes a subscription. Called with the lock held.
func (s *Service) create(want subscriptionJSON) (*subscription, *problem) {
	switch {
	case !goodName(want.Name, "subscriptions"):
		return nil, invalid("Invalid [subscriptions] name: (name=" + want.Name + ")")
	case s.subs[want.Name] != nil:
		return nil, &problem{409, "ALREADY_EXISTS", "Resource already exists in the project (resource=" + short(want.Name) + ")."}
	case s.topics[want.Topic] == nil:
		return nil, notFound(want.Topic)
	case want.AckDeadlineSeconds != 0 && (want.AckDeadlineSeconds < 10 || want.AckDeadlineSeconds > 600):
		return nil, invalid("Invalid ack deadline given (ack_deadline=" + fmt.Sprint(want.AckDeadlineSeconds) + "). It must be between 10 and 600.")
	}
	sub := &subscription{
		Name: want.Name, Topic: want.Topic, AckDeadline: s.settings.AckDeadline, Retention: s.settings.Retention,
		Policy: policy{}, changed: make(chan struct{}),
	}
	if want.AckDeadlineSeconds != 0 {
		sub.AckDeadline = time.Duration(want.AckDeadlineSeconds) * time.Second
	}
	if want.MessageRetentionDuration != "" {
		d, err := time.ParseDuration(want.MessageRetentionDuration)
		if err != nil || d < 10*time.Minute || d > 31*24*time.Hour {
			return nil, invalid("Invalid message retention duration: " + want.MessageRetentionDuration)
		}
		sub.Retention = d
	}
	if why := s.setPush(sub, want.PushConfig); why != nil {
		return nil, why
	}
	s.subs[sub.Name] = sub
	return sub, nil
}

// setPush makes a subscription push, or with nothing in config be pulled.
// Called with the lock held.
func (s *Service) setPush(sub *subscription, config *pushConfig) *problem {
	if config == nil || config.PushEndpoint == "" {
		sub.Push = nil
		sub.wake()
		return nil
	}
	u, err := url.Parse(config.PushEndpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !s.settings.AllowHTTP) {
		return invalid("Invalid push endpoint given (endpoint=" + config.PushEndpoint + "). Refer to https://cloud.google.com/pubsub/docs/push for more information.")
	}
	if t := config.OIDCToken; t != nil && t.ServiceAccountEmail == "" {
		return invalid("A service account email must be specified to use OIDC tokens.")
	}
	sub.Push = config
	sub.wake()
	s.startPush(sub)
	return nil
}

// short is a resource's name without its project.
func short(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}
