package outlook_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func (w *world) watch(id string, state []byte) *provider.WatchResponse {
	w.t.Helper()
	resp, err := w.p.Watch(w.t.Context(), &provider.WatchRequest{Call: w.call(), ID: id, State: state})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func TestWatch(t *testing.T) {
	w := connected(t)
	sub := w.watch("", nil)
	if sub.ID == "" || len(sub.LookupKeys) != 1 || time.Until(sub.Expires) < 6*24*time.Hour || time.Until(sub.Expires) > 7*24*time.Hour {
		t.Fatalf("%+v", sub)
	}
	w.deliver(ada, "ding")
	if h := w.hint(); h.Kind != provider.HintChanged || h.LookupKey != sub.LookupKeys[0] {
		t.Errorf("hint %+v", h)
	}
	// Renewing keeps the channel.
	w.clock.Forward(time.Minute)
	renewed := w.watch(sub.ID, sub.State)
	if renewed.ID != sub.ID || renewed.Expires.Before(sub.Expires) {
		t.Errorf("renewed: %+v", renewed)
	}
	for event, want := range map[string]provider.HintKind{
		"reauthorizationRequired": provider.HintRenew, "missed": provider.HintMissed, "subscriptionRemoved": provider.HintRemoved,
	} {
		for len(w.hints) > 0 {
			<-w.hints
		}
		if _, err := w.sandbox.Microsoft().Lifecycle(ada, event); err != nil {
			t.Fatal(err)
		}
		for {
			h := w.hint()
			if h.Kind == provider.HintChanged {
				continue // of the message above
			}
			if h.Kind != want || h.LookupKey != sub.ID {
				t.Errorf("%s: %+v", event, h)
			}
			break
		}
		if event == "subscriptionRemoved" {
			// Renewing what is gone makes a new one.
			again := w.watch(sub.ID, sub.State)
			if again.ID == sub.ID {
				t.Error("the removed subscription was renewed")
			}
			sub = again
		}
	}
	for range 2 {
		if err := w.p.Unwatch(t.Context(), &provider.UnwatchRequest{Call: w.call(), ID: sub.ID, State: sub.State}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWatchTakesWhatItGets(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.Settings.Push.MaxLifetime = 4230 * time.Minute })
	sub := w.watch("", nil)
	if left := time.Until(sub.Expires); left > 4230*time.Minute || left < 4200*time.Minute {
		t.Errorf("expires in %v", left)
	}
}

func TestWatchAfterAConflict(t *testing.T) {
	w := connected(t) // duplicates are refused
	lost := w.watch("", nil)
	// The core has forgotten the channel: it is adopted, or replaced.
	again := w.watch("", nil)
	w.deliver(ada, "ding")
	if h := w.hint(); h.LookupKey != again.ID {
		t.Errorf("hint of %s, want %s (lost: %s)", h.LookupKey, again.ID, lost.ID)
	}
	// Another key: what was made with the old one cannot be checked.
	w.conf.NotifyKey = bytes.Repeat([]byte{9}, 32)
	w.configure()
	newer := w.watch(again.ID, again.State)
	if newer.ID == again.ID {
		t.Error("a subscription with another clientState was kept")
	}
	for len(w.hints) > 0 {
		<-w.hints
	}
	w.deliver(ada, "dong")
	for h := w.hint(); h.LookupKey != newer.ID; h = w.hint() {
		if h.LookupKey != again.ID {
			t.Errorf("hint of %s", h.LookupKey)
		}
	}
}

func TestWatchWithAnUnreachableURL(t *testing.T) {
	w := connected(t)
	w.conf.NotificationURL = w.notify.URL + "/elsewhere"
	w.configure()
	_, err := w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call()})
	wantKind(t, err, mail.KindMisconfigured)
	w.conf.NotificationURL = ""
	w.configure()
	_, err = w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call()})
	wantKind(t, err, mail.KindInvalid)
}

func TestSearch(t *testing.T) {
	w := connected(t)
	a, b := w.deliver(ada, "alpha"), w.deliver(ada, "beta")
	inbox := w.mailboxes()[mail.RoleInbox].ID
	now := time.Now()
	for _, tc := range []struct {
		name string
		req  provider.SearchRequest
		want []string
	}{
		{"text", provider.SearchRequest{Text: "alpha"}, []string{a}},
		{"subject", provider.SearchRequest{Subject: "beta", Mailbox: inbox}, []string{b}},
		{"from", provider.SearchRequest{From: grace}, []string{a, b}},
		{"quotes and operators", provider.SearchRequest{Text: `alpha" OR subject:beta`}, nil},
		{"everything", provider.SearchRequest{}, []string{a, b}},
		{"after", provider.SearchRequest{After: now.Add(-2 * time.Hour)}, []string{a, b}},
		{"too late", provider.SearchRequest{After: now.Add(-time.Minute)}, nil},
		{"before", provider.SearchRequest{Text: "alpha", Before: now.Add(-30 * time.Minute)}, []string{a}},
		{"too early", provider.SearchRequest{Text: "alpha", Before: now.Add(-2 * time.Hour)}, nil},
		{"attachment", provider.SearchRequest{HasAttachment: true}, nil},
	} {
		tc.req.Call = w.call()
		resp, err := w.p.Search(t.Context(), &tc.req)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		got := map[string]bool{}
		for _, id := range resp.IDs {
			got[id] = true
		}
		ok := len(got) == len(tc.want)
		for _, id := range tc.want {
			ok = ok && got[id]
		}
		if !ok {
			t.Errorf("%s: got %d, want %d", tc.name, len(got), len(tc.want))
		}
	}
	// Pages.
	req := provider.SearchRequest{Call: w.call(), Limit: 1}
	seen := map[string]bool{}
	for range 5 {
		resp, err := w.p.Search(t.Context(), &req)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range resp.IDs {
			seen[id] = true
		}
		if req.PageToken = resp.NextPageToken; req.PageToken == "" {
			break
		}
	}
	if len(seen) != 2 || req.PageToken != "" {
		t.Errorf("pages gave %d messages", len(seen))
	}
	for _, token := range []string{"?", "aHR0cHM6Ly9ldmlsLmV4YW1wbGUvdjEuMC9tZQ"} { // https://evil.example/v1.0/me
		_, err := w.p.Search(t.Context(), &provider.SearchRequest{Call: w.call(), PageToken: token})
		wantKind(t, err, mail.KindInvalid)
		if strings.Contains(err.Error(), "evil") {
			t.Error(err)
		}
	}
}
