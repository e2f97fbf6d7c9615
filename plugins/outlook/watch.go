package outlook

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	watchResource = "me/messages"
	watchChanges  = "created,updated,deleted"
	lifecyclePath = "/lifecycle"
)

// watchState is what a subscription was made with. One that was made with
// something else than the settings say now is replaced.
type watchState struct {
	Version  int    `json:"v"`
	Resource string `json:"resource"`
	URL      string `json:"url"`
	// Check is the beginning of the clientState, to notice another key.
	Check string `json:"check"`
}

func (c *config) watchState() watchState {
	return watchState{Version: 1, Resource: watchResource, URL: c.notificationURL, Check: c.clientState[:min(8, len(c.clientState))]}
}

// Watch makes or renews the subscription on all of an account's messages.
// Graph validates the notification URL before it answers, by a request that
// Notify answers without a lock.
func (p *Provider) Watch(ctx context.Context, req *provider.WatchRequest) (*provider.WatchResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "watch account")
	if err != nil {
		return nil, err
	}
	defer done()
	if c.conf.notificationURL == "" || c.conf.clientState == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "no_notification_url", Message: "without a notification URL and key nothing can be pushed"}
	}
	var st watchState
	if req.ID != "" && json.Unmarshal(req.State, &st) == nil && st == c.conf.watchState() {
		sub, err := c.renewSubscription(ctx, req.ID)
		if mail.KindOf(err) != mail.KindNotFound {
			if err != nil {
				return nil, err
			}
			return c.watching(sub)
		}
	}
	sub, err := c.subscribe(ctx)
	if mail.KindOf(err) == mail.KindConflict {
		sub, err = c.adopt(ctx)
	}
	if err != nil {
		return nil, watchError(c.op, err)
	}
	if req.ID != "" && req.ID != sub.ID {
		// The old one, where it still lives, would only say everything twice.
		if err := c.unsubscribe(ctx, req.ID); err != nil {
			p.log().Warn("an old subscription was not deleted", "account", c.acct.id, "err", err)
		}
	}
	return c.watching(sub)
}

func (c *call) watching(sub *msgraph.Subscription) (*provider.WatchResponse, error) {
	if sub.ID == "" || sub.Expires == nil || sub.Expires.IsZero() {
		return nil, &mail.Error{Kind: mail.KindUnavailable, Op: c.op, Code: "bad_answer", Message: "the provider's answer lacks the subscription's id or end"}
	}
	state, err := json.Marshal(c.conf.watchState())
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "encode state"}
	}
	// The end that comes back counts: Graph may have shortened or lengthened it.
	return &provider.WatchResponse{ID: sub.ID, Expires: sub.Expires.UTC(), State: state, LookupKeys: []string{sub.ID}}, nil
}

func (c *call) until(life time.Duration) string {
	return c.p.now().UTC().Add(life).Format("2006-01-02T15:04:05.0000000Z")
}

// subscribe makes a subscription; where Graph allows only a shorter life, of
// that life.
func (c *call) subscribe(ctx context.Context) (*msgraph.Subscription, error) {
	life := c.conf.subscription
	for {
		var sub msgraph.Subscription
		err := c.graph.Do(ctx, &msgraph.Request{
			Op: c.op, Method: http.MethodPost, Path: "/subscriptions", Priority: c.prio, Once: true,
			Body: map[string]any{
				"changeType": watchChanges, "resource": watchResource,
				"notificationUrl":          c.conf.notificationURL,
				"lifecycleNotificationUrl": c.conf.notificationURL + lifecyclePath,
				"expirationDateTime":       c.until(life),
				"clientState":              c.conf.clientState, "latestSupportedTlsVersion": "v1_2",
			},
		}, &sub)
		if shorter := allowedLife(err); shorter > 0 && shorter < life {
			life = shorter
			continue
		}
		return &sub, err
	}
}

// allowedLife reads "Subscription expiration can only be 10070 minutes in the
// future." The number has changed over the years.
func allowedLife(err error) time.Duration {
	e := msgraph.As(err)
	if e == nil || e.Status != http.StatusBadRequest {
		return 0
	}
	_, rest, ok := strings.Cut(e.Message, "can only be ")
	if !ok {
		return 0
	}
	digits, _, _ := strings.Cut(rest, " ")
	n, convErr := strconv.Atoi(digits)
	if convErr != nil || n < 60 {
		return 0
	}
	return time.Duration(n-10) * time.Minute
}

func subscriptionPath(id string) string { return "/subscriptions/" + url.PathEscape(id) }

func (c *call) renewSubscription(ctx context.Context, id string) (*msgraph.Subscription, error) {
	life := c.conf.subscription
	for {
		var sub msgraph.Subscription
		err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodPatch, Path: subscriptionPath(id), Priority: c.prio,
			Body: map[string]string{"expirationDateTime": c.until(life)}}, &sub)
		if shorter := allowedLife(err); shorter > 0 && shorter < life {
			life = shorter
			continue
		}
		return &sub, err
	}
}

func (c *call) unsubscribe(ctx context.Context, id string) error {
	err := c.graph.Do(ctx, &msgraph.Request{Op: c.op, Method: http.MethodDelete, Path: subscriptionPath(id), Priority: c.prio}, nil)
	if mail.KindOf(err) == mail.KindNotFound {
		return nil
	}
	return err
}

// adopt settles a 409: some tenants allow one subscription for a resource.
// One that is as we would make it is renewed, another one makes room.
func (c *call) adopt(ctx context.Context) (*msgraph.Subscription, error) {
	r := &msgraph.Request{Op: c.op, Method: http.MethodGet, Path: "/subscriptions", Priority: c.prio}
	var old []string
	for {
		var page msgraph.Page[msgraph.Subscription]
		if err := c.graph.Do(ctx, r, &page); err != nil {
			return nil, err
		}
		for i := range page.Value {
			s := &page.Value[i]
			if !sameResource(s.Resource) {
				continue
			}
			// What it is checked by must be known to be right.
			if s.NotificationURL == c.conf.notificationURL && s.ClientState == c.conf.clientState {
				return c.renewSubscription(ctx, s.ID)
			}
			old = append(old, s.ID)
		}
		if page.NextLink == "" {
			break
		}
		r.Path, r.Link = "", page.NextLink
	}
	for _, id := range old {
		if err := c.unsubscribe(ctx, id); err != nil {
			return nil, err
		}
	}
	return c.subscribe(ctx)
}

// sameResource: Graph may list "me/messages" as "Users/{id}/messages".
func sameResource(r string) bool {
	r = strings.ToLower(strings.Trim(r, "/"))
	return r == watchResource || (strings.HasPrefix(r, "users/") && strings.Count(r, "/") == 2 && strings.HasSuffix(r, "/messages"))
}

// watchError: that Graph cannot reach the notification URL is for the
// operator to see to, unless it merely took too long.
func watchError(op string, err error) error {
	e := msgraph.As(err)
	if e == nil || e.Status != http.StatusBadRequest || !strings.Contains(strings.ToLower(e.Message), "validation") {
		return err
	}
	kind := mail.KindMisconfigured
	if strings.Contains(e.Message, "timed out") {
		kind = mail.KindUnavailable
	}
	return &mail.Error{Kind: kind, Op: op, Code: e.Code, Message: "the notification URL does not answer the provider: " + e.Message, Err: err}
}

// Unwatch deletes the subscription.
func (p *Provider) Unwatch(ctx context.Context, req *provider.UnwatchRequest) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "unwatch account")
	if err != nil {
		return err
	}
	defer done()
	if req.ID == "" {
		return nil
	}
	return c.unsubscribe(ctx, req.ID)
}
