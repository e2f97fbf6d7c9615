package providertest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func watchCases() []Case {
	watches := needs(provider.CapWatch)
	return []Case{
		{Name: "watch/describes", Doc: "a channel has an id, an expiry ahead, and keys to be looked up by", Needs: watches, test: watchDescribes},
		{Name: "watch/renew", Doc: "a channel is renewed under its id and keys, and expires no sooner", Needs: watches, test: watchRenew},
		{Name: "watch/unwatch", Doc: "ending a channel twice is success", Needs: watches, test: watchUnwatch},
		{Name: "notify/forged", Doc: "a forged request gives no hints", Needs: watches, test: notifyForged},
		{Name: "notify/hints", Doc: "a change at a watched account is pushed, and becomes a hint for it", Needs: watches, test: notifyHints},
		{Name: "notify/other-key", Doc: "a true request of another instance gives no hints", Needs: watches, test: notifyOtherKey},
		{Name: "listen/hints", Doc: "a change at a watched account is heard", Needs: needs(provider.CapListen, provider.CapWatch), test: listenHints},
	}
}

// watch opens a channel, which is closed when the case ends.
func (f *fixture) watch(req provider.WatchRequest) *provider.WatchResponse {
	f.Helper()
	req.Call = f.call()
	if f.config.NotificationURL == "" && !f.info.Has(provider.CapListen) {
		f.hook(NoHook("notifications"))
	}
	resp, err := f.p.Watch(f.ctx, &req)
	f.must("watch", err)
	f.after(func(ctx context.Context) {
		if err := f.p.Unwatch(ctx, &provider.UnwatchRequest{Call: req.Call, ID: resp.ID, State: resp.State}); err != nil {
			f.Logf("unwatch afterwards: %v", err)
		}
	})
	return resp
}

func watchDescribes(f *fixture) {
	w := f.watch(provider.WatchRequest{})
	if w.ID == "" || len(w.LookupKeys) == 0 || slices.Contains(w.LookupKeys, "") {
		f.Errorf("the channel has id %q and lookup keys %q", w.ID, w.LookupKeys)
	}
	if !w.Expires.After(time.Now()) {
		f.Errorf("the channel expires %v, which is past", w.Expires)
	}
}

func watchRenew(f *fixture) {
	first := f.watch(provider.WatchRequest{})
	again := f.watch(provider.WatchRequest{ID: first.ID, State: first.State})
	if again.ID != first.ID || !slices.Equal(again.LookupKeys, first.LookupKeys) {
		f.Errorf("channel %s with keys %q became %s with %q", first.ID, first.LookupKeys, again.ID, again.LookupKeys)
	}
	if again.Expires.Before(first.Expires) {
		f.Errorf("the channel expired %v, and %v after renewing", first.Expires, again.Expires)
	}
}

func watchUnwatch(f *fixture) {
	w := f.watch(provider.WatchRequest{})
	for range 2 {
		f.must("unwatch", f.p.Unwatch(f.ctx, &provider.UnwatchRequest{Call: f.call(), ID: w.ID, State: w.State}))
	}
}

// silent checks that a request to the notification URL tells nothing.
func (f *fixture) silent(what string, req *provider.NotifyRequest) {
	f.Helper()
	resp, err := f.p.Notify(f.ctx, req)
	if err != nil {
		return // refused, which tells nothing either
	}
	if len(resp.Hints) > 0 {
		f.Errorf("%s gives the hints %+v", what, resp.Hints)
	}
	if resp.Status < 200 || resp.Status > 599 {
		f.Errorf("%s is answered with status %d", what, resp.Status)
	}
}

func notifyForged(f *fixture) {
	for what, req := range map[string]*provider.NotifyRequest{
		"an empty request":  {Method: http.MethodPost},
		"a GET":             {Method: http.MethodGet},
		"junk":              {Method: http.MethodPost, Body: []byte("\x00\xff{]")},
		"an empty object":   {Method: http.MethodPost, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte("{}")},
		"an empty list":     {Method: http.MethodPost, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"value":[]}`)},
		"a guessed message": {Method: http.MethodPost, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"value":[{"subscriptionId":"1","clientState":"guess"}],"channel":"channel-1","clientState":"guess"}`)},
	} {
		f.silent(what, req)
	}
}

// names reports whether a hint is about a channel of the shared account.
func (f *fixture) names(w *provider.WatchResponse) func(provider.Hint) bool {
	id := f.acct().id
	return func(h provider.Hint) bool {
		return (h.Account == id || slices.Contains(w.LookupKeys, h.LookupKey)) &&
			slices.Contains([]provider.HintKind{provider.HintChanged, provider.HintMissed}, h.Kind)
	}
}

// push makes a change at a watched account and gives the request that told it.
func (f *fixture) push() *provider.NotifyRequest {
	f.Helper()
	if f.config.NotificationURL == "" {
		f.hook(NoHook("notifications"))
	}
	w := f.watch(provider.WatchRequest{})
	before := len(f.requests.list())
	f.deliver("", newLetter(f.w.Address()))
	if !f.pushed.await(f.ctx, f.patience, f.names(w)) {
		f.Fatalf("no hint came by the notification url within %v; %d requests did", f.patience, len(f.requests.list())-before)
	}
	all := f.requests.list()
	return all[len(all)-1]
}

func notifyHints(f *fixture) { f.push() }

func notifyOtherKey(f *fixture) {
	true1 := f.push()
	f.after(func(ctx context.Context) {
		if _, err := f.p.Configure(ctx, f.config); err != nil {
			f.Errorf("configure with the own key afterwards: %v", err)
		}
	})
	// Another instance has another key and another URL. Which of the two a
	// provider's requests prove to be meant is its own affair.
	other := *f.config
	other.Instance += "-other"
	other.NotificationURL += "-other"
	other.NotifyKey = slices.Repeat([]byte{42}, 32)
	other.Settings = maps.Clone(f.config.Settings)
	_, err := f.p.Configure(f.ctx, &other)
	f.must("configure as another instance", err)
	f.silent("a true request of another instance", true1)
}

func listenHints(f *fixture) {
	w := f.watch(provider.WatchRequest{})
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	heard, ended := newInbox[provider.Hint](), make(chan error, 1)
	go func() {
		ended <- f.p.Listen(ctx, &provider.ListenRequest{}, func(h *provider.Hint) error {
			heard.put(*h)
			return nil
		})
	}()
	about := f.names(w)
	// Nobody tells when a listener is heard first: changes go on until then.
	f.eventually("a change is heard", func() bool {
		f.deliver("", newLetter(f.w.Address()))
		return heard.await(ctx, 100*time.Millisecond, about)
	})
	cancel()
	err, ok := f.within("listen", func() error { return <-ended })
	if ok && err != nil && !f.gaveUp(err) {
		f.Errorf("listen ended with %v, though its caller gave up", err)
	}
}
