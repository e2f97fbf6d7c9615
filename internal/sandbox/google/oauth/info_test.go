package oauth

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2/google"
	"golang.org/x/oauth2/jwt"
)

// verifyByHand checks a token by the published key set, with nothing of the
// sandbox's own.
func verifyByHand(t *testing.T, w *world, token string) map[string]any {
	t.Helper()
	var keys struct {
		Keys []struct{ Kty, Alg, Use, Kid, N, E string }
	}
	certs := w.do("GET", w.server.URL+"/oauth2/v3/certs", nil)
	if err := json.Unmarshal([]byte(certs.body), &keys); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(certs.header.Get("Cache-Control"), "max-age=18000") {
		t.Errorf("keys cached by %q", certs.header.Get("Cache-Control"))
	}
	parts := strings.Split(token, ".")
	raw := func(i int) []byte {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var header struct{ Alg, Kid, Typ string }
	if err := json.Unmarshal(raw(0), &header); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys.Keys {
		if k.Kid != header.Kid {
			continue
		}
		n, err := base64.RawURLEncoding.DecodeString(k.N)
		if err != nil || k.Kty != "RSA" || k.Alg != "RS256" || k.Use != "sig" || k.E != "AQAB" {
			t.Fatalf("key %+v: %v", k, err)
		}
		sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
		if err := rsa.VerifyPKCS1v15(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}, crypto.SHA256, sum[:], raw(2)); err != nil {
			t.Fatal(err)
		}
		var claims map[string]any
		if err := json.Unmarshal(raw(1), &claims); err != nil {
			t.Fatal(err)
		}
		return claims
	}
	t.Fatalf("no key %s among %+v", header.Kid, keys.Keys)
	return nil
}

// TestRotateKeys: what the key before has signed verifies; the one before that
// is gone.
func TestRotateKeys(t *testing.T) {
	w := newWorld(t, Settings{})
	old := w.connect().Extra("id_token").(string)
	if err := w.p.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	verifyByHand(t, w, old)
	verifyByHand(t, w, w.connect().Extra("id_token").(string))
	if err := w.p.RotateKeys(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.p.verify(old); err == nil {
		t.Error("a key that was rotated out still verifies")
	}
}

func TestUserinfo(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	for _, path := range []string{"/oauth2/v3/userinfo", "/v1/userinfo"} {
		got := w.do("GET", w.server.URL+path, nil, bearer(tok.AccessToken)...)
		if got.status != 200 || got.field(t, "sub") != alan.ID || got.field(t, "email") != alan.Address || got.field(t, "name") != "" {
			t.Errorf("%s: %d %s", path, got.status, got.body)
		}
	}
	if got := w.do("GET", w.server.URL+"/v1/userinfo?access_token="+tok.AccessToken, nil); got.status != 200 {
		t.Errorf("the token as a parameter: %d", got.status)
	}
	for _, header := range [][]string{nil, {"Authorization", "Basic x"}, bearer("ya29.nothing")} {
		if got := w.do("GET", w.server.URL+"/v1/userinfo", nil, header...); got.status != 401 || got.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%v: %d %s", header, got.status, got.body)
		}
	}
	if got := w.do("GET", w.server.URL+"/v1/userinfo", nil, bearer(w.connectAs(mary.Address, w.config(modify)).AccessToken)...); got.status != 403 {
		t.Errorf("without a scope of identity: %d %s", got.status, got.body)
	}
}

func TestTokeninfo(t *testing.T) {
	w := newWorld(t, Settings{})
	tok := w.connect()
	got := w.do("GET", w.server.URL+"/tokeninfo?access_token="+tok.AccessToken, nil)
	if got.field(t, "aud") != DefaultAppID || got.field(t, "expires_in") != "3599" || !strings.Contains(got.field(t, "scope"), scopeMail) {
		t.Errorf("of an access token: %s", got.body)
	}
	id := url.QueryEscape(tok.Extra("id_token").(string))
	if got := w.do("GET", w.server.URL+"/tokeninfo?id_token="+id, nil); got.field(t, "email") != alan.Address || got.field(t, "exp") == "" {
		t.Errorf("of an id token: %s", got.body)
	}
	for _, q := range []string{"", "access_token=x", "id_token=a.b.c", "id_token=" + id + "x"} {
		if got := w.do("GET", w.server.URL+"/tokeninfo?"+q, nil); got.status != 400 || got.field(t, "error") != "invalid_token" {
			t.Errorf("%q: %d %s", q, got.status, got.body)
		}
	}
	w.clock.Advance(time.Hour)
	if got := w.do("GET", w.server.URL+"/tokeninfo?id_token="+id, nil); got.status != 400 {
		t.Errorf("an id token of the past: %s", got.body)
	}
}

// TestDiscovery: the document's URLs are of this host and answer.
func TestDiscovery(t *testing.T) {
	w := newWorld(t, Settings{})
	got := w.do("GET", w.server.URL+"/.well-known/openid-configuration", nil)
	if got.field(t, "issuer") != "https://accounts.google.com" {
		t.Errorf("issuer %q", got.field(t, "issuer"))
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "revocation_endpoint", "jwks_uri"} {
		to := got.field(t, name)
		if !strings.HasPrefix(to, w.server.URL) {
			t.Errorf("%s is %q", name, to)
		}
		method := "GET"
		if name == "token_endpoint" {
			method = "POST"
		}
		if a := w.do(method, to, url.Values{}); a.status == 404 {
			t.Errorf("%s is not served", name)
		}
	}
	if a := w.do("GET", w.server.URL+"/nothing", nil); a.status != 404 {
		t.Errorf("an unknown path: %d", a.status)
	}
}

const scopePubSub = "https://www.googleapis.com/auth/pubsub"

// TestServiceAccount: Google's own client reads the key file and gets a token.
func TestServiceAccount(t *testing.T) {
	w := newWorld(t, Settings{})
	account, err := w.p.AddServiceAccount("robot", Project)
	if err != nil {
		t.Fatal(err)
	}
	file, err := account.KeyFile(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	config, err := google.JWTConfigFromJSON(file, scopePubSub)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := config.TokenSource(t.Context()).Token()
	if err != nil {
		t.Fatal(err)
	}
	b, ok := w.p.bearer(tok.AccessToken)
	if !ok || b.ServiceAccount != "robot@postern-sandbox.iam.gserviceaccount.com" || b.Project != Project || len(b.Scopes) != 1 || tok.RefreshToken != "" {
		t.Errorf("bearer %+v %v, refresh token %q", b, ok, tok.RefreshToken)
	}
	if got := w.do("GET", w.server.URL+"/v1/userinfo", nil, bearer(tok.AccessToken)...); got.field(t, "email") != account.Email {
		t.Errorf("userinfo %s", got.body)
	}
	if again, _ := w.p.AddServiceAccount("robot", Project); again.KeyID != account.KeyID {
		t.Error("a second one of the name has another key")
	}
	if err := w.p.RotateKeys(); err != nil { // not those of service accounts
		t.Fatal(err)
	}
	stranger := newWorld(t, Settings{})
	stranger.p.key = nil
	imposter, err := stranger.p.AddServiceAccount("robot", Project)
	if err != nil {
		t.Fatal(err)
	}
	imposter.KeyID = account.KeyID
	forged, err := imposter.KeyFile(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		file   []byte
		change func(*jwt.Config)
		status int
		want   string
	}{
		"signature":  {forged, func(*jwt.Config) {}, 400, "Invalid JWT Signature."},
		"key id":     {file, func(c *jwt.Config) { c.PrivateKeyID = "other" }, 400, "Invalid JWT Signature."},
		"account":    {file, func(c *jwt.Config) { c.Email = "nobody@postern-sandbox.iam.gserviceaccount.com" }, 400, "account not found"},
		"scope":      {file, func(c *jwt.Config) { c.Scopes = []string{"https://www.googleapis.com/auth/none"} }, 400, "Invalid OAuth scope"},
		"no scope":   {file, func(c *jwt.Config) { c.Scopes = nil }, 400, "Invalid OAuth scope"},
		"too long":   {file, func(c *jwt.Config) { c.Expires = 2 * time.Hour }, 400, "short-lived"},
		"audience":   {file, func(c *jwt.Config) { c.Audience = "https://elsewhere.example/token" }, 400, "audience"},
		"delegation": {file, func(c *jwt.Config) { c.Subject = alan.Address }, 401, "unauthorized"},
	} {
		config, err := google.JWTConfigFromJSON(tc.file, scopePubSub)
		if err != nil {
			t.Fatal(err)
		}
		tc.change(config)
		_, err = config.TokenSource(t.Context()).Token()
		if re := refused(t, err); re.Response.StatusCode != tc.status || !strings.Contains(string(re.Body), tc.want) {
			t.Errorf("%s: %d %s", name, re.Response.StatusCode, re.Body)
		}
	}
	form := url.Values{"grant_type": {grantAssertion}, "assertion": {"no token"}}
	if got := w.do("POST", w.server.URL+"/token", form); got.status != 400 || got.field(t, "error") != "invalid_grant" {
		t.Errorf("no JWT: %s", got.body)
	}
	w.clock.Advance(2 * time.Hour)
	_, err = config.TokenSource(t.Context()).Token()
	if re := refused(t, err); !strings.Contains(string(re.Body), "short-lived") {
		t.Errorf("an assertion of the past: %s", re.Body)
	}
	if n := w.counters.Report("google", "").Tokens["jwt-bearer"]; n["ok"] != 1 || n["invalid_grant"] < 5 {
		t.Errorf("counted %v", n)
	}
}
