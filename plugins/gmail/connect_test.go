package gmail_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const allOfGmail = "https://mail.google.com/"

func TestAuthorizeURL(t *testing.T) {
	w := newWorld(t)
	begin, err := w.p.BeginConnect(t.Context(), &provider.BeginConnectRequest{State: "s", RedirectURL: redirect, LoginHint: alan})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(begin.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for _, secret := range []string{"nonce", "code_challenge"} {
		if len(q.Get(secret)) < 43 {
			t.Errorf("%s %q", secret, q.Get(secret))
		}
		q.Del(secret)
	}
	want := url.Values{
		"client_id": {w.conf.Settings["client_id"]}, "redirect_uri": {redirect}, "response_type": {"code"}, "state": {"s"},
		"scope": {"openid email " + allOfGmail}, "access_type": {"offline"}, "prompt": {"consent"}, "login_hint": {alan},
		"include_granted_scopes": {"true"}, "code_challenge_method": {"S256"},
	}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Error(diff)
	}
	var pend struct{ Verifier string }
	if json.Unmarshal(begin.Pending, &pend) != nil || strings.Contains(begin.URL, pend.Verifier) {
		t.Error("the verifier is in the address")
	}
	_, err = w.p.BeginConnect(t.Context(), &provider.BeginConnectRequest{RedirectURL: redirect})
	wantError(t, err, mail.KindInvalid)
}

func TestConnecting(t *testing.T) {
	w := newWorld(t)
	resp, err := w.finish(w.approve(alan, nil))
	if err != nil {
		t.Fatal(err)
	}
	who := resp.Accounts[0]
	if len(resp.Accounts) != 1 || who.Address != alan || who.Subject == "" || strings.Contains(who.Subject, "@") || !resp.ExpiresAt.IsZero() {
		t.Errorf("%+v", resp)
	}
	// Again, after a consent: prompt=consent brings a refresh token once more.
	again, err := w.finish(w.approve(alan, nil))
	if err != nil || again.Accounts[0] != who {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// TestUntickedBoxes: the page has a box for each permission.
func TestUntickedBoxes(t *testing.T) {
	for name, tc := range map[string]struct {
		scopes  string
		form    url.Values
		missing string
	}{
		"whole":   {"", url.Values{"granular": {"1"}}, allOfGmail},
		"sending": {"openid,email,https://www.googleapis.com/auth/gmail.modify,https://www.googleapis.com/auth/gmail.settings.basic", url.Values{"granular": {"1"}, "grant": {"https://www.googleapis.com/auth/gmail.modify"}}, "https://www.googleapis.com/auth/gmail.settings.basic"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.scopes != "" {
				w.conf.Settings["scopes"] = tc.scopes
				w.configure()
			}
			_, err := w.finish(w.approve(alan, tc.form))
			wantError(t, err, mail.KindForbidden, "missing_scopes")
			if err == nil || !strings.HasSuffix(err.Error(), "missing: "+tc.missing+" (missing_scopes)") {
				t.Errorf("error %v", err)
			}
			if _, err := w.finish(w.approve(alan, nil)); err != nil {
				t.Errorf("with all boxes ticked: %v", err)
			}
		})
	}
}

func TestAnAccountWithoutGmail(t *testing.T) {
	w := newWorld(t)
	const address = "nobody@company.example"
	if _, err := w.sandbox.Google().AddUserWithoutMail(address, "No Body"); err != nil {
		t.Fatal(err)
	}
	_, err := w.finish(w.approve(address, nil))
	wantError(t, err, mail.KindForbidden, "mail_service_not_enabled")
}

func TestDeclining(t *testing.T) {
	w := newWorld(t)
	_, err := w.finish(w.approve(alan, url.Values{"decision": {"deny"}}))
	wantError(t, err, mail.KindForbidden, "access_denied")
}

func TestCallbacksOfOthers(t *testing.T) {
	w := newWorld(t)
	pending, params := w.approve(alan, nil)
	with := func(name, value string) url.Values {
		out := url.Values{}
		for k, v := range params {
			out[k] = v
		}
		out.Set(name, value)
		return out
	}
	_, err := w.finish(pending, with("state", "another"))
	wantError(t, err, mail.KindInvalid, "state_mismatch")
	_, err = w.finish([]byte("{}"), params)
	wantError(t, err, mail.KindInvalid)
	_, err = w.finish(pending, url.Values{})
	wantError(t, err, mail.KindInvalid)
	_, err = w.finish(pending, with("error", "admin_policy_enforced"))
	wantError(t, err, mail.KindForbidden, mail.CodeAdminConsent)
	_, err = w.finish(pending, with("error", "redirect_uri_mismatch"))
	wantError(t, err, mail.KindMisconfigured, "redirect_uri_mismatch")
	_, err = w.finish(pending, with("error", "server_error"))
	wantError(t, err, mail.KindUnavailable)

	// The code of one attempt with what another one has kept.
	other, _ := w.approve(joan, nil)
	_, err = w.finish(other, params)
	wantError(t, err, mail.KindForbidden)
	_, err = w.finish(pending, with("code", "4/none"))
	wantError(t, err, mail.KindForbidden)
}

// TestNoRefreshToken: without prompt=consent Google gives one the first time
// alone.
func TestNoRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.conf.Settings["prompt"] = "select_account"
	w.configure()
	if _, err := w.finish(w.approve(alan, nil)); err != nil {
		t.Fatal("the first time:", err)
	}
	_, err := w.finish(w.approve(alan, nil))
	wantError(t, err, mail.KindForbidden, "no_refresh_token")
}

// TestTestingMode: what an application in testing is given dies after seven
// days, and says so.
func TestTestingMode(t *testing.T) {
	w := newWorld(t, func(o *sandbox.Options) {
		app := oauth.DefaultApp(redirect)
		app.Testing, app.TestUsers = true, []string{alan}
		o.GoogleSettings.Apps = []oauth.App{app}
	})
	resp, err := w.finish(w.approve(alan, nil))
	if err != nil {
		t.Fatal(err)
	}
	if in := time.Until(resp.ExpiresAt); in < 7*24*time.Hour-time.Minute || in > 7*24*time.Hour || !strings.Contains(resp.ExpiresReason, "testing") {
		t.Errorf("the consent ends %v (%q)", resp.ExpiresAt, resp.ExpiresReason)
	}
	w.account = "alan"
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: w.account, Grant: resp.Grant}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()}); err != nil {
		t.Fatal(err)
	}
	// The seventh day has passed, and Google has ended it.
	if err := w.sandbox.Google().Revoke(alan, false); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(8 * 24 * time.Hour)
	_, err = w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
	wantError(t, err, mail.KindGrantExpired)
	if err == nil || !strings.Contains(err.Error(), "testing mode") {
		t.Errorf("error %v", err)
	}
}

func TestGrantsThatAreNoneOfOurs(t *testing.T) {
	w := newWorld(t)
	resp, err := w.finish(w.approve(alan, nil))
	if err != nil {
		t.Fatal(err)
	}
	err = w.p.Open(t.Context(), &provider.OpenRequest{Account: "a", Subject: "another", Grant: resp.Grant})
	wantError(t, err, mail.KindInvalid, "other_subject")
	for _, junk := range []string{"", "{}", `{"v":2}`, `{"v":1,"sub":"x","client_id":"y"}`} {
		err = w.p.Open(t.Context(), &provider.OpenRequest{Account: "a", Grant: []byte(junk)})
		wantError(t, err, mail.KindGrantExpired, "unreadable_grant")
	}
	w.account = "a"
	if err := w.p.Open(t.Context(), &provider.OpenRequest{Account: "a", Grant: resp.Grant}); err != nil {
		t.Fatal(err)
	}
	w.conf.Settings["client_id"] = "another.apps.googleusercontent.com"
	w.configure()
	_, err = w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
	wantError(t, err, mail.KindGrantExpired, "other_application")
}
