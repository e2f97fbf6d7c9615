package push

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// queueKey: one queue for each URL and kind of body.
type queueKey struct {
	url       string
	lifecycle bool
}

// A queue gathers what is to be posted to one URL. Guarded by the service's
// lock.
type queue struct {
	items   []item
	running bool // a goroutine drains it
	pending int  // posts under way, retries included
}

// An item is one notification; the subscription's own properties are read
// when it is posted.
type item struct {
	sub       *subscription
	id        string
	change    string
	message   string // id of the message
	etag      string
	lifecycle string // the event; then nothing of the above but sub
}

func (s *Service) notification(sub *subscription, c cloud.Change) item {
	n := item{sub: sub, id: notificationID(), change: c.Type, message: c.MessageID, etag: c.ETag}
	if sub.Immutable {
		n.message = c.ImmutableID
	}
	return n
}

func notificationID() string {
	var b [12]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// enqueue adds an item to a queue and sees to it that it is drained. Called
// with the lock held.
func (s *Service) enqueue(key queueKey, n item) {
	q := s.queues[key]
	if q == nil {
		q = &queue{}
		s.queues[key] = q
	}
	q.items = append(q.items, n)
	if !q.running {
		q.running = s.goroutine(func(ctx context.Context) { s.drain(ctx, key, q) })
	}
}

// drain posts what gathers in a queue until it is empty.
func (s *Service) drain(ctx context.Context, key queueKey, q *queue) {
	for {
		stopped := sleep(ctx, s.settings.BatchWindow) != nil
		s.mu.Lock()
		if len(q.items) == 0 || stopped {
			q.running = false
			if q.pending == 0 && !stopped {
				delete(s.queues, key)
			}
			s.mu.Unlock()
			return
		}
		n := min(len(q.items), s.settings.MaxBatch)
		batch := q.items[:n:n]
		q.items = q.items[n:]
		if q.pending >= s.settings.MaxPending {
			s.drop(batch, "dropped")
		} else {
			q.pending++
			s.goroutine(func(ctx context.Context) {
				s.deliver(ctx, key, batch)
				s.mu.Lock()
				defer s.mu.Unlock()
				if q.pending--; q.pending == 0 && !q.running && len(q.items) == 0 && s.queues[key] == q {
					delete(s.queues, key)
				}
			})
		}
		s.mu.Unlock()
	}
}

// deliver posts a batch until it is taken or given up.
func (s *Service) deliver(ctx context.Context, key queueKey, batch []item) {
	u, err := url.Parse(key.url)
	if err != nil { // checked when the subscription was made
		return
	}
	backoff, waited := s.settings.RetryBackoff, time.Duration(0)
	for {
		s.mu.Lock()
		state := s.stateOf(u.Host)
		if state == dropping {
			s.drop(batch, "dropped_slow")
			s.mu.Unlock()
			return
		}
		batch = s.live(batch)
		body := s.envelope(batch)
		s.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if state == slow && sleep(ctx, s.settings.SlowDelay) != nil {
			return
		}
		taken := s.post(ctx, u, body)
		if ctx.Err() != nil && !taken {
			return
		}
		s.mu.Lock()
		if taken {
			s.countAll(batch, "delivered")
			s.mu.Unlock()
			return
		}
		if waited += backoff; waited > s.settings.RetryFor {
			s.drop(batch, "dropped")
			s.mu.Unlock()
			return
		}
		s.countAll(batch, "retried")
		s.mu.Unlock()
		if sleep(ctx, backoff) != nil {
			return
		}
		backoff = min(2*backoff, s.settings.RetryBackoffMax)
	}
}

// live leaves out what belongs to subscriptions that are gone; that they are
// gone is still told. Called with the lock held.
func (s *Service) live(batch []item) []item {
	out := batch[:0:0]
	for _, n := range batch {
		if s.subs[n.sub.ID] == n.sub || n.lifecycle == SubscriptionRemoved {
			out = append(out, n)
		} else {
			s.count(n.sub, "dropped")
		}
	}
	return out
}

// drop gives items up and tells their subscriptions, once each. Called with
// the lock held.
func (s *Service) drop(batch []item, outcome string) {
	told := map[string]bool{}
	for _, n := range batch {
		if n.lifecycle != "" {
			s.opts.Counters.Notification(cloudName, n.sub.User.Address, "lifecycle_"+outcome)
			continue
		}
		s.count(n.sub, outcome)
		if !told[n.sub.ID] && s.subs[n.sub.ID] == n.sub {
			told[n.sub.ID] = true
			s.tell(n.sub, Missed)
		}
	}
}

func (s *Service) countAll(batch []item, outcome string) {
	for _, n := range batch {
		if n.lifecycle != "" {
			s.opts.Counters.Notification(cloudName, n.sub.User.Address, "lifecycle_"+outcome)
			continue
		}
		s.count(n.sub, outcome)
	}
}

// envelope is the body of a post. Called with the lock held.
func (s *Service) envelope(batch []item) []byte {
	values := make([]map[string]any, 0, len(batch))
	for _, n := range batch {
		v := map[string]any{
			"subscriptionId": n.sub.ID, "subscriptionExpirationDateTime": n.sub.Expires.UTC().Format(layout),
			"tenantId": s.opts.Tenant(n.sub.User),
		}
		if n.sub.ClientState != "" {
			v["clientState"] = n.sub.ClientState
		}
		if n.lifecycle != "" {
			v["lifecycleEvent"] = n.lifecycle
		} else {
			resource := s.resourceOf(n)
			v["id"], v["changeType"], v["resource"] = n.id, n.change, resource
			data := map[string]any{"@odata.type": "#Microsoft.Graph.Message", "@odata.id": resource, "id": n.message}
			if n.etag != "" {
				data["@odata.etag"] = n.etag
			}
			v["resourceData"] = data
		}
		values = append(values, v)
	}
	body, err := json.Marshal(map[string]any{"value": values})
	if err != nil { // strings only
		s.opts.Log.Error("encode a notification", "error", err)
	}
	return body
}

func (s *Service) resourceOf(n item) string {
	if s.settings.LowerCaseResources {
		user := n.sub.User.ID
		if t := s.opts.Tenant(n.sub.User); t != "" {
			user += "@" + t
		}
		return "users/" + strings.ToLower(user) + "/messages/" + n.message
	}
	return "Users/" + n.sub.User.ID + "/Messages/" + n.message
}

// post sends once and judges the endpoint by the time it took. Only a 2xx in
// time counts.
func (s *Service) post(ctx context.Context, u *url.URL, body []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, s.settings.DeliveryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Microsoft-Graph-Change-Notifications (Postern sandbox)")
	began := time.Now()
	resp, err := s.opts.Client.Do(req)
	s.judge(u.Host, time.Since(began))
	if err != nil {
		s.opts.Log.Info("notification failed", "host", u.Host, "error", withoutURL(err))
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if resp.StatusCode/100 != 2 {
		s.opts.Log.Info("notification refused", "host", u.Host, "status", resp.StatusCode)
		return false
	}
	return true
}

// withoutURL leaves out the URL, whose path or query may be a secret of the
// endpoint's.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
