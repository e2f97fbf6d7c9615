package outlook

import (
	"errors"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// genericTenants are the authorities that stand for no one tenant.
var genericTenants = []string{"common", "organizations", "consumers"}

// adminConsentURL is where an administrator allows the application for a whole
// tenant ("Admin consent on the Microsoft identity platform"). Personal
// accounts have no administrator, so that common becomes organizations there.
func (c *config) adminConsentURL(redirect, state string) string {
	authority := c.authority
	for _, generic := range []string{"common", "consumers"} {
		if rest, ok := strings.CutSuffix(authority, "/"+generic); ok {
			authority = rest + "/organizations"
		}
	}
	return authority + "/v2.0/adminconsent?" + msgraph.EncodeQuery(url.Values{
		"client_id": {c.clientID}, "redirect_uri": {redirect}, "state": {state}, "scope": {strings.Join(c.scopes, " ")},
	})
}

// withLink adds where an administrator can allow the application to an error
// that says that one must.
func (c *config) withLink(err error, req *provider.FinishConnectRequest, redirect string) error {
	var e *mail.Error
	if errors.As(err, &e) && e.Code == codeAdminConsent && req.ApprovalState != "" {
		e.Link = c.adminConsentURL(redirect, req.ApprovalState)
	}
	return err
}

// approval reads what an administrator came back with. admin_consent is True
// in refusals as well, so that error is asked first.
func approval(params url.Values) error {
	switch {
	case params.Get("error") != "":
		e := &mail.Error{Kind: mail.KindForbidden, Op: opFinish, Code: codeAccessDenied, Message: "the administrator did not allow the application"}
		r := tokenRefusal{Error: params.Get("error"), Description: params.Get("error_description")}
		if code := r.code(); r.verdict() == configure {
			e.Kind, e.Code, e.Message = mail.KindMisconfigured, code, r.fault()
		}
		return e
	case strings.EqualFold(params.Get("admin_consent"), "true"):
		return nil
	}
	return &mail.Error{Kind: mail.KindInvalid, Op: opFinish, Message: "the answer of the consent page says nothing"}
}
