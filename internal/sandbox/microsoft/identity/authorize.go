package identity

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// maxForm bounds every form that is posted here.
const maxForm = 1 << 20

// A request is a checked authorization request (RFC 6749 4.1.1, RFC 7636 4.3,
// OpenID Connect Core 3.1.2.1).
type request struct {
	tenant    string
	app       *registration
	redirect  string
	mode      string // query, fragment or form_post
	state     string
	scopes    []scope
	words     string // the scope parameter
	nonce     string
	challenge string
	method    string
	prompt    string
	hint      string
}

// authorize shows the page and takes its form back. Both carry the request's
// parameters in the URL; OpenID Connect allows them in a posted body as well.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.refusePage(w, r, refuse(9002313))
		return
	}
	req, why, redirect := p.readRequest(r)
	if why != nil {
		p.counters.Authorize(CloudName, "", why.oauth)
		if redirect {
			p.sendBack(w, r, req, p.errorParams(r, req, why))
		} else {
			p.refusePage(w, r, why)
		}
		return
	}
	switch decision := r.PostForm.Get("decision"); {
	case decision == "approve":
		p.approve(w, r, req)
	case decision == "deny":
		p.counters.Authorize(CloudName, r.PostForm.Get("user"), "denied")
		params := p.errorParams(r, req, refuse(65004))
		params.Set("error_subcode", "cancel")
		p.sendBack(w, r, req, params)
	case req.prompt == "none":
		p.silent(w, r, req, true)
	case p.settings.SingleSignOn && req.prompt == "" && p.silent(w, r, req, false):
	default:
		p.counters.Authorize(CloudName, "", "shown")
		p.signInPage(w, r, req, "")
	}
}

// readRequest checks the parameters. A refusal is sent back by redirect only
// when client and redirect URI are good (RFC 6749 4.1.2.1).
func (p *Provider) readRequest(r *http.Request) (req *request, why *refusal, redirect bool) {
	req = &request{tenant: r.PathValue("tenant"), mode: "query"}
	get := r.Form.Get
	clientID := get("client_id")
	if clientID == "" {
		return req, refuse(900144, "client_id"), false
	}
	app, ok := p.app(clientID)
	if !ok {
		return req, refuse(700016, clientID), false
	}
	if why := p.tenantRefusal(req.tenant, app); why != nil {
		return req, why, false
	}
	req.app, req.redirect, req.state = app, get("redirect_uri"), get("state")
	if req.redirect == "" && len(app.RedirectURIs) == 1 {
		req.redirect = app.RedirectURIs[0]
	}
	if !app.allows(req.redirect) {
		return req, refuse(50011, req.redirect, app.ClientID), false
	}
	switch mode := get("response_mode"); mode {
	case "", "query":
	case "fragment", "form_post":
		req.mode = mode
	default:
		return req, refuse(70007, mode, "response_mode"), true
	}
	switch kind := get("response_type"); kind {
	case "code":
	case "":
		return req, refuse(900144, "response_type"), true
	default:
		return req, refuse(700054, kind), true
	}
	req.words = get("scope")
	if strings.TrimSpace(req.words) == "" {
		return req, refuse(900144, "scope"), true
	}
	if req.scopes, why = p.parseScopes(req.words, r.Host); why != nil {
		return req, why, true
	}
	req.challenge, req.method = get("code_challenge"), get("code_challenge_method")
	switch {
	case req.challenge == "" && req.method == "":
	case len(req.challenge) < 43 || len(req.challenge) > 128: // RFC 7636 4.2
		return req, refuse(501491), true
	case req.method == "":
		req.method = "plain"
	case req.method != "S256" && req.method != "plain":
		return req, refuse(70007, req.method, "code_challenge_method"), true
	}
	switch req.prompt = get("prompt"); req.prompt {
	case "", "login", "none", "consent", "select_account":
	default:
		return req, refuse(70007, req.prompt, "prompt"), true
	}
	req.nonce, req.hint = get("nonce"), get("login_hint")
	return req, nil, false
}

// approve signs the chosen user in and sends the code back.
func (p *Provider) approve(w http.ResponseWriter, r *http.Request, req *request) {
	address := strings.TrimSpace(r.PostForm.Get("user"))
	user, ok := p.users.UserByAddress(address)
	if !ok {
		p.counters.Authorize(CloudName, address, "unknown_user")
		p.signInPage(w, r, req, refuse(50034, address, "Contoso").description())
		return
	}
	if why := p.admits(req.tenant, user); why != nil {
		p.counters.Authorize(CloudName, address, why.oauth)
		if strings.HasSuffix(why.oauth, "_required") || why.oauth == "access_denied" {
			p.sendBack(w, r, req, p.errorParams(r, req, why))
		} else {
			p.signInPage(w, r, req, why.description())
		}
		return
	}
	if p.needsAdmin(user, req.app.ClientID, p.names(req.scopes)) {
		why := refuse(90094)
		p.counters.Authorize(CloudName, address, why.oauth)
		p.sendBack(w, r, req, p.errorParams(r, req, why))
		return
	}
	p.consent(user.ID, req.app.ClientID, p.names(req.scopes))
	p.sessions.Add(w, r, user)
	p.grantCode(w, r, req, user)
}

// silent answers without a page when the browser's session allows it. With
// must, what is missing is refused by redirect; otherwise false is returned.
func (p *Provider) silent(w http.ResponseWriter, r *http.Request, req *request, must bool) bool {
	user, ok := p.sessions.User(r, p.users, req.hint)
	why := refuse(50058)
	if ok {
		why = p.admits(req.tenant, user)
		if why == nil && !p.consented(user.ID, req.app.ClientID, p.names(req.scopes)) {
			why = refuse(65001, req.app.ClientID)
			why.oauth = "interaction_required"
		}
	}
	if why == nil {
		p.grantCode(w, r, req, user)
		return true
	}
	if !must {
		return false
	}
	p.counters.Authorize(CloudName, req.hint, why.oauth)
	p.sendBack(w, r, req, p.errorParams(r, req, why))
	return true
}

func (p *Provider) grantCode(w http.ResponseWriter, r *http.Request, req *request, user cloud.User) {
	now := p.now()
	code := p.newCode(grant{
		User: user.ID, Client: req.app.ClientID, Scopes: p.names(req.scopes), Words: req.words, Nonce: req.nonce,
		Issued: now, Expires: now.Add(p.settings.CodeLifetime),
		Redirect: req.redirect, Method: req.method, Verifier: req.challenge,
	})
	p.counters.Authorize(CloudName, user.Address, "approved")
	p.log.Info("sign-in approved", "user", user.Address, "app", req.app.ClientID)
	params := url.Values{"code": {code}, "session_state": {uuid.NewString()}}
	if req.state != "" {
		params.Set("state", req.state)
	}
	p.sendBack(w, r, req, params)
}

// errorParams are the parameters of a refusal (RFC 6749 4.1.2.1).
func (p *Provider) errorParams(r *http.Request, req *request, why *refusal) url.Values {
	name := why.oauth
	if name == "invalid_grant" || name == "invalid_client" {
		name = "access_denied" // names of the token endpoint only
	}
	params := url.Values{
		"error": {name},
		"error_description": {fmt.Sprintf("%s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s",
			why.description(), uuid.NewString(), uuid.NewString(), p.now().UTC().Format("2006-01-02 15:04:05Z"))},
		"error_uri": {fmt.Sprintf("https://%s/error?code=%d", r.Host, why.code)},
	}
	if req.state != "" {
		params.Set("state", req.state)
	}
	return params
}

// sendBack brings the parameters to the redirect URI by the request's mode.
func (p *Provider) sendBack(w http.ResponseWriter, r *http.Request, req *request, params url.Values) {
	w.Header().Set("Cache-Control", "no-store")
	if req.mode == "form_post" {
		formPostPage(w, req.redirect, params)
		return
	}
	u, err := url.Parse(req.redirect)
	if err != nil { // it was parsed when it was registered
		p.refusePage(w, r, refuse(50011, req.redirect, req.app.ClientID))
		return
	}
	if req.mode == "fragment" {
		// Not u.Fragment, which would escape the encoded parameters again.
		w.Header().Set("Location", u.String()+"#"+params.Encode())
	} else {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += params.Encode()
		w.Header().Set("Location", u.String())
	}
	w.WriteHeader(http.StatusFound)
}

// logout ends the browser's session and sends it on to
// post_logout_redirect_uri if that belongs to an app.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	p.sessions.End(w, r)
	to := r.URL.Query().Get("post_logout_redirect_uri")
	for _, a := range p.Apps() {
		if slices.Contains(a.RedirectURIs, to) {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
	}
	signin.Page(w, signedOut, nil)
}
