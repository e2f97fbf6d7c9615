package outlook_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/outlook"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestConnect(t *testing.T) {
	w := newWorld(t)
	resp, err := w.finish(w.approve(ada, ""))
	if err != nil {
		t.Fatal(err)
	}
	who := resp.Accounts[0]
	if who.Address != ada || who.Name != "Ada Lovelace" || !strings.HasPrefix(who.Subject, w.sandbox.State().Tenant+"/") {
		t.Errorf("account %+v", who)
	}
	for _, scope := range []string{"Mail.ReadWrite", "Mail.Send", "User.Read"} {
		if !slices.Contains(resp.Granted, scope) {
			t.Errorf("%s was not granted: %v", scope, resp.Granted)
		}
	}
	if strings.Contains(string(resp.Grant), "AccessToken") {
		t.Error("the grant holds an access token")
	}
	if n := w.report().Tokens["authorization_code"]["ok"]; n != 1 {
		t.Errorf("%d codes were redeemed", n)
	}
	// The subject stays the same when the owner connects again.
	again, err := w.finish(w.approve(ada, ""))
	if err != nil {
		t.Fatal(err)
	}
	if again.Accounts[0].Subject != who.Subject {
		t.Errorf("subject %s became %s", who.Subject, again.Accounts[0].Subject)
	}
}

func TestConnectRefusals(t *testing.T) {
	w := newWorld(t)
	good, params := w.approve(ada, "")
	other, _ := w.approve(ada, "")
	with := func(k, v string) url.Values {
		out := url.Values{}
		for key, vals := range params {
			out[key] = vals
		}
		out.Set(k, v)
		return out
	}
	deniedPending, denied := w.approve(ada, "deny")
	admin := url.Values{"error": {"access_denied"}, "error_description": {"AADSTS90094: An administrator must consent."}}
	for _, tc := range []struct {
		name    string
		pending []byte
		params  url.Values
		kind    mail.Kind
		code    string
	}{
		{"declined", deniedPending, denied, mail.KindForbidden, "access_denied"},
		{"administrator needed", good, admin, mail.KindForbidden, "admin_consent_required"},
		{"service down", good, url.Values{"error": {"temporarily_unavailable"}}, mail.KindUnavailable, "temporarily_unavailable"},
		{"bad scope", good, url.Values{"error": {"invalid_scope"}, "error_description": {"AADSTS70011: no"}}, mail.KindMisconfigured, "AADSTS70011"},
		{"no code", good, url.Values{}, mail.KindInvalid, ""},
		{"other state", good, with("state", "state-2"), mail.KindInvalid, "state_mismatch"},
		{"garbage pending", []byte("{"), params, mail.KindInvalid, ""},
		{"other verifier", other, params, mail.KindForbidden, "AADSTS501481"},
		{"bad code", good, with("code", "nonsense"), mail.KindForbidden, ""},
	} {
		_, err := w.finish(tc.pending, tc.params)
		e := asError(t, err)
		if e.Kind != tc.kind || (tc.code != "" && e.Code != tc.code) {
			t.Errorf("%s: kind %s code %s: %v", tc.name, e.Kind, e.Code, err)
		}
		if strings.Contains(err.Error(), params.Get("code")) {
			t.Errorf("%s: the code is in the error: %v", tc.name, err)
		}
	}
	// A code is good once.
	pending, params := w.approve(ada, "")
	if _, err := w.finish(pending, params); err != nil {
		t.Fatal(err)
	}
	_, err := w.finish(pending, params)
	wantKind(t, err, mail.KindForbidden)
}

func asError(t *testing.T, err error) *mail.Error {
	t.Helper()
	e, ok := err.(*mail.Error)
	if !ok {
		t.Fatalf("not a *mail.Error: %T %v", err, err)
	}
	return e
}

func TestConnectWithoutTheAuthorityFails(t *testing.T) {
	w := newWorld(t)
	pending, params := w.approve(ada, "")
	delete(w.conf.Settings, "ca_file")
	w.configure()
	_, err := w.finish(pending, params)
	e := asError(t, err)
	if e.Kind != mail.KindMisconfigured || e.Code != "untrusted_certificate" {
		t.Errorf("%v", err)
	}
}

func TestWrongSecretIsTheOperators(t *testing.T) {
	w := connected(t)
	w.conf.Settings["client_secret"] = "s3cret-of-yesterday"
	w.configure()
	pending, params := w.approve(ada, "")
	_, err := w.finish(pending, params)
	wantKind(t, err, mail.KindMisconfigured)
	if strings.Contains(err.Error(), "s3cret-of-yesterday") {
		t.Errorf("the secret is in the error: %v", err)
	}
	// The same for an account in use; its grant is not declared dead, and
	// lives again with the right secret.
	w.clock.Forward(2 * time.Hour)
	_, err = w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
	wantKind(t, err, mail.KindMisconfigured)
	if reason := <-w.host.refused; mail.KindOf(reason) != mail.KindMisconfigured {
		t.Errorf("the host was told %v", reason)
	}
	w.conf.Settings["client_secret"] = w.sandbox.State().ClientSecret
	w.configure()
	w.mailboxes()
}

func TestCertificateCredential(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(file, append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})...), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *sandbox.Options) {
		app := identity.DefaultApp(redirect)
		app.Certificates = []string{string(cert)}
		o.Settings.Apps = []identity.App{app}
	})
	delete(w.conf.Settings, "client_secret")
	w.conf.Settings["client_certificate"] = file
	w.configure()
	w.account = w.connect(ada)
	w.mailboxes()
}

func TestRevokedGrantIsToldOnceAndReconnects(t *testing.T) {
	w := connected(t)
	w.mailboxes()
	if err := w.sandbox.Microsoft().Revoke(ada, false); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		_, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
		wantKind(t, err, mail.KindGrantExpired)
	}
	if reason := <-w.host.refused; mail.KindOf(reason) != mail.KindGrantExpired {
		t.Errorf("the host was told %v", reason)
	}
	if n := len(w.host.refused); n != 0 {
		t.Errorf("the host was told %d times more", n)
	}
	if n := w.report().Tokens["refresh_token"]["invalid_grant"]; n != 1 {
		t.Errorf("a dead grant was tried %d times", n)
	}
	w.account = w.connect(ada)
	w.mailboxes()
}

func TestBlipIsNotDeath(t *testing.T) {
	w := connected(t)
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "token", AADSTS: 70000, Times: 2}); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(2 * time.Hour)
	for range 2 {
		_, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
		wantKind(t, err, mail.KindUnavailable)
		w.clock.Forward(time.Minute)
	}
	w.mailboxes()
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "token", AADSTS: 70000}); err != nil {
		t.Fatal(err)
	}
	w.clock.Forward(2 * time.Hour)
	for i := range 3 {
		_, err := w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: w.call()})
		want := mail.KindUnavailable
		if i == 2 {
			want = mail.KindGrantExpired
		}
		wantKind(t, err, want)
		w.clock.Forward(time.Minute)
	}
}

func TestOpenRefusesForeignGrants(t *testing.T) {
	w := newWorld(t)
	resp, err := w.finish(w.approve(ada, ""))
	if err != nil {
		t.Fatal(err)
	}
	open := func(subject string, grant []byte) error {
		return w.p.Open(t.Context(), &provider.OpenRequest{Account: "a", Subject: subject, Grant: grant})
	}
	wantKind(t, open("somebody/else", resp.Grant), mail.KindInvalid)
	wantKind(t, open("", []byte("not a grant")), mail.KindGrantExpired)
	_, err = w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: provider.Call{Account: "a"}})
	if asError(t, err).Code != provider.CodeNotOpen {
		t.Errorf("not open, but %v", err)
	}
	// Connected through another application.
	if err := open(resp.Accounts[0].Subject, resp.Grant); err != nil {
		t.Fatal(err)
	}
	w.conf.Settings["client_id"] = "8f1c1b0a-0000-4000-8000-000000000001"
	w.configure()
	_, err = w.p.Mailboxes(t.Context(), &provider.MailboxesRequest{Call: provider.Call{Account: "a"}})
	wantKind(t, err, mail.KindGrantExpired)
	if err := w.p.Close(t.Context(), &provider.CloseRequest{Account: "a"}); err != nil {
		t.Fatal(err)
	}
}

func TestNotConfigured(t *testing.T) {
	p := outlook.New(outlook.Options{})
	_, err := p.BeginConnect(context.Background(), &provider.BeginConnectRequest{State: "x", RedirectURL: "y"})
	wantKind(t, err, mail.KindMisconfigured)
	_, err = p.Mailboxes(context.Background(), &provider.MailboxesRequest{})
	wantKind(t, err, mail.KindMisconfigured)
	resp, err := p.Notify(context.Background(), &provider.NotifyRequest{Method: "POST"})
	if err != nil || resp.Status != 503 {
		t.Errorf("%v %v", resp, err)
	}
}

// stuckHost never finishes storing a grant.
type stuckHost struct {
	*testHost
	saving chan struct{}
}

func (h *stuckHost) SaveGrant(ctx context.Context, _ string, _ []byte) error {
	close(h.saving)
	<-ctx.Done()
	return ctx.Err()
}

func TestEndOfSessionCancelsCalls(t *testing.T) {
	w := connected(t)
	host := &stuckHost{newTestHost(), make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.p.Session(ctx, host) }()
	called := make(chan error, 1)
	w.host.fail(errors.New("not this host")) // whichever session is the newer
	go func() {
		for {
			_, err := w.p.Mailboxes(context.Background(), &provider.MailboxesRequest{Call: w.call()})
			if e, ok := err.(*mail.Error); !ok || e.Code != "grant_not_stored" || ctx.Err() != nil {
				called <- err
				return
			}
			w.clock.Forward(time.Minute)
		}
	}()
	<-host.saving
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-called:
		if err == nil {
			t.Error("the call went on")
		}
	case <-time.After(time.Minute):
		t.Fatal("the call outlived the session")
	}
}
