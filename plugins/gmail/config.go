package gmail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	gmailapi "google.golang.org/api/gmail/v1"
	"google.golang.org/api/option"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/settings"
)

// Names of settings.
const (
	setClientID           = "client_id"
	setClientSecret       = "client_secret"
	setAuthURL            = "auth_url"
	setTokenURL           = "token_url"
	setRevokeURL          = "revoke_url"
	setCertsURL           = "certs_url"
	setGmailURL           = "gmail_url"
	setPubsubURL          = "pubsub_url"
	setCAFile             = settings.CAFile
	setScopes             = "scopes"
	setPrompt             = "prompt"
	setTopic              = "topic"
	setSubscription       = "subscription"
	setServiceAccount     = "service_account"
	setPushServiceAccount = "push_service_account"
	setPushAudience       = "push_audience"
	setQuotaUnits         = "quota_units"
	setQuotaTable         = "quota_table"
	setMaxConcurrent      = "max_concurrent"
	setBatchSize          = "batch_size"
	setCategories         = "categories"
	setAllMail            = "all_mail"
)

// Values of setCategories: what CATEGORY_* and IMPORTANT are.
const (
	categoriesKeywords  = "keywords"
	categoriesMailboxes = "mailboxes"
	categoriesHidden    = "hidden"
)

// known documents what Configure understands. The defaults are those of
// Google's services.
var known = []provider.Setting{
	{Name: setClientID, Required: true, Doc: "Client id of the OAuth client (type web application)."},
	{Name: setClientSecret, Secret: true, Required: true, Doc: "Client secret of the OAuth client."},
	{Name: setAuthURL, Default: "https://accounts.google.com/o/oauth2/v2/auth", Doc: "Address of the sign-in page."},
	{Name: setTokenURL, Default: "https://oauth2.googleapis.com/token", Doc: "Address that gives tokens."},
	{Name: setRevokeURL, Default: "https://oauth2.googleapis.com/revoke", Doc: "Address that takes a consent back."},
	{Name: setCertsURL, Default: "https://www.googleapis.com/oauth2/v3/certs", Doc: "Address of the keys that Google signs its tokens with."},
	{Name: setGmailURL, Default: "https://gmail.googleapis.com/", Doc: "Address of the Gmail API."},
	{Name: setPubsubURL, Default: "https://pubsub.googleapis.com/", Doc: "Address of Cloud Pub/Sub."},
	{Name: setCAFile, File: true, Doc: "PEM file with certificate authorities to trust beside those of the system."},
	{Name: setScopes, Default: "openid,email,https://mail.google.com/", Doc: "What owners are asked for. Without https://mail.google.com/ nothing can be deleted for good."},
	{Name: setPrompt, Default: "consent", Doc: "The prompt parameter of the sign-in page. Without consent Google gives no refresh token to an owner who connects again."},
	{Name: setTopic, Doc: "Pub/Sub topic that Gmail publishes changes to: projects/PROJECT/topics/NAME. Without it changes are found by polling alone."},
	{Name: setSubscription, Doc: "Subscription of the topic to pull from: projects/PROJECT/subscriptions/NAME. Needs service_account, and no public address."},
	{Name: setServiceAccount, File: true, Doc: "JSON key file of the service account that may pull from the subscription."},
	{Name: setPushServiceAccount, Doc: "Address of the service account that a push subscription signs its requests as. With it changes may be pushed to the notification URL."},
	{Name: setPushAudience, Doc: "Audience of those signatures; the notification URL where it is empty."},
	{Name: setQuotaUnits, Doc: "Quota units that one account may spend in a minute; 6000 where it is empty, and 15000 for projects of before May 2026."},
	{Name: setQuotaTable, Default: quotaNew, Doc: "What methods cost: new, or old for projects of before May 2026."},
	{Name: setMaxConcurrent, Default: "10", Doc: "Requests at once on one mailbox, the parts of batches included; Gmail refuses more than about 10."},
	{Name: setBatchSize, Default: "8", Doc: "Messages that are read by one batch, 1 to 100; no more than max_concurrent are."},
	{Name: setCategories, Default: categoriesKeywords, Doc: "What Gmail's categories and its mark of importance are: keywords, mailboxes or hidden."},
	{Name: setAllMail, Default: "hidden", Doc: "Whether mail programs see the mailbox of all mail: hidden or shown. Archived mail is in no other."},
}

// config is a valid set of settings and what is made of it. It never changes.
type config struct {
	instance        string
	oauth           oauth2.Config
	revokeURL       string
	certsURL        string
	gmailURL        string // ends in a slash
	pubsubURL       string // ends in a slash
	prompt          string
	topic           string
	subscription    string
	serviceAccount  *serviceAccount // nil where there is none
	pushAccount     string
	pushAudience    string
	quotaUnits      int
	oldQuota        bool
	maxConcurrent   int
	batchSize       int
	categories      string
	showAll         bool
	redirectURL     string
	notificationURL string

	// push knows who may push, pull what is listened to; nil where the settings
	// name nobody, or nothing.
	push *pushVerifier
	pull *subscription

	// http goes to the APIs, by connections that authHTTP and apiHTTP share.
	// authHTTP goes to the sign-in service; apiHTTP signs requests with the
	// token that their context carries.
	http, authHTTP, apiHTTP *http.Client
}

// Configure checks the settings and uses them from now on.
func (p *Provider) Configure(_ context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	conf, warnings, err := newConfig(req)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindMisconfigured, Op: "configure", Message: err.Error(), Err: err}
	}
	p.makePush(conf)
	if old := p.conf.Swap(conf); old != nil {
		old.http.CloseIdleConnections() // those in use go on
	}
	p.reconfigured()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.accounts {
		a.limiter.SetMax(conf.maxConcurrent)
		a.limiter.SetQuota(conf.quota())
		a.silences.end()
	}
	return &provider.ConfigureResponse{Warnings: warnings}, nil
}

func newConfig(req *provider.ConfigureRequest) (*config, []string, error) {
	values, err := settings.Values(known, req.Settings)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range known {
		if s.Required && values[s.Name] == "" {
			return nil, nil, fmt.Errorf("%s is missing: it is given where the OAuth client is registered", s.Name)
		}
	}
	c := &config{
		instance: req.Instance,
		oauth: oauth2.Config{
			ClientID: values[setClientID], ClientSecret: values[setClientSecret],
			Scopes: settings.List(values[setScopes]),
			// The library would try both ways otherwise, and so double the
			// first request.
			Endpoint: oauth2.Endpoint{AuthURL: values[setAuthURL], TokenURL: values[setTokenURL], AuthStyle: oauth2.AuthStyleInParams},
		},
		revokeURL:       values[setRevokeURL],
		certsURL:        values[setCertsURL],
		gmailURL:        strings.TrimSuffix(values[setGmailURL], "/") + "/",
		pubsubURL:       strings.TrimSuffix(values[setPubsubURL], "/") + "/",
		prompt:          strings.TrimSuffix(values[setPrompt], "-"),
		topic:           values[setTopic],
		subscription:    values[setSubscription],
		pushAccount:     values[setPushServiceAccount],
		pushAudience:    values[setPushAudience],
		redirectURL:     req.RedirectURL,
		notificationURL: strings.TrimSuffix(req.NotificationURL, "/"),
	}
	if c.pushAudience == "" {
		c.pushAudience = c.notificationURL
	}
	for _, check := range []func(map[string]string) error{c.checkAddresses, c.checkScopes, c.checkPush, c.readChoices, c.readNumbers} {
		if err := check(values); err != nil {
			return nil, nil, err
		}
	}
	if err := c.makeClients(values); err != nil {
		return nil, nil, err
	}
	return c, c.warnings(), nil
}

// warnings say what works less well than it could.
func (c *config) warnings() []string {
	var out []string
	switch {
	case c.topic == "":
		out = append(out, "no topic: changes are found by polling alone")
	case c.subscription == "" && c.pushAccount == "":
		out = append(out, "a topic, but neither a subscription to pull from nor a push service account: changes are found by polling alone")
	case c.subscription == "" && !strings.HasPrefix(c.notificationURL, "https://"):
		out = append(out, "no subscription to pull from, and no https notification URL to push to: changes are found by polling alone")
	}
	if c.prompt != "consent" {
		out = append(out, "prompt is not consent: an owner who connects again gets no refresh token")
	}
	return out
}

// checkAddresses takes plain http for a stand-in on this machine alone.
func (c *config) checkAddresses(values map[string]string) error {
	for _, name := range []string{setAuthURL, setTokenURL, setRevokeURL, setCertsURL, setGmailURL, setPubsubURL} {
		u, err := url.Parse(values[name])
		if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return fmt.Errorf("%s %q is not an https address", name, values[name])
		}
		if u.Scheme == "http" && !loopback(u.Hostname()) {
			return fmt.Errorf("%s %q is not an https address; plain http is for this machine alone", name, values[name])
		}
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkScopes wants what an account cannot be connected or read without.
func (c *config) checkScopes(map[string]string) error {
	if !slices.Contains(c.oauth.Scopes, "openid") {
		return fmt.Errorf("%s lacks openid, without which nobody knows whose account it is", setScopes)
	}
	if !slices.ContainsFunc(c.oauth.Scopes, readsMail) {
		return fmt.Errorf("%s lacks %s, without which no mail can be read", setScopes, gmailapi.MailGoogleComScope)
	}
	return nil
}

// checkPush reads what Pub/Sub needs.
func (c *config) checkPush(values map[string]string) error {
	for name, kind := range map[string]string{setTopic: "topics", setSubscription: "subscriptions"} {
		v := values[name]
		if parts := strings.Split(v, "/"); v != "" && (len(parts) != 4 || parts[0] != "projects" || parts[1] == "" || parts[2] != kind || parts[3] == "") {
			return fmt.Errorf("%s %q is not of the form projects/PROJECT/%s/NAME", name, v, kind)
		}
	}
	file := values[setServiceAccount]
	switch {
	case c.topic == "" && (c.subscription != "" || c.pushAccount != ""):
		return fmt.Errorf("%s is missing: without it Gmail publishes nothing", setTopic)
	case c.subscription != "" && file == "":
		return fmt.Errorf("%s is missing: it may pull from %s", setServiceAccount, setSubscription)
	case file == "":
		return nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", setServiceAccount, err)
	}
	if c.serviceAccount, err = parseServiceAccount(data); err != nil {
		return fmt.Errorf("%s %s: %w", setServiceAccount, file, err)
	}
	return nil
}

func (c *config) readNumbers(values map[string]string) error {
	if values[setQuotaUnits] == "" {
		values[setQuotaUnits] = map[string]string{quotaNew: "6000", quotaOld: "15000"}[values[setQuotaTable]]
	}
	whole := func(to *int) func(int64) { return func(v int64) { *to = int(v) } }
	err := settings.ReadNumbers(values,
		// A batch of one message has to fit.
		settings.Number{Name: setQuotaUnits, Min: 100, Max: 10_000_000, Set: whole(&c.quotaUnits)},
		settings.Number{Name: setMaxConcurrent, Min: 1, Max: 100, Set: whole(&c.maxConcurrent)},
		settings.Number{Name: setBatchSize, Min: 1, Max: 100, Set: whole(&c.batchSize)})
	if err != nil {
		return err
	}
	c.batchSize = min(c.batchSize, c.maxConcurrent)
	return nil
}

func (c *config) readChoices(values map[string]string) error {
	for name, choices := range map[string][]string{
		setQuotaTable: {quotaNew, quotaOld},
		setCategories: {categoriesKeywords, categoriesMailboxes, categoriesHidden},
		setAllMail:    {"hidden", "shown"},
	} {
		if err := settings.OneOf(values, name, choices...); err != nil {
			return err
		}
	}
	c.oldQuota = values[setQuotaTable] == quotaOld
	c.categories = values[setCategories]
	c.showAll = values[setAllMail] == "shown"
	return nil
}

func (c *config) makeClients(values map[string]string) error {
	transport, err := settings.Transport(values)
	if err != nil {
		return err
	}
	c.http = settings.Client(transport, 0)
	c.authHTTP = settings.Client(transport, time.Minute)
	c.apiHTTP = settings.Client(&signer{next: transport}, 0)
	return nil
}

// service makes a client of the API. It signs each request with the token that
// its context carries.
func (c *config) service() (*gmailapi.Service, error) {
	s, err := gmailapi.NewService(context.Background(), option.WithHTTPClient(c.apiHTTP), option.WithEndpoint(c.gmailURL))
	if err != nil {
		return nil, err
	}
	if s.BasePath != c.gmailURL {
		return nil, errors.New("the client goes to another address than the configured one")
	}
	s.UserAgent = "postern"
	return s, nil
}
