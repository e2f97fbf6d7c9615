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

func (w *world) direct(ctx context.Context, address string) (*direct, error) {
	token, err := w.signIn(ctx, address, w.state.Authority+"/oauth2/v2.0/authorize", w.state.Authority+"/oauth2/v2.0/token",
		w.state.ClientID, w.state.ClientSecret, "offline_access openid User.Read Mail.ReadWrite")
	return &direct{w, token}, err
}

// signIn signs a user in for the bench itself (RFC 6749, 4.1) and gives the
// access token.
func (w *world) signIn(ctx context.Context, address, authorize, tokens, client, secret, scope string) (string, error) {
	ask := url.Values{"client_id": {client}, "response_type": {"code"}, "redirect_uri": {returnURL}, "state": {"bench"},
		"scope": {scope}, "response_mode": {"query"}}
	at, err := visit(ctx, w.provider, authorize+"?"+ask.Encode(), url.Values{"user": {address}, "decision": {"approve"}})
	if err != nil {
		return "", err
	}
	code := at.Query().Get("code")
	if code == "" {
		return "", fmt.Errorf("sign in: no code in %s", at.Redacted())
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {returnURL},
		"client_id": {client}, "client_secret": {secret}, "scope": {scope}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, tokens, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var got struct {
		AccessToken string `json:"access_token"`
	}
	if err := callWith(w.provider, req, &got); err != nil {
		return "", err
	}
	if got.AccessToken == "" {
		return "", errors.New("sign in: no token was given")
	}
	return got.AccessToken, nil
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
