package memory

import (
	"context"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// AddIdentity lets an account send from another address too.
func (c *Cloud) AddIdentity(address string, id mail.Identity) error {
	return c.outside(address, true, func(a *account) error {
		a.identities = append(a.identities, id)
		return nil
	})
}

// PartialIdentities makes Identities say that there may be others.
func (c *Cloud) PartialIdentities(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.partial = yes
}

// RemoveIdentity takes one away again.
func (c *Cloud) RemoveIdentity(address, email string) error {
	return c.outside(address, true, func(a *account) error {
		a.identities = slices.DeleteFunc(a.identities, func(i mail.Identity) bool { return strings.EqualFold(i.Email, email) })
		return nil
	})
}

// senders are the account's own address and the others it was given.
func (a *account) senders() []mail.Identity {
	own := mail.Identity{Email: a.address, Name: a.name}
	own.Default = !slices.ContainsFunc(a.identities, func(i mail.Identity) bool { return i.Default })
	return append([]mail.Identity{own}, a.identities...)
}

// Identities lists what the account may send from.
func (p *Provider) Identities(ctx context.Context, req *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
	out := &provider.IdentitiesResponse{}
	err := p.call(ctx, "identities", req.Call, func(a *account) error {
		out.Identities, out.Partial = a.senders(), p.cloud.partial
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Check finds nothing to try but the settings, which Configure has judged.
func (p *Provider) Check(context.Context, *provider.CheckRequest) (*provider.CheckResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	resp := &provider.CheckResponse{Registrations: []provider.Registration{
		{Kind: provider.RegisterRedirect, Value: p.settings.RedirectURL},
		{Kind: provider.RegisterPermission, Value: "mail", Note: "read, change and send mail"},
	}}
	if p.settings.NotificationURL != "" {
		resp.Registrations = append(resp.Registrations, provider.Registration{Kind: provider.RegisterNotification, Value: p.settings.NotificationURL})
	}
	resp.Results = append([]provider.CheckResult{{Name: "cloud", Outcome: provider.CheckPassed, Detail: "it is in this process"}}, p.cloud.trouble()...)
	return resp, nil
}

// CheckFinds makes Check find these things too.
func (c *Cloud) CheckFinds(results ...provider.CheckResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finds = results
}

func (c *Cloud) trouble() []provider.CheckResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.finds)
}

// approveURL is where an administrator allows the application.
const approveURL = "http://memory.invalid/approve"

// codeUnapproved is what an owner comes back with who may not consent.
const codeUnapproved = "approval_required"

// RequireApproval makes the cloud refuse owners until Approve, as an
// organisation does whose members may not consent themselves, or ends that.
func (c *Cloud) RequireApproval(yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unapproved = yes
}

// Approve plays the administrator who opens the link, and gives the parameters
// that the browser comes back with.
func (c *Cloud) Approve(link string, allow bool) (url.Values, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, err
	}
	back := url.Values{"state": {u.Query().Get("state")}}
	if !allow {
		back.Set("error", "access_denied")
		return back, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unapproved = false
	back.Set("approved", "yes")
	return back, nil
}

// approval answers for what an administrator came back with.
func approval(params url.Values) error {
	switch {
	case params.Get("approved") == "yes":
		return nil
	case params.Get("error") == "":
		return mail.Errorf(mail.KindInvalid, "finish connect", "the answer says nothing")
	}
	return &mail.Error{Kind: mail.KindForbidden, Op: "finish connect", Code: params.Get("error"), Message: "the administrator refused"}
}

// notApproved is what becomes of an owner who may not consent.
func notApproved(state, redirect string) error {
	return &mail.Error{
		Kind: mail.KindForbidden, Op: "finish connect", Code: mail.CodeAdminConsent,
		Message: "an administrator must allow this application first",
		Link:    approveURL + "?" + url.Values{"state": {state}, "redirect_uri": {redirect}}.Encode(),
	}
}
