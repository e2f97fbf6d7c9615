package memory

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// watchLife is how long a push channel lives.
const watchLife = 72 * time.Hour

// watch is a push channel at the cloud: where to post, and the word by which
// the receiver knows that it is the cloud who posts.
type watch struct {
	id, clientState string
	expires         time.Time
}

// notice is a notification that the change just made owes.
type notice struct {
	watch   watch
	kind    provider.HintKind
	mailbox string
}

// owe notes the notifications of a change. The caller holds mu.
func (c *Cloud) owe(a *account, kind provider.HintKind, mailbox string) {
	for _, id := range slices.Sorted(maps.Keys(a.watches)) {
		w := a.watches[id]
		if c.opts.Now().After(w.expires) {
			delete(a.watches, id)
			continue
		}
		c.owed = append(c.owed, notice{watch: *w, kind: kind, mailbox: mailbox})
	}
}

// notification is the body of a push request.
type notification struct {
	Channel     string            `json:"channel"`
	ClientState string            `json:"clientState"`
	Kind        provider.HintKind `json:"kind"`
	Mailbox     string            `json:"mailbox,omitempty"`
}

// notify sends what is owed: to the notification URL and to those who listen.
// It runs outside the lock, because the receiver calls back.
func (c *Cloud) notify(owed []notice) {
	if len(owed) == 0 {
		return
	}
	c.mu.Lock()
	notifier := c.notifier
	var feeds []*feed
	for f := range c.feeds {
		feeds = append(feeds, f)
	}
	c.mu.Unlock()
	for _, n := range owed {
		for _, f := range feeds {
			f.push(&provider.Hint{Kind: n.kind, LookupKey: n.watch.id, Mailbox: n.mailbox})
		}
		if notifier == nil {
			continue
		}
		body, err := json.Marshal(notification{Channel: n.watch.id, ClientState: n.watch.clientState, Kind: n.kind, Mailbox: n.mailbox})
		if err != nil {
			continue // four strings always marshal
		}
		notifier(&provider.NotifyRequest{
			Method: http.MethodPost, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body,
		})
	}
}

// clientState is the word that notifications must carry. It is derived from
// the instance's key, so that Notify needs no memory.
func (p *Provider) clientState() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	mac := hmac.New(sha256.New, p.settings.NotifyKey)
	mac.Write([]byte("memory client state"))
	return hex.EncodeToString(mac.Sum(nil))
}

// Watch makes or renews a push channel.
func (p *Provider) Watch(ctx context.Context, req *provider.WatchRequest) (*provider.WatchResponse, error) {
	word := p.clientState()
	out := &provider.WatchResponse{}
	err := p.call(ctx, "watch", req.Call, func(a *account) error {
		w := a.watches[req.ID]
		if w == nil {
			w = &watch{id: p.cloud.newID("channel"), clientState: word}
			a.watches[w.id] = w
		}
		w.expires = p.cloud.now().Add(watchLife)
		out.ID, out.Expires, out.State = w.id, w.expires, []byte(w.id)
		out.LookupKeys = []string{w.id}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Unwatch ends a channel. One already gone is success.
func (p *Provider) Unwatch(ctx context.Context, req *provider.UnwatchRequest) error {
	return p.call(ctx, "unwatch", req.Call, func(a *account) error {
		delete(a.watches, req.ID)
		return nil
	})
}

// Notify reads a push request. One that does not carry the word is refused
// and tells nothing.
func (p *Provider) Notify(_ context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	if err := p.supports("notify"); err != nil {
		return nil, err
	}
	var n notification
	if req.Method != http.MethodPost || json.Unmarshal(req.Body, &n) != nil {
		return &provider.NotifyResponse{Status: http.StatusBadRequest}, nil
	}
	if !hmac.Equal([]byte(n.ClientState), []byte(p.clientState())) {
		return &provider.NotifyResponse{Status: http.StatusForbidden}, nil
	}
	return &provider.NotifyResponse{
		Status: http.StatusAccepted,
		Hints:  []provider.Hint{{Kind: n.Kind, LookupKey: n.Channel, Mailbox: n.Mailbox}},
	}, nil
}

// feed is one listener's queue.
type feed struct {
	mu    sync.Mutex
	queue []*provider.Hint
	more  chan struct{} // capacity 1
}

func (f *feed) push(h *provider.Hint) {
	f.mu.Lock()
	f.queue = append(f.queue, h)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) take() []*provider.Hint {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.queue)
	f.queue = nil
	return out
}

// Listen streams the hints of all accounts that are watched.
func (p *Provider) Listen(ctx context.Context, _ *provider.ListenRequest, each func(*provider.Hint) error) error {
	if err := p.supports("listen"); err != nil {
		return err
	}
	f := &feed{more: make(chan struct{}, 1)}
	p.cloud.mu.Lock()
	p.cloud.feeds[f] = true
	p.cloud.mu.Unlock()
	defer func() {
		p.cloud.mu.Lock()
		delete(p.cloud.feeds, f)
		p.cloud.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.more:
		}
		for _, h := range f.take() {
			if err := each(h); err != nil {
				return err
			}
		}
	}
}

// Hint tells the host directly, as a plugin does that holds a connection of
// its own: for tests of what a host does with it.
func (p *Provider) Hint(ctx context.Context, h *provider.Hint) error {
	p.mu.Lock()
	host := p.host
	p.mu.Unlock()
	if host == nil {
		return mail.Errorf(mail.KindUnavailable, "hint", "no session")
	}
	return host.Hint(ctx, h)
}
