package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// doors are a demo's doors for mail programs, and what opens them, as demo.json
// tells.
type doors struct {
	*demo
	imap, smtp string
	roots      *x509.CertPool
	caFile     string
	logins     map[string]typedLogin
}

// typedLogin is what is typed into a mail program.
type typedLogin struct {
	Host, Security, User, Password string
	Port                           int
}

func (l typedLogin) address() string { return net.JoinHostPort(l.Host, fmt.Sprint(l.Port)) }

func openDoors(t *testing.T, d *demo) *doors {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.dir, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var info struct {
		IMAP, SMTP   string
		AppPasswords map[string]string `json:"app_passwords"`
		CAFile       string            `json:"ca_file"`
		Accounts     []struct {
			Address    string
			IMAP, SMTP typedLogin
		}
	}
	if err := json.Unmarshal(raw, &info); err != nil {
		t.Fatal(err)
	}
	x := &doors{demo: d, imap: info.IMAP, smtp: info.SMTP, roots: x509.NewCertPool(), caFile: info.CAFile, logins: map[string]typedLogin{}}
	for _, a := range info.Accounts {
		if a.IMAP.address() != info.IMAP || a.SMTP.address() != info.SMTP || a.IMAP.User != a.Address || a.IMAP.Security != "STARTTLS" ||
			a.IMAP.Password == "" || a.IMAP.Password != info.AppPasswords[a.Address] || a.SMTP.Password != a.IMAP.Password {
			t.Errorf("the demo tells of %s: %+v %+v", a.Address, a.IMAP, a.SMTP)
		}
		// The file is there before the last lines are.
		if _, err := d.lines.wait(d.ctx(), func(line string) bool { return strings.Contains(line, a.Address+"  password  "+a.IMAP.Password) }); err != nil {
			t.Errorf("the demo does not print what opens %s: %v", a.Address, err)
		}
		x.logins[a.Address] = a.IMAP
	}
	status, pem := d.fetch("/ca.pem")
	kept, err := os.ReadFile(info.CAFile)
	if status != http.StatusOK || err != nil || string(kept) != pem || !x.roots.AppendCertsFromPEM([]byte(pem)) {
		t.Fatalf("/ca.pem: %d %v\n%s", status, err, pem)
	}
	return x
}

func (x *doors) tls() *tls.Config { return &tls.Config{RootCAs: x.roots, ServerName: "127.0.0.1"} }

// dial connects by STARTTLS, without a login.
func (x *doors) dial() *imapclient.Client {
	x.t.Helper()
	c, err := imapclient.DialStartTLS(x.imap, &imapclient.Options{TLSConfig: x.tls()})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = c.Close() })
	return c
}

// login tries a user name and a password over IMAP.
func (x *doors) login(user, password string) (*imapclient.Client, error) {
	x.t.Helper()
	c := x.dial()
	return c, c.Login(user, password).Wait()
}

// submit tries them over SMTP.
func (x *doors) submit(user, password string) error {
	x.t.Helper()
	c, err := smtp.Dial(x.smtp)
	if err != nil {
		x.t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(x.tls()); err != nil {
		x.t.Fatal(err)
	}
	return c.Auth(smtp.PlainAuth("", user, password, "127.0.0.1"))
}

// create makes an app password.
func (x *doors) create(account string, in map[string]any) (id, secret string) {
	x.t.Helper()
	whole := map[string]any{"account": account, "name": "a test"}
	for k, v := range in {
		whole[k] = v
	}
	var got struct {
		CreateAppPassword struct {
			Password    string
			AppPassword struct{ ID string }
		}
	}
	x.query(`mutation($in: CreateAppPasswordInput!) { createAppPassword(input: $in) { password appPassword { id } } }`, map[string]any{"in": whole}, &got)
	return got.CreateAppPassword.AppPassword.ID, got.CreateAppPassword.Password
}

// answers checks a refusal of IMAP.
func answers(t *testing.T, what string, err error, code imap.ResponseCode, words string) {
	t.Helper()
	var e *imap.Error
	if !errors.As(err, &e) || e.Type != imap.StatusResponseTypeNo || e.Code != code || !strings.Contains(e.Text, words) {
		t.Errorf("%s: %v, want NO [%s] %s", what, err, code, words)
	}
}

// replies checks a refusal of SMTP (RFC 4954, 6).
func replies(t *testing.T, what string, err error, code int, words string) {
	t.Helper()
	var e *textproto.Error
	if !errors.As(err, &e) || e.Code != code || !strings.Contains(e.Msg, words) {
		t.Errorf("%s: %v, want %d %s", what, err, code, words)
	}
}
