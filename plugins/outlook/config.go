package outlook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/settings"
)

// Names of settings.
const (
	setClientID          = "client_id"
	setClientSecret      = "client_secret"
	setClientCertificate = "client_certificate"
	setAuthority         = "authority"
	setGraphURL          = "graph_url"
	setCAFile            = settings.CAFile
	setScopes            = "scopes"
	setPrompt            = "prompt"
	setMaxConcurrent     = "max_concurrent"
	setPageSize          = "page_size"
	setSubscription      = "subscription_minutes"
	setMIMELimit         = "mime_max_bytes"
	setUploadChunk       = "upload_chunk_bytes"
)

// known documents what Configure understands. The defaults are those of
// Microsoft's global cloud; a national cloud is another authority and
// graph_url.
var known = []provider.Setting{
	{Name: setClientID, Required: true, Doc: "Application (client) id of the app registration."},
	{Name: setClientSecret, Secret: true, Doc: "Client secret. Either this or client_certificate."},
	{Name: setClientCertificate, File: true, Doc: "PEM file with the app registration's certificate and its private key."},
	{Name: setAuthority, Default: "https://login.microsoftonline.com/common", Doc: "Sign-in address with tenant: common, organizations, consumers, a tenant id or domain. National clouds have other hosts."},
	{Name: setGraphURL, Default: "https://graph.microsoft.com/v1.0", Doc: "Address of Microsoft Graph with its version."},
	{Name: setCAFile, File: true, Doc: "PEM file with certificate authorities to trust beside those of the system."},
	{Name: setScopes, Default: "offline_access,openid,profile,email,User.Read,Mail.ReadWrite,Mail.Send", Doc: "What owners are asked for."},
	{Name: setPrompt, Default: "select_account", Doc: "The prompt parameter of the sign-in page: select_account, consent, login or none; a dash leaves it out."},
	{Name: setMaxConcurrent, Default: "4", Doc: "Requests at once on one mailbox; Exchange refuses more than 4."},
	{Name: setPageSize, Default: "200", Doc: "Messages that are asked for in one page, 1 to 1000."},
	{Name: setSubscription, Default: "9936", Doc: "Life of a push subscription in minutes (6.9 days); Graph takes 10070 at most."},
	{Name: setMIMELimit, Default: "2200000", Doc: "Largest message, in bytes, that is sent as MIME. Larger ones become a draft with uploaded attachments, for Graph has lost larger MIME silently."},
	{Name: setUploadChunk, Default: strconv.Itoa(msgraph.DefaultChunk), Doc: "Size of the pieces of an upload, 4 MiB at most."},
}

// config is a valid set of settings and what is made of it. It never changes.
type config struct {
	instance        string
	clientID        string
	credential      confidential.Credential
	authority       string
	authorizeURL    string
	graphURL        *url.URL
	scopes          []string
	prompt          string
	maxConcurrent   int
	pageSize        int
	subscription    time.Duration
	mimeLimit       int64
	uploadChunk     int
	redirectURL     string
	notificationURL string
	clientState     string

	// http goes to Graph, authHTTP to the identity platform by the same
	// connections; the latter remembers the discovery document.
	http     *http.Client
	authHTTP *http.Client
}

// Configure checks the settings and uses them from now on.
func (p *Provider) Configure(_ context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	conf, warnings, err := newConfig(req)
	if err != nil {
		return nil, &mail.Error{Kind: mail.KindMisconfigured, Op: "configure", Message: err.Error(), Err: err}
	}
	if old := p.conf.Swap(conf); old != nil {
		old.http.CloseIdleConnections() // those in use go on
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.accounts {
		a.limiter.SetMax(conf.maxConcurrent)
	}
	return &provider.ConfigureResponse{Warnings: warnings}, nil
}

func newConfig(req *provider.ConfigureRequest) (*config, []string, error) {
	values, err := settings.Values(known, req.Settings)
	if err != nil {
		return nil, nil, err
	}
	c := &config{
		instance:        req.Instance,
		clientID:        values[setClientID],
		authority:       strings.TrimSuffix(values[setAuthority], "/"),
		redirectURL:     req.RedirectURL,
		notificationURL: strings.TrimSuffix(req.NotificationURL, "/"),
		clientState:     clientState(req.NotifyKey, req.Instance),
		scopes:          settings.List(values[setScopes]),
		prompt:          strings.TrimSuffix(values[setPrompt], "-"),
	}
	if c.clientID == "" {
		return nil, nil, fmt.Errorf("%s is missing: it is the application id of your app registration", setClientID)
	}
	if err := c.checkAddresses(values); err != nil {
		return nil, nil, err
	}
	if err := c.readCredential(values); err != nil {
		return nil, nil, err
	}
	if err := c.readNumbers(values); err != nil {
		return nil, nil, err
	}
	for _, need := range []string{"offline_access", "openid"} {
		if !slices.ContainsFunc(c.scopes, func(s string) bool { return strings.EqualFold(s, need) }) {
			return nil, nil, fmt.Errorf("%s lacks %s, without which no account can stay connected", setScopes, need)
		}
	}
	if err := c.makeClients(values); err != nil {
		return nil, nil, err
	}
	var warnings []string
	if c.notificationURL == "" {
		warnings = append(warnings, "no notification URL: changes are found by polling alone")
	} else if !strings.HasPrefix(c.notificationURL, "https://") {
		warnings = append(warnings, "the notification URL is not https: Microsoft refuses to push to it")
	}
	return c, warnings, nil
}

// checkAddresses wants what the sign-in library wants: https and a tenant.
func (c *config) checkAddresses(values map[string]string) error {
	a, err := url.Parse(c.authority)
	if err != nil || a.Scheme != "https" || a.Host == "" || a.User != nil {
		return fmt.Errorf("%s %q is not an https address", setAuthority, c.authority)
	}
	if strings.Trim(a.Path, "/") == "" {
		return fmt.Errorf("%s %q names no tenant: append /common, /organizations, /consumers or a tenant id", setAuthority, c.authority)
	}
	if strings.HasSuffix(a.Path, "/v2.0") {
		return fmt.Errorf("%s %q: leave /v2.0 out", setAuthority, c.authority)
	}
	c.authorizeURL = c.authority + "/oauth2/v2.0/authorize"
	g, err := url.Parse(strings.TrimSuffix(values[setGraphURL], "/"))
	if err != nil || g.Scheme != "https" || g.Host == "" || g.User != nil {
		return fmt.Errorf("%s %q is not an https address", setGraphURL, values[setGraphURL])
	}
	c.graphURL = g
	return nil
}

func (c *config) readCredential(values map[string]string) error {
	secret, file := values[setClientSecret], values[setClientCertificate]
	switch {
	case secret == "" && file == "":
		return fmt.Errorf("neither %s nor %s is set", setClientSecret, setClientCertificate)
	case secret != "" && file != "":
		return fmt.Errorf("both %s and %s are set: choose one", setClientSecret, setClientCertificate)
	case secret != "":
		cred, err := confidential.NewCredFromSecret(secret)
		if err != nil {
			return fmt.Errorf("%s cannot be used", setClientSecret)
		}
		c.credential = cred
		return nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("%s: %w", setClientCertificate, err)
	}
	certs, key, err := confidential.CertFromPEM(pem, "")
	if err != nil {
		return fmt.Errorf("%s %s: %w", setClientCertificate, file, err)
	}
	if len(certs) == 0 || key == nil {
		return fmt.Errorf("%s %s needs a certificate and its private key", setClientCertificate, file)
	}
	c.credential, err = confidential.NewCredFromCert(certs, key)
	if err != nil {
		return fmt.Errorf("%s %s: %w", setClientCertificate, file, err)
	}
	return nil
}

func (c *config) readNumbers(values map[string]string) error {
	return settings.ReadNumbers(values,
		settings.Number{Name: setMaxConcurrent, Min: 1, Max: 64, Set: func(v int64) { c.maxConcurrent = int(v) }},
		settings.Number{Name: setPageSize, Min: 1, Max: 1000, Set: func(v int64) { c.pageSize = int(v) }},
		// Graph silently raises what is below 45 minutes.
		settings.Number{Name: setSubscription, Min: 45, Max: 43200, Set: func(v int64) { c.subscription = time.Duration(v) * time.Minute }},
		settings.Number{Name: setMIMELimit, Min: 1000, Max: 3 << 20, Set: func(v int64) { c.mimeLimit = v }},
		settings.Number{Name: setUploadChunk, Min: 1000, Max: msgraph.MaxChunk, Set: func(v int64) { c.uploadChunk = int(v) }})
}

func (c *config) makeClients(values map[string]string) error {
	transport, err := settings.Transport(values)
	if err != nil {
		return err
	}
	c.http = settings.Client(transport, 0)
	c.authHTTP = settings.Client(newDiscoveryMemo(transport), time.Minute)
	return nil
}

// clientState is what subscriptions are made with and notifications checked
// by: derived from the instance's key, so that nothing need be remembered.
func clientState(key []byte, instance string) string {
	if len(key) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte("postern notification v1\x00" + instance))
	return hex.EncodeToString(h.Sum(nil))
}
