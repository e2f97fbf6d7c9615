package gmail

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Codes of our own, which the host may show a page for.
const (
	codeAccessDenied   = "access_denied"
	codeMissingScopes  = "missing_scopes"
	codeNoRefreshToken = "no_refresh_token"
)

// pending is what BeginConnect must know again in FinishConnect.
type pending struct {
	Verifier string `json:"verifier"`
	Nonce    string `json:"nonce"`
	State    string `json:"state"`
	ClientID string `json:"client_id"`
}

// BeginConnect makes the authorize URL (RFC 6749, 4.1.1; PKCE, RFC 7636; nonce,
// OpenID Connect Core 3.1.2.1). access_type and prompt are what Google gives a
// refresh token for, also to an owner who has consented before.
func (p *Provider) BeginConnect(_ context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
	const op = "begin connect"
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(op)
	}
	redirect := conf.redirect(req.RedirectURL)
	if redirect == "" || req.State == "" {
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: op, Message: "a redirect URL and a state are needed"}
	}
	pend := pending{Verifier: oauth.Secret(), Nonce: oauth.Secret(), State: req.State, ClientID: conf.oauth.ClientID}
	data, err := json.Marshal(pend)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: op, Message: "encode pending state"}
	}
	options := []oauth2.AuthCodeOption{
		oauth2.AccessTypeOffline,
		oauth2.S256ChallengeOption(pend.Verifier),
		oauth2.SetAuthURLParam("nonce", pend.Nonce),
		oauth2.SetAuthURLParam("include_granted_scopes", "true"),
	}
	if conf.prompt != "" {
		options = append(options, oauth2.SetAuthURLParam("prompt", conf.prompt))
	}
	if req.LoginHint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", req.LoginHint))
	}
	client := conf.oauth
	client.RedirectURL = redirect
	return &provider.BeginConnectResponse{URL: client.AuthCodeURL(req.State, options...), Pending: data}, nil
}

// redirect is the redirect URL of a sign-in.
func (c *config) redirect(asked string) string {
	if asked != "" {
		return asked
	}
	return c.redirectURL
}

const opFinish = "finish connect"

// FinishConnect redeems the code and finds out whose mailbox it opens.
func (p *Provider) FinishConnect(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(opFinish)
	}
	ctx, done := p.calls.Add(ctx)
	defer done()
	pend, code, err := conf.callback(req)
	if err != nil {
		return nil, err
	}
	asked := p.now()
	client := conf.oauth
	client.RedirectURL = conf.redirect(req.RedirectURL)
	token, err := client.Exchange(conf.authContext(ctx), code, oauth2.VerifierOption(pend.Verifier))
	if err != nil {
		return nil, p.redeemError(err)
	}
	id, err := conf.identify(token, pend, p.now())
	if err != nil {
		return nil, err
	}
	g := &grant{
		Version: grantVersion, ClientID: conf.oauth.ClientID, Subject: id.Subject,
		RefreshToken: token.RefreshToken, Expires: consentEnd(token, asked),
	}
	scope, _ := token.Extra("scope").(string)
	g.Scopes = strings.Fields(scope)
	slices.Sort(g.Scopes)
	if err := conf.checkConsent(g, token); err != nil {
		return nil, err
	}
	if g.Address, err = p.whoami(ctx, conf, token.AccessToken); err != nil {
		return nil, err
	}
	data, err := g.bytes()
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindInternal, Op: opFinish, Message: "encode grant"}
	}
	resp := &provider.FinishConnectResponse{
		Accounts: []provider.ConnectedAccount{{Subject: id.Subject, Address: g.Address, Name: id.Name}},
		Granted:  g.Scopes, Grant: data, ExpiresAt: g.Expires,
	}
	if !g.Expires.IsZero() {
		resp.ExpiresReason = expiresReason(g.Expires.Sub(asked))
	}
	return resp, nil
}

// expiresReason says why a consent ends.
func expiresReason(life time.Duration) string {
	if life > 6*24*time.Hour && life <= 7*24*time.Hour+time.Hour {
		return "the application is in testing mode at Google, where a consent holds for 7 days"
	}
	return "the consent was given for a time"
}

// callback reads what the sign-in page came back with.
func (c *config) callback(req *provider.FinishConnectRequest) (*pending, string, error) {
	var pend pending
	if err := json.Unmarshal(req.Pending, &pend); err != nil || pend.Verifier == "" || pend.Nonce == "" {
		return nil, "", &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Message: "the connection attempt cannot be read"}
	}
	if pend.ClientID != c.oauth.ClientID {
		return nil, "", &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "other_application", Message: "the settings changed during the sign-in; start again"}
	}
	params := url.Values(req.Params)
	if s := params.Get("state"); s != "" && subtle.ConstantTimeCompare([]byte(s), []byte(pend.State)) != 1 {
		return nil, "", &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "state_mismatch", Message: "the answer belongs to another connection attempt"}
	}
	if params.Get("error") != "" {
		return nil, "", refusedConsent(params)
	}
	code := params.Get("code")
	if code == "" {
		return nil, "", &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Message: "the answer of the sign-in page carries no code"}
	}
	return &pend, code, nil
}

// refusedConsent reads the error that the sign-in page came back with.
func refusedConsent(params url.Values) error {
	a := tokenAnswer{Error: clip(params.Get("error"), 60), Subtype: params.Get("error_subtype")}
	if a.Error == codeAccessDenied {
		return &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeAccessDenied, Message: "access was declined at the sign-in page"}
	}
	return refusedSignIn(judge(opFinish, a))
}

// redeemError: what would end a grant refuses a code that is to become one.
func (p *Provider) redeemError(err error) error {
	return refusedSignIn(p.tokenError(opFinish, err))
}

func refusedSignIn(e *mail.Error) error {
	switch {
	case e.Kind != mail.KindGrantExpired:
	case verdicts[e.Code] == administer:
		e.Kind, e.Code = mail.KindForbidden, mail.CodeAdminConsent
		e.Message = "an administrator of the organisation must allow this application access to Gmail first (admin_policy_enforced)"
	default:
		e.Kind, e.Message = mail.KindForbidden, "the sign-in was refused; start again"
	}
	return e
}

// identity are the claims of the id_token that are of use.
type identity struct {
	claims
	Subject string `json:"sub"`
	Nonce   string `json:"nonce"`
	Name    string `json:"name"`
}

// identify reads the id_token. Its signature need not be checked: it came over
// TLS from the token endpoint itself (OpenID Connect Core, 3.1.3.7, 6).
func (c *config) identify(token *oauth2.Token, pend *pending, now time.Time) (*identity, error) {
	raw, _ := token.Extra("id_token").(string)
	parts := strings.Split(raw, ".")
	var id identity
	if len(raw) > maxToken || len(parts) != 3 || decodePart(strings.TrimRight(parts[1], "="), &id) != nil || id.Subject == "" {
		return nil, badAnswer(opFinish, "the sign-in service gave no id_token that can be read")
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(pend.Nonce)) != 1:
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "nonce_mismatch", Message: "the answer belongs to another sign-in"}
	case !slices.Contains(id.Audience, c.oauth.ClientID):
		return nil, &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Code: "audience_mismatch", Message: "the answer is for another application"}
	case strings.TrimPrefix(id.Issuer, "https://") != "accounts.google.com":
		return nil, &mail.Error{Kind: mail.KindMisconfigured, Op: opFinish, Code: "issuer_mismatch", Message: "the sign-in service is not Google's: it names another issuer"}
	}
	if err := id.timely(now); err != nil {
		return nil, &mail.Error{Kind: mail.KindUnavailable, Op: opFinish, Code: "id_token_expired", Message: "the id_token is not of now; perhaps this machine's clock is wrong", Err: err}
	}
	return &id, nil
}

// checkConsent compares what was given with what was asked for: the owner may
// have ticked some of it only.
func (c *config) checkConsent(g *grant, token *oauth2.Token) error {
	if missing := missingScopes(c.oauth.Scopes, g.Scopes); len(missing) > 0 {
		return &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeMissingScopes,
			Message: "the sign-in page has a box for each permission, and not all were ticked; missing: " + strings.Join(missing, ", ")}
	}
	if token.RefreshToken == "" {
		return &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeNoRefreshToken,
			Message: "Google gave no lasting access: the setting prompt must be consent, or the owner must remove this application at myaccount.google.com/permissions and connect again"}
	}
	return nil
}

// whoami asks for the address of the mailbox, and so whether there is one.
func (p *Provider) whoami(ctx context.Context, conf *config, token string) (string, error) {
	service, err := conf.service()
	if err != nil {
		return "", &mail.Error{Kind: mail.KindInternal, Op: opFinish, Message: "make a client of Gmail", Err: err}
	}
	profile, err := service.Users.GetProfile("me").Context(signed(ctx, pass{token: token, limit: p.largest, large: p.answers, whole: new(atomic.Bool)})).Do()
	if r := refusalOf(err, p.now()); r != nil {
		e := r.mailError(opFinish, false)
		// A Workspace account without Gmail is refused in more than one way.
		if r.kind == mail.KindNotFound || r.status == http.StatusBadRequest {
			e.Kind, e.Code, e.Message = mail.KindForbidden, codeNotEnabled, "the account has no Gmail: its owner or an administrator must switch it on"
		}
		return "", e
	}
	if err != nil {
		c := call{p: p, op: opFinish}
		return "", c.transportError(ctx, err, false)
	}
	if !strings.Contains(profile.EmailAddress, "@") {
		return "", &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeNotEnabled, Message: "the account has no address"}
	}
	return profile.EmailAddress, nil
}

// Revoke gives the consent back. Revoking the refresh token ends all that came
// of it; the access token is forgotten here as well.
func (p *Provider) Revoke(ctx context.Context, req *provider.RevokeRequest) error {
	const op = "revoke"
	conf := p.conf.Load()
	if conf == nil {
		return notConfigured(op)
	}
	p.mu.Lock()
	a := p.accounts[req.Account]
	p.mu.Unlock()
	if a == nil {
		return provider.ErrNotOpen
	}
	ctx, done := p.calls.Add(ctx)
	defer done()
	form := url.Values{"token": {a.tokens.Grant().RefreshToken}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, conf.revokeURL, strings.NewReader(form.Encode()))
	if err != nil {
		return &mail.Error{Kind: mail.KindInternal, Op: op, Message: "build request"}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := conf.authHTTP.Do(r)
	if err != nil {
		return unreachable(op, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var answer tokenAnswer
		_ = json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 64<<10)).Decode(&answer)
		// invalid_token: it is dead already, which is what was wanted.
		if answer.Error != "invalid_token" && answer.Error != "invalid_grant" {
			e := refusedToken(op, resp.StatusCode, nil)
			e.Code, e.RetryAfter = clip(answer.Error, 60), retryTime(resp.Header, "", p.now())
			return e
		}
	}
	a.tokens.Close()
	return nil
}

var _ provider.Provider = (*Provider)(nil)
