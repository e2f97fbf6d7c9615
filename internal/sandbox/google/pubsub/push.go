package pubsub

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"time"
)

// A pushConfig says where messages are pushed to.
type pushConfig struct {
	PushEndpoint string            `json:"pushEndpoint,omitempty"`
	Attributes   map[string]string `json:"attributes,omitempty"`
	OIDCToken    *oidcToken        `json:"oidcToken,omitempty"`
	NoWrapper    *noWrapper        `json:"noWrapper,omitempty"`
}

type oidcToken struct {
	ServiceAccountEmail string `json:"serviceAccountEmail"`
	Audience            string `json:"audience,omitempty"`
}

// noWrapper posts the data alone.
type noWrapper struct {
	WriteMetadata bool `json:"writeMetadata,omitempty"`
}

// startPush sees to it that a push subscription is worked on. Called with the
// lock held.
func (s *Service) startPush(sub *subscription) {
	if s.ctx == nil || s.ctx.Err() != nil || sub.pushing || sub.Push == nil {
		return
	}
	sub.pushing = true
	ctx := s.ctx
	s.wg.Go(func() { s.pushAll(ctx, sub) })
}

// pushAll posts what comes into a subscription until it is gone, pulled, or
// the service ends.
func (s *Service) pushAll(ctx context.Context, sub *subscription) {
	for {
		s.mu.Lock()
		if s.subs[sub.Name] != sub || sub.Push == nil {
			sub.pushing = false
			s.mu.Unlock()
			return
		}
		var due []*item
		var next time.Time
		if room := s.settings.MaxOutstanding - sub.posts; room > 0 {
			due, next = s.take(sub, room)
		}
		config := *sub.Push
		for _, it := range due {
			it.posting = true
			sub.posts++
			m, attempt := it.Message, it.Attempt
			s.wg.Go(func() {
				taken := s.post(ctx, sub, config, m)
				s.posted(sub, it, taken, attempt)
			})
		}
		changed, now := sub.changed, s.opts.Now()
		s.mu.Unlock()
		again, stop := after(next, now)
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			stop()
			s.mu.Lock()
			sub.pushing = false
			s.mu.Unlock()
			return
		}
		stop()
	}
}

// posted notes what became of a post.
func (s *Service) posted(sub *subscription, it *item, taken bool, attempt int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.posting = false
	sub.posts--
	if taken {
		if sub.remove(it) {
			s.count(it.Message, "delivered")
		}
	} else {
		it.NotBefore = s.opts.Now().Add(s.backoff(attempt))
	}
	sub.wake()
}

// backoff is the wait after so many attempts.
func (s *Service) backoff(attempts int) time.Duration {
	d := s.settings.Backoff
	for range attempts - 1 {
		if d = 2 * d; d >= s.settings.BackoffMax {
			return s.settings.BackoffMax
		}
	}
	return d
}

// acknowledges are the statuses that acknowledge a pushed message.
var acknowledges = []int{
	http.StatusProcessing, http.StatusOK, http.StatusCreated, http.StatusAccepted, http.StatusNoContent,
}

// post sends once.
func (s *Service) post(ctx context.Context, sub *subscription, config pushConfig, m *message) bool {
	ctx, cancel := context.WithTimeout(ctx, sub.AckDeadline)
	defer cancel()
	body, header := wrapped(sub.Name, config, m)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, config.PushEndpoint, bytes.NewReader(body))
	if err != nil { // checked when it was set
		return false
	}
	req.Header = header
	req.Header.Set("User-Agent", "CloudPubSub-Google (Postern sandbox)")
	if t := config.OIDCToken; t != nil {
		token, err := s.opts.Sign(s.Claims(config.PushEndpoint, t.ServiceAccountEmail, t.Audience))
		if err != nil {
			s.opts.Log.Error("sign a push token", "error", err)
			return false
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := s.opts.Client.Do(req)
	if err != nil {
		s.opts.Log.Info("push failed", "subscription", sub.Name)
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	if !slices.Contains(acknowledges, resp.StatusCode) {
		s.opts.Log.Info("push refused", "subscription", sub.Name, "status", resp.StatusCode)
		return false
	}
	return true
}

// Claims are those of a pushed message's token.
func (s *Service) Claims(endpoint, email, audience string) map[string]any {
	if audience == "" {
		audience = endpoint
	}
	now, id := s.opts.Now(), s.opts.AccountID(email)
	return map[string]any{
		"aud": audience, "azp": id, "sub": id, "email": email, "email_verified": true,
		"iss": "https://accounts.google.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
}

// timeLayout is how Pub/Sub writes times.
const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// wrapped is the body of a post, and its header fields.
func wrapped(subscription string, config pushConfig, m *message) ([]byte, http.Header) {
	h := http.Header{}
	if config.NoWrapper != nil {
		if config.NoWrapper.WriteMetadata {
			h.Set("X-Goog-Pubsub-Subscription-Name", subscription)
			h.Set("X-Goog-Pubsub-Message-Id", m.ID)
			h.Set("X-Goog-Pubsub-Publish-Time", m.Published.UTC().Format(timeLayout))
			for k, v := range m.Attributes {
				h.Set(k, v)
			}
		}
		return m.Data, h
	}
	h.Set("Content-Type", "application/json")
	msg := messageJSON(m)
	msg["message_id"], msg["publish_time"] = msg["messageId"], msg["publishTime"]
	body, _ := json.Marshal(map[string]any{"message": msg, "subscription": subscription}) // strings only: cannot fail
	return body, h
}

// messageJSON is a PubsubMessage.
func messageJSON(m *message) map[string]any {
	out := map[string]any{"messageId": m.ID, "publishTime": m.Published.UTC().Format(timeLayout)}
	if len(m.Data) > 0 {
		out["data"] = base64.StdEncoding.EncodeToString(m.Data)
	}
	if len(m.Attributes) > 0 {
		out["attributes"] = m.Attributes
	}
	return out
}
