package outlook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
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
)

// Names of settings.
const (
	setClientID          = "client_id"
	setClientSecret      = "client_secret"
	setClientCertificate = "client_certificate"
	setAuthority         = "authority"
	setGraphURL          = "graph_url"
	setCAFile            = "ca_file"
	setScopes            = "scopes"
	setPrompt            = "prompt"
	setMaxConcurrent     = "max_concurrent"
	setPageSize          = "page_size"
	setSubscription      = "subscription_minutes"
	setMIMELimit         = "mime_max_bytes"
	setUploadChunk       = "upload_chunk_bytes"
)

// settings documents what Configure understands. The defaults are those of
// Microsoft's global cloud; a national cloud is another authority and
// graph_url.
var settings = []provider.Setting{
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
	values := make(map[string]string, len(settings))
	for _, s := range settings {
		values[s.Name] = s.Default
	}
	for k, v := range req.Settings {
		if _, known := values[k]; !known {
			return nil, nil, fmt.Errorf("unknown setting %q", k)
		}
		if v = strings.TrimSpace(v); v != "" {
			values[k] = v
		}
	}
	c := &config{
		instance:        req.Instance,
		clientID:        values[setClientID],
		authority:       strings.TrimSuffix(values[setAuthority], "/"),
		redirectURL:     req.RedirectURL,
		notificationURL: strings.TrimSuffix(req.NotificationURL, "/"),
		clientState:     clientState(req.NotifyKey, req.Instance),
		scopes:          strings.FieldsFunc(values[setScopes], func(r rune) bool { return r == ',' || r == ' ' }),
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
	if err := c.makeClients(values[setCAFile]); err != nil {
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
	for _, n := range []struct {
		name     string
		min, max int64
		set      func(int64)
	}{
		{setMaxConcurrent, 1, 64, func(v int64) { c.maxConcurrent = int(v) }},
		{setPageSize, 1, 1000, func(v int64) { c.pageSize = int(v) }},
		// Graph silently raises what is below 45 minutes.
		{setSubscription, 45, 43200, func(v int64) { c.subscription = time.Duration(v) * time.Minute }},
		{setMIMELimit, 1000, 3 << 20, func(v int64) { c.mimeLimit = v }},
		{setUploadChunk, 1000, msgraph.MaxChunk, func(v int64) { c.uploadChunk = int(v) }},
	} {
		v, err := strconv.ParseInt(values[n.name], 10, 64)
		if err != nil || v < n.min || v > n.max {
			return fmt.Errorf("%s %q is not a number from %d to %d", n.name, values[n.name], n.min, n.max)
		}
		n.set(v)
	}
	return nil
}

func (c *config) makeClients(caFile string) error {
	var roots *x509.CertPool // nil means the system's
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return fmt.Errorf("%s: %w", setCAFile, err)
		}
		if roots, err = x509.SystemCertPool(); err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s %s holds no certificate", setCAFile, caFile)
		}
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 2 * time.Minute,
		// Graph's headers have about 1 KiB.
		MaxResponseHeaderBytes: 256 << 10,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    256,
		ForceAttemptHTTP2:      true,
	}
	// A redirect would carry the token, or the client's secret, elsewhere.
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.http = &http.Client{Transport: transport, CheckRedirect: stay}
	c.authHTTP = &http.Client{Transport: newDiscoveryMemo(transport), CheckRedirect: stay, Timeout: time.Minute}
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
