package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/store"
)

// opened is a gateway whose doors are open.
type opened struct {
	t    *testing.T
	g    *Gateway
	http string
	stop func() error
	log  *lockedBuffer
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// openGateway runs a gateway on ports of this machine that are free.
func openGateway(t *testing.T, change func(*config.Config)) *opened {
	t.Helper()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.IMAP.Listen, cfg.SMTP.Listen = "127.0.0.1:0", "127.0.0.1:0"
	change(cfg)
	o := &opened{t: t, log: &lockedBuffer{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	open, ended := make(chan struct{}), make(chan error, 1)
	o.g, err = New(ctx, cfg, Options{LookupEnv: func(string) (string, bool) { return base64.StdEncoding.EncodeToString(make([]byte, 32)), true },
		Listener: listener, Started: func(at string) { o.http = "http://" + at; close(open) }, Log: slog.New(slog.NewTextHandler(o.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- o.g.Run(ctx) }()
	o.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = o.stop() })
	select {
	case <-open:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	return o
}

// at gives where a door is, as the log tells, empty where it is shut.
func (o *opened) at(setting string) string {
	m := regexp.MustCompile(`"door open" setting=` + regexp.QuoteMeta(setting) + ` address=(\S+)`).FindStringSubmatch(o.log.String())
	if m == nil {
		return ""
	}
	return m[1]
}

// certificate writes a pair of files for localhost and gives who trusts it.
func certificate(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

// greeted connects by TLS and reads the greeting.
func (o *opened) greeted(setting, want string, roots *x509.CertPool) {
	o.t.Helper()
	c, err := tls.Dial("tcp", o.at(setting), &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if err != nil {
		o.t.Fatalf("%s: %v", setting, err)
	}
	defer c.Close()
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
		o.t.Errorf("%s greets with %q %v", setting, line, err)
	}
}

// TestOwnCertificate: the doors show what the files hold, there is no authority,
// and a broken new file changes nothing.
func TestOwnCertificate(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := certificate(t, certFile, keyFile)
	o := openGateway(t, func(c *config.Config) {
		c.TLS.Cert, c.TLS.Key = certFile, keyFile
		c.IMAP.ListenTLS, c.SMTP.ListenTLS = "127.0.0.1:0", "127.0.0.1:0"
	})
	o.greeted("imap.listen_tls", "* OK", roots)
	o.greeted("smtp.listen_tls", "220 ", roots)
	resp, err := http.Get(o.http + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if why, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusNotFound || !strings.Contains(string(why), "the certificate of tls.cert") {
		t.Errorf("/ca.pem: %s %q %v", resp.Status, why, err)
	}
	renewed := certificate(t, certFile, keyFile)
	for _, f := range o.g.certs.files {
		f.Reload() // it would look by itself within a second
	}
	o.greeted("imap.listen_tls", "* OK", renewed)
	if err := os.WriteFile(certFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range o.g.certs.files {
		f.Reload()
	}
	o.greeted("imap.listen_tls", "* OK", renewed)
	if !strings.Contains(o.log.String(), "level=ERROR msg=\"new certificate is broken") {
		t.Errorf("nothing is logged of it:\n%s", o.log)
	}
	if got := o.g.warnings(t.Context()); len(got) != 1 || !strings.HasPrefix(got[0], "the certificate of tls.cert: it is broken") {
		t.Errorf("warnings: %q", got)
	}
}

// TestAuthorityIsServed: with names from the settings.
func TestAuthorityIsServed(t *testing.T) {
	o := openGateway(t, func(c *config.Config) {
		c.IMAP.ListenTLS, c.TLS.Names, c.PublicURL = "127.0.0.1:0", []string{"imap.example.com"}, "https://mail.example.com/there"
	})
	resp, err := http.Get(o.http + "/ca.pem")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	roots := x509.NewCertPool()
	if err != nil || resp.StatusCode != http.StatusOK || !roots.AppendCertsFromPEM(raw) {
		t.Fatalf("/ca.pem: %s %v", resp.Status, err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "imap.example.com", "mail.example.com"} {
		c, err := tls.Dial("tcp", o.at("imap.listen_tls"), &tls.Config{RootCAs: roots, ServerName: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_ = c.Close()
	}
	block, _ := pem.Decode(raw)
	if !strings.Contains(o.log.String(), "sha256="+Fingerprint(block.Bytes)) {
		t.Error("the fingerprint is not told")
	}
}

// TestShutDoors: an empty address is no door.
func TestShutDoors(t *testing.T) {
	o := openGateway(t, func(c *config.Config) { c.IMAP.Listen, c.SMTP.Listen = "", "" })
	for _, setting := range []string{"imap.listen", "imap.listen_tls", "smtp.listen", "smtp.listen_tls"} {
		if at := o.at(setting); at != "" {
			t.Errorf("%s is open at %s", setting, at)
		}
	}
	if err := o.stop(); err != nil {
		t.Error(err)
	}
}

// TestProgramsAreSeenOut: whoever idles is told that the gateway ends, and does
// not hold it up.
func TestProgramsAreSeenOut(t *testing.T) {
	o := openGateway(t, func(c *config.Config) { c.IMAP.Cleartext, c.SMTP.Cleartext = true, true })
	err := o.g.store.Update(t.Context(), func(tx store.Tx) error {
		err := errors.Join(tx.PutAccount(&store.Account{ID: "a1", Provider: "none", Address: "ann@example.com", State: store.AccountReady}),
			tx.PutMailbox(&store.Mailbox{ID: "f1", Account: "a1", Name: "Inbox", Role: "inbox"}))
		_, uids := tx.GiveUIDs("f1", 1)
		return errors.Join(err, uids)
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := CreateAppPassword(t.Context(), o.g.access, AppPasswordInput{User: "ann@example.com", Name: "a test"})
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", o.at("imap.listen"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	until := func(prefix string) string {
		t.Helper()
		for {
			line, err := r.ReadString('\n')
			if err != nil || len(prefix) > 2 && strings.HasPrefix(line, prefix[:2]) && prefix[0] != '*' && !strings.HasPrefix(line, prefix) {
				t.Fatalf("%q %v in place of %q", line, err, prefix)
			}
			if strings.HasPrefix(line, prefix) {
				return line
			}
		}
	}
	until("* OK")
	for _, command := range [][2]string{{"a LOGIN a1 " + made.Secret, "a OK"}, {"b SELECT INBOX", "b OK"}, {"c IDLE", "+ "}} {
		if _, err := io.WriteString(c, command[0]+"\r\n"); err != nil {
			t.Fatal(err)
		}
		until(command[1])
	}
	submitting, err := net.Dial("tcp", o.at("smtp.listen"))
	if err != nil {
		t.Fatal(err)
	}
	defer submitting.Close()
	if line, err := bufio.NewReader(submitting).ReadString('\n'); err != nil || !strings.HasPrefix(line, "220 ") {
		t.Fatalf("%q %v", line, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- o.stop() }()
	until("* BYE")
	if err := <-ended; err != nil {
		t.Errorf("the gateway ended with %v\n%s", err, o.log)
	}
}
