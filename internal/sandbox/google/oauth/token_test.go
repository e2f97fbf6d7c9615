package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"
)

// TestCodeFlow: a real client gets what the service documents.
func TestCodeFlow(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect(oauth2.SetAuthURLParam("nonce", "n0nce"))
	if !strings.HasPrefix(tok.AccessToken, "ya29.") || !strings.HasPrefix(tok.RefreshToken, "1//0") || tok.TokenType != "Bearer" {
		t.Errorf("tokens %+v", tok)
	}
	if tok.ExpiresIn != 3599 || tok.Extra("refresh_token_expires_in") != nil {
		t.Errorf("expires_in %d, refresh_token_expires_in %v", tok.ExpiresIn, tok.Extra("refresh_token_expires_in"))
	}
	claims := verifyByHand(t, w, tok.Extra("id_token").(string))
	for name, want := range map[string]any{
		"iss": "https://accounts.google.com", "aud": DefaultAppID, "azp": DefaultAppID, "sub": alan.ID,
		"email": alan.Address, "email_verified": true, "nonce": "n0nce", "hd": nil, "name": nil,
	} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, want %v", name, claims[name], want)
		}
	}
	if tok := w.connectAs(mary.Address, w.config("openid", "profile")); true {
		c := verifyByHand(t, w, tok.Extra("id_token").(string))
		if c["hd"] != "corp.example" || c["name"] != mary.Name || c["email"] != nil {
			t.Errorf("a hosted user's claims %v", c)
		}
	}
}

// TestRefresh: no rotation; a scope may be narrowed and not widened.
func TestRefresh(t *testing.T) {
	w := newWorld(t, Settings{})
	first := w.connect()
	for range 3 {
		tok, err := w.refresh(first.RefreshToken)
		if err != nil {
			t.Fatal(err)
		}
		if tok.RefreshToken != first.RefreshToken || tok.AccessToken == first.AccessToken || tok.Extra("refresh_token") != nil || tok.Extra("id_token") == nil {
			t.Errorf("refreshed to %+v", tok)
		}
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.RefreshToken}, "client_id": {DefaultAppID}, "client_secret": {DefaultAppSecret}}
	form.Set("scope", "openid")
	if got := w.do("POST", w.server.URL+"/token", form); got.field(t, "scope") != "openid" {
		t.Errorf("narrowed: %s", got.body)
	}
	form.Set("scope", modify)
	if got := w.do("POST", w.server.URL+"/token", form); got.status != 400 || got.field(t, "error") != "invalid_scope" {
		t.Errorf("widened: %s", got.body)
	}
	if n := w.counters.Report("google", alan.Address).Tokens["refresh_token"]; n["ok"] != 4 || n["invalid_scope"] != 1 {
		t.Errorf("counted %v", n)
	}
}

// TestTokenRefusals: status, error and description of each.
func TestTokenRefusals(t *testing.T) {
	other := App{ClientID: "other", RedirectURIs: []string{callback}, Secrets: []Secret{{Value: "s"}, {Value: "off", Disabled: true}}}
	gone := App{ClientID: "gone", Deleted: true}
	w := newWorld(t, Settings{}, DefaultApp(), other, gone)
	code := func() string { return w.approve(w.authURL(), alan.Address, nil).Get("code") }
	pkce := func() string {
		return w.approve(w.authURL("code_challenge", s256, "code_challenge_method", "S256"), alan.Address, nil).Get("code")
	}
	refresh := w.connect(oauth2.ApprovalForce).RefreshToken
	for name, tc := range map[string]struct {
		changes []string
		status  int
		name    string
		text    string
	}{
		"no grant type":    {[]string{"grant_type", "-"}, 400, "invalid_request", "grant_type"},
		"other grant type": {[]string{"grant_type", "password"}, 400, "unsupported_grant_type", "password"},
		"no client":        {[]string{"client_id", "-"}, 400, "invalid_request", "client ID"},
		"unknown client":   {[]string{"client_id", "x"}, 401, "invalid_client", "The OAuth client was not found."},
		"deleted client":   {[]string{"client_id", "gone"}, 401, "deleted_client", "deleted"},
		"no secret":        {[]string{"client_secret", "-"}, 400, "invalid_request", "client_secret is missing."},
		"wrong secret":     {[]string{"client_secret", "wrong"}, 401, "invalid_client", "Unauthorized"},
		"disabled secret":  {[]string{"client_id", "other", "client_secret", "off"}, 401, "invalid_client", "Unauthorized"},
		"no code":          {[]string{"code", "-"}, 400, "invalid_request", "code"},
		"no code at all":   {[]string{"code", "abc"}, 400, "invalid_grant", "Malformed auth code."},
		"unknown code":     {[]string{"code", "4/0Aunknown"}, 400, "invalid_grant", "Bad Request"},
		"other's code":     {[]string{"client_id", "other", "client_secret", "s"}, 400, "invalid_grant", "Bad Request"},
		"other redirect":   {[]string{"redirect_uri", "http://localhost/x"}, 400, "redirect_uri_mismatch", "Bad Request"},
		"no verifier":      {[]string{"code", pkce()}, 400, "invalid_grant", "Missing code verifier."},
		"wrong verifier":   {[]string{"code", pkce(), "code_verifier", strings.Repeat("x", 43)}, 400, "invalid_grant", "Invalid code verifier."},
		"needless":         {[]string{"code_verifier", verifier}, 400, "invalid_grant", "Invalid code verifier."},
		"no refresh token": {[]string{"grant_type", "refresh_token"}, 400, "invalid_request", "refresh_token"},
		"unknown refresh":  {[]string{"grant_type", "refresh_token", "refresh_token", "1//0gx"}, 400, "invalid_grant", "Bad Request"},
		"other's refresh":  {[]string{"grant_type", "refresh_token", "refresh_token", refresh, "client_id", "other", "client_secret", "s"}, 401, "unauthorized_client", "Unauthorized"},
	} {
		form := url.Values{"grant_type": {"authorization_code"}, "client_id": {DefaultAppID}, "client_secret": {DefaultAppSecret}, "redirect_uri": {callback}}
		if !strings.Contains(strings.Join(tc.changes, " ")+" ", "code 4") {
			form.Set("code", code())
		}
		for i := 0; i < len(tc.changes); i += 2 {
			form.Set(tc.changes[i], tc.changes[i+1])
			if tc.changes[i+1] == "-" {
				form.Del(tc.changes[i])
			}
		}
		got := w.do("POST", w.server.URL+"/token", form)
		if got.status != tc.status || got.field(t, "error") != tc.name || !strings.Contains(got.field(t, "error_description"), tc.text) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code()}, "redirect_uri": {callback}}
	if got := w.do("POST", w.server.URL+"/oauth2/v4/token", form, "Authorization", basic(DefaultAppID, DefaultAppSecret)); got.status != 200 {
		t.Errorf("the secret in the header: %s", got.body)
	}
	if got := w.do("POST", w.server.URL+"/token", form, "Authorization", basic(DefaultAppID, DefaultAppSecret)); got.field(t, "error") != "invalid_grant" {
		t.Errorf("a code worked twice: %s", got.body)
	}
	late := code()
	w.clock.Advance(10 * time.Minute)
	form.Set("code", late)
	if got := w.do("POST", w.server.URL+"/token", form, "Authorization", basic(DefaultAppID, DefaultAppSecret)); got.field(t, "error") != "invalid_grant" {
		t.Errorf("an old code worked: %s", got.body)
	}
}

func basic(user, pass string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, pass)
	return r.Header.Get("Authorization")
}

// TestGrantsThatEnd: every way in which a refresh token dies.
func TestGrantsThatEnd(t *testing.T) {
	const gone = "Token has been expired or revoked."
	for name, tc := range map[string]struct {
		end     func(w *world, tok *oauth2.Token)
		want    string // description
		subtype string
	}{
		"revoked by its user":   {func(w *world, _ *oauth2.Token) { w.p.Revoke(alan, false) }, gone, ""},
		"password":              {func(w *world, _ *oauth2.Token) { w.p.ChangePassword(alan) }, gone, ""},
		"unused for six months": {func(w *world, _ *oauth2.Token) { w.clock.Advance(180 * 24 * time.Hour) }, gone, ""},
		"revoked by the refresh": {func(w *world, tok *oauth2.Token) {
			w.do("POST", w.server.URL+"/revoke", url.Values{"token": {tok.RefreshToken}})
		}, gone, ""},
		"revoked by the access": {func(w *world, tok *oauth2.Token) { w.do("GET", w.server.URL+"/revoke?token="+tok.AccessToken, nil) }, gone, ""},
		"session control":       {func(w *world, _ *oauth2.Token) { _ = w.p.Block(alan, SessionControl) }, "reauth related error (invalid_rapt)", "invalid_rapt"},
		"disabled":              {func(w *world, _ *oauth2.Token) { _ = w.p.Block(alan, Disabled) }, "Account has been deleted", ""},
	} {
		w := newWorld(t, Settings{})
		tok := w.connect()
		if _, err := w.refresh(tok.RefreshToken); err != nil {
			t.Fatal(err)
		}
		tc.end(w, tok)
		_, err := w.refresh(tok.RefreshToken)
		re := refused(t, err)
		if re.ErrorCode != "invalid_grant" || re.ErrorDescription != tc.want || re.Response.StatusCode != 400 {
			t.Errorf("%s: %s %q", name, re.ErrorCode, re.ErrorDescription)
		}
		if got := (answer{body: string(re.Body)}).field(t, "error_subtype"); got != tc.subtype {
			t.Errorf("%s: subtype %q", name, got)
		}
		_, alive := w.p.bearer(tok.AccessToken)
		if want := name == "password" || tc.subtype != "" || name == "disabled"; alive != want {
			t.Errorf("%s: the access token lives: %v", name, alive)
		}
	}
}

// TestRevokeForgets: after a revocation the consent is asked for anew; a token
// that is none is said so.
func TestRevokeForgets(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	if got := w.do("POST", w.server.URL+"/revoke", url.Values{"token": {tok.AccessToken}}); got.status != 200 {
		t.Fatalf("revoke: %d %s", got.status, got.body)
	}
	if got := w.do("POST", w.server.URL+"/revoke", url.Values{"token": {tok.RefreshToken}}); got.status != 400 || got.field(t, "error") != "invalid_token" {
		t.Errorf("revoked twice: %d %s", got.status, got.body)
	}
	if got := w.do("POST", w.server.URL+"/revoke", url.Values{}); got.status != 400 || got.field(t, "error") != "invalid_request" {
		t.Errorf("no token: %d %s", got.status, got.body)
	}
	if w.connect().RefreshToken == "" {
		t.Error("the consent was not forgotten")
	}
	w.p.Revoke(alan, true)
	again := w.connect()
	w.p.Revoke(alan, true)
	if _, ok := w.p.bearer(again.AccessToken); !ok {
		t.Error("keepAccess ended the access token")
	}
}

// TestSessionControlEnds: signing in again is what it wants.
func TestSessionControlEnds(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	if err := w.p.Block(alan, SessionControl); err != nil {
		t.Fatal(err)
	}
	w.connect()
	if _, err := w.refresh(tok.RefreshToken); err != nil {
		t.Errorf("after signing in: %v", err)
	}
}

// TestAdminPolicyAtRefresh: the error has its own name.
func TestAdminPolicyAtRefresh(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	if err := w.p.Block(alan, AdminPolicy); err != nil {
		t.Fatal(err)
	}
	_, err := w.refresh(tok.RefreshToken)
	if re := refused(t, err); re.ErrorCode != "admin_policy_enforced" {
		t.Errorf("got %s", re.ErrorCode)
	}
}

// TestTestingApp: a grant to it lives seven days and says so, unless it is of
// identity alone.
func TestTestingApp(t *testing.T) {
	app := DefaultApp()
	app.Testing, app.TestUsers = true, []string{alan.Address}
	w := newWorld(t, Settings{}, app)
	tok := w.connect()
	if got := tok.Extra("refresh_token_expires_in"); got != float64(604799) {
		t.Errorf("refresh_token_expires_in %v", got)
	}
	w.clock.Advance(24 * time.Hour)
	next, err := w.refresh(tok.RefreshToken)
	if err != nil || next.Extra("refresh_token_expires_in") != float64(6*86400-1) {
		t.Errorf("a day later: %v, %v", err, next.Extra("refresh_token_expires_in"))
	}
	w.clock.Advance(6 * 24 * time.Hour)
	_, err = w.refresh(tok.RefreshToken)
	if re := refused(t, err); re.ErrorCode != "invalid_grant" || re.ErrorDescription != "Token has been expired or revoked." {
		t.Errorf("after seven days: %v", err)
	}
	if tok := w.connectAs(alan.Address, w.config("openid", "email"), oauth2.ApprovalForce); tok.Extra("refresh_token_expires_in") != nil {
		t.Error("a grant of identity ends")
	}
}

// TestTooManyRefreshTokens: the oldest of a user and an app goes, silently.
func TestTooManyRefreshTokens(t *testing.T) {
	w := newWorld(t, Settings{MaxRefreshTokens: 2})
	var tokens []string
	for range 3 {
		tokens = append(tokens, w.connect(oauth2.ApprovalForce).RefreshToken)
		w.clock.Advance(time.Second)
	}
	others := w.connectAs(mary.Address, w.config()).RefreshToken
	for i, tok := range append(tokens, others) {
		_, err := w.refresh(tok)
		if (err != nil) != (i == 0) {
			t.Errorf("token %d: %v", i, err)
		}
	}
}

// TestUseKeepsAlive: six months count from the last use.
func TestUseKeepsAlive(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	for range 3 {
		w.clock.Advance(179 * 24 * time.Hour)
		if _, err := w.refresh(tok.RefreshToken); err != nil {
			t.Fatal(err)
		}
	}
}

// TestExpireTokens: access tokens end at once, refresh tokens live.
func TestExpireTokens(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	w.p.ExpireTokens(alan)
	if _, ok := w.p.bearer(tok.AccessToken); ok {
		t.Error("the access token lives")
	}
	next, err := w.refresh(tok.RefreshToken)
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(3599 * time.Second)
	if _, ok := w.p.bearer(next.AccessToken); ok {
		t.Error("the access token outlived expires_in")
	}
}

// TestSaveLoad: grants, consents, keys and apps outlive the process.
func TestSaveLoad(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	if _, err := w.p.Register(App{ClientID: "extra"}); err != nil {
		t.Fatal(err)
	}
	account, err := w.p.AddServiceAccount("robot", Project)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.p.Block(mary, AdminPolicy); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := w.p.Save(dir); err != nil {
		t.Fatal(err)
	}
	next := newWorld(t, Settings{})
	if err := next.p.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if err := next.p.Load(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := next.refresh(tok.RefreshToken); err != nil {
		t.Errorf("the refresh token is lost: %v", err)
	}
	if next.connect().RefreshToken != "" {
		t.Error("the consent is lost")
	}
	if _, err := next.p.verify(tok.Extra("id_token").(string)); err != nil {
		t.Errorf("the key is lost: %v", err)
	}
	if got, ok := next.p.ServiceAccount(account.Email); !ok || !got.key.Equal(account.key) {
		t.Error("the service account is lost")
	}
	if _, ok := next.p.app("extra"); !ok || next.p.blockOf(mary) != AdminPolicy {
		t.Error("an app or a block is lost")
	}
	if err := next.p.Load(t.TempDir()); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
}
