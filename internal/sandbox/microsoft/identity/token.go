package identity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// tokenAnswer is a granted token request.
type tokenAnswer struct {
	TokenType    string `json:"token_type"`
	Scope        string `json:"scope"`
	ExpiresIn    int    `json:"expires_in"`
	ExtExpiresIn int    `json:"ext_expires_in"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	ClientInfo   string `json:"client_info,omitempty"`
}

// token is the token endpoint (RFC 6749 4.1.3 and 6).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.writeRefusal(w, r, refuse(9002313))
		return
	}
	user, answer, err := p.redeem(r)
	grantType := r.PostForm.Get("grant_type")
	switch grantType {
	case "authorization_code", "refresh_token", "client_credentials":
	default:
		grantType = "other"
	}
	var why *refusal
	if errors.As(err, &why) {
		p.counters.Token(CloudName, user.Address, grantType, why.oauth)
		p.log.Info("token refused", "grant_type", grantType, "user", user.Address, "code", why.code)
		p.writeRefusal(w, r, why)
		return
	}
	if err != nil {
		p.counters.Token(CloudName, user.Address, grantType, "server_error")
		p.log.Error("token request failed", "error", err)
		http.Error(w, "server_error", http.StatusInternalServerError)
		return
	}
	p.counters.Token(CloudName, user.Address, grantType, "ok")
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) redeem(r *http.Request) (cloud.User, *tokenAnswer, error) {
	form := r.PostForm
	user, _ := p.TokenUser(r)
	grantType := form.Get("grant_type")
	if grantType == "" {
		return user, nil, refuse(900144, "grant_type")
	}
	app, why := p.authenticate(r)
	if why != nil {
		return user, nil, why
	}
	if why := p.tenantRefusal(r.PathValue("tenant"), app); why != nil {
		return user, nil, why
	}
	scopes, why := p.parseScopes(form.Get("scope"), r.Host)
	if why != nil {
		return user, nil, why
	}
	if why := oneResource(scopes); why != nil {
		return user, nil, why
	}
	var g grant
	switch grantType {
	case "client_credentials":
		answer, why := p.ownToken(r.PathValue("tenant"), scopes)
		if why != nil {
			return user, nil, why
		}
		return user, answer, nil
	case "authorization_code":
		g, why = p.redeemCode(app, form.Get("code"), form.Get("redirect_uri"), form.Get("code_verifier"))
	case "refresh_token":
		g, why = p.redeemRefresh(app, form.Get("refresh_token"))
	default:
		why = refuse(70003, grantType)
	}
	if why != nil {
		return user, nil, why
	}
	if user, why = p.admittedOwner(r.PathValue("tenant"), g); why != nil {
		return user, nil, why
	}
	if len(permissions(p.names(scopes))) == 0 { // nothing asked for: what the grant has
		if scopes, why = p.parseScopes(strings.Join(g.Scopes, " "), r.Host); g.Words != "" {
			scopes, why = p.parseScopes(g.Words, r.Host)
		}
		if why != nil {
			return user, nil, why
		}
	}
	if !covers(g.Scopes, p.names(scopes)) {
		return user, nil, refuse(65001, app.ClientID)
	}
	answer, err := p.mint(r, user, app, g, scopes)
	return user, answer, err
}

// ownToken is an application's token for itself (RFC 6749 4.4), at a tenant of
// its own. No application has permissions of its own here, so that Graph takes
// the token for none.
func (p *Provider) ownToken(tenant string, scopes []scope) (*tokenAnswer, *refusal) {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers":
		return nil, refuse(50059)
	}
	// MSAL sends the words of OpenID Connect along, which ask for nothing here.
	scopes = slices.DeleteFunc(slices.Clone(scopes), func(s scope) bool { return s.oidc })
	if len(scopes) != 1 || scopes[0].name != ".default" || scopes[0].resource == "" {
		return nil, refuse(1002012)
	}
	life := int(p.settings.AccessTokenLifetime / time.Second)
	return &tokenAnswer{TokenType: "Bearer", ExpiresIn: life, ExtExpiresIn: life, AccessToken: signin.Opaque("EwC")}, nil
}

func (p *Provider) mint(r *http.Request, user cloud.User, app *registration, g grant, scopes []scope) (*tokenAnswer, error) {
	token, err := p.mintAccess(user, app.ClientID, r.Host, p.names(scopes))
	if err != nil {
		return nil, err
	}
	life := int(p.settings.AccessTokenLifetime / time.Second)
	out := &tokenAnswer{
		TokenType: "Bearer", Scope: answer(scopes), ExpiresIn: life, ExtExpiresIn: life, AccessToken: token,
	}
	if slices.Contains(g.Scopes, "offline_access") {
		out.RefreshToken = p.mintRefresh(g)
	}
	if slices.Contains(g.Scopes, "openid") {
		if out.IDToken, err = p.signer.Sign(p.idClaims(user, app.ClientID, r.Host, g)); err != nil {
			return nil, err
		}
	}
	if r.PostForm.Get("client_info") == "1" {
		info, err := json.Marshal(map[string]string{"uid": user.ID, "utid": p.TenantOf(user)})
		if err != nil {
			return nil, err
		}
		out.ClientInfo = base64.RawURLEncoding.EncodeToString(info)
	}
	return out, nil
}

// redeemCode takes a code, once. The code is spent by the first request that
// a properly authenticated client makes with it, also when that one fails on
// redirect URI or verifier.
func (p *Provider) redeemCode(app *registration, code, redirect, verifier string) (grant, *refusal) {
	if code == "" {
		return grant{}, refuse(900144, "code")
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.codes[signin.Hash(code)]
	switch {
	case !ok:
		return grant{}, refuse(9002313)
	case g.Client != app.ClientID:
		return grant{}, refuse(70000)
	case g.Used:
		return grant{}, refuse(54005)
	case g.Revoked:
		return grant{}, p.revokedSince(g)
	case !now.Before(g.Expires):
		return grant{}, refuse(70008)
	}
	g.Used = true
	switch {
	case redirect == "" && len(app.RedirectURIs) > 1:
		return grant{}, refuse(900144, "redirect_uri")
	case redirect != "" && redirect != g.Redirect:
		return grant{}, refuse(500112, redirect, g.Redirect)
	case !signin.Verifies(g.Method, g.Verifier, verifier):
		return grant{}, refuse(501481)
	}
	return *g, nil
}

// redeemRefresh takes a refresh token. The old one stays good, unless
// StrictRotation is set; a second use is then a malformed grant.
func (p *Provider) redeemRefresh(app *registration, token string) (grant, *refusal) {
	if token == "" {
		return grant{}, refuse(9002313)
	}
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.refresh[signin.Hash(token)]
	switch {
	case !ok:
		return grant{}, refuse(70000)
	case g.Client != app.ClientID:
		return grant{}, refuse(70000)
	case g.Revoked:
		return grant{}, p.revokedSince(g)
	case !now.Before(g.Expires):
		return grant{}, refuse(700082, g.Issued.UTC().Format("2006-01-02T15:04:05.0000000Z"), span(p.settings.RefreshTokenLifetime))
	case g.Used && p.settings.StrictRotation:
		return grant{}, refuse(70000)
	}
	g.Used = true
	return *g, nil
}

// revokedSince says since when a revoked grant is dead. Called with the lock
// held.
func (p *Provider) revokedSince(g *grant) *refusal {
	const layout = "2006-01-02T15:04:05.0000000Z"
	return refuse(50173, g.Issued.UTC().Format(layout), p.revoked[g.User].UTC().Format(layout))
}

// admittedOwner is the user of a grant, if it still may sign in.
func (p *Provider) admittedOwner(tenant string, g grant) (cloud.User, *refusal) {
	user, ok := p.users.UserByID(g.User)
	if !ok {
		return cloud.User{}, refuse(50034, g.User, "Contoso")
	}
	return user, p.admits(tenant, user)
}

// TokenUser is the user whose code or refresh token a token request carries,
// looked up without spending it: faults and counters go by user.
func (p *Provider) TokenUser(r *http.Request) (cloud.User, bool) {
	if err := r.ParseForm(); err != nil {
		return cloud.User{}, false
	}
	p.mu.Lock()
	g, ok := p.codes[signin.Hash(r.PostForm.Get("code"))]
	if !ok {
		g, ok = p.refresh[signin.Hash(r.PostForm.Get("refresh_token"))]
	}
	p.mu.Unlock()
	if !ok {
		return cloud.User{}, false
	}
	return p.users.UserByID(g.User)
}

// RefuseToken answers a token request with a code, as a fault asks for.
func (p *Provider) RefuseToken(w http.ResponseWriter, r *http.Request, code int) {
	user, _ := p.TokenUser(r)
	why := p.fill(code, user)
	p.counters.Token(CloudName, user.Address, r.PostForm.Get("grant_type"), why.oauth)
	p.writeRefusal(w, r, why)
}

// oneResource: a token request names the scopes of one resource only.
func oneResource(scopes []scope) *refusal {
	first := ""
	for _, s := range scopes {
		switch {
		case s.oidc || s.resource == "":
		case first == "":
			first = s.resource
		case first != s.resource:
			return refuse(28000, s.raw)
		}
	}
	return nil
}
