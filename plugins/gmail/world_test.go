package gmail_test

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/google"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
	"github.com/postern-mail/postern/plugins/gmail"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	alan     = "alan@gmail.example"
	joan     = "joan@gmail.example"
	redirect = "http://localhost:8080/oauth/gmail/callback"
)

// world is a sandbox, a provider that is configured for it, and a host.
type world struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	p       *gmail.Provider
	host    plugintest.Host
	clock   plugintest.Clock
	conf    *provider.ConfigureRequest
	account string
}

// startSandbox starts one, without mail, and ends it with the test.
func startSandbox(t *testing.T, change ...func(*sandbox.Options)) *sandbox.Sandbox {
	t.Helper()
	opts := sandbox.Options{NoSeed: true, Key: worldtest.Key(t), GoogleSettings: google.Settings{RedirectURIs: []string{redirect, conformanceRedirect}}}
	for _, f := range change {
		f(&opts)
	}
	sb, err := sandbox.Start(context.WithoutCancel(t.Context()), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sb.Close(); err != nil {
			t.Error(err)
		}
	})
	return sb
}

// settings are those by which the provider finds the sandbox.
func settings(t *testing.T, st sandbox.State) map[string]string {
	t.Helper()
	key := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(key, []byte(st.GoogleServiceAccount), 0o600); err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"client_id": st.GoogleClientID, "client_secret": st.GoogleClientSecret,
		"auth_url": st.Google + "/o/oauth2/v2/auth", "token_url": st.Google + "/token",
		"revoke_url": st.Google + "/revoke", "certs_url": st.Google + "/oauth2/v3/certs",
		"gmail_url": st.Google + "/", "pubsub_url": st.Google + "/",
		"topic": st.GoogleTopic, "subscription": st.GoogleSubscription, "service_account": key,
	}
}

func newWorld(t *testing.T, change ...func(*sandbox.Options)) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, sandbox: startSandbox(t, change...)}
	w.p = gmail.New(gmail.Options{Now: w.clock.Now, MaxAnswer: 8 << 20, MaxRaw: 32 << 20})
	if _, ok := w.sandbox.Google().UserByAddress(joan); !ok {
		if _, err := w.sandbox.Google().AddUser(joan, "Joan Clarke"); err != nil {
			t.Fatal(err)
		}
	}
	w.conf = &provider.ConfigureRequest{
		Instance: "gmail", RedirectURL: redirect, NotifyKey: bytes.Repeat([]byte{7}, 32), Settings: settings(t, w.sandbox.State()),
	}
	w.configure()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.p.Session(ctx, &w.host) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error("session:", err)
		}
	})
	return w
}

func (w *world) configure() {
	w.t.Helper()
	if _, err := w.p.Configure(w.t.Context(), w.conf); err != nil {
		w.t.Fatal(err)
	}
}

// connected is a world with an open account.
func connected(t *testing.T, change ...func(*sandbox.Options)) *world {
	t.Helper()
	w := newWorld(t, change...)
	w.account = w.connect(alan)
	return w
}

// connect goes through the sign-in as a person would, and opens the account.
func (w *world) connect(address string) string {
	w.t.Helper()
	resp, err := w.finish(w.approve(address, nil))
	if err != nil {
		w.t.Fatal(err)
	}
	who := resp.Accounts[0]
	account := "account-of-" + address
	w.host.Hold(account, resp.Grant)
	if err := w.p.Open(w.t.Context(), &provider.OpenRequest{Account: account, Subject: who.Subject, Address: who.Address, Grant: resp.Grant}); err != nil {
		w.t.Fatal(err)
	}
	return account
}

// approve begins a connection and answers the sign-in page; form adds to what a
// person fills in. It gives what the callback got.
func (w *world) approve(address string, form url.Values) ([]byte, url.Values) {
	w.t.Helper()
	begin, err := w.p.BeginConnect(w.t.Context(), &provider.BeginConnectRequest{State: "state-1", RedirectURL: redirect, LoginHint: address})
	if err != nil {
		w.t.Fatal(err)
	}
	all := url.Values{"user": {address}, "decision": {"approve"}}
	for k, v := range form {
		all[k] = v
	}
	params, err := plugintest.SignIn(w.t.Context(), http.DefaultClient, begin.URL, all)
	if err != nil {
		w.t.Fatal(err)
	}
	return begin.Pending, params
}

func (w *world) finish(pending []byte, params url.Values) (*provider.FinishConnectResponse, error) {
	return w.p.FinishConnect(w.t.Context(), &provider.FinishConnectRequest{Pending: pending, RedirectURL: redirect, Params: params})
}

func (w *world) call() provider.Call { return provider.Call{Account: w.account} }

func (w *world) deliver(address, subject string, change ...func(*cloud.Delivery)) string {
	w.t.Helper()
	d := cloud.Delivery{Notify: true, Date: time.Now().Add(-time.Hour), Raw: []byte("From: Joan Clarke <" + joan + ">\r\nTo: <" + address + ">\r\nSubject: " + subject +
		"\r\nMessage-ID: <" + subject + "@gmail.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello " + subject + ".\r\n")}
	for _, f := range change {
		f(&d)
	}
	id, err := w.sandbox.Google().Deliver(w.t.Context(), address, d)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// truth is what the sandbox holds.
func (w *world) truth(address string) map[string]cloud.MessageInfo {
	w.t.Helper()
	list, err := w.sandbox.Google().Messages(address)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]cloud.MessageInfo{}
	for _, m := range list {
		out[m.ID] = m
	}
	return out
}

func (w *world) report() traffic.Report { return w.sandbox.Counters().Report("", "") }

// changes reads the feed to its end.
func (w *world) changes(cur mail.Cursor) ([]mail.Item, mail.Cursor, error) {
	var items []mail.Item
	done := false
	err := w.p.Changes(w.t.Context(), &provider.ChangesRequest{Call: w.call(), Cursor: cur}, func(b *mail.Batch) error {
		if done {
			w.t.Error("a batch after the last one")
		}
		items, cur, done = append(items, b.Items...), b.Next, b.Done
		return nil
	})
	if err == nil && !done {
		w.t.Error("the feed ended without Done")
	}
	return items, cur, err
}

func (w *world) mustChanges(cur mail.Cursor) ([]mail.Item, mail.Cursor) {
	w.t.Helper()
	items, next, err := w.changes(cur)
	if err != nil {
		w.t.Fatal(err)
	}
	return items, next
}

// fetch reads messages and fails the test where one cannot be read.
func (w *world) fetch(mode provider.FetchMode, ids ...string) *plugintest.Sink {
	w.t.Helper()
	s := &plugintest.Sink{}
	if err := w.p.Fetch(w.t.Context(), &provider.FetchRequest{Call: w.call(), IDs: ids, Mode: mode}, s); err != nil {
		w.t.Fatal(err)
	}
	for id, err := range s.Failures {
		w.t.Fatalf("message %s: %v", id, err)
	}
	return s
}

// fault sets a fault of the sandbox; one of status 0 ends it.
func (w *world) fault(f traffic.Fault) {
	w.t.Helper()
	if err := w.sandbox.Faults().Put(f); err != nil {
		w.t.Fatal(err)
	}
}

// recorder is a sink whose failures are expected.
type recorder = plugintest.Sink
