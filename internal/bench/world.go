package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/freeport"
	"github.com/postern-mail/postern/internal/seal"
)

// returnURL is where owners are sent in the end. Nobody answers there: the
// browser stops in front of it.
const returnURL = "http://127.0.0.1:9/done"

// cloud is the provider that a world has its accounts at.
type cloud struct {
	provider, domain string
	// flags are the sandbox's, settings the plugin's beside what the sandbox says.
	flags    []string
	settings map[string]string
}

// usual is where accounts are unless a row is about another provider.
func usual() cloud { return cloud{provider: "outlook", domain: "contoso.example"} }

// world is a gateway with its plugin and a sandbox, as programs of their own.
type world struct {
	at       cloud
	dir      string
	keep     bool
	users    int
	sandbox  *process
	gateway  *process
	state    sandboxState
	relay    *relay
	base     string // of the gateway, without the relay
	imap     string // where mail programs are served
	key      string
	provider *http.Client // trusts the sandbox
}

// sandboxState is what the sandbox says of itself in its ready file.
type sandboxState struct {
	Authority, Graph, Control string
	ClientID                  string `json:"client_id"`
	ClientSecret              string `json:"client_secret"`
	CAFile                    string `json:"ca_file"`
	Providers                 []providerState
}

// providerState is how a provider of the sandbox is configured.
type providerState struct {
	Name, Plugin, URL string
	Push              bool
	Settings          map[string]string
	Files             map[string]string // settings that name files, with their text
	App               map[string]any
}

// providerState gives the state of the one that the world is measured with.
func (w *world) providerState() (*providerState, error) {
	for i := range w.state.Providers {
		if p := &w.state.Providers[i]; p.Name == w.at.provider {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the sandbox plays no %s", w.at.provider)
}

// world starts one at the usual place. Its accounts are connected by connect.
func (b *bench) world(ctx context.Context) (*world, error) { return b.worldAt(ctx, usual()) }

func (b *bench) worldAt(ctx context.Context, at cloud) (w *world, err error) {
	bin, err := b.programs(ctx)
	if err != nil {
		return nil, err
	}
	w = &world{at: at, keep: b.keep}
	if w.dir, err = b.folder(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	starting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ready, ca := filepath.Join(w.dir, "sandbox.json"), filepath.Join(w.dir, "ca.pem")
	w.sandbox, err = startProcess(w.dir, "sandbox", filepath.Join(bin, "postern-sandbox"), append([]string{"--ports", "free",
		"--user", "first@" + at.domain, "--no-seed", "--ca-out", ca, "--ready-file", ready, "--allow-http-notifications", "--log-level", "warn"}, at.flags...)...)
	if err != nil {
		return w, err
	}
	if err := w.sandbox.until(starting, "wait for the sandbox", func() (bool, error) { return readyFile(ready, &w.state) }); err != nil {
		return w, err
	}
	if w.provider, err = trusting(ca); err != nil {
		return w, err
	}
	w.state.CAFile = ca
	if w.relay, err = startRelay(); err != nil {
		return w, err
	}
	if err := w.serve(starting, bin); err != nil {
		return w, err
	}
	return w, nil
}

// serve configures and starts the gateway.
func (w *world) serve(ctx context.Context, bin string) error {
	address, err := freeport.Address()
	if err != nil {
		return err
	}
	w.base = "http://" + address
	if w.imap, err = freeport.Address(); err != nil {
		return err
	}
	target, err := url.Parse(w.base)
	if err != nil {
		return err
	}
	w.relay.target.Store(target)
	master, err := seal.GenerateMasterKey()
	if err != nil {
		return err
	}
	keyFile := filepath.Join(w.dir, "master.key")
	if err := os.WriteFile(keyFile, []byte(master.Encode().Reveal()+"\n"), 0o600); err != nil {
		return err
	}
	cfg := config.Default()
	cfg.PublicURL, cfg.DataDir, cfg.MasterKey.File = w.relay.url, filepath.Join(w.dir, "data"), keyFile
	cfg.HTTP.Listen, cfg.Plugins.Dir, cfg.Log.Level = address, bin, "warn"
	cfg.IMAP.Listen, cfg.SMTP.Listen = w.imap, "127.0.0.1:0" // another gateway may run on this machine
	cfg.IMAP.Cleartext = true
	if w.keep {
		cfg.Log.Level = "debug"
	}
	cfg.Webhooks.Allow, cfg.Webhooks.AllowHTTP = []string{"127.0.0.0/8"}, true
	p, err := w.providerState()
	if err != nil {
		return err
	}
	set := maps.Clone(p.Settings)
	maps.Copy(set, w.at.settings)
	for name, text := range p.Files {
		set[name] = filepath.Join(w.dir, name)
		if err := os.WriteFile(set[name], []byte(text), 0o600); err != nil {
			return err
		}
	}
	cfg.Providers[p.Name] = config.Provider{Plugin: p.Plugin, Push: p.Push, Settings: set}
	text, err := yaml.Marshal(cfg)
	if err != nil {
		return err
	}
	file := filepath.Join(w.dir, "postern.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	app := maps.Clone(p.App)
	app["name"], app["redirect_uris"] = "Postern", []string{w.relay.url + "/oauth/" + p.Name + "/callback", returnURL}
	if err := w.control(ctx, http.MethodPost, "/control/apps", app, nil); err != nil {
		return err
	}
	if w.gateway, err = startProcess(w.dir, "gateway", filepath.Join(bin, "postern"), "-c", file, "serve"); err != nil {
		return err
	}
	if err := w.gateway.until(ctx, "wait for the gateway", func() (bool, error) { return answers(ctx, w.base+"/readyz") }); err != nil {
		return err
	}
	// What arrived before the gateway's start is checked message by message.
	// Dates of mail have whole seconds: only what comes in the next one is
	// known to be newer.
	if err := pass(ctx, time.Until(time.Now().Truncate(time.Second).Add(time.Second))); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(cfg.DataDir, "admin.key"))
	w.key = strings.TrimSpace(string(key))
	return err
}

func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *world) close() error {
	var errs []error
	for _, p := range []*process{w.gateway, w.sandbox} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	if w.relay != nil {
		errs = append(errs, w.relay.close())
	}
	if !w.keep {
		errs = append(errs, os.RemoveAll(w.dir))
	}
	return errors.Join(errs...)
}

// trusting gives a client that trusts the authority in a file and follows no
// redirect to returnURL.
func trusting(file string) (*http.Client, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the sandbox's certificate authority cannot be read")
	}
	return &http.Client{
		Timeout:   patience,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 16, ForceAttemptHTTP2: true},
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(req.URL.String(), returnURL) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}, nil
}

// control calls the sandbox's control API; a body that is not bytes goes as
// JSON.
func (w *world) control(ctx context.Context, method, path string, body, out any) error {
	raw, ok := body.([]byte)
	if !ok && body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, w.state.Control+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return call(req, out)
}

// query runs a GraphQL query that must succeed.
func (w *world) query(ctx context.Context, query string, vars map[string]any, data any) error {
	body, err := json.Marshal(map[string]any{"query": query, "variables": vars})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+"/graphql", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+w.key)
	req.Header.Set("Content-Type", "application/json")
	var got struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := call(req, &got); err != nil {
		return err
	}
	if len(got.Errors) > 0 {
		return fmt.Errorf("query: %s", got.Errors[0].Message)
	}
	if data == nil {
		return nil
	}
	return json.Unmarshal(got.Data, data)
}

// user adds a user to the sandbox.
func (w *world) user(ctx context.Context, address string) error {
	return w.control(ctx, http.MethodPost, "/control/users", map[string]string{"address": address}, nil)
}

// connect plays an owner at the provider's sign-in page and gives the account.
func (w *world) connect(ctx context.Context, address string) (account string, err error) {
	var got struct{ BeginConnect struct{ URL string } }
	err = w.query(ctx, `mutation($in: BeginConnectInput!) { beginConnect(input: $in) { url } }`,
		map[string]any{"in": map[string]any{"provider": w.at.provider, "redirectUrl": returnURL}}, &got)
	if err != nil {
		return "", err
	}
	browser := *w.provider
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		return "", err
	}
	page, err := visit(ctx, &browser, got.BeginConnect.URL, nil)
	if err != nil {
		return "", err
	}
	at, err := visit(ctx, &browser, page.String(), url.Values{"user": {address}, "decision": {"approve"}})
	if err != nil {
		return "", err
	}
	if q := at.Query(); q.Get("status") == "connected" {
		return q.Get("account"), nil
	}
	return "", fmt.Errorf("%s was not connected: the owner is at %s", address, at.Redacted())
}

// visit opens a page, or posts a form to it, and gives where that leads.
func visit(ctx context.Context, browser *http.Client, to string, form url.Values) (*url.URL, error) {
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := browser.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode/100 == 3:
		return resp.Location()
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s %s", resp.Request.URL.Path, resp.Status, page[:min(len(page), 300)])
	}
	return resp.Request.URL, nil
}

// inStep waits until an account's first sync is over.
func (w *world) inStep(ctx context.Context, account string) error {
	return w.gateway.until(ctx, "wait for the first sync", func() (bool, error) {
		var got struct {
			Account struct{ State, StateReason string }
		}
		err := w.query(ctx, `query($id: ID!) { account(id: $id) { state stateReason } }`, map[string]any{"id": account}, &got)
		return got.Account.State == "READY", err
	})
}

// endpoint makes an endpoint for new messages and gives its secret.
func (w *world) endpoint(ctx context.Context, to string) (id, secret string, err error) {
	var got struct {
		CreateEndpoint struct {
			Endpoint struct{ ID string }
			Secret   string
		}
	}
	err = w.query(ctx, `mutation($url: String!) { createEndpoint(input: {url: $url, events: [MESSAGE_CREATED]}) { endpoint { id } secret } }`, map[string]any{"url": to}, &got)
	return got.CreateEndpoint.Endpoint.ID, got.CreateEndpoint.Secret, err
}

// letter is an ordinary plain message.
func letter(to string, i int) []byte {
	return fmt.Appendf(nil, "From: Ada Lovelace <ada@fabrikam.example>\r\nTo: %s\r\nSubject: Minutes of the meeting, number %d\r\nDate: %s\r\nMessage-ID: <%d.%s>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n", to, i, time.Now().UTC().Format(time.RFC1123Z), i, to,
		strings.Repeat("As agreed, here is what we said on Thursday.\r\n", 20))
}

// deliver puts a message into a user's inbox and gives the provider's id of
// it. Unless quiet, the sandbox pushes a notification.
func (w *world) deliver(ctx context.Context, to string, i int, query string) (id string, err error) {
	var got struct{ ID string }
	err = w.control(ctx, http.MethodPost, "/control/users/"+to+"/messages"+query, letter(to, i), &got)
	return got.ID, err
}

// fill puts n messages into a user's inbox, an hour apart, without telling.
func (w *world) fill(ctx context.Context, to string, n int) error {
	_, err := loop(4, 0, n, func(_, i int) error {
		at := time.Now().Add(-time.Duration(n-i) * time.Minute).UTC().Format(time.RFC3339)
		_, err := w.deliver(ctx, to, i, "?notify=false&date="+url.QueryEscape(at))
		return err
	})
	return err
}
