package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// TestAuthorizePageOnly: what is wrong with a request is shown to the person,
// with the status and the name that the real page has, and never redirected.
func TestAuthorizePageOnly(t *testing.T) {
	deleted := App{ClientID: "deleted", RedirectURIs: []string{callback}, Deleted: true}
	w := newWorld(t, Settings{}, DefaultApp(), deleted)
	for name, tc := range map[string]struct {
		changes []string
		header  []string
		status  int
		want    string
	}{
		"no client":       {[]string{"client_id", "-"}, nil, 400, "invalid_request. Missing required parameter: client_id"},
		"unknown client":  {[]string{"client_id", "nobody"}, nil, 401, "invalid_client. The OAuth client was not found."},
		"deleted client":  {[]string{"client_id", "deleted"}, nil, 401, "deleted_client"},
		"other redirect":  {[]string{"redirect_uri", "http://localhost:8080/other"}, nil, 400, "redirect_uri_mismatch"},
		"no redirect":     {[]string{"redirect_uri", "-"}, nil, 400, "Missing required parameter: redirect_uri"},
		"no type":         {[]string{"response_type", "-"}, nil, 400, "Missing required parameter: response_type"},
		"implicit":        {[]string{"response_type", "token"}, nil, 400, "unsupported_response_type"},
		"no scope":        {[]string{"scope", "-"}, nil, 400, "Missing required parameter: scope"},
		"unknown scope":   {[]string{"scope", "openid https://www.googleapis.com/auth/gmail.all"}, nil, 400, "invalid_scope"},
		"access type":     {[]string{"access_type", "sometimes"}, nil, 400, "access_type"},
		"prompt":          {[]string{"prompt", "login"}, nil, 400, "Invalid prompt: login"},
		"prompt not none": {[]string{"prompt", "none consent"}, nil, 400, "none must stand alone"},
		"short challenge": {[]string{"code_challenge", "short", "code_challenge_method", "S256"}, nil, 400, "code_challenge"},
		"method":          {[]string{"code_challenge", s256, "code_challenge_method", "S512"}, nil, 400, "code_challenge_method"},
		"web view":        {nil, []string{"User-Agent", "Mozilla/5.0 (Linux; Android 14; wv) AppleWebKit"}, 403, "disallowed_useragent"},
	} {
		got := w.do("GET", w.authURL(tc.changes...), nil, tc.header...)
		if got.status != tc.status || got.location != nil || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s: %d %v %s", name, got.status, got.location, got.body)
		}
		if got.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: the page may be framed", name)
		}
	}
	if a := w.counters.Report("google", "").Authorize; a["redirect_uri_mismatch"] != 1 || a["invalid_client"] != 1 {
		t.Errorf("counted %v", a)
	}
}

// TestAuthorizeNotThisUser: refusals that only come up once the person has
// chosen an account are pages as well.
func TestAuthorizeNotThisUser(t *testing.T) {
	internal := DefaultApp()
	internal.ClientID, internal.Internal = "internal", "corp.example"
	testing1 := DefaultApp()
	testing1.ClientID, testing1.Testing, testing1.TestUsers = "testing", true, []string{"MARY@corp.example"}
	w := newWorld(t, Settings{}, DefaultApp(), internal, testing1)
	approve := func(client, user string) answer {
		return w.do("POST", w.authURL("client_id", client), url.Values{"user": {user}, "decision": {"approve"}})
	}
	for _, tc := range []struct {
		client, user string
		status       int
		want         string
	}{
		{"internal", alan.Address, 403, "Error 403: org_internal."},
		{"internal", mary.Address, 302, ""},
		{"testing", alan.Address, 403, "Error 403: access_denied."},
		{"testing", mary.Address, 302, ""},
		{DefaultAppID, "nobody@gmail.example", 200, "Couldn’t find your Google Account"},
	} {
		if got := approve(tc.client, tc.user); got.status != tc.status || !strings.Contains(got.body, tc.want) {
			t.Errorf("%s at %s: %d %s", tc.user, tc.client, got.status, got.body)
		}
	}
	for block, want := range map[Block]string{AdminPolicy: "Error 400: admin_policy_enforced.", Disabled: "This account has been disabled."} {
		if err := w.p.Block(alan, block); err != nil {
			t.Fatal(err)
		}
		if got := approve(DefaultAppID, alan.Address); got.location != nil || !strings.Contains(got.body, want) {
			t.Errorf("block %d: %d %s", block, got.status, got.body)
		}
	}
	if err := w.p.Block(alan, 77); err == nil {
		t.Error("a block that is none was taken")
	}
	if err := w.p.Block(alan, NotBlocked); err != nil {
		t.Fatal(err)
	}
	if got := approve(DefaultAppID, alan.Address); got.location == nil {
		t.Errorf("the block did not end: %d", got.status)
	}
}

// TestAuthorizeAnswer: the redirect carries state, code and what was granted.
func TestAuthorizeAnswer(t *testing.T) {
	w := newWorld(t, Settings{})
	q := w.approve(w.authURL("prompt", "consent"), alan.Address, nil)
	if q.Get("state") != "s t&te" || !strings.HasPrefix(q.Get("code"), "4/0A") || len(q.Get("code")) > 256 || q.Get("prompt") != "consent" {
		t.Errorf("sent back %v", q)
	}
	if got := q.Get("scope"); got != "email openid "+scopeEmail+" "+scopeMail {
		t.Errorf("scope %q", got)
	}
	back := w.do("POST", w.authURL(), url.Values{"decision": {"deny"}})
	if q := back.location.Query(); q.Get("error") != "access_denied" || q.Get("state") != "s t&te" || q.Has("code") {
		t.Errorf("denied: %v", back.location)
	}
}

// TestGranularConsent: a person unticks a scope, and the answer says so.
func TestGranularConsent(t *testing.T) {
	w := newWorld(t, Settings{})
	c := w.config("openid", "email", modify, scopeMail)
	back := w.approve(c.AuthCodeURL("st", oauth2.AccessTypeOffline), alan.Address, func(s string) bool { return s == modify })
	tok, err := c.Exchange(t.Context(), back.Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	if got := tok.Extra("scope"); got != "openid "+scopeEmail+" "+modify {
		t.Errorf("granted %v", got)
	}
	b, ok := w.p.bearer(tok.AccessToken)
	if !ok || len(b.Scopes) != 3 || b.Client != DefaultAppID || b.Project != Project || b.User != alan {
		t.Errorf("bearer %+v %v", b, ok)
	}

	// Without identity, nothing is left when all is unticked: a denial.
	c = w.config(modify)
	back = w.approve(c.AuthCodeURL("st"), alan.Address, func(string) bool { return false })
	if back.Get("error") != "access_denied" {
		t.Errorf("everything unticked: %v", back)
	}

	// What was given before comes along with include_granted_scopes alone.
	c = w.config("openid", "https://www.googleapis.com/auth/gmail.labels")
	for include, want := range map[string]bool{"false": false, "true": true} {
		back = w.approve(c.AuthCodeURL("st", oauth2.SetAuthURLParam("include_granted_scopes", include)), alan.Address, nil)
		if got := strings.Contains(back.Get("scope"), modify); got != want {
			t.Errorf("include_granted_scopes=%s: %s", include, back.Get("scope"))
		}
	}

	unticked := newWorld(t, Settings{Unticked: true})
	if q := unticked.approve(unticked.authURL(), alan.Address, nil); strings.Contains(q.Get("scope"), scopeMail) {
		t.Errorf("an empty box was granted: %v", q)
	}
}

// TestConsentRemembered: a refresh token comes with the first consent, and
// later with prompt=consent alone.
func TestConsentRemembered(t *testing.T) {
	w := newWorld(t, Settings{})
	if w.connect().RefreshToken == "" {
		t.Error("first consent without a refresh token")
	}
	if w.connect().RefreshToken != "" {
		t.Error("second consent with a refresh token")
	}
	if w.connect(oauth2.ApprovalForce).RefreshToken == "" {
		t.Error("prompt=consent without a refresh token")
	}
	if tok := w.connectAs(alan.Address, w.config("openid", modify)); tok.RefreshToken == "" {
		t.Error("the screen was shown for a new scope, and gave no refresh token")
	}
	online := w.approve(w.authURL("access_type", "online", "prompt", "consent"), mary.Address, nil)
	tok, err := w.config().Exchange(t.Context(), online.Get("code"))
	if err != nil || tok.RefreshToken != "" {
		t.Errorf("online access: %v, refresh token %q", err, tok.RefreshToken)
	}
}

// TestPromptNone: no page; what is missing is told to the app.
func TestPromptNone(t *testing.T) {
	w := newWorld(t, Settings{})
	none := func(changes ...string) url.Values {
		got := w.do("GET", w.authURL(append([]string{"prompt", "none"}, changes...)...), nil)
		if got.status != http.StatusFound {
			t.Fatalf("a page: %d %s", got.status, got.body)
		}
		return got.location.Query()
	}
	if got := none().Get("error"); got != "login_required" {
		t.Errorf("nobody signed in: %s", got)
	}
	w.connect()
	if q := none(); q.Get("code") == "" || q.Get("prompt") != "none" {
		t.Errorf("signed in and consented: %v", q)
	}
	if got := none("scope", modify).Get("error"); got != "interaction_required" {
		t.Errorf("a scope not consented to: %s", got)
	}
	if got := none("login_hint", mary.Address).Get("error"); got != "login_required" {
		t.Errorf("somebody else: %s", got)
	}
	if q := none("login_hint", alan.ID); q.Get("code") == "" {
		t.Errorf("hint by sub: %v", q)
	}
	w.connectAs(mary.Address, w.config())
	if got := none().Get("error"); got != "login_required" {
		t.Errorf("two accounts and no hint: %s", got)
	}
}

// TestSingleSignOn: by setting, a consented user passes without the page; a
// prompt brings it back.
func TestSingleSignOn(t *testing.T) {
	w := newWorld(t, Settings{SingleSignOn: true})
	w.connect()
	if got := w.do("GET", w.authURL(), nil); got.status != http.StatusFound {
		t.Errorf("got a page: %d", got.status)
	}
	for _, prompt := range []string{"consent", "select_account"} {
		if got := w.do("GET", w.authURL("prompt", prompt), nil); got.status != http.StatusOK {
			t.Errorf("prompt=%s: %d", prompt, got.status)
		}
	}
}

// TestChooser: the hinted account is chosen, unless the person is to choose.
func TestChooser(t *testing.T) {
	w := newWorld(t, Settings{})
	chosen := `value="` + alan.Address + `" checked`
	if got := w.do("GET", w.authURL("login_hint", alan.Address), nil); !strings.Contains(got.body, chosen) {
		t.Error("the hint is not chosen")
	}
	if got := w.do("GET", w.authURL("login_hint", alan.Address, "prompt", "select_account"), nil); strings.Contains(got.body, chosen) {
		t.Error("select_account chose")
	}
}
