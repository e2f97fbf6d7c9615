package localca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/bolt/bolttest"
)

// scene is a store and a clock.
type scene struct {
	t     *testing.T
	store store.Store
	at    time.Time
	log   bytes.Buffer
	roots *x509.CertPool // of pairOf
}

func newScene(t *testing.T) *scene {
	t.Helper()
	return &scene{t: t, store: bolttest.Open(t), at: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC), roots: x509.NewCertPool()}
}

func (s *scene) options(names ...string) Options {
	return Options{Names: names, Now: func() time.Time { return s.at }, Log: slog.New(slog.NewTextHandler(&s.log, nil))}
}

func (s *scene) open(names ...string) *Authority {
	s.t.Helper()
	a, err := Open(s.t.Context(), s.store, s.options(names...))
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

// shown is the certificate that a client sees, verified as it does it.
func (s *scene) shown(a *Authority, names ...string) *x509.Certificate {
	s.t.Helper()
	c, err := a.GetCertificate(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(a.RootPEM()) {
		s.t.Fatal("the root is no certificate")
	}
	for _, name := range append(names, "localhost", "127.0.0.1", "::1") {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: s.at}); err != nil {
			s.t.Errorf("at %s, as %s: %v", s.at.Format(time.DateOnly), name, err)
		}
	}
	return leaf
}

// TestAuthorityOutlivesItsLeaves: ten years of the one, a year of the other,
// renewed while connections come in, and kept over restarts.
func TestAuthorityOutlivesItsLeaves(t *testing.T) {
	s := newScene(t)
	names := []string{"Mail.Example.com", "192.0.2.5", "localhost", "", "2001:db8:0::5"}
	want := []string{"mail.example.com", "192.0.2.5", "2001:db8::5"}
	a := s.open(names...)
	first, root := s.shown(a, want...), a.RootPEM()
	if life := first.NotAfter.Sub(s.at); life < 364*24*time.Hour || life > 366*24*time.Hour {
		t.Errorf("the leaf lives %s", life)
	}
	block, _ := pem.Decode(root)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if years := cert.NotAfter.Year() - s.at.Year(); years != 10 || !cert.IsCA {
		t.Errorf("the root lives %d years, authority %v", years, cert.IsCA)
	}
	if f := a.Fingerprint(); f != Fingerprint(block.Bytes) || len(f) != 32*3-1 || strings.ToUpper(f) != f {
		t.Errorf("fingerprint %s", f)
	}
	if again := s.shown(s.open(names...), want...); !again.Equal(first) {
		t.Error("a restart made another certificate")
	}
	if other := s.shown(s.open("other.example.com"), "other.example.com"); other.Equal(first) || other.VerifyHostname("mail.example.com") == nil {
		t.Error("names that changed stand in the former certificate")
	}
	a = s.open(names...)
	made := map[string]bool{}
	for range 9*12 + 9 { // nine years and nine months, a month at a time, without a restart
		s.at = s.at.AddDate(0, 1, 0)
		made[s.shown(a, want...).SerialNumber.String()] = true
	}
	if len(made) < 10 || len(made) > 13 {
		t.Errorf("%d certificates in ten years", len(made))
	}
	if !bytes.Equal(root, s.open(names...).RootPEM()) {
		t.Error("the root is another")
	}
	s.at = s.at.AddDate(0, 2, 0)
	if bytes.Equal(root, s.open(names...).RootPEM()) || !strings.Contains(s.log.String(), "made anew") {
		t.Error("a root that ends goes on")
	}
}

// TestDamagedAuthorityIsNotReplaced: everybody would have to trust another one.
func TestDamagedAuthorityIsNotReplaced(t *testing.T) {
	s := newScene(t)
	a := s.open()
	for _, broken := range []string{"{", `{"cert":"AAAA","key":"AAAA"}`} {
		if err := s.store.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting(rootSetting, []byte(broken)) }); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), s.store, s.options()); err == nil {
			t.Errorf("%s was replaced in silence", broken)
		}
	}
	// What it vouches for can be made anew.
	if err := a.write(t.Context(), rootSetting, a.root); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Update(t.Context(), func(tx store.Tx) error { return tx.PutSetting(leafSetting, []byte("{")) }); err != nil {
		t.Fatal(err)
	}
	s.shown(s.open())
}

// pairOf writes a certificate of its own for a name, as PEM.
func (s *scene) pairOf(name string) (cert, key []byte) {
	s.t.Helper()
	a := &Authority{opts: s.options(), names: []string{name}, store: s.store}
	var err error
	if a.root, err = a.makeRoot(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.roots.AddCert(a.root.cert)
	l := &leaf{authority: a}
	if err := l.renew(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(l.pair.key)
	if err != nil {
		s.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.pair.cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// TestFilesAreReadAgain: a pair that changed is taken, one that is broken or
// half written leaves the former one, and is logged once.
func TestFilesAreReadAgain(t *testing.T) {
	s := newScene(t)
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(cert, key []byte) {
		t.Helper()
		for name, b := range map[string][]byte{certFile: cert, keyFile: key} {
			if b == nil {
				continue
			}
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	oldCert, oldKey := s.pairOf("old.example.com")
	newCert, newKey := s.pairOf("new.example.com")
	write(oldCert, oldKey)
	f, err := Load(certFile, keyFile, func() time.Time { return s.at }, slog.New(slog.NewTextHandler(&s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	// Over a real handshake.
	is := func(want string) {
		t.Helper()
		client, server := net.Pipe()
		defer client.Close()
		go func() { _ = tls.Server(server, &tls.Config{GetCertificate: f.GetCertificate}).Handshake() }()
		c := tls.Client(client, &tls.Config{RootCAs: s.roots, ServerName: want, Time: func() time.Time { return s.at }})
		if err := c.Handshake(); err != nil {
			t.Errorf("a client of %s: %v", want, err)
		}
	}
	errorsLogged := func() int { return strings.Count(s.log.String(), "level=ERROR") }
	is("old.example.com")
	trouble := func(want string) {
		t.Helper()
		if got := f.Trouble(); got != want && (want == "" || !strings.Contains(got, want)) {
			t.Errorf("trouble is %q, want %q", got, want)
		}
	}
	trouble("")
	write(newCert, nil)
	is("old.example.com") // looked at a moment ago
	for range 3 {
		s.at = s.at.Add(lookEvery)
		is("old.example.com") // the key is still the other's
	}
	trouble("it is broken")
	if errorsLogged() != 1 {
		t.Errorf("logged %d times:\n%s", errorsLogged(), &s.log)
	}
	write(nil, newKey)
	s.at = s.at.Add(lookEvery)
	is("new.example.com")
	trouble("")
	write([]byte("-----BEGIN CERTIFICATE-----\nrubbish"), nil)
	s.at = s.at.Add(lookEvery)
	is("new.example.com")
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.at = s.at.Add(lookEvery)
		is("new.example.com")
	}
	if errorsLogged() != 3 {
		t.Errorf("logged %d times:\n%s", errorsLogged(), &s.log)
	}
	trouble("it cannot be read")
	write(oldCert, oldKey)
	f.Reload()
	is("old.example.com")
	trouble("")
	end := f.in.Leaf.NotAfter
	s.at = end.Add(-time.Hour)
	trouble("it expires at")
	s.at = end
	trouble("it expired at")
	if strings.Contains(s.log.String(), "PRIVATE") {
		t.Error("the log has a key")
	}
	if _, err := Load(filepath.Join(dir, "none"), keyFile, nil, nil); err == nil {
		t.Error("no file is no error")
	}
	write(newCert, oldKey)
	if _, err := Load(certFile, keyFile, nil, nil); err == nil {
		t.Error("what is no pair is no error")
	}
}
