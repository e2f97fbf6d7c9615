package outlook_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/plugintest"
	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
	"github.com/postern-mail/postern/plugins/outlook"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	ada      = "ada@contoso.example"
	grace    = "grace@contoso.example"
	redirect = "http://localhost:8080/oauth/outlook/callback"
)

// world is a sandbox, a provider that is configured for it, and a host.
type world struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	p       *outlook.Provider
	host    *testHost
	clock   *plugintest.Clock
	conf    *provider.ConfigureRequest
	account string
	// notify is where the sandbox posts notifications to; they are handed to
	// Notify and its hints kept.
	notify *httptest.Server
	hints  chan provider.Hint
	// slow, where set, stores grants in place of host.
	slow atomic.Pointer[slowHost]
}

func newWorld(t *testing.T, change ...func(*sandbox.Options)) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, host: newTestHost(), clock: &plugintest.Clock{}, hints: make(chan provider.Hint, 1000)}
	w.p = outlook.New(outlook.Options{Now: w.clock.Now, MaxAnswer: 8 << 20})
	w.notify = httptest.NewTLSServer(http.HandlerFunc(w.serveNotify))
	t.Cleanup(w.notify.Close)
	opts := sandbox.Options{NoSeed: true, Key: worldtest.Key(t)}
	pool := w.notify.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	opts.NotifyRoots = pool
	opts.Settings.Push.BatchWindow = time.Millisecond
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
	w.sandbox = sb
	st := sb.State()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, []byte(st.CA), 0o600); err != nil {
		t.Fatal(err)
	}
	w.conf = &provider.ConfigureRequest{
		Instance:        "outlook",
		RedirectURL:     redirect,
		NotificationURL: w.notify.URL + "/notify/outlook",
		NotifyKey:       bytes.Repeat([]byte{7}, 32),
		Settings: map[string]string{
			"client_id": st.ClientID, "client_secret": st.ClientSecret,
			"authority": st.Authority, "graph_url": st.Graph, "ca_file": ca,
		},
	}
	w.configure()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.p.Session(ctx, w) }()
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
	w.account = w.connect(ada)
	return w
}

// connect goes through the sign-in as a person would, and opens the account.
func (w *world) connect(address string) string {
	w.t.Helper()
	resp, err := w.finish(w.approve(address, ""))
	if err != nil {
		w.t.Fatal(err)
	}
	who := resp.Accounts[0]
	account := "account-of-" + address
	w.host.grants.Store(account, resp.Grant)
	if err := w.p.Open(w.t.Context(), &provider.OpenRequest{Account: account, Subject: who.Subject, Address: who.Address, Grant: resp.Grant}); err != nil {
		w.t.Fatal(err)
	}
	return account
}

// approve begins a connection and answers the sign-in page. It gives what the
// callback got.
func (w *world) approve(address, decision string) ([]byte, url.Values) {
	w.t.Helper()
	begin, err := w.p.BeginConnect(w.t.Context(), &provider.BeginConnectRequest{State: "state-1", RedirectURL: redirect, LoginHint: address})
	if err != nil {
		w.t.Fatal(err)
	}
	if decision == "" {
		decision = "approve"
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: w.sandbox.TLS()}}
	defer client.CloseIdleConnections()
	params, err := plugintest.SignIn(w.t.Context(), client, begin.URL, url.Values{"user": {address}, "decision": {decision}})
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
	d := cloud.Delivery{Notify: true, Date: time.Now().Add(-time.Hour), Raw: []byte("From: Grace Hopper <" + grace + ">\r\nTo: <" + address + ">\r\nSubject: " + subject +
		"\r\nMessage-ID: <" + subject + "@contoso.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nHello " + subject + ".\r\n")}
	for _, f := range change {
		f(&d)
	}
	id, err := w.sandbox.Microsoft().Deliver(w.t.Context(), address, d)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// truth is what the sandbox holds.
func (w *world) truth(address string) map[string]cloud.MessageInfo {
	w.t.Helper()
	list, err := w.sandbox.Microsoft().Messages(address)
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

func (w *world) mailboxes() map[mail.Role]mail.Mailbox {
	w.t.Helper()
	resp, err := w.p.Mailboxes(w.t.Context(), &provider.MailboxesRequest{Call: w.call()})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[mail.Role]mail.Mailbox{}
	for _, m := range resp.Mailboxes {
		if m.Role != mail.RoleNone {
			out[m.Role] = m
		}
	}
	return out
}

// changes reads a mailbox's feed to its end.
func (w *world) changes(mailbox string, cur mail.Cursor) ([]mail.Item, mail.Cursor, error) {
	var items []mail.Item
	done := false
	err := w.p.Changes(w.t.Context(), &provider.ChangesRequest{Call: w.call(), Mailbox: mailbox, Cursor: cur}, func(b *mail.Batch) error {
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

func (w *world) mustChanges(mailbox string, cur mail.Cursor) ([]mail.Item, mail.Cursor) {
	w.t.Helper()
	items, next, err := w.changes(mailbox, cur)
	if err != nil {
		w.t.Fatal(err)
	}
	return items, next
}

// fetch reads metadata and fails the test where one message cannot be read.
func (w *world) fetch(ids ...string) map[string]mail.Message {
	w.t.Helper()
	s := &sink{}
	if err := w.p.Fetch(w.t.Context(), &provider.FetchRequest{Call: w.call(), IDs: ids}, s); err != nil {
		w.t.Fatal(err)
	}
	for id, err := range s.failed {
		w.t.Fatalf("fetch %s: %v", id, err)
	}
	return s.messages
}

func (w *world) raw(ids ...string) *sink {
	w.t.Helper()
	s := &sink{}
	if err := w.p.Fetch(w.t.Context(), &provider.FetchRequest{Call: w.call(), IDs: ids, Mode: provider.FetchRaw}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) serveNotify(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	resp, err := w.p.Notify(r.Context(), &provider.NotifyRequest{
		Method: r.Method, Path: strings.TrimPrefix(r.URL.Path, "/notify/outlook"), Query: r.URL.RawQuery, Header: r.Header, Body: body,
	})
	if err != nil {
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	for _, h := range resp.Hints {
		w.hints <- h
	}
	for k, v := range resp.Header {
		rw.Header()[k] = v
	}
	rw.WriteHeader(resp.Status)
	_, _ = rw.Write(resp.Body)
}

func (w *world) hint() provider.Hint {
	w.t.Helper()
	select {
	case h := <-w.hints:
		return h
	case <-time.After(time.Minute):
		w.t.Fatal("no hint came")
		return provider.Hint{}
	}
}

func wantKind(t *testing.T, err error, want mail.Kind) {
	t.Helper()
	if got := mail.KindOf(err); got != want {
		t.Fatalf("error of kind %q, want %q: %v", got, want, err)
	}
}

// sink keeps what Fetch gives, and notices calls at once.
type sink struct {
	mu       sync.Mutex
	messages map[string]mail.Message
	raws     map[string][]byte
	failed   map[string]error
}

func (s *sink) enter() (func(), error) {
	if !s.mu.TryLock() {
		return nil, errors.New("the sink was called twice at once")
	}
	return s.mu.Unlock, nil
}

func (s *sink) Message(m *mail.Message) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	if s.messages == nil {
		s.messages = map[string]mail.Message{}
	}
	s.messages[m.ProviderID] = *m
	return nil
}

func (s *sink) Raw(id, _ string, r io.Reader) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.raws == nil {
		s.raws = map[string][]byte{}
	}
	s.raws[id] = data
	return nil
}

func (s *sink) Failed(id string, err error) error {
	leave, lerr := s.enter()
	if lerr != nil {
		return lerr
	}
	defer leave()
	if s.failed == nil {
		s.failed = map[string]error{}
	}
	s.failed[id] = err
	return nil
}

// testHost stores grants in memory.
type testHost struct {
	grants  sync.Map
	mu      sync.Mutex
	saves   int
	saveErr error
	refused chan error
}

// SaveGrant, GrantRefused and Hint make the world a host.
func (w *world) SaveGrant(ctx context.Context, account string, grant []byte) error {
	if s := w.slow.Load(); s != nil {
		return s.SaveGrant(ctx, account, grant)
	}
	return w.host.SaveGrant(ctx, account, grant)
}

func (w *world) GrantRefused(ctx context.Context, account string, reason error) error {
	return w.host.GrantRefused(ctx, account, reason)
}

func (w *world) Hint(context.Context, *provider.Hint) error { return nil }

func newTestHost() *testHost { return &testHost{refused: make(chan error, 100)} }

func (h *testHost) SaveGrant(_ context.Context, account string, grant []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.saveErr != nil {
		return h.saveErr
	}
	h.saves++
	h.grants.Store(account, grant)
	return nil
}

func (h *testHost) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.saveErr = err
}

func (h *testHost) GrantRefused(_ context.Context, account string, reason error) error {
	h.refused <- fmt.Errorf("%s: %w", account, reason)
	return nil
}

func (h *testHost) Hint(context.Context, *provider.Hint) error { return nil }
