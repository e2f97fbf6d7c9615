package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
)

// returnURL is where owners are sent in the end. Nobody answers there: the
// browser stops in front of it.
const returnURL = "http://127.0.0.1:9/done"

// browser plays an owner's browser: it trusts the sandbox's authority, keeps
// cookies and follows redirects, but not to returnURL.
func (d *demo) browser() *http.Client {
	d.t.Helper()
	pem, err := os.ReadFile(d.info.Sandbox.CAFile)
	if err != nil {
		d.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		d.t.Fatal("the sandbox's certificate authority cannot be read")
	}
	browser := d.plainBrowser(returnURL)
	browser.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return browser
}

// plainBrowser keeps cookies and follows redirects, but neither to returnURL
// nor to addresses that begin as stop does.
func (d *demo) plainBrowser(stop string) *http.Client {
	d.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		d.t.Fatal(err)
	}
	return &http.Client{
		Jar: jar, Timeout: patience,
		CheckRedirect: func(req *http.Request, _ []*http.Request) error {
			if to := req.URL.String(); strings.HasPrefix(to, returnURL) || strings.HasPrefix(to, stop) {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// visit opens a page, or posts a form to it. It gives where the browser ended
// up: at a page, or in front of returnURL.
func (d *demo) visit(browser *http.Client, to string, form url.Values) (status int, at *url.URL, page string) {
	d.t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(d.ctx(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := browser.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	at = resp.Request.URL
	if resp.StatusCode/100 == 3 {
		if at, err = resp.Location(); err != nil {
			d.t.Fatal(err)
		}
	}
	return resp.StatusCode, at, string(body)
}

// link begins to connect an account and gives the link for its owner.
func (d *demo) link(in map[string]any) string {
	d.t.Helper()
	input := map[string]any{"provider": "outlook", "redirectUrl": returnURL}
	for k, v := range in {
		input[k] = v
	}
	var got struct{ BeginConnect struct{ URL string } }
	d.query(`mutation($in: BeginConnectInput!) { beginConnect(input: $in) { url expiresAt } }`, map[string]any{"in": input}, &got)
	return got.BeginConnect.URL
}

// decide opens a link, chooses a user at the provider's page and approves or
// denies. It gives the parameters that the owner came back with.
func (d *demo) decide(browser *http.Client, link, address, decision string) url.Values {
	d.t.Helper()
	status, at, page := d.visit(browser, link, nil)
	if status != http.StatusOK || !strings.HasPrefix(at.String(), d.info.Sandbox.Clouds["microsoft"]) {
		d.t.Fatalf("the link led to %d %s\n%s", status, at.Redacted(), page)
	}
	_, at, page = d.visit(browser, at.String(), url.Values{"user": {address}, "decision": {decision}})
	if !strings.HasPrefix(at.String(), returnURL) {
		d.t.Fatalf("after %s the browser is at %s\n%s", decision, at.Redacted(), page)
	}
	return at.Query()
}

// connect adds a user to the sandbox, connects the mailbox and waits until it
// is in step.
func (d *demo) connect(address string, in map[string]any) (account string) {
	d.t.Helper()
	body, err := json.Marshal(map[string]string{"cloud": "microsoft", "address": address, "name": "Some " + address[:1]})
	if err != nil {
		d.t.Fatal(err)
	}
	d.control("POST", "/control/users", string(body), nil)
	back := d.decide(d.browser(), d.link(in), address, "approve")
	if back.Get("status") != "connected" {
		d.t.Fatalf("%s was not connected: %v", address, back)
	}
	account = back.Get("account")
	d.eventually(address+" is in step", func() bool { return d.state(account) == "READY" })
	return account
}

// state is where an account stands, empty when it is gone.
func (d *demo) state(account string) string {
	d.t.Helper()
	var got struct{ Account *struct{ State string } }
	d.query(`query($id: ID!) { account(id: $id) { state } }`, map[string]any{"id": account}, &got)
	if got.Account == nil {
		return ""
	}
	return got.Account.State
}
