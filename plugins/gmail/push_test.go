package gmail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2/google"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// pusher is the service account that the sandbox signs its pushes as.
const pusher = "pusher@postern-sandbox.iam.gserviceaccount.com"

// pubsub sends a request to the sandbox's Pub/Sub as somebody who may do
// everything there.
func pubsub(ctx context.Context, st sandbox.State, method, path string, body any) error {
	conf, err := google.JWTConfigFromJSON([]byte(st.GoogleServiceAccount), "https://www.googleapis.com/auth/pubsub")
	if err != nil {
		return err
	}
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, st.Google+"/v1/"+path, bytes.NewReader(data))
	if err != nil {
		return err
	}
	resp, err := conf.Client(ctx).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s %s: %s\n%s", method, path, resp.Status, text)
	}
	return nil
}

var subscriptions atomic.Int64

// subscribe has the sandbox push the topic to an endpoint, and gives the
// subscription's name.
func subscribe(ctx context.Context, st sandbox.State, config map[string]any) (string, error) {
	config["oidcToken"] = map[string]any{"serviceAccountEmail": pusher}
	name := fmt.Sprintf("%s-%d", st.GoogleSubscription, subscriptions.Add(1))
	return name, pubsub(ctx, st, http.MethodPut, name, map[string]any{"topic": st.GoogleTopic, "pushConfig": config})
}

// Listen opens a notification URL for the conformance suite, until ctx ends.
func (w *sandboxWorld) Listen(ctx context.Context, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		resp := handler(&provider.NotifyRequest{Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/notify"), Query: r.URL.RawQuery, Header: r.Header, Body: body})
		rw.WriteHeader(resp.Status)
	}))
	st, url := w.sandbox.State(), server.URL+"/notify"
	name, err := subscribe(ctx, st, map[string]any{"pushEndpoint": url})
	context.AfterFunc(ctx, func() {
		// What is pushed to nobody is pushed again and again. The sandbox may be
		// gone by now, which ends it as well.
		_ = pubsub(context.WithoutCancel(ctx), st, http.MethodDelete, name, nil)
		server.Close()
	})
	return url, err
}

// pushed is a request that hit the notification URL.
type pushed struct {
	req  *provider.NotifyRequest
	resp *provider.NotifyResponse
}

// pushes opens a notification URL that the provider is configured with, and
// gives what hits it.
func (w *world) pushes(config map[string]any) <-chan pushed {
	w.t.Helper()
	out := make(chan pushed, 1000)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		req := &provider.NotifyRequest{Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/notify"), Query: r.URL.RawQuery, Header: r.Header, Body: body}
		resp, err := w.p.Notify(r.Context(), req)
		if err != nil {
			w.t.Error("notify:", err)
			return
		}
		rw.WriteHeader(resp.Status)
		out <- pushed{req, resp}
	}))
	w.t.Cleanup(server.Close)
	w.conf.NotificationURL = server.URL + "/notify"
	w.conf.Settings["push_service_account"] = pusher
	w.configure()
	config["pushEndpoint"] = w.conf.NotificationURL
	if _, err := subscribe(w.t.Context(), w.sandbox.State(), config); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func httpPushes(o *sandbox.Options) {
	o.AllowHTTPNotifications = true
	o.GoogleSettings.Mail.NotifyEvery = -1
}

func (w *world) watch(req provider.WatchRequest) *provider.WatchResponse {
	w.t.Helper()
	req.Call = w.call()
	resp, err := w.p.Watch(w.t.Context(), &req)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func next[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// TestPush: what Gmail publishes is pushed, and is a hint for its account,
// wrapped or not.
func TestPush(t *testing.T) {
	for name, config := range map[string]map[string]any{"wrapped": {}, "unwrapped": {"noWrapper": map[string]any{"writeMetadata": true}}} {
		t.Run(name, func(t *testing.T) {
			w := connected(t, httpPushes)
			pushes := w.pushes(config)
			channel := w.watch(provider.WatchRequest{})
			w.deliver(alan, "pushed")
			for range 2 { // one of the watch itself, one of the message
				got := next(t, pushes)
				if got.resp.Status != http.StatusOK || len(got.resp.Hints) != 1 {
					t.Fatalf("answered %+v", got.resp)
				}
				if h := got.resp.Hints[0]; h.Kind != provider.HintChanged || h.LookupKey != channel.LookupKeys[0] || h.Account != "" {
					t.Errorf("hint %+v, channel %+v", h, channel)
				}
			}
		})
	}
}

// TestPushForged: whatever is wrong with a push that was true, it tells nothing,
// and is told nothing.
func TestPushForged(t *testing.T) {
	w := connected(t, httpPushes)
	pushes := w.pushes(map[string]any{})
	w.watch(provider.WatchRequest{})
	good := next(t, pushes).req
	cloud := w.sandbox.Google()
	token := func(change func(map[string]any)) http.Header {
		claims := cloud.PushClaims(w.conf.NotificationURL, pusher)
		change(claims)
		text, err := cloud.SignPush(claims)
		if err != nil {
			t.Fatal(err)
		}
		return http.Header{"Authorization": {"Bearer " + text}}
	}
	ask := func(change func(*provider.NotifyRequest)) *provider.NotifyResponse {
		req := *good
		change(&req)
		resp, err := w.p.Notify(t.Context(), &req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	now := time.Now().Unix()
	for name, tc := range map[string]struct {
		change func(*provider.NotifyRequest)
		status int
	}{
		"a true one, again":   {func(*provider.NotifyRequest) {}, http.StatusOK},
		"one of our own make": {func(r *provider.NotifyRequest) { r.Header = token(func(map[string]any) {}) }, http.StatusOK},
		"no token":            {func(r *provider.NotifyRequest) { r.Header = nil }, http.StatusUnauthorized},
		"another scheme":      {func(r *provider.NotifyRequest) { r.Header = http.Header{"Authorization": {"Basic YTpi"}} }, http.StatusUnauthorized},
		"rubbish":             {func(r *provider.NotifyRequest) { r.Header = http.Header{"Authorization": {"Bearer a.b.c"}} }, http.StatusForbidden},
		"expired":             {func(r *provider.NotifyRequest) { r.Header = token(func(c map[string]any) { c["exp"] = now - 3600 }) }, http.StatusForbidden},
		"another audience": {func(r *provider.NotifyRequest) {
			r.Header = token(func(c map[string]any) { c["aud"] = "https://else.example" })
		}, http.StatusForbidden},
		"another account": {func(r *provider.NotifyRequest) {
			r.Header = token(func(c map[string]any) { c["email"] = "x@y.example" })
		}, http.StatusForbidden},
		"another issuer": {func(r *provider.NotifyRequest) {
			r.Header = token(func(c map[string]any) { c["iss"] = "https://y.example" })
		}, http.StatusForbidden},
		"another path":   {func(r *provider.NotifyRequest) { r.Path = "/else" }, http.StatusNotFound},
		"another method": {func(r *provider.NotifyRequest) { r.Method = http.MethodGet }, http.StatusMethodNotAllowed},
		"too large":      {func(r *provider.NotifyRequest) { r.Body = make([]byte, 2<<20) }, http.StatusRequestEntityTooLarge},
		// Authentic, and acknowledged, so that it does not come again for days.
		"a body that says nothing": {func(r *provider.NotifyRequest) { r.Body = []byte(`{"message":{"data":"!"}}`) }, http.StatusNoContent},
	} {
		resp := ask(tc.change)
		if resp.Status != tc.status || len(resp.Body) != 0 {
			t.Errorf("%s: answered %d %q, want %d", name, resp.Status, resp.Body, tc.status)
		}
		if hints := len(resp.Hints); hints != 0 && tc.status != http.StatusOK {
			t.Errorf("%s: %d hints", name, hints)
		}
	}
	// Google changes its keys; what was signed with the old one stays good.
	if err := cloud.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(2 * time.Minute)
	if resp := ask(func(r *provider.NotifyRequest) { r.Header = token(func(map[string]any) {}) }); resp.Status != http.StatusOK {
		t.Errorf("signed with a new key: %d", resp.Status)
	}
	// Somebody we do not know: acknowledged, and a hint for nobody.
	unknown := []byte(`{"emailAddress":"Nobody@gmail.example","historyId":7}`)
	resp := ask(func(r *provider.NotifyRequest) { r.Header, r.Body = token(func(map[string]any) {}), unknown })
	if resp.Status != http.StatusOK || len(resp.Hints) != 1 || resp.Hints[0].LookupKey != "nobody@gmail.example" {
		t.Errorf("of an unknown account: %+v", resp)
	}
	// Without an account that may push nothing is believed.
	w.conf.Settings["push_service_account"] = ""
	w.configure()
	if resp := ask(func(*provider.NotifyRequest) {}); resp.Status != http.StatusForbidden || len(resp.Hints) != 0 {
		t.Errorf("without a push account: %+v", resp)
	}
}

// hear listens until the test ends, or the function that it gives is called,
// which gives what Listen ended with.
func (w *world) hear(take func(*provider.Hint) error) (end func() error) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.p.Listen(ctx, &provider.ListenRequest{}, take) }()
	end = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(20 * time.Second):
			w.t.Error("listen does not end")
			return nil
		}
	}
	w.t.Cleanup(func() { _ = end() })
	return end
}

// publish puts messages into the topic, whatever they say.
func (w *world) publish(data ...string) {
	w.t.Helper()
	var messages []map[string]any
	for _, d := range data {
		messages = append(messages, map[string]any{"data": []byte(d)})
	}
	st := w.sandbox.State()
	for { // a fault is met by whoever comes first
		err := pubsub(w.t.Context(), st, http.MethodPost, st.GoogleTopic+":publish", map[string]any{"messages": messages})
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "503") {
			w.t.Fatal(err)
		}
	}
}

// TestListen: what Gmail publishes is pulled, also what was published while
// nobody listened, and what was not taken comes again.
func TestListen(t *testing.T) {
	var clock plugintest.Clock // put forward, the time to acknowledge is over
	w := connected(t, func(o *sandbox.Options) {
		o.GoogleSettings.Mail.NotifyEvery = -1
		o.Now = clock.Now
	})
	w.publish(`{"emailAddress":"refused@gmail.example","historyId":1}`)
	err := w.p.Listen(t.Context(), &provider.ListenRequest{}, func(*provider.Hint) error {
		return mail.Errorf(mail.KindInternal, "take a hint", "not now")
	})
	if mail.KindOf(err) != mail.KindInternal {
		t.Errorf("a hint that was refused: %v", err)
	}
	clock.Forward(time.Minute)
	hints := make(chan provider.Hint, 1000)
	end := w.hear(func(h *provider.Hint) error { hints <- *h; return nil })
	if h := next(t, hints); h.LookupKey != "refused@gmail.example" {
		t.Errorf("hint %+v", h)
	}
	channel := w.watch(provider.WatchRequest{})
	if h := next(t, hints); h.LookupKey != channel.LookupKeys[0] || h.Kind != provider.HintChanged || h.Account != "" {
		t.Errorf("hint %+v", h)
	}
	// What was taken was acknowledged before the next was pulled.
	clock.Forward(time.Minute)
	w.publish(`{"emailAddress":"last@gmail.example","historyId":2}`)
	for key := ""; key != "last@gmail.example"; {
		if key = next(t, hints).LookupKey; key == "refused@gmail.example" {
			t.Error("what was taken came again")
		}
	}
	if err := end(); err != nil {
		t.Errorf("listen ended with %v", err)
	}
}

// TestListenRubbish: messages of nobody's are acknowledged and do no harm, and
// faults of Pub/Sub are sat out.
func TestListenRubbish(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) {
		o.GoogleSettings.Mail.NotifyEvery = -1
		o.GoogleSettings.PubSub.AckDeadline = 50 * time.Millisecond
	})
	w.fault(traffic.Fault{Match: "/v1/projects/", Status: http.StatusServiceUnavailable, Times: 2})
	hints := make(chan provider.Hint, 1000)
	w.hear(func(h *provider.Hint) error { hints <- *h; return nil })
	w.publish("rubbish", `{"emailAddress":"`, `{"emailAddress":"Nobody@gmail.example","historyId":"12"}`)
	if h := next(t, hints); h.LookupKey != "nobody@gmail.example" {
		t.Errorf("hint %+v", h)
	}
	// Were the rubbish not acknowledged, it would come again and again; what
	// comes next is heard all the same.
	w.publish(`{"emailAddress":"somebody@gmail.example","historyId":13}`)
	for next(t, hints).LookupKey != "somebody@gmail.example" {
	}
}

// TestListenMisconfigured: what the operator has to see to ends Listen with what
// to do. When it works again, all accounts are looked at: what was published
// meanwhile may be in no subscription.
func TestListenMisconfigured(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.NotifyEvery = -1 })
	key, err := w.sandbox.Google().ServiceAccountKey("reader", w.sandbox.State().Google)
	if err != nil {
		t.Fatal(err)
	}
	right := w.conf.Settings
	for name, tc := range map[string]struct {
		settings map[string]string
		words    string
	}{
		"no such subscription": {map[string]string{"subscription": "projects/postern-sandbox/subscriptions/nowhere"}, "create it as a pull subscription"},
		"not allowed":          {map[string]string{"service_account": writeKey(t, key)}, "roles/pubsub.subscriber"},
		"a key that is gone":   {map[string]string{"service_account": writeKey(t, strings.Replace(key, "reader@", "nobody@", 1))}, "make a new key"},
	} {
		w.conf.Settings = map[string]string{}
		for k, v := range right {
			w.conf.Settings[k] = v
		}
		for k, v := range tc.settings {
			w.conf.Settings[k] = v
		}
		w.configure()
		err := w.p.Listen(t.Context(), &provider.ListenRequest{}, func(*provider.Hint) error { return nil })
		if mail.KindOf(err) != mail.KindMisconfigured || !strings.Contains(err.Error(), tc.words) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "PRIVATE KEY") {
			t.Errorf("%s: the error tells the key", name)
		}
	}
	w.conf.Settings = right
	w.configure()
	hints := make(chan provider.Hint, 1000)
	w.hear(func(h *provider.Hint) error { hints <- *h; return nil })
	w.watch(provider.WatchRequest{})
	if h := next(t, hints); h.Kind != provider.HintMissed || h.Account != w.account {
		t.Errorf("the first hint afterwards is %+v", h)
	}
}

// TestListenReconfigured: who listens goes on with new settings, and waits where
// they name no subscription.
func TestListenReconfigured(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.NotifyEvery = -1 })
	name, key := w.conf.Settings["subscription"], w.conf.Settings["service_account"]
	w.conf.Settings["subscription"], w.conf.Settings["service_account"] = "", ""
	w.configure()
	hints := make(chan provider.Hint, 1000)
	end := w.hear(func(h *provider.Hint) error { hints <- *h; return nil })
	w.conf.Settings["subscription"], w.conf.Settings["service_account"] = name, key
	w.configure()
	w.watch(provider.WatchRequest{})
	next(t, hints)
	if err := end(); err != nil {
		t.Errorf("listen ended with %v", err)
	}
}

// TestNotificationsDroppedAndDoubled: what is told twice is heard twice and does
// no harm, and what is told to nobody is in the history all the same.
func TestNotificationsDroppedAndDoubled(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.NotifyEvery = -1 })
	w.watch(provider.WatchRequest{})
	_, cursor := w.mustChanges(nil)
	hints := make(chan provider.Hint, 1000)
	w.hear(func(h *provider.Hint) error { hints <- *h; return nil })
	next(t, hints) // of the watch itself
	w.fault(traffic.Fault{Notifications: &traffic.NotificationFault{Drop: true}})
	dropped := w.deliver(alan, "dropped")
	w.fault(traffic.Fault{Notifications: &traffic.NotificationFault{Double: true}})
	doubled := w.deliver(alan, "doubled")
	next(t, hints)
	items, cursor := w.mustChanges(cursor)
	told := map[string]int{}
	for _, it := range items {
		told[it.Message.ProviderID]++
	}
	if told[dropped] != 1 || told[doubled] != 1 || len(told) != 2 {
		t.Errorf("told are %v, want %s and %s", told, dropped, doubled)
	}
	if items, _ := w.mustChanges(cursor); len(items) != 0 {
		t.Errorf("told again: %+v", items)
	}
	if n := w.report().Notifications; n["dropped_by_fault"] == 0 {
		t.Errorf("notifications %v", n)
	}
}
