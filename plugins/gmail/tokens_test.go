package gmail_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// list is any call that needs a token.
func (w *world) list() error {
	_, err := w.p.Mailboxes(w.t.Context(), &provider.MailboxesRequest{Call: w.call()})
	return err
}

func TestFiftyCallsOnAnExpiredToken(t *testing.T) {
	w := connected(t, unlimited)
	if err := w.list(); err != nil {
		t.Fatal(err)
	}
	for name, expire := range map[string]func() error{
		"by its time": func() error { w.clock.Forward(2 * time.Hour); return nil },
		"at Google":   func() error { w.clock.Forward(time.Minute); return w.sandbox.Google().ExpireTokens(alan) },
	} {
		if err := expire(); err != nil {
			t.Fatal(err)
		}
		w.sandbox.Counters().Reset()
		w.fault(traffic.Fault{Match: "POST /token", DelayMS: 200})
		errs := make([]error, 50)
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { errs[i] = w.list() })
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := w.report().Tokens["refresh_token"]["ok"]; n != 1 {
			t.Errorf("%s: %d renewals: %v", name, n, w.report().Tokens)
		}
	}
}

// TestRefusedTokens: what ends a grant, what the operator has to correct, and
// what passes.
func TestRefusedTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		trouble func(w *world) error
		kind    mail.Kind
		code    string
		words   string
		told    int
	}{
		"withdrawn":      {func(w *world) error { return w.sandbox.Google().Revoke(alan, false) }, mail.KindGrantExpired, "invalid_grant", "connect the account again", 1},
		"password":       {func(w *world) error { return w.sandbox.Google().ChangePassword(alan) }, mail.KindGrantExpired, "invalid_grant", "connect the account again", 1},
		"session":        {func(w *world) error { return w.sandbox.Google().Block(alan, int(oauth.SessionControl)) }, mail.KindGrantExpired, "invalid_rapt", "sign in again", 1},
		"policy":         {func(w *world) error { return w.sandbox.Google().Block(alan, int(oauth.AdminPolicy)) }, mail.KindGrantExpired, "admin_policy_enforced", "administrator", 1},
		"secret":         {func(w *world) error { w.conf.Settings["client_secret"] = "wrong"; w.configure(); return nil }, mail.KindMisconfigured, "invalid_client", "client secret", 1},
		"deleted client": {func(w *world) error { return w.deleteClient() }, mail.KindMisconfigured, "deleted_client", "deleted", 1},
		"fault": {func(w *world) error {
			return w.sandbox.Faults().Put(traffic.Fault{Match: "POST /token", Status: 503})
		}, mail.KindUnavailable, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := connected(t)
			if err := w.list(); err != nil {
				t.Fatal(err)
			}
			if err := tc.trouble(w); err != nil {
				t.Fatal(err)
			}
			w.clock.Forward(2 * time.Hour)
			w.sandbox.Counters().Reset()
			var err error
			for range 3 {
				err = w.list()
				wantError(t, err, tc.kind)
			}
			if err == nil || !strings.Contains(err.Error(), tc.words) || !strings.Contains(err.Error(), tc.code) {
				t.Errorf("error %v", err)
			}
			sent := int64(0)
			for _, n := range w.report().Tokens["refresh_token"] {
				sent += n
			}
			if sent > 1 {
				t.Errorf("%d requests while the first refusal was good", sent)
			}
			w.settled(tc.told)
		})
	}
}

// settled waits until the host was told as often as it should.
func (w *world) settled(told int) {
	w.t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for len(w.host.Refused()) < told {
		select {
		case <-tick.C:
		case <-deadline.C:
			w.t.Fatalf("the host was told %v", w.host.Refused())
		}
	}
	if n := len(w.host.Refused()); n != told {
		w.t.Errorf("the host was told %d times: %v", n, w.host.Refused())
	}
}

// deleteClient deletes the OAuth client.
func (w *world) deleteClient() error {
	app := oauth.DefaultApp(redirect)
	app.Deleted = true
	_, err := w.sandbox.Google().Register(app)
	return err
}

func TestAGrantWorksAfterARestartAndAfterConnectingAgain(t *testing.T) {
	w := connected(t)
	grant, saves := w.host.Grant(w.account)
	if err := w.p.Close(t.Context(), &provider.CloseRequest{Account: w.account}); err != nil {
		t.Fatal(err)
	}
	if mail.KindOf(w.list()) != mail.KindUnavailable {
		t.Error("a closed account is open")
	}
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: w.account, Grant: grant}); err != nil {
		t.Fatal(err)
	}
	if err := w.list(); err != nil || saves != 0 {
		t.Errorf("%v, %d saves of a grant that did not change", err, saves)
	}
	if err := w.sandbox.Google().Revoke(alan, false); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(2 * time.Hour)
	wantError(t, w.list(), mail.KindGrantExpired)
	w.clock.Forward(-2 * time.Hour)
	w.connect(alan)
	if err := w.list(); err != nil {
		t.Errorf("after connecting again: %v", err)
	}
}

func TestRevokeReallyRevokes(t *testing.T) {
	w := connected(t)
	if err := w.list(); err != nil {
		t.Fatal(err)
	}
	grant, _ := w.host.Grant(w.account)
	for range 2 {
		if err := w.p.Revoke(t.Context(), &provider.RevokeRequest{Call: w.call()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: "other", Grant: grant}); err != nil {
		t.Fatal(err)
	}
	w.account = "other"
	wantError(t, w.list(), mail.KindGrantExpired, "invalid_grant")
	w.fault(traffic.Fault{Match: "POST /revoke", Status: 503})
	wantError(t, w.p.Revoke(t.Context(), &provider.RevokeRequest{Call: w.call()}), mail.KindUnavailable)
}
