package gmail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func writeKey(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func (w *world) set(change map[string]string) {
	w.t.Helper()
	for k, v := range change {
		w.conf.Settings[k] = v
	}
	w.configure()
}

// TestWatchRenews: a watch keeps its id while it lives, so that nobody looks for
// what was told; it has another one after it ran out, or for another topic. Its
// end is told such that it is renewed daily.
func TestWatchRenews(t *testing.T) {
	w := connected(t)
	first := w.watch(provider.WatchRequest{})
	if left := first.Expires.Sub(w.clock.Now()); left < 24*time.Hour || left > 36*time.Hour {
		t.Errorf("expires in %v, which leads to no daily renewal", left)
	}
	if len(first.LookupKeys) != 1 || first.LookupKeys[0] != alan {
		t.Errorf("lookup keys %q", first.LookupKeys)
	}
	w.deliver(alan, "meanwhile") // the history goes on
	again := w.watch(provider.WatchRequest{ID: first.ID, State: first.State})
	if again.ID != first.ID {
		t.Errorf("renewed as %s, was %s", again.ID, first.ID)
	}
	w.clock.Forward(8 * 24 * time.Hour)
	defer w.clock.Forward(-8 * 24 * time.Hour)
	_, err := w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call(), ID: again.ID, State: again.State})
	// By this clock what the sandbox gives ends in the past.
	if mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("a watch that ends in the past: %v", err)
	}
}

// TestWatchLost: a watch that ran out while nobody renewed it is a new channel.
func TestWatchLost(t *testing.T) {
	w := connected(t)
	first := w.watch(provider.WatchRequest{})
	state := strings.Replace(string(first.State), `"until":"20`, `"until":"19`, 1)
	if state == string(first.State) {
		t.Fatalf("state %s", state)
	}
	w.deliver(alan, "unheard")
	if again := w.watch(provider.WatchRequest{ID: first.ID, State: []byte(state)}); again.ID == first.ID {
		t.Error("a watch that had run out goes on under its id")
	}
	if again := w.watch(provider.WatchRequest{ID: first.ID, State: []byte("rubbish")}); again.ID == first.ID {
		t.Error("a watch of an unknown state goes on under its id")
	}
}

// TestWatchOtherTopic: a mailbox has one watch for a project; the one of old
// settings makes room.
func TestWatchOtherTopic(t *testing.T) {
	w := connected(t)
	first := w.watch(provider.WatchRequest{})
	const other = "projects/postern-sandbox/topics/other"
	if err := w.sandbox.Google().PubSub().AddTopic(other); err != nil {
		t.Fatal(err)
	}
	w.set(map[string]string{"topic": other})
	_, err := w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call(), ID: first.ID, State: first.State})
	if mail.KindOf(err) != mail.KindMisconfigured || !strings.Contains(err.Error(), "gmail-api-push@system.gserviceaccount.com") || !strings.Contains(err.Error(), "roles/pubsub.publisher") {
		t.Errorf("a topic that Gmail may not publish to: %v", err)
	}
	if err := w.sandbox.Google().PubSub().Grant(other, "roles/pubsub.publisher", "serviceAccount:gmail-api-push@system.gserviceaccount.com"); err != nil {
		t.Fatal(err)
	}
	second := w.watch(provider.WatchRequest{ID: first.ID, State: first.State})
	if second.ID == first.ID || !strings.Contains(second.ID, other) {
		t.Errorf("the watch of another topic has the id %s", second.ID)
	}
	w.deliver(alan, "unheard")
	// Back again: what the other topic was told meanwhile we have not heard.
	w.set(map[string]string{"topic": w.sandbox.State().GoogleTopic})
	if third := w.watch(provider.WatchRequest{ID: first.ID, State: first.State}); third.ID == first.ID {
		t.Error("a watch that another one was in the way of goes on under its id")
	}
	w.set(map[string]string{"topic": "projects/somebody-else/topics/gmail"})
	_, err = w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call()})
	if mail.KindOf(err) != mail.KindMisconfigured || !strings.Contains(err.Error(), "project") {
		t.Errorf("a topic of another project: %v", err)
	}
}

// TestWatchNoTopic: without a topic, or without anybody who hears of it, there
// is nothing to watch with, which is no fault.
func TestWatchNoTopic(t *testing.T) {
	w := connected(t)
	for name, change := range map[string]map[string]string{
		"no topic":   {"topic": "", "subscription": "", "service_account": ""},
		"no hearing": {"topic": w.conf.Settings["topic"]},
	} {
		keep := w.conf.Settings
		w.conf.Settings = map[string]string{}
		for k, v := range keep {
			if k != "subscription" && k != "service_account" {
				w.conf.Settings[k] = v
			}
		}
		w.set(change)
		_, err := w.p.Watch(t.Context(), &provider.WatchRequest{Call: w.call()})
		if mail.KindOf(err) != mail.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
		w.conf.Settings = keep
	}
}

// TestUnwatch: after it nothing is published any more.
func TestUnwatch(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.GoogleSettings.Mail.NotifyEvery = -1 })
	channel := w.watch(provider.WatchRequest{})
	for range 2 {
		if err := w.p.Unwatch(t.Context(), &provider.UnwatchRequest{Call: w.call(), ID: channel.ID, State: channel.State}); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.sandbox.Google().Lifecycle(alan, "watch_expired"); err != nil || n != 0 {
		t.Errorf("%d watches are left, %v", n, err)
	}
}
