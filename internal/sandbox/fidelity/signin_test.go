package fidelity

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// An application signs people in at one of the sandbox's clouds.
type application struct {
	authorize, token string // addresses
	id, secret       string
	callback         string
}

// signIn goes the way of a person: the form of the authorize page, then the
// code for an access token. client follows no redirects.
func (a application) signIn(t *testing.T, client *http.Client, user, scopes string) string {
	t.Helper()
	post := func(address string, form url.Values) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	query := url.Values{"client_id": {a.id}, "response_type": {"code"}, "redirect_uri": {a.callback}, "state": {"x"}, "scope": {scopes}}
	resp := post(a.authorize+"?"+query.Encode(), url.Values{"user": {user}, "decision": {"approve"}})
	_ = resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		t.Fatalf("approve: %d %v", resp.StatusCode, err)
	}
	resp = post(a.token, url.Values{"client_id": {a.id}, "client_secret": {a.secret},
		"grant_type": {"authorization_code"}, "code": {back.Query().Get("code")}, "redirect_uri": {a.callback}})
	defer func() { _ = resp.Body.Close() }()
	var tok struct {
		Access string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&tok); err != nil || tok.Access == "" {
		t.Fatalf("token: %d %v", resp.StatusCode, err)
	}
	return tok.Access
}

// noRedirects has a client give redirects back.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
