package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/postern-mail/postern/internal/outbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// OAuth is how a receiver's authorization server gives us tokens: the client
// credentials grant (RFC 6749, 4.4). It is sealed with the rest of the endpoint,
// and the secret is shown to nobody again.
type OAuth struct {
	TokenURL     string   `json:"tokenUrl"`
	ClientID     string   `json:"clientId"`
	ClientSecret string   `json:"clientSecret,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
}

// Limits of what an owner and a token endpoint say.
const (
	maxCredential = 4 << 10
	maxScopes     = 50
	maxToken      = 8 << 10
	maxTokenBody  = 64 << 10
)

const (
	// tokenLife is that of a token whose server does not say (RFC 6749, 5.1).
	tokenLife = 5 * time.Minute
	// tokenMargin is how long before its end a token is not used any more.
	tokenMargin = 20 * time.Second
)

// checkOAuth refuses what no token can be asked for with. No error repeats the
// secret.
func (s *Service) checkOAuth(op string, c *config) error {
	o := c.OAuth
	if o == nil {
		return nil
	}
	if err := s.checkURL(op, o.TokenURL); err != nil {
		var e *mail.Error
		if errors.As(err, &e) {
			return mail.Errorf(e.Kind, op, "the token endpoint: %s", e.Message)
		}
		return err
	}
	switch {
	case o.ClientID == "" || o.ClientSecret == "":
		return mail.Errorf(mail.KindInvalid, op, "OAuth needs a client id and its secret")
	case len(o.ClientID) > maxCredential || len(o.ClientSecret) > maxCredential:
		return mail.Errorf(mail.KindInvalid, op, "the client id or its secret is longer than %d bytes", maxCredential)
	case len(o.Scopes) > maxScopes:
		return mail.Errorf(mail.KindInvalid, op, "at most %d scopes", maxScopes)
	}
	for _, scope := range o.Scopes {
		if !validScope(scope) {
			return mail.Errorf(mail.KindInvalid, op, "%q is no scope", scope)
		}
	}
	for _, h := range c.Headers {
		if strings.EqualFold(h.Name, "Authorization") {
			return mail.Errorf(mail.KindInvalid, op, "the header Authorization is set by OAuth")
		}
	}
	return nil
}

// validScope: a scope-token (RFC 6749, 3.3).
func validScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= maxCredential
}

// same reports whether tokens that were got with one are good for the other.
func (o *OAuth) same(as *OAuth) bool {
	if o == nil || as == nil {
		return o == as
	}
	return o.TokenURL == as.TokenURL && o.ClientID == as.ClientID && o.ClientSecret == as.ClientSecret &&
		strings.Join(o.Scopes, " ") == strings.Join(as.Scopes, " ")
}

// tokens keeps an endpoint's token. Whoever holds lock may ask for a new one:
// one request is under way, and all others wait for it.
type tokens struct {
	lock  chan struct{}
	value string
	until time.Time
}

func newTokens() *tokens { return &tokens{lock: make(chan struct{}, 1)} }

// get gives a token that is still good, other than one that was refused.
func (t *tokens) get(ctx context.Context, c *Carrier, p *peer, refused string) (string, error) {
	select {
	case t.lock <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	defer func() { <-t.lock }()
	now := c.opts.Now()
	if t.value != "" && t.value != refused && now.Before(t.until) {
		return t.value, nil
	}
	value, life, err := c.fetchToken(ctx, p)
	if err != nil {
		return "", err
	}
	t.value, t.until = value, now.Add(max(life-tokenMargin, life/2))
	return value, nil
}

// tokenError is an answer of a token endpoint that is no token.
type tokenError string

func (e tokenError) Error() string { return string(e) }

// fetchToken asks an endpoint's token endpoint (RFC 6749, 4.4.2). The request
// goes where the guard lets it, over the endpoint's own connections, and follows
// no redirect.
func (c *Carrier) fetchToken(ctx context.Context, p *peer) (token string, life time.Duration, err error) {
	o := p.config.OAuth
	u, err := url.Parse(o.TokenURL)
	if err != nil {
		return "", 0, tokenError("the URL is damaged")
	}
	if err := c.guard.checkURL(u); err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if len(o.Scopes) > 0 {
		form.Set("scope", strings.Join(o.Scopes, " "))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, tokenError("the URL is damaged")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "Postern/"+c.opts.Version)
	req.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret)) // RFC 6749, 2.3.1
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return "", 0, tokenError("answers 101")
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody))
	if err != nil {
		return "", 0, err
	}
	var answer struct {
		AccessToken string      `json:"access_token"`
		TokenType   string      `json:"token_type"`
		ExpiresIn   json.Number `json:"expires_in"`
		Error       string      `json:"error"`
	}
	bad := json.Unmarshal(body, &answer) // its error would quote what may be a token
	switch {
	case resp.StatusCode != http.StatusOK && errorCode(answer.Error):
		return "", 0, tokenError(fmt.Sprintf("answers %d, %s", resp.StatusCode, answer.Error))
	case resp.StatusCode != http.StatusOK:
		return "", 0, tokenError(fmt.Sprintf("answers %d", resp.StatusCode))
	case bad != nil || answer.AccessToken == "":
		return "", 0, tokenError("answers without a token")
	case !strings.EqualFold(answer.TokenType, "bearer"):
		return "", 0, tokenError("gives a token that is no bearer token")
	case len(answer.AccessToken) > maxToken || !httpguts.ValidHeaderFieldValue(answer.AccessToken):
		return "", 0, tokenError("gives a token that fits no header")
	}
	life = tokenLife
	if n, err := answer.ExpiresIn.Int64(); err == nil {
		life = time.Duration(min(max(n, 0), 24*3600)) * time.Second
	}
	return answer.AccessToken, life, nil
}

// errorCode reports whether what a server says is a code such as invalid_client
// (RFC 6749, 5.2), and not something that it was told.
func errorCode(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// tokenOutcome is that of a delivery for which there is no token. The receiver
// was not asked: it counts as one that cannot be reached, and the words say what
// could not.
func (c *Carrier) tokenOutcome(ctx context.Context, p *peer, err error) outbox.Outcome {
	out := outbox.Outcome{Class: outbox.ClassNetwork}
	var said tokenError
	if errors.As(err, &said) {
		out.Error = said.Error()
	} else {
		out = failure(ctx, err, c.opts)
	}
	name := "the token endpoint"
	if u, perr := url.Parse(p.config.OAuth.TokenURL); perr == nil {
		name += " " + (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	}
	out.Error = name + ": " + out.Error
	return out
}

// authorized makes a request with the endpoint's token, if it has OAuth: what is
// refused with 401 is sent once more with a new one. plain is ctx without what
// measures the request. An error of tokens comes as an outcome.
func (c *Carrier) authorized(plain context.Context, p *peer, req *http.Request) (*http.Response, *outbox.Outcome, error) {
	if p.config.OAuth == nil {
		resp, err := p.transport.RoundTrip(req)
		return resp, nil, err
	}
	token, err := p.tokens.get(plain, c, p, "")
	if err != nil {
		out := c.tokenOutcome(plain, p, err)
		return nil, &out, nil
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := p.transport.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, nil, err
	}
	fresh, err := p.tokens.get(plain, c, p, token)
	if err != nil || fresh == token {
		return resp, nil, nil // what the receiver said stands
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) //nolint:errcheck // so that the connection can be used again
	resp.Body.Close()
	again := req.Clone(req.Context())
	if again.Body, err = req.GetBody(); err != nil {
		return nil, nil, err
	}
	again.Header.Set("Authorization", "Bearer "+fresh)
	resp, err = p.transport.RoundTrip(again)
	return resp, nil, err
}
