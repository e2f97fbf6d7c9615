package gmail

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// watchRenewal is what is told of a watch's life. Gmail gives seven days and
// advises to renew daily; the core renews after at most three quarters of what
// it is told.
const watchRenewal = 32 * time.Hour

// publisher is who must be allowed to publish to the topic ("Push
// notifications", Gmail API).
const publisher = "gmail-api-push@system.gserviceaccount.com"

// watchState is what a watch was made with, and until when it lives.
type watchState struct {
	Version int       `json:"v"`
	Topic   string    `json:"topic"`
	ID      string    `json:"id"`
	Until   time.Time `json:"until"`
}

// Watch has Gmail publish to the topic whenever something changes. A mailbox
// has one watch for each developer project, without a name: renewing is asking
// again. The id that is given to it stays as long as it was never interrupted,
// so that the core looks for what nobody has told when it was.
func (p *Provider) Watch(ctx context.Context, req *provider.WatchRequest) (*provider.WatchResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "watch account")
	if err != nil {
		return nil, err
	}
	defer done()
	if c.conf.topic == "" || c.conf.push == nil && c.conf.pull == nil {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Code: "no_topic", Message: "without a topic, and a subscription of it, nothing can be told"}
	}
	answer, err := c.watch(ctx)
	replaced := onlyOneWatch(err)
	if replaced {
		// One of another topic, as of other settings, is in the way, and heard
		// what we did not.
		if err = c.stop(ctx); err == nil {
			answer, err = c.watch(ctx)
		}
	}
	if err != nil {
		return nil, c.watchError(err)
	}
	now := p.now().UTC()
	st := watchState{Version: 1, Topic: c.conf.topic, Until: time.UnixMilli(answer.Expiration).UTC()}
	if answer.HistoryId == 0 || !st.Until.After(now) {
		return nil, badAnswer(c.op, "Gmail's answer lacks the watch's history id or end")
	}
	st.ID = st.Topic + "@" + strconv.FormatUint(answer.HistoryId, 10)
	var old watchState
	if !replaced && req.ID != "" && json.Unmarshal(req.State, &old) == nil && old.Version == 1 && old.ID == req.ID && old.Topic == st.Topic && old.Until.After(now) {
		st.ID = old.ID
	}
	state, err := json.Marshal(st)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: c.op, Message: "encode state"}
	}
	expires := st.Until
	if soon := now.Add(watchRenewal); soon.Before(expires) {
		expires = soon
	}
	return &provider.WatchResponse{ID: st.ID, Expires: expires, State: state, LookupKeys: c.lookupKeys(ctx)}, nil
}

// lookupKeys are the addresses that notifications name the account by: the
// profile's, which may be spelt in another way than the one of the sign-in.
func (c *call) lookupKeys(ctx context.Context) []string {
	keys := []string{lookupKey(c.acct.address)}
	profile, err := c.profile(ctx)
	if err != nil {
		c.p.log().DebugContext(ctx, "the profile's address was not read", "account", c.acct.id, "error", err)
		return keys
	}
	if key := lookupKey(profile.EmailAddress); key != "" && key != keys[0] {
		keys = append(keys, key)
	}
	return keys
}

func (c *call) watch(ctx context.Context) (answer *gmailapi.WatchResponse, err error) {
	err = c.do(ctx, watchStart, func(ctx context.Context, s *gmailapi.Service) (err error) {
		answer, err = s.Users.Watch("me", &gmailapi.WatchRequest{TopicName: c.conf.topic}).Context(ctx).Do()
		return err
	})
	return answer, err
}

func (c *call) stop(ctx context.Context) error {
	return c.do(ctx, watchStop, func(ctx context.Context, s *gmailapi.Service) error {
		return s.Users.Stop("me").Context(ctx).Do()
	})
}

// onlyOneWatch knows "Only one user push notification client allowed per
// developer (call /stop then try again)".
func onlyOneWatch(err error) bool {
	return statusOf(err) == http.StatusBadRequest && strings.Contains(strings.ToLower(err.Error()), "only one user push notification client")
}

// watchError tells what the operator has to do about a topic from what is of
// the account.
func (c *call) watchError(err error) error {
	words := strings.ToLower(err.Error())
	topic := strings.Contains(words, "topic") || strings.Contains(words, "cloud pubsub")
	wrong := func(message string) error {
		return &mail.Error{Kind: mail.KindMisconfigured, Op: c.op, Code: codeOf(err), Message: message, Err: err}
	}
	switch status := statusOf(err); {
	case codeOf(err) == codeInsufficient:
	case status == http.StatusForbidden && (topic || strings.Contains(words, "not authorized to perform this action")):
		return wrong("Gmail may not publish to " + c.conf.topic + ": grant " + publisher + " the role roles/pubsub.publisher (Pub/Sub Publisher) on the topic")
	case status == http.StatusNotFound && topic:
		return wrong(c.conf.topic + " does not exist: create the topic, and grant " + publisher + " the role roles/pubsub.publisher on it")
	case status == http.StatusBadRequest && strings.Contains(words, "topicname"):
		return wrong(c.conf.topic + " is not a topic of the project that the OAuth client belongs to: Gmail publishes to that project alone (" + clip(err.Error(), 200) + ")")
	}
	return err
}

// Unwatch ends the watch. None is success.
func (p *Provider) Unwatch(ctx context.Context, req *provider.UnwatchRequest) error {
	ctx, c, done, err := p.begin(ctx, req.Call, "unwatch account")
	if err != nil {
		return err
	}
	defer done()
	if req.ID == "" {
		return nil
	}
	return c.stop(ctx)
}
