package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// direct asks the provider itself, as a reference does: a token of its own, and
// nothing between.
type direct struct {
	w     *world
	token string
}

// direct signs a user in for the bench itself (RFC 6749, 4.1).
func (w *world) direct(ctx context.Context, address string) (*direct, error) {
	ask := url.Values{"client_id": {w.state.ClientID}, "response_type": {"code"}, "redirect_uri": {returnURL}, "state": {"bench"},
		"scope": {"offline_access openid User.Read Mail.ReadWrite"}, "response_mode": {"query"}}
	at, err := visit(ctx, w.provider, w.state.Authority+"/oauth2/v2.0/authorize?"+ask.Encode(), url.Values{"user": {address}, "decision": {"approve"}})
	if err != nil {
		return nil, err
	}
	code := at.Query().Get("code")
	if code == "" {
		return nil, fmt.Errorf("sign in: no code in %s", at.Redacted())
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {returnURL},
		"client_id": {w.state.ClientID}, "client_secret": {w.state.ClientSecret}, "scope": ask["scope"]}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.state.Authority+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := callWith(w.provider, req, &got); err != nil {
		return nil, err
	}
	if got.AccessToken == "" {
		return nil, errors.New("sign in: no token was given")
	}
	return &direct{w, got.AccessToken}, nil
}

// get reads an address of the provider, or a path below its version.
func (d *direct) get(ctx context.Context, to string) ([]byte, error) {
	if strings.HasPrefix(to, "/") {
		to = d.w.state.Graph + to
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.token)
	req.Header.Set("Prefer", `IdType="ImmutableId", odata.maxpagesize=200`)
	resp, err := d.w.provider.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s %s", req.URL.Path, resp.Status, body[:min(len(body), 300)])
	}
	return body, err
}
