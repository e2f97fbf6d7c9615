package outlook

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/check"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const opCheck = "check"

// Check tries the settings without any account, and says what the app
// registration at Microsoft Entra needs.
func (p *Provider) Check(ctx context.Context, _ *provider.CheckRequest) (*provider.CheckResponse, error) {
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(opCheck)
	}
	ctx, done := p.calls.Add(ctx)
	defer done()
	var run check.Run
	if u, err := url.Parse(conf.redirectURL); err == nil && u.Scheme == "http" && u.Hostname() != "localhost" && check.Loopback(u.Hostname()) {
		run.Unknown("redirect URI", conf.redirectURL+" can be registered in the manifest alone: the page wants localhost by name", "set public_url to http://localhost with the same port, or edit the manifest")
	} else {
		run.Redirect(conf.redirectURL, "Microsoft Entra")
	}
	if conf.checkAuthority(ctx, &run) {
		p.checkCredentials(ctx, conf, &run)
	} else {
		run.Unknown("credentials", "not tried, since the sign-in service is not there", "")
	}
	run.Guarded(ctx, "Microsoft Graph", conf.http, strings.TrimSuffix(conf.graphURL.String(), "/")+"/me", "",
		"correct the setting "+setGraphURL+": the address with its version, such as https://graph.microsoft.com/v1.0")
	switch {
	case conf.notificationURL == "":
		run.Unknown("notifications", "no notification URL: changes are found by polling alone", "set public_url to an https address that Microsoft can reach, and push: true")
	case !strings.HasPrefix(conf.notificationURL, "https://") && check.Loopback(conf.graphURL.Hostname()):
		run.Unknown("notifications", conf.notificationURL+" is not https: a stand-in for Graph may push to it, Microsoft does not", "for the real Graph put TLS in front of the gateway")
	case !strings.HasPrefix(conf.notificationURL, "https://"):
		run.Failed("notifications", conf.notificationURL+" is not https: Microsoft refuses to push to it", "put TLS in front of the gateway, and set public_url to its https address")
	default:
		run.Passed("notifications", conf.notificationURL+" has the shape that Microsoft takes; whether it is reached shows with the first account")
	}
	return &provider.CheckResponse{Registrations: conf.registrations(), Results: run.Results}, nil
}

// registrations are what the pages of Entra ask for.
func (c *config) registrations() []provider.Registration {
	out := []provider.Registration{{Kind: provider.RegisterRedirect, Value: c.redirectURL,
		Note: "App registrations, Authentication, Add a platform: Web"}}
	for _, s := range c.scopes {
		out = append(out, provider.Registration{Kind: provider.RegisterPermission, Value: s,
			Note: "API permissions, Microsoft Graph, Delegated permissions"})
	}
	if c.notificationURL != "" {
		for _, u := range []string{c.notificationURL, c.notificationURL + lifecyclePath} {
			out = append(out, provider.Registration{Kind: provider.RegisterNotification, Value: u,
				Note: "registered nowhere; Microsoft must be able to reach it"})
		}
	}
	return out
}

// checkAuthority reads the discovery document (OpenID Connect Discovery, 4).
func (c *config) checkAuthority(ctx context.Context, run *check.Run) bool {
	const name = "authority"
	remedy := "correct the setting " + setAuthority + ": the sign-in address with a tenant, such as https://login.microsoftonline.com/common"
	req, err := http.NewRequest(http.MethodGet, c.authority+"/v2.0/.well-known/openid-configuration", nil)
	if err != nil {
		run.Failed(name, "its address cannot be used", remedy)
		return false
	}
	answer, ok := run.Do(ctx, name, c.authHTTP, req, remedy)
	if !ok {
		return false
	}
	var doc struct {
		Token string `json:"token_endpoint"`
		tokenRefusal
	}
	bad := json.Unmarshal(answer.Body, &doc) != nil
	switch {
	case answer.Status != http.StatusOK && !bad && doc.code() != "":
		run.Failed(name, check.Where(req.URL)+" answers "+doc.code()+": "+doc.fault(), remedy)
	case answer.Status != http.StatusOK:
		run.Failed(name, fmt.Sprintf("%s answers with status %d", check.Where(req.URL), answer.Status), remedy)
	case bad || doc.Token == "":
		run.Failed(name, check.Where(req.URL)+" is no sign-in service of Microsoft's", remedy)
	default:
		run.Passed(name, c.authority+" answers")
		return true
	}
	return false
}

// checkCredentials asks for a token. At a tenant of its own an application gets
// one for itself (RFC 6749, 4.4), whatever it may do with that. At common there
// is no such thing: a code that nobody gave out is redeemed, and what matters is
// whom the refusal is about.
func (p *Provider) checkCredentials(ctx context.Context, conf *config, run *check.Run) {
	const name = "credentials"
	const remedy = "copy the application (client) id, and under Certificates & secrets the Value (not the Secret ID) of a client secret that has not expired"
	ctx, cancel := context.WithTimeout(ctx, check.Limit)
	defer cancel()
	x := &exchange{http: conf.authHTTP, now: p.now}
	client, err := conf.signInClient(x, &blobCache{export: func(json.RawMessage) error { return nil }})
	if err != nil {
		run.Failed(name, "the sign-in settings cannot be used", remedy)
		return
	}
	generic := slices.Contains(genericTenants, path.Base(conf.authority))
	if generic {
		_, err = client.AcquireTokenByAuthCode(ctx, oauth.Secret(), conf.redirectURL, resourceScopes(conf.scopes))
	} else {
		_, err = client.AcquireTokenByCredential(ctx, []string{conf.graphURL.Scheme + "://" + conf.graphURL.Host + "/.default"})
	}
	if err == nil {
		run.Passed(name, "the sign-in service gives the application a token")
		return
	}
	var r tokenRefusal
	_ = json.Unmarshal(x.refused, &r)
	code := r.code()
	switch e := x.failure(opCheck, err); {
	case e.Kind == mail.KindMisconfigured:
		run.Failed(name, e.Message+bracketed(e.Code), remedy)
	case x.refused == nil || e.Kind == mail.KindUnavailable && code == "":
		run.Failed(name, e.Message, "try again when the sign-in service answers")
	case generic:
		run.Passed(name, "the sign-in service refuses a made-up code"+bracketed(code)+", and neither the application nor its credential")
	default:
		run.Unknown(name, "the sign-in service gives the application no token of its own"+bracketed(code), "connect an account to see whether its owners get one")
	}
}

func bracketed(code string) string {
	if code == "" {
		return ""
	}
	return " (" + code + ")"
}
