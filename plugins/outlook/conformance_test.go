package outlook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/outlook"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
)

// TestConformance holds the provider to the contract against the sandbox,
// directly and as the gateway sees it, across gRPC.
func TestConformance(t *testing.T) {
	t.Parallel()
	sb, err := sandbox.Start(context.WithoutCancel(t.Context()), conformanceOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sb.Close(); err != nil {
			t.Error(err)
		}
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(sb.State().CA), 0o600); err != nil {
		t.Fatal(err)
	}
	var cases atomic.Int64
	suite := providertest.Suite{Inapplicable: inapplicable, New: func(t providertest.T) (provider.Provider, providertest.World) {
		w := &sandboxWorld{sandbox: sb, ca: ca}
		// Every case has people of its own.
		n := cases.Add(1)
		for _, name := range []string{"Ada", "Grace", "Alan"} {
			u, err := sb.Microsoft().AddUser(fmt.Sprintf("%s-%d@contoso.example", strings.ToLower(name), n), name)
			if err != nil {
				t.Fatalf("add user: %v", err)
			}
			w.people = append(w.people, u.Address)
		}
		w.notify = httptest.NewTLSServer(http.HandlerFunc(w.serveNotify))
		t.Cleanup(w.notify.Close)
		return outlook.New(outlook.Options{}), w
	}}
	t.Run("direct", func(t *testing.T) { providertest.Run(t, suite) })
	t.Run("wire", func(t *testing.T) { providertest.Run(t, suite.Across(provider.Pipe)) })
}

// inapplicable are the cases that ask for what Outlook does not have: MIME that
// comes back to the byte, a feed of a whole instance, a way to give a grant
// back, a limit of size that a test could reach, and a verb of an account that
// is missing.
var inapplicable = []string{
	"account/unsupported", "fetch/exact", "append/exact", "append/too-large",
	"listen/hints", "cancel/listen", "grant/give-back",
}

func conformanceOptions() sandbox.Options {
	// All servers of httptest have one certificate.
	some := httptest.NewTLSServer(http.NotFoundHandler())
	defer some.Close()
	opts := sandbox.Options{NoSeed: true, NotifyRoots: some.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	opts.Settings.Push.BatchWindow = time.Millisecond
	return opts
}

// sandboxWorld is the sandbox as the conformance suite wants it.
type sandboxWorld struct {
	providertest.NoHooks
	sandbox *sandbox.Sandbox
	ca      string
	people  []string
	admin   string
	notify  *httptest.Server
	handler func(*provider.NotifyRequest) *provider.NotifyResponse
}

func (w *sandboxWorld) Settings() map[string]string {
	st := w.sandbox.State()
	return map[string]string{
		"client_id": st.ClientID, "client_secret": st.ClientSecret,
		"authority": st.Authority, "graph_url": st.Graph, "ca_file": w.ca,
	}
}

func (w *sandboxWorld) BadSettings() []map[string]string {
	var out []map[string]string
	for k, v := range map[string]string{
		"client_id": "", "authority": "http://localhost/common", "graph_url": "nowhere", "ca_file": "/nowhere.pem", "max_concurrent": "none",
	} {
		s := w.Settings()
		s[k] = v
		out = append(out, s)
	}
	return out
}

func (w *sandboxWorld) RedirectURL() string  { return redirect }
func (w *sandboxWorld) Address() string      { return w.people[0] }
func (w *sandboxWorld) Recipients() []string { return w.people[1:] }

func (w *sandboxWorld) Connect(ctx context.Context, authorize string) (url.Values, error) {
	return w.decide(ctx, authorize, "approve")
}

func (w *sandboxWorld) Deny(ctx context.Context, authorize string) (url.Values, error) {
	return w.decide(ctx, authorize, "deny")
}

// RequireApproval changes the whole organisation; cases run one at a time.
func (w *sandboxWorld) RequireApproval(context.Context) (func(context.Context) error, error) {
	w.admin = w.sandbox.Microsoft().RestrictConsent(true)
	return func(context.Context) error { w.sandbox.Microsoft().RestrictConsent(false); return nil }, nil
}

func (w *sandboxWorld) Approve(ctx context.Context, link string, allow bool) (url.Values, error) {
	decision := map[bool]string{true: "approve", false: "deny"}[allow]
	return w.post(ctx, link, url.Values{"user": {w.admin}, "decision": {decision}})
}

// decide answers the sign-in page.
func (w *sandboxWorld) decide(ctx context.Context, authorize, decision string) (url.Values, error) {
	return w.post(ctx, authorize, url.Values{"user": {w.Address()}, "decision": {decision}})
}

// post sends a page's form and gives what the browser is sent back with.
func (w *sandboxWorld) post(ctx context.Context, page string, form url.Values) (url.Values, error) {
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.sandbox.TLS()}}
	defer client.CloseIdleConnections()
	return plugintest.SignIn(ctx, client, page, form)
}

func (w *sandboxWorld) Deliver(ctx context.Context, address, mailbox string, raw []byte) error {
	_, err := w.sandbox.Microsoft().Deliver(ctx, address, cloud.Delivery{Mailbox: mailbox, Notify: true, Raw: raw})
	return err
}

func (w *sandboxWorld) Remove(_ context.Context, address, id string) error {
	return w.sandbox.Microsoft().Delete(address, id)
}

func (w *sandboxWorld) Truth(_ context.Context, address string) ([]providertest.Message, error) {
	list, err := w.sandbox.Microsoft().Messages(address)
	out := make([]providertest.Message, len(list))
	for i, m := range list {
		out[i] = providertest.Message{ProviderID: m.ID, Mailboxes: m.Mailboxes, Keywords: m.Keywords, Size: m.Size, SHA256: m.SHA256}
	}
	return out, err
}

func (w *sandboxWorld) ForgetCursors(_ context.Context, address string) error {
	return w.sandbox.Microsoft().ForgetCursors(address)
}

func (w *sandboxWorld) Revoke(_ context.Context, address string) error {
	return w.sandbox.Microsoft().Revoke(address, false)
}

// ExpireTokens: the next request with an access token is refused.
func (w *sandboxWorld) ExpireTokens(_ context.Context, address string) error {
	return w.sandbox.Faults().Put(traffic.Fault{User: address, Match: "/v1.0/", Status: http.StatusUnauthorized, Times: 1})
}

func (w *sandboxWorld) TokenRequests(context.Context) (int, error) {
	n := 0
	for _, count := range w.sandbox.Counters().Report("", w.Address()).Tokens["refresh_token"] {
		n += int(count)
	}
	return n, nil
}

func (w *sandboxWorld) Fault(_ context.Context, address string, fault providertest.Fault) (func(context.Context) error, error) {
	f := traffic.Fault{User: address}
	switch fault {
	case providertest.FaultThrottled:
		f.Status, f.Match = http.StatusTooManyRequests, "/v1.0/"
	case providertest.FaultUnavailable:
		f.Status, f.Match = http.StatusServiceUnavailable, "/v1.0/"
	case providertest.FaultLostAnswer:
		f.CutAfter, f.Match, f.Times = true, "POST /me/messages/{id}/send", 1
	default:
		return nil, providertest.NoHook(string(fault))
	}
	if err := w.sandbox.Faults().Put(f); err != nil {
		return nil, err
	}
	return func(context.Context) error {
		f.Status, f.CutAfter = 0, false
		return w.sandbox.Faults().Put(f)
	}, nil
}

func (w *sandboxWorld) Listen(_ context.Context, handler func(*provider.NotifyRequest) *provider.NotifyResponse) (string, error) {
	w.handler = handler
	return w.notify.URL + "/notify/outlook", nil
}

func (w *sandboxWorld) serveNotify(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	resp := w.handler(&provider.NotifyRequest{
		Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/notify/outlook"), Query: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	for k, v := range resp.Header {
		rw.Header()[k] = v
	}
	rw.WriteHeader(resp.Status)
	_, _ = rw.Write(resp.Body)
}
