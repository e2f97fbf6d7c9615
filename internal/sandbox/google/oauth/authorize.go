package oauth

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// maxForm bounds every form that is posted here.
const maxForm = 1 << 20

// A request is a checked authorization request (RFC 6749 4.1.1, RFC 7636 4.3).
type request struct {
	app       App
	redirect  string
	state     string
	scopes    []string
	offline   bool
	include   bool // include_granted_scopes
	nonce     string
	challenge string
	method    string
	none      bool // prompt
	consent   bool
	choose    bool
	hint      string
}

// prompt is what the redirect says of it.
func (q *request) prompt() string {
	if q.consent {
		return "consent"
	}
	return "none"
}

// authorize shows the page and takes its form back. Both carry the request's
// parameters in the URL. What is wrong with a request is told to the person on
// a page, never to the app: that is so at Google whatever it is.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.refusePage(w, badRequest("Malformed form."))
		return
	}
	req, why := p.readRequest(r)
	if why != nil {
		p.counters.Authorize(CloudName, "", why.name)
		p.refusePage(w, why)
		return
	}
	switch decision := r.PostForm.Get("decision"); {
	case decision == "approve":
		p.approve(w, r, req)
	case decision == "deny":
		p.counters.Authorize(CloudName, r.PostForm.Get("user"), "denied")
		p.sendBack(w, req, url.Values{"error": {"access_denied"}})
	case req.none:
		p.silent(w, r, req, true)
	case p.settings.SingleSignOn && !req.consent && !req.choose && p.silent(w, r, req, false):
	default:
		p.counters.Authorize(CloudName, "", "shown")
		p.consentPage(w, r, req, "")
	}
}

// embedded tells the user agents of web views, which may not sign in.
func embedded(agent string) bool {
	return strings.Contains(agent, "; wv)") || strings.Contains(agent, "WebView")
}

// readRequest checks the parameters.
func (p *Provider) readRequest(r *http.Request) (*request, *refusal) {
	get := r.Form.Get
	clientID := get("client_id")
	if clientID == "" {
		return nil, badRequest("Missing required parameter: client_id")
	}
	app, ok := p.app(clientID)
	switch {
	case !ok:
		return nil, errClientUnknown
	case app.Deleted:
		return nil, errClientDeleted
	case embedded(r.UserAgent()):
		return nil, errUserAgent
	}
	req := &request{app: app, redirect: get("redirect_uri"), state: get("state"), nonce: get("nonce"), hint: get("login_hint"),
		challenge: get("code_challenge"), method: get("code_challenge_method"), include: get("include_granted_scopes") == "true"}
	switch {
	case req.redirect == "":
		return nil, badRequest("Missing required parameter: redirect_uri")
	case !slices.Contains(app.RedirectURIs, req.redirect):
		return nil, &refusal{errRedirect.status, errRedirect.name, "You can't sign in because " + app.Name +
			" sent an invalid request: the redirect URI " + req.redirect + " is not registered.", ""}
	}
	switch kind := get("response_type"); kind {
	case "code":
	case "":
		return nil, badRequest("Missing required parameter: response_type")
	default:
		return nil, &refusal{http.StatusBadRequest, "unsupported_response_type", "Invalid response_type: " + kind, ""}
	}
	scopes, bad := p.settings.parseScopes(get("scope"))
	switch {
	case len(bad) > 0:
		return nil, &refusal{http.StatusBadRequest, "invalid_scope", fmt.Sprintf("Some requested scopes were invalid. {valid=%q, invalid=%q}", scopes, bad), ""}
	case len(scopes) == 0:
		return nil, badRequest("Missing required parameter: scope")
	}
	req.scopes = scopes
	switch get("access_type") {
	case "", "online":
	case "offline":
		req.offline = true
	default:
		return nil, badRequest("Invalid parameter value for access_type: Invalid access_type value")
	}
	return req, req.readRest(get("prompt"))
}

// readRest checks PKCE's parameters and the prompt.
func (q *request) readRest(prompt string) *refusal {
	switch {
	case q.challenge == "" && q.method == "":
	case len(q.challenge) < 43 || len(q.challenge) > 128: // RFC 7636 4.2
		return badRequest("Invalid code_challenge: it must have 43 to 128 characters")
	case q.method == "":
		q.method = "plain"
	case q.method != "S256" && q.method != "plain":
		return badRequest("Invalid parameter value for code_challenge_method: " + q.method)
	}
	for _, word := range strings.Fields(prompt) {
		switch word {
		case "none":
			q.none = true
		case "consent":
			q.consent = true
		case "select_account":
			q.choose = true
		default:
			return badRequest("Invalid parameter value for prompt: Invalid prompt: " + word)
		}
	}
	if q.none && (q.consent || q.choose) {
		return badRequest("Invalid parameter value for prompt: none must stand alone")
	}
	return nil
}

// admits tells whether the user may give the app anything.
func (p *Provider) admits(app App, user cloud.User) *refusal {
	_, domain, _ := strings.Cut(user.Address, "@")
	switch {
	case app.Internal != "" && !strings.EqualFold(app.Internal, domain):
		return errOrgInternal
	case !app.admits(user.Address):
		return &refusal{http.StatusForbidden, "access_denied", app.Name + " has not completed the Google verification process. " +
			"The app is currently being tested, and can only be accessed by developer-approved testers.", ""}
	}
	switch p.blockOf(user) {
	case AdminPolicy:
		return errAdminPolicy
	case Disabled:
		return &refusal{http.StatusForbidden, "access_denied", "This account has been disabled.", ""}
	}
	return nil
}

// approve signs the chosen user in and sends the code back. The box of a scope
// is the field grant; a form without the field granular has no boxes, and
// gives what was asked for.
func (p *Provider) approve(w http.ResponseWriter, r *http.Request, req *request) {
	address := strings.TrimSpace(r.PostForm.Get("user"))
	user, ok := p.users.UserByAddress(address)
	if !ok {
		p.counters.Authorize(CloudName, address, "unknown_user")
		p.consentPage(w, r, req, "Couldn’t find your Google Account: "+address)
		return
	}
	if why := p.admits(req.app, user); why != nil {
		p.counters.Authorize(CloudName, user.Address, why.name)
		p.refusePage(w, why)
		return
	}
	granted := req.scopes
	if r.PostForm.Has("granular") {
		granted = slices.DeleteFunc(slices.Clone(req.scopes), func(s string) bool {
			return !isIdentity(s) && !slices.Contains(r.PostForm["grant"], s)
		})
		if len(granted) == 0 { // every box unticked, and nothing else was asked for
			p.counters.Authorize(CloudName, user.Address, "denied")
			p.sendBack(w, req, url.Values{"error": {"access_denied"}})
			return
		}
	}
	asked := req.consent || !p.consented(user.ID, req.app.ClientID, granted)
	p.consent(user.ID, req.app.ClientID, granted)
	p.sessions.Add(w, r, user)
	p.grantCode(w, req, user, granted, asked)
}

// silent answers without a page when the browser's session allows it. With
// must, what is missing is told by redirect (OpenID Connect Core 3.1.2.6);
// otherwise false is returned.
func (p *Provider) silent(w http.ResponseWriter, r *http.Request, req *request, must bool) bool {
	user, ok := p.sessions.User(r, p.users, req.hint)
	problem := ""
	switch {
	case !ok:
		problem = "login_required"
	case p.admits(req.app, user) != nil || !p.consented(user.ID, req.app.ClientID, req.scopes):
		problem = "interaction_required"
	default:
		p.grantCode(w, req, user, req.scopes, false)
		return true
	}
	if !must {
		return false
	}
	p.counters.Authorize(CloudName, req.hint, problem)
	p.sendBack(w, req, url.Values{"error": {problem}})
	return true
}

// grantCode sends a code back. asked tells that the consent screen was shown:
// only then a refresh token may go with it.
func (p *Provider) grantCode(w http.ResponseWriter, req *request, user cloud.User, scopes []string, asked bool) {
	if req.include {
		for _, s := range p.given(user.ID, req.app.ClientID) {
			if !slices.Contains(scopes, s) {
				scopes = append(slices.Clip(scopes), s)
			}
		}
	}
	p.mu.Lock()
	if p.blocks[user.ID] == SessionControl {
		delete(p.blocks, user.ID) // the user signed in again
	}
	now := p.now()
	code := signin.Opaque("4/0A")
	p.codes[signin.Hash(code)] = &grant{
		User: user.ID, Client: req.app.ClientID, Scopes: scopes, Nonce: req.nonce, Issued: now, Expires: now.Add(p.settings.CodeLifetime),
		Redirect: req.redirect, Method: req.method, Challenge: req.challenge, Offline: req.offline && asked,
	}
	p.mu.Unlock()
	p.counters.Authorize(CloudName, user.Address, "approved")
	p.log.Info("sign-in approved", "user", user.Address, "app", req.app.ClientID)
	p.sendBack(w, req, url.Values{"code": {code}, "scope": {strings.Join(named(scopes), " ")}, "authuser": {"0"}, "prompt": {req.prompt()}})
}

// named writes scopes as the redirect has them: email and profile in their
// short form as well.
func named(scopes []string) []string {
	var short []string
	for _, s := range scopes {
		switch s {
		case scopeEmail:
			short = append(short, "email")
		case scopeProfile:
			short = append(short, "profile")
		}
	}
	return append(short, scopes...)
}

// sendBack brings the parameters to the redirect URI.
func (p *Provider) sendBack(w http.ResponseWriter, req *request, params url.Values) {
	if req.state != "" {
		params.Set("state", req.state)
	}
	u, err := url.Parse(req.redirect)
	if err != nil { // it was parsed when it was registered
		p.refusePage(w, errRedirect)
		return
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += params.Encode()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", u.String())
	w.WriteHeader(http.StatusFound)
}
