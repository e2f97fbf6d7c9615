package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

var (
	alan = cloud.User{ID: "100000000000000000001", Address: "alan@gmail.example", Name: "Alan Turing"}
	mary = cloud.User{ID: "100000000000000000002", Address: "mary@corp.example", Name: "Mary Somerville"}
)

const (
	callback  = "http://localhost:8080/oauth/gmail/callback"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	s256      = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	scopeMail = "https://mail.google.com/"
	modify    = "https://www.googleapis.com/auth/gmail.modify"
)

type world struct {
	t        *testing.T
	p        *Provider
	clock    *worldtest.Clock
	server   *httptest.Server
	browser  *http.Client // keeps cookies, follows no redirect
	counters *traffic.Counters
}

func newWorld(t *testing.T, settings Settings, apps ...App) *world {
	t.Helper()
	w := &world{t: t, clock: worldtest.At(time.Now().Truncate(time.Second)), counters: &traffic.Counters{}}
	if apps == nil {
		apps = []App{DefaultApp()}
	}
	var err error
	w.p, err = New(settings, Options{Users: worldtest.Users{alan, mary}, Now: w.clock.Now, Counters: w.counters, Key: worldtest.Key(t)}, apps...)
	if err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.p.Handler())
	t.Cleanup(w.server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	w.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return w
}

// config is a client as applications use it.
func (w *world) config(scopes ...string) *oauth2.Config {
	if scopes == nil {
		scopes = []string{"openid", "email", scopeMail}
	}
	return &oauth2.Config{
		ClientID: DefaultAppID, ClientSecret: DefaultAppSecret, RedirectURL: callback, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: w.server.URL + "/o/oauth2/v2/auth", TokenURL: w.server.URL + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// authURL is a good request, changed by pairs of name and value; "-" takes a
// parameter out.
func (w *world) authURL(changes ...string) string {
	v := url.Values{
		"client_id": {DefaultAppID}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid email " + scopeMail},
		"state": {"s t&te"}, "nonce": {"n0nce"}, "access_type": {"offline"},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			v.Del(changes[i])
		} else {
			v.Set(changes[i], changes[i+1])
		}
	}
	return w.server.URL + "/o/oauth2/v2/auth?" + v.Encode()
}

type answer struct {
	status   int
	location *url.URL
	header   http.Header
	body     string
}

// fields of a JSON answer.
func (a answer) field(t *testing.T, name string) string {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
		t.Fatalf("not JSON: %q", a.body)
	}
	s, _ := doc[name].(string)
	return s
}

func (w *world) do(method, to string, form url.Values, header ...string) answer {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, to, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.browser.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	out := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	if resp.StatusCode == http.StatusFound {
		if out.location, err = resp.Location(); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	boxes      = regexp.MustCompile(`type="checkbox" name="grant" value="([^"]*)"( checked)?`)
)

// approve opens the page, chooses the user, leaves ticked what keep says (nil:
// as the page has it) and sends the form; it returns the redirect's query.
func (w *world) approve(authURL, address string, keep func(scope string) bool) url.Values {
	w.t.Helper()
	page := w.do("GET", authURL, nil)
	m := formAction.FindStringSubmatch(page.body)
	if page.status != 200 || m == nil {
		w.t.Fatalf("no form: %d %s", page.status, page.body)
	}
	form := url.Values{"user": {address}, "decision": {"approve"}, "granular": {"1"}}
	for _, b := range boxes.FindAllStringSubmatch(page.body, -1) {
		scope := html.UnescapeString(b[1])
		if keep == nil && b[2] != "" || keep != nil && keep(scope) {
			form.Add("grant", scope)
		}
	}
	back := w.do("POST", w.server.URL+html.UnescapeString(m[1]), form)
	if back.location == nil {
		w.t.Fatalf("not sent back: %d %s", back.status, back.body)
	}
	return back.location.Query()
}

// connect signs alan in with a real client and returns what it got.
func (w *world) connect(opts ...oauth2.AuthCodeOption) *oauth2.Token {
	w.t.Helper()
	return w.connectAs(alan.Address, w.config(), opts...)
}

func (w *world) connectAs(address string, c *oauth2.Config, opts ...oauth2.AuthCodeOption) *oauth2.Token {
	w.t.Helper()
	opts = append([]oauth2.AuthCodeOption{oauth2.AccessTypeOffline, oauth2.S256ChallengeOption(verifier)}, opts...)
	back := w.approve(c.AuthCodeURL("st", opts...), address, nil)
	tok, err := c.Exchange(w.t.Context(), back.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

// refresh asks for a new access token with a refresh token.
func (w *world) refresh(token string) (*oauth2.Token, error) {
	return w.config().TokenSource(context.Background(), &oauth2.Token{RefreshToken: token}).Token()
}

// refused is the OAuth error of a failed call of the client.
func refused(t *testing.T, err error) *oauth2.RetrieveError {
	t.Helper()
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) {
		t.Fatalf("got %v, want a refusal of the token endpoint", err)
	}
	return re
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }
