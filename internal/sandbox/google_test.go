package sandbox_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	googleoauth "golang.org/x/oauth2/google"

	"github.com/postern-mail/postern/internal/sandbox"
)

const (
	alan           = "alan@gmail.example"
	googleCallback = "http://localhost:8080/oauth/gmail/callback"
)

// google is a client of that cloud, as an application has it.
func (w *world) google(scopes ...string) *oauth2.Config {
	s := w.sb.State()
	if scopes == nil {
		scopes = []string{"openid", "email", "https://mail.google.com/"}
	}
	return &oauth2.Config{
		ClientID: s.GoogleClientID, ClientSecret: s.GoogleClientSecret, RedirectURL: googleCallback, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: s.Google + "/o/oauth2/v2/auth", TokenURL: s.Google + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// connectGoogle signs a user in; a refusal is an error.
func (w *world) connectGoogle(c *oauth2.Config, user string) (*oauth2.Token, error) {
	w.t.Helper()
	back, err := sandbox.Approve(w.t.Context(), w.http, c.AuthCodeURL("x", oauth2.AccessTypeOffline, oauth2.ApprovalForce), user)
	if err != nil {
		return nil, err
	}
	return c.Exchange(w.t.Context(), back.Query().Get("code"))
}

func (w *world) mustGoogle(user string) *oauth2.Token {
	w.t.Helper()
	tok, err := w.connectGoogle(w.google(), user)
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

// gmail calls Gmail with a token.
func (w *world) gmail(tok *oauth2.Token, method, path, body string) response {
	w.t.Helper()
	return w.do(method, w.sb.State().Google+"/gmail/v1/users/me"+path, body, "Authorization", "Bearer "+tok.AccessToken, "Content-Type", "application/json")
}

// refreshGoogle is the error that a refresh ends with, and its subtype; ""
// when it works.
func (w *world) refreshGoogle(tok *oauth2.Token) string {
	w.t.Helper()
	_, err := w.google().TokenSource(w.t.Context(), &oauth2.Token{RefreshToken: tok.RefreshToken}).Token()
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		return ""
	}
	var more struct {
		Subtype string `json:"error_subtype"`
	}
	if err := json.Unmarshal(re.Body, &more); err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(re.ErrorCode + " " + more.Subtype)
}

// TestMailBetweenClouds: from one to the other and back, with a bounce for an
// account that has no mail.
func TestMailBetweenClouds(t *testing.T) {
	w := empty(t)
	w.control(201, "POST", "/control/users", `{"cloud":"google","address":"bare@corp.example","name":"Bare","gmail":false}`, nil)
	adas, alans := w.connect(ada), w.mustGoogle(alan)
	send := `{"message":{"subject":"Moth","body":{"contentType":"text","content":"found one"},"toRecipients":[{"emailAddress":{"address":"` + alan + `"}},{"emailAddress":{"address":"bare@corp.example"}}]}}`
	if r := w.graph(adas, "POST", "/me/sendMail", send); r.status != 202 {
		t.Fatalf("sendMail: %d %s", r.status, r.body)
	}
	list := decode[struct{ Messages []struct{ ID string } }](t, w.gmail(alans, "GET", "/messages?q=subject:Moth", ""))
	if len(list.Messages) != 1 {
		t.Fatalf("alan has %+v", list)
	}
	got := decode[struct{ Raw string }](t, w.gmail(alans, "GET", "/messages/"+list.Messages[0].ID+"?format=raw", ""))
	raw, err := base64.URLEncoding.DecodeString(got.Raw)
	if err != nil || !strings.HasPrefix(string(raw), "Delivered-To: "+alan+"\r\n") ||
		!strings.Contains(string(raw), "Return-Path: <ada@contoso.example>\r\nReceived: from microsoft by mx.sandbox.example") {
		t.Errorf("alan's copy: %v\n%s", err, raw)
	}
	if got := w.subjects(adas, "inbox"); len(got) != 1 || got[0] != "Undeliverable: Moth" {
		t.Errorf("ada has %q", got)
	}
	answer := base64.URLEncoding.EncodeToString([]byte(letter(alan, ada, "Re: Moth", "pinned it")))
	if r := w.gmail(alans, "POST", "/messages/send", `{"raw":"`+answer+`"}`); r.status != 200 {
		t.Fatalf("send: %d %s", r.status, r.body)
	}
	if got := w.subjects(adas, "inbox"); len(got) != 2 || got[0] != "Re: Moth" {
		t.Errorf("ada has %q", got)
	}
	if n := w.counters("?cloud=google"); n.MessagesSent != 1 || n.Count("POST", "/gmail/v1/users/me/messages/send", 200) != 1 {
		t.Errorf("counters %+v", n)
	}
}

// TestControlUsersOfGoogle: by name of the cloud or by the address alone; only
// Google has accounts without mail.
func TestControlUsersOfGoogle(t *testing.T) {
	w := empty(t)
	var u struct{ Cloud, ID, Address string }
	w.control(201, "POST", "/control/users", `{"address":"new@gmail.example"}`, &u)
	if u.Cloud != "google" || len(u.ID) != 21 {
		t.Errorf("made %+v", u)
	}
	w.control(409, "POST", "/control/users", `{"cloud":"microsoft","address":"new@gmail.example"}`, nil)
	w.control(400, "POST", "/control/users", `{"cloud":"microsoft","address":"x@contoso.example","gmail":false}`, nil)
	w.control(400, "POST", "/control/users/"+ada+"/password", "", nil)
	w.control(404, "POST", "/control/users/nobody@gmail.example/password", "", nil)
}

// TestControlAppsOfGoogle: in testing, and of an organisation.
func TestControlAppsOfGoogle(t *testing.T) {
	w := empty(t)
	w.control(201, "POST", "/control/apps?cloud=google", `{"client_id":"mine","redirect_uris":["`+googleCallback+`"],"secrets":[{"value":"s"}],"testing":true,"test_users":["`+alan+`"]}`, nil)
	w.control(201, "POST", "/control/users", `{"address":"other@gmail.example"}`, nil)
	c := w.google()
	c.ClientID, c.ClientSecret = "mine", "s"
	tok, err := w.connectGoogle(c, alan)
	if err != nil || tok.Extra("refresh_token_expires_in") == nil {
		t.Errorf("a tester: %v, %+v", err, tok)
	}
	if _, err := w.connectGoogle(c, "other@gmail.example"); err == nil || !strings.Contains(err.Error(), "access_denied") {
		t.Errorf("no tester: %v", err)
	}
	w.control(201, "POST", "/control/apps", `{"cloud":"google","client_id":"mine","redirect_uris":["`+googleCallback+`"],"secrets":[{"value":"s"}],"internal":"corp.example"}`, nil)
	if _, err := w.connectGoogle(c, alan); err == nil || !strings.Contains(err.Error(), "org_internal") {
		t.Errorf("of an organisation: %v", err)
	}
	var apps []struct {
		ClientID string `json:"client_id"`
	}
	if w.control(200, "GET", "/control/apps?cloud=google", "", &apps); len(apps) != 2 {
		t.Errorf("apps %+v", apps)
	}
	w.control(400, "GET", "/control/apps?cloud=yahoo", "", nil)
	w.control(400, "POST", "/control/apps", `{"cloud":"google","unknown":1}`, nil)
	w.control(400, "POST", "/control/apps", `{"cloud":1}`, nil)
}

// TestControlStatesOfGoogle: blocks in words and numbers, password, revocation.
func TestControlStatesOfGoogle(t *testing.T) {
	w := empty(t)
	tok := w.mustGoogle(alan)
	user := "/control/users/" + alan
	for _, tc := range []struct{ body, want string }{
		{`{"reason":"admin_policy_enforced"}`, "admin_policy_enforced"},
		{`{"code":3}`, "invalid_grant invalid_rapt"},
		{`{"reason":"disabled"}`, "invalid_grant"},
		{`{"code":0}`, ""},
	} {
		w.control(204, "POST", user+"/block", tc.body, nil)
		if got := w.refreshGoogle(tok); got != tc.want {
			t.Errorf("%s: %q", tc.body, got)
		}
	}
	w.control(400, "POST", user+"/block", `{"reason":"mood"}`, nil)
	w.control(400, "POST", user+"/block", `{"code":50057}`, nil)
	w.control(400, "POST", "/control/users/"+ada+"/block", `{"reason":"disabled"}`, nil)
	w.control(204, "POST", user+"/expire-tokens", "", nil)
	if r := w.gmail(tok, "GET", "/profile", ""); r.status != 401 {
		t.Errorf("expired: %d", r.status)
	}
	w.control(204, "POST", user+"/password", "", nil)
	if got := w.refreshGoogle(tok); got != "invalid_grant" {
		t.Errorf("after a change of password: %q", got)
	}
	tok = w.mustGoogle(alan)
	w.control(204, "POST", user+"/revoke", `{"keep_access_tokens":true}`, nil)
	if r := w.gmail(tok, "GET", "/profile", ""); r.status != 200 || w.refreshGoogle(tok) != "invalid_grant" {
		t.Errorf("revoked: %d", r.status)
	}
}

// TestControlServiceAccounts: Google's client library reads the key files, and
// roles decide; keys of tokens can be changed.
func TestControlServiceAccounts(t *testing.T) {
	w := empty(t)
	s := w.sb.State()
	tokenOf := func(key string) (*oauth2.Token, error) {
		c, err := googleoauth.JWTConfigFromJSON([]byte(key), "https://www.googleapis.com/auth/pubsub")
		if err != nil {
			t.Fatal(err)
		}
		return c.TokenSource(t.Context()).Token()
	}
	pull := func(key string) response {
		tok, err := tokenOf(key)
		if err != nil {
			t.Fatal(err)
		}
		return w.do("POST", s.Google+"/v1/"+s.GoogleSubscription+":pull", `{"maxMessages":1,"returnImmediately":true}`, "Authorization", "Bearer "+tok.AccessToken)
	}
	if r := pull(s.GoogleServiceAccount); r.status != 200 {
		t.Errorf("the one of the state: %d %s", r.status, r.body)
	}
	var made json.RawMessage
	w.control(201, "POST", "/control/service-accounts", `{"name":"bare"}`, &made)
	if r := pull(string(made)); r.status != 403 || !strings.Contains(r.body, "User not authorized to perform this action.") {
		t.Errorf("without a role: %d %s", r.status, r.body)
	}
	w.control(201, "POST", "/control/service-accounts", `{"name":"bare","roles":["roles/pubsub.subscriber"]}`, &made)
	if r := pull(string(made)); r.status != 200 {
		t.Errorf("with it: %d %s", r.status, r.body)
	}
	w.control(400, "POST", "/control/service-accounts", `{}`, nil)
	before := w.do("GET", s.Google+"/oauth2/v3/certs", "").body
	w.control(204, "POST", "/control/rotate-keys", "", nil)
	if after := w.do("GET", s.Google+"/oauth2/v3/certs", "").body; before == after || strings.Count(after, `"kid"`) != 2 {
		t.Errorf("keys %s", after)
	}
}

// TestControlLifecycleOfGoogle: a watch ends when it is told to.
func TestControlLifecycleOfGoogle(t *testing.T) {
	w := empty(t)
	tok, s := w.mustGoogle(alan), w.sb.State()
	if r := w.gmail(tok, "POST", "/watch", `{"topicName":"`+s.GoogleTopic+`"}`); r.status != 200 {
		t.Fatalf("watch: %d %s", r.status, r.body)
	}
	var told struct{ Subscriptions int }
	if w.control(200, "POST", "/control/users/"+alan+"/lifecycle", `{"event":"watch_expired"}`, &told); told.Subscriptions != 1 {
		t.Errorf("ended %+v", told)
	}
	w.control(400, "POST", "/control/users/"+alan+"/lifecycle", `{"event":"missed"}`, nil)
}

// TestGoogleDenied: the page's problem reaches who drives it.
func TestGoogleDenied(t *testing.T) {
	w := empty(t)
	back, err := sandbox.Deny(t.Context(), w.http, w.google().AuthCodeURL("x"))
	if err != nil || back.Query().Get("error") != "access_denied" {
		t.Errorf("denied: %v %v", back, err)
	}
	c := w.google()
	c.RedirectURL = "http://localhost:1/else"
	u, err := url.Parse(c.AuthCodeURL("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sandbox.Approve(t.Context(), w.http, u.String(), alan); err == nil || !strings.Contains(err.Error(), "redirect_uri_mismatch") {
		t.Errorf("another redirect URI: %v", err)
	}
}
