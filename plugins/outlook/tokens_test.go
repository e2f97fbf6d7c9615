package outlook_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// hundred makes a hundred calls at once and gives their errors by kind.
func hundred(w *world) map[mail.Kind]int {
	kinds := map[mail.Kind]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 100 {
		wg.Go(func() {
			<-start
			_, err := w.p.Search(w.t.Context(), &provider.SearchRequest{Call: w.call(), Limit: 1})
			mu.Lock()
			defer mu.Unlock()
			kinds[mail.KindOf(err)]++
		})
	}
	close(start)
	wg.Wait()
	return kinds
}

func TestHundredCallsOnAnExpiredToken(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fault traffic.Fault
		want  mail.Kind
		key   string
	}{
		{"prompt", traffic.Fault{}, "", "ok"},
		{"delayed", traffic.Fault{Match: "token", DelayMS: 500}, "", "ok"},
		{"failing after a delay", traffic.Fault{Match: "token", Status: 503, DelayMS: 500}, mail.KindUnavailable, ""},
		{"refused after a delay", traffic.Fault{Match: "token", AADSTS: 50173, DelayMS: 500}, mail.KindGrantExpired, "invalid_grant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := connected(t, func(o *sandbox.Options) { o.Settings.Identity.StrictRotation = true })
			w.mailboxes()
			w.clock.Forward(2 * time.Hour)
			w.sandbox.Counters().Reset()
			if tc.fault.Match != "" {
				if err := w.sandbox.Faults().Put(tc.fault); err != nil {
					t.Fatal(err)
				}
			}
			if kinds := hundred(w); kinds[tc.want] != 100 {
				t.Errorf("kinds of error: %v", kinds)
			}
			r := w.report()
			var sent int64
			for _, q := range r.Requests {
				if q.Method == "POST" && q.Path != "/$batch" && !isGraph(q.Path) {
					sent += q.Count
				}
			}
			if sent != 1 {
				t.Errorf("%d token requests: %+v", sent, r.Requests)
			}
		})
	}
}

func isGraph(path string) bool { return len(path) > 3 && (path[:4] == "/me/" || path == "/me") }

func TestTokenIsUsedOnlyWhenItsGrantIsStored(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.Settings.Identity.StrictRotation = true })
	w.mailboxes()
	w.clock.Forward(2 * time.Hour)
	w.host.fail(errors.New("disk full"))
	w.sandbox.Counters().Reset()
	_, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
	wantKind(t, err, mail.KindUnavailable)
	r := w.report()
	if n := r.Count("POST", "/$batch"); n != 0 || r.Tokens["refresh_token"]["ok"] != 1 {
		t.Errorf("%d requests with a token whose grant was lost; tokens %v", n, r.Tokens)
	}
	// The rotated refresh token is the only good one: it was not forgotten.
	w.host.fail(nil)
	w.clock.Forward(time.Minute)
	w.mailboxes()
	if len(w.host.refused) != 0 {
		t.Error("the grant was declared dead")
	}
}

func TestStoredGrantWorksAfterARestart(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.Settings.Identity.StrictRotation = true })
	w.mailboxes()
	if err := w.p.Close(t.Context(), &provider.CloseRequest{Account: w.account}); err != nil {
		t.Fatal(err)
	}
	grant, _ := w.host.grants.Load(w.account)
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: w.account, Grant: grant.([]byte)}); err != nil {
		t.Fatal(err)
	}
	w.mailboxes()
}

func TestShortLivedTokensAreNotRenewedAtEveryCall(t *testing.T) {
	w := connected(t, func(o *sandbox.Options) { o.Settings.Identity.AccessTokenLifetime = 4 * time.Minute })
	w.sandbox.Counters().Reset()
	for range 5 {
		w.mailboxes()
	}
	if n := w.report().Tokens["refresh_token"]["ok"]; n != 1 {
		t.Errorf("%d renewals for five calls", n)
	}
	w.clock.Forward(4 * time.Minute)
	w.mailboxes()
	if n := w.report().Tokens["refresh_token"]["ok"]; n != 2 {
		t.Errorf("%d renewals after its end", n)
	}
}

func TestDiscoveryIsRemembered(t *testing.T) {
	w := connected(t)
	w.mailboxes()
	for range 3 {
		w.clock.Forward(2 * time.Hour)
		w.mailboxes()
	}
	r := w.report()
	var n int64
	for _, q := range r.Requests {
		if q.Method == "GET" && len(q.Path) > 20 && q.Path[len(q.Path)-20:] == "openid-configuration" {
			n += q.Count
		}
	}
	if n != 1 {
		t.Errorf("discovery was asked for %d times", n)
	}
}

func TestRefusedTokensAreNotRenewedWithoutEnd(t *testing.T) {
	w := connected(t)
	w.mailboxes()
	w.sandbox.Counters().Reset()
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "/v1.0/", Status: 401}); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		_, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
		wantKind(t, err, mail.KindUnavailable)
	}
	if n := w.report().Tokens["refresh_token"]["ok"]; n != 1 {
		t.Errorf("%d renewals", n)
	}
}

func TestLimitsAreKept(t *testing.T) {
	w := connected(t) // the sandbox refuses the fifth request at once
	var ids []string
	for i := range 60 {
		ids = append(ids, w.deliver(ada, fmt.Sprintf("m%d", i)))
	}
	inbox := w.mailboxes()[mail.RoleInbox].ID
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { w.raw(ids...) })
		wg.Go(func() { w.fetch(ids...) })
		wg.Go(func() { w.mustChanges(inbox, nil) })
		wg.Go(func() { w.modify(&provider.ModifyRequest{IDs: ids, AddKeywords: []string{mail.Seen}}) })
	}
	wg.Wait()
	for _, q := range w.report().Requests {
		if q.Status == 429 {
			t.Errorf("%d refusals of %s %s", q.Count, q.Method, q.Path)
		}
	}
}

// slowHost holds the storing of a grant up until it is let go.
type slowHost struct {
	*testHost
	saving, goOn chan struct{}
}

func (h *slowHost) SaveGrant(context.Context, string, []byte) error {
	h.saving <- struct{}{}
	<-h.goOn
	return errors.New("too late")
}

func TestReconnectingDuringARenewal(t *testing.T) {
	w := connected(t)
	w.mailboxes()
	w.clock.Forward(2 * time.Hour)
	slow := &slowHost{testHost: w.host, saving: make(chan struct{}), goOn: make(chan struct{})}
	w.slow.Store(slow)
	old := make(chan error, 1)
	go func() {
		_, err := w.p.Mailboxes(w.t.Context(), &provider.MailboxesRequest{Call: w.call()})
		old <- err
	}()
	<-slow.saving
	w.slow.Store(nil)
	w.connect(ada) // the owner is back with a new grant
	close(slow.goOn)
	wantKind(t, <-old, mail.KindUnavailable)
	// What became of the old grant is no word about the new one.
	w.mailboxes()
}

// TestClockJumps: a token that Graph refuses is renewed, and a renewed one used,
// whichever way the clock was set meanwhile.
func TestClockJumps(t *testing.T) {
	w := connected(t)
	for _, jump := range []time.Duration{-time.Hour, time.Hour, -2 * time.Hour, 3 * time.Hour} {
		w.mailboxes()
		w.clock.Forward(jump)
		if err := w.sandbox.Faults().Put(traffic.Fault{User: ada, Match: "/v1.0/", Status: http.StatusUnauthorized, Times: 1}); err != nil {
			t.Fatal(err)
		}
		w.sandbox.Counters().Reset()
		w.mailboxes()
		if n := w.report().Tokens["refresh_token"]["ok"]; n < 1 {
			t.Errorf("after %s: %d renewals", jump, n)
		}
	}
}
