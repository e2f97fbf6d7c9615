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

// RestrictConsent makes the organisation's users unable to allow applications
// themselves ("Configure how users consent to applications"): signing in ends
// with AADSTS90094 until an administrator has allowed the application for
// everybody. Lifting the restriction takes that back, so that it can be played
// again. Personal accounts have no organisation.
func (p *Provider) RestrictConsent(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.restricted = yes
	if !yes {
		clear(p.approved)
	}
}

// needsAdmin tells whether a user may not allow an application these names.
func (p *Provider) needsAdmin(user cloud.User, client string, names []string) bool {
	if p.Personal(user) || p.consented(user.ID, client, names) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	have, allowed := p.approved[client]
	return p.restricted && !(allowed && covers(have, names))
}

// Administrator is the address that administrators sign in with at the consent
// page. It has no mailbox.
func (p *Provider) Administrator() string {
	domain := "contoso.example"
	for _, u := range p.users.Users() {
		if _, d, ok := strings.Cut(u.Address, "@"); ok && !p.Personal(u) {
			domain = d
			break
		}
	}
	return "admin@" + domain
}

// adminConsent is the page on which an administrator allows an application for
// the whole tenant ("Admin consent on the Microsoft identity platform").
func (p *Provider) adminConsent(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.refusePage(w, r, refuse(9002313))
		return
	}
	req, why := p.readAdminRequest(r)
	if why != nil {
		p.counters.Authorize(CloudName, "", why.oauth)
		p.refusePage(w, r, why)
		return
	}
	decision, user := r.PostForm.Get("decision"), strings.TrimSpace(r.PostForm.Get("user"))
	switch {
	case decision == "":
		p.counters.Authorize(CloudName, "", "shown")
		p.adminPage(w, r, req, "")
	case !strings.EqualFold(user, p.Administrator()):
		p.counters.Authorize(CloudName, user, "not_an_administrator")
		p.adminPage(w, r, req, "AADSTS90094: "+user+" is no administrator of Contoso.")
	case decision != "approve":
		p.counters.Authorize(CloudName, user, "denied")
		// admin_consent stands in refusals, too.
		back := url.Values{
			"error":             {"consent_required"},
			"error_description": {fmt.Sprintf("AADSTS65004: The resource owner or authorization server denied the request.\r\nTrace ID: %s", uuid.NewString())},
			"admin_consent":     {"True"}, "tenant": {p.settings.Tenant},
		}
		p.leaveAdmin(w, r, req, back)
	default:
		p.mu.Lock()
		p.approved[req.app.ClientID] = permissions(p.names(req.scopes))
		p.mu.Unlock()
		p.counters.Authorize(CloudName, user, "approved")
		p.log.Info("application allowed by an administrator", "app", req.app.ClientID)
		p.leaveAdmin(w, r, req, url.Values{"admin_consent": {"True"}, "tenant": {p.settings.Tenant}, "scope": {req.words}})
	}
}

func (p *Provider) leaveAdmin(w http.ResponseWriter, r *http.Request, req *request, back url.Values) {
	if req.state != "" {
		back.Set("state", req.state)
	}
	p.sendBack(w, r, req, back)
}

// readAdminRequest checks the parameters; what is wrong is told to the person
// alone. The tenant is one, or organizations: common would mean personal
// accounts, which have no administrator.
func (p *Provider) readAdminRequest(r *http.Request) (*request, *refusal) {
	req := &request{tenant: r.PathValue("tenant"), mode: "query", state: r.Form.Get("state"), redirect: r.Form.Get("redirect_uri"), words: r.Form.Get("scope")}
	clientID := r.Form.Get("client_id")
	if clientID == "" {
		return nil, refuse(900144, "client_id")
	}
	var ok bool
	if req.app, ok = p.app(clientID); !ok {
		return nil, refuse(700016, clientID)
	}
	if slices.Contains([]string{"common", "consumers"}, strings.ToLower(req.tenant)) {
		return nil, refuse(90002, req.tenant)
	}
	if why := p.tenantRefusal(req.tenant, req.app); why != nil {
		return nil, why
	}
	if !req.app.allows(req.redirect) {
		return nil, refuse(50011, req.redirect, req.app.ClientID)
	}
	if strings.TrimSpace(req.words) == "" {
		return nil, refuse(900144, "scope")
	}
	var why *refusal
	req.scopes, why = p.parseScopes(req.words, r.Host)
	return req, why
}

func (p *Provider) adminPage(w http.ResponseWriter, r *http.Request, req *request, problem string) {
	admin := cloud.User{Address: p.Administrator(), Name: "An administrator of Contoso"}
	signin.Page(w, signInTemplate, p.view(r, req, problem, []signin.Choice{{User: admin, Chosen: true}}))
}
