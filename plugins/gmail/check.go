package gmail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/plugins/sdk/check"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const opCheck = "check"

// pushPrincipal is who publishes Gmail's notifications ("Push notifications",
// Gmail API).
const pushPrincipal = "gmail-api-push@system.gserviceaccount.com"

// Check tries the settings without any account, and says what Google Cloud's
// pages ask for.
func (p *Provider) Check(ctx context.Context, _ *provider.CheckRequest) (*provider.CheckResponse, error) {
	conf := p.conf.Load()
	if conf == nil {
		return nil, notConfigured(opCheck)
	}
	ctx, done := p.calls.Add(ctx)
	defer done()
	var run check.Run
	run.Redirect(conf.redirectURL, "Google")
	p.checkCredentials(ctx, conf, &run)
	run.Guarded(ctx, "Gmail API", conf.http, conf.gmailURL+"gmail/v1/users/me/profile",
		"; whether the API is enabled in the project shows with the first account", "correct the setting "+setGmailURL)
	switch {
	case conf.topic == "":
		run.Unknown("notifications", "no topic: changes are found by polling alone", "set "+setTopic+", "+setSubscription+" and "+setServiceAccount)
	case conf.pull == nil && conf.push == nil:
		run.Unknown("notifications", "nothing reads the topic: changes are found by polling alone", "set "+setSubscription+" and "+setServiceAccount+" to pull, or "+setPushServiceAccount+" to be pushed to")
	}
	if conf.pull != nil {
		conf.checkPull(ctx, &run)
	}
	if conf.push != nil {
		conf.checkPushing(ctx, &run, p)
	}
	return &provider.CheckResponse{Registrations: conf.registrations(), Results: run.Results}, nil
}

// registrations are what the pages of Google Cloud ask for.
func (c *config) registrations() []provider.Registration {
	out := []provider.Registration{{Kind: provider.RegisterRedirect, Value: c.redirectURL,
		Note: "Google Auth Platform, Clients, Web application, Authorized redirect URIs"}}
	for _, s := range c.oauth.Scopes {
		out = append(out, provider.Registration{Kind: provider.RegisterPermission, Value: longScope(s),
			Note: "Google Auth Platform, Data Access, Add or remove scopes"})
	}
	if c.topic != "" {
		out = append(out, provider.Registration{Kind: "publisher of the topic", Value: pushPrincipal,
			Note: "Pub/Sub, " + c.topic + ", Permissions: role Pub/Sub Publisher"})
	}
	if c.pull != nil {
		out = append(out, provider.Registration{Kind: "reader of the subscription", Value: c.pull.account.Email,
			Note: "Pub/Sub, " + c.subscription + ", Permissions: roles Pub/Sub Subscriber and Pub/Sub Viewer"})
	}
	if c.push != nil && c.notificationURL != "" {
		out = append(out, provider.Registration{Kind: provider.RegisterNotification, Value: c.notificationURL,
			Note: "Pub/Sub, a push subscription of the topic, with authentication as " + c.pushAccount})
	}
	return out
}

// checkCredentials redeems a code that nobody gave out: whether the refusal is
// about the code or about the client tells whether the client is known.
func (p *Provider) checkCredentials(ctx context.Context, conf *config, run *check.Run) {
	const name = "credentials"
	const remedy = "copy client id and client secret from Google Auth Platform, Clients"
	ctx, cancel := context.WithTimeout(ctx, check.Limit)
	defer cancel()
	client := conf.oauth
	client.RedirectURL = conf.redirectURL
	_, err := client.Exchange(conf.authContext(ctx), oauth.Secret(), oauth2.VerifierOption(oauth.Secret()))
	var re *oauth2.RetrieveError
	e := p.tokenError(opCheck, err)
	switch {
	case !errors.As(err, &re) || re.Response == nil:
		run.Failed(name, "the sign-in service cannot be reached: "+check.Explain(err), "check the network, and the settings "+setTokenURL+" and "+setCAFile)
	case e.Kind == mail.KindMisconfigured:
		run.Failed(name, e.Message+" ("+e.Code+")", remedy)
	case e.Kind == mail.KindGrantExpired && e.Code == "invalid_grant":
		run.Passed(name, "the sign-in service refuses a made-up code, and not the client")
	default:
		run.Failed(name, fmt.Sprintf("the sign-in service answers with status %d", re.Response.StatusCode), "correct the setting "+setTokenURL+", or try again later")
	}
}

// checkPull asks what the service account may do with the subscription, and
// what that is a subscription of.
func (c *config) checkPull(ctx context.Context, run *check.Run) {
	const name, consume = "subscription", "pubsub.subscriptions.consume"
	ctx, cancel := context.WithTimeout(ctx, check.Limit)
	defer cancel()
	p := c.pull.puller(ctx)
	var may struct {
		Permissions []string `json:"permissions"`
	}
	err := p.call(ctx, "testIamPermissions", map[string]any{"permissions": []string{consume}}, &may)
	var e *mail.Error
	switch {
	case errors.As(err, &e) && e.Kind == mail.KindMisconfigured:
		run.Failed(name, e.Message, "see that the service account, its key file and the subscription are of one project")
		return
	case err != nil:
		run.Failed(name, "Pub/Sub cannot be asked: "+check.Explain(err), "check the network, and the setting "+setPubsubURL)
		return
	case !slices.Contains(may.Permissions, consume):
		run.Failed(name, c.subscription+" does not exist, or "+c.pull.account.Email+" may not read it",
			"create it as a pull subscription of "+c.topic+", and grant the service account the role Pub/Sub Subscriber on it")
		return
	}
	status, sub, err := c.look(ctx, p)
	if status == http.StatusNotFound {
		run.Failed(name, c.subscription+" does not exist", "create it as a pull subscription of "+c.topic)
		return
	}
	run.Passed(name, c.pull.account.Email+" may read "+c.subscription)
	c.judgeTopic(run, status, sub, err)
}

// subscribed is what of a subscription matters here.
type subscribed struct {
	Topic string `json:"topic"`
	Push  struct {
		Endpoint string `json:"pushEndpoint"`
	} `json:"pushConfig"`
}

// look reads the subscription, which subscribers need not be allowed to.
func (c *config) look(ctx context.Context, p *puller) (status int, sub subscribed, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.pubsubURL+"v1/"+c.subscription, nil)
	if err != nil {
		return 0, sub, err
	}
	token, err := p.token()
	if err != nil {
		return 0, sub, err
	}
	token.SetAuthHeader(req)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, sub, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(io.LimitReader(resp.Body, maxNotification)).Decode(&sub)
	return resp.StatusCode, sub, err
}

// judgeTopic compares what the subscription is of with the settings.
func (c *config) judgeTopic(run *check.Run, status int, sub subscribed, err error) {
	const name = "topic"
	note := "grant " + pushPrincipal + " the role Pub/Sub Publisher on " + c.topic
	switch {
	case status == http.StatusOK && err != nil, status == 0:
		run.Unknown(name, "Pub/Sub's answer cannot be read", "try again")
	case status != http.StatusOK:
		run.Unknown(name, "the service account may read the subscription, and not see what it is of", "see that it is of "+c.topic+", and "+note)
	case sub.Topic != c.topic:
		run.Failed(name, c.subscription+" is of "+sub.Topic+", not of "+c.topic, "correct "+setTopic+" or "+setSubscription)
	case sub.Push.Endpoint != "":
		run.Failed(name, c.subscription+" pushes, and cannot be pulled from", "make a pull subscription of "+c.topic)
	default:
		run.Passed(name, c.subscription+" is of "+c.topic+"; that Gmail may publish there shows with the first account ("+note+")")
	}
}

// checkPushing looks at the notification URL, and at the keys that pushes are
// verified by.
func (c *config) checkPushing(ctx context.Context, run *check.Run, p *Provider) {
	const name = "push"
	switch {
	case c.notificationURL == "":
		run.Failed(name, setPushServiceAccount+" is set, and there is no notification URL", "set public_url and push: true, or pull from a subscription")
	case !strings.HasPrefix(c.notificationURL, "https://") && !check.Loopback(hostOf(c.pubsubURL)):
		run.Failed(name, c.notificationURL+" is not https: Pub/Sub refuses to push to it", "put TLS in front of the gateway, or pull from a subscription")
	default:
		run.Passed(name, "Pub/Sub may push to "+c.notificationURL+" as "+c.pushAccount)
	}
	ctx, cancel := context.WithTimeout(ctx, check.Limit)
	defer cancel()
	if _, _, err := newKeySet(c.certsURL, c.authHTTP, p.now).get(ctx); err != nil {
		run.Failed("signing keys", c.certsURL+" gives none: "+check.Explain(err), "check the network, and the setting "+setCertsURL)
	} else {
		run.Passed("signing keys", c.certsURL+" gives them")
	}
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
