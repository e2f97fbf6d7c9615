package oauth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// grantAssertion is the grant type of service accounts (RFC 7523 2.1).
const grantAssertion = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// tokenAnswer is a granted token request.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	// RefreshExpires is there for grants that end: 604,799 s for an app in
	// testing.
	RefreshExpires int    `json:"refresh_token_expires_in,omitempty"`
	Scope          string `json:"scope,omitempty"`
	TokenType      string `json:"token_type"`
	IDToken        string `json:"id_token,omitempty"`
}

// token is the token endpoint (RFC 6749 4.1.3 and 6, RFC 7523).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		writeRefusal(w, badRequest("Malformed form."))
		return
	}
	user, _ := p.TokenUser(r)
	kind := r.PostForm.Get("grant_type")
	var answer *tokenAnswer
	var err error
	switch kind {
	case "authorization_code":
		answer, err = p.redeemCode(r)
	case "refresh_token":
		answer, err = p.redeemRefresh(r)
	case grantAssertion:
		kind = "jwt-bearer"
		answer, err = p.redeemAssertion(r)
	case "":
		kind, err = "other", badRequest("Required parameter is missing: grant_type")
	default:
		err = &refusal{http.StatusBadRequest, "unsupported_grant_type", "Invalid grant_type: " + kind, ""}
		kind = "other"
	}
	if err != nil {
		var why *refusal
		if !errors.As(err, &why) {
			p.log.Error("token request failed", "error", err)
			why = errServer
		}
		p.counters.Token(CloudName, user.Address, kind, why.name)
		p.log.Info("token refused", "grant_type", kind, "user", user.Address, "error", why.name)
		writeRefusal(w, why)
		return
	}
	p.counters.Token(CloudName, user.Address, kind, "ok")
	writeJSON(w, http.StatusOK, answer)
}

// authenticate finds the app and checks its secret, in the form or in the
// Authorization header (RFC 6749 2.3.1).
func (p *Provider) authenticate(r *http.Request) (App, error) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, pass, ok := r.BasicAuth(); ok {
		id, secret = user, pass
		if u, err := url.QueryUnescape(user); err == nil {
			id = u
		}
		if u, err := url.QueryUnescape(pass); err == nil {
			secret = u
		}
	}
	app, ok := p.app(id)
	switch {
	case id == "":
		return App{}, badRequest("Could not determine client ID from request.")
	case !ok:
		return App{}, errClientUnknown
	case app.Deleted:
		return App{}, errClientDeleted
	case secret == "":
		return App{}, badRequest("client_secret is missing.")
	case !app.goodSecret(secret):
		return App{}, errClientSecret
	}
	return app, nil
}

// redeemCode takes a code, once. The code is spent by the first request that
// an authenticated app makes with it, also when that one fails.
func (p *Provider) redeemCode(r *http.Request) (*tokenAnswer, error) {
	app, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	code := r.PostForm.Get("code")
	switch {
	case code == "":
		return nil, badRequest("Missing required parameter: code")
	case !strings.HasPrefix(code, "4/"):
		return nil, badGrant("Malformed auth code.")
	}
	g, err := p.takeCode(code, app, r.PostForm)
	if err != nil {
		return nil, err
	}
	user, err := p.owner(app, g)
	if err != nil {
		return nil, err
	}
	out, err := p.answer(user, app, g, g.Scopes)
	if err != nil {
		return nil, err
	}
	if g.Offline {
		out.RefreshToken = p.mintRefresh(g, app)
		p.refreshOf(out)
	}
	return out, nil
}

func (p *Provider) takeCode(code string, app App, form url.Values) (grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[signin.Hash(code)]
	if !ok || g.Client != app.ClientID || g.Spent || g.Dead || !p.now().Before(g.Expires) {
		return grant{}, errBadGrant
	}
	g.Spent = true
	verifier := form.Get("code_verifier")
	switch {
	case form.Get("redirect_uri") != g.Redirect:
		return grant{}, errRedirect
	case g.Method != "" && verifier == "":
		return grant{}, badGrant("Missing code verifier.")
	case !signin.Verifies(g.Method, g.Challenge, verifier):
		return grant{}, badGrant("Invalid code verifier.")
	}
	return *g, nil
}

// redeemRefresh takes a refresh token, which stays as it is.
func (p *Provider) redeemRefresh(r *http.Request) (*tokenAnswer, error) {
	app, err := p.authenticate(r)
	if err != nil {
		return nil, err
	}
	token := r.PostForm.Get("refresh_token")
	if token == "" {
		return nil, badRequest("Missing required parameter: refresh_token")
	}
	p.mu.Lock()
	g, ok := p.refresh[signin.Hash(token)]
	var kept grant
	if ok {
		kept = *g
	}
	p.mu.Unlock()
	switch {
	case !ok:
		return nil, errBadGrant
	case kept.Client != app.ClientID:
		return nil, &refusal{http.StatusUnauthorized, "unauthorized_client", "Unauthorized", ""}
	case !p.alive(&kept):
		return nil, errRevoked
	}
	user, err := p.owner(app, kept)
	if err != nil {
		return nil, err
	}
	scopes := kept.Scopes
	if words := r.PostForm.Get("scope"); words != "" {
		var bad []string
		scopes, bad = p.settings.parseScopes(words)
		if len(bad) > 0 || slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(kept.Scopes, s) }) {
			return nil, &refusal{http.StatusBadRequest, "invalid_scope", "Some requested scopes were invalid.", ""}
		}
	}
	p.mu.Lock()
	g.Used = p.now()
	p.mu.Unlock()
	out, err := p.answer(user, app, kept, scopes)
	if err == nil && !kept.Expires.IsZero() {
		out.RefreshExpires = p.remaining(kept)
	}
	return out, err
}

// owner is the user of a grant, if it still may be used.
func (p *Provider) owner(app App, g grant) (cloud.User, error) {
	user, ok := p.users.UserByID(g.User)
	if !ok {
		return cloud.User{}, errDisabled
	}
	switch p.blockOf(user) {
	case Disabled:
		return user, errDisabled
	case AdminPolicy:
		return user, errAdminPolicy
	case SessionControl:
		return user, errRapt
	}
	if app.Internal != "" && p.admits(app, user) != nil {
		return user, errOrgInternal
	}
	return user, nil
}

// answer makes access token and id token of a grant.
func (p *Provider) answer(user cloud.User, app App, g grant, scopes []string) (*tokenAnswer, error) {
	out := &tokenAnswer{
		AccessToken: p.mintAccess(access{user: user.ID, client: app.ClientID, scopes: scopes}),
		ExpiresIn:   int(p.settings.AccessTokenLifetime / time.Second), Scope: strings.Join(scopes, " "), TokenType: "Bearer",
	}
	if !slices.Contains(scopes, scopeOpenID) {
		return out, nil
	}
	var err error
	out.IDToken, err = p.Sign(p.idClaims(user, app.ClientID, scopes, g.Nonce, out.AccessToken))
	return out, err
}

// refreshOf says when the refresh token of an answer ends, if it does.
func (p *Provider) refreshOf(out *tokenAnswer) {
	p.mu.Lock()
	g := *p.refresh[signin.Hash(out.RefreshToken)]
	p.mu.Unlock()
	if !g.Expires.IsZero() {
		out.RefreshExpires = p.remaining(g)
	}
}

// remaining is the seconds that a grant has left, without the one that has
// begun.
func (p *Provider) remaining(g grant) int {
	return max(0, int(g.Expires.Sub(p.now())/time.Second)-1)
}

// TokenUser is the user whose code, refresh token or token to revoke a request
// carries, looked up without spending it: faults and counters go by user.
func (p *Provider) TokenUser(r *http.Request) (cloud.User, bool) {
	if err := r.ParseForm(); err != nil {
		return cloud.User{}, false
	}
	id := ""
	p.mu.Lock()
	for _, name := range []string{"code", "refresh_token", "token"} {
		hash := signin.Hash(r.Form.Get(name))
		if g, ok := p.codes[hash]; ok {
			id = g.User
		} else if g, ok := p.refresh[hash]; ok {
			id = g.User
		} else if a, ok := p.access[hash]; ok {
			id = a.user
		}
	}
	p.mu.Unlock()
	return p.users.UserByID(id)
}

// RefuseToken answers a token request with a status, as a fault asks for.
func (p *Provider) RefuseToken(w http.ResponseWriter, r *http.Request, status int) {
	why := &refusal{status: status, name: "internal_failure", description: "Internal Error"}
	switch status {
	case http.StatusBadRequest:
		why = errRevoked
	case http.StatusUnauthorized:
		why = errClientSecret
	case http.StatusForbidden, http.StatusTooManyRequests:
		why.name, why.description = "rate_limit_exceeded", "Rate Limit Exceeded"
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		why.name, why.description = "temporarily_unavailable", "The service is currently unavailable."
	}
	user, _ := p.TokenUser(r)
	p.counters.Token(CloudName, user.Address, r.PostForm.Get("grant_type"), why.name)
	writeRefusal(w, why)
}

// revoke ends what a token belongs to: all that its user gave its app.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil || r.Form.Get("token") == "" {
		writeRefusal(w, badRequest("Missing required parameter: token"))
		return
	}
	hash := signin.Hash(r.Form.Get("token"))
	p.mu.Lock()
	user, client := "", ""
	if g, ok := p.refresh[hash]; ok && p.alive(g) {
		user, client = g.User, g.Client
	} else if a, ok := p.access[hash]; ok && p.now().Before(a.expires) {
		user, client = a.user, a.client
		if a.service != "" {
			delete(p.access, hash)
		}
	} else {
		p.mu.Unlock()
		writeRefusal(w, &refusal{http.StatusBadRequest, "invalid_token", "Token expired or revoked", ""})
		return
	}
	p.end(func(u, c string, _ []string) bool { return u == user && c == client }, false)
	p.mu.Unlock()
	p.log.Info("grant revoked", "app", client)
	writeJSON(w, http.StatusOK, struct{}{})
}
