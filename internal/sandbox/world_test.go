package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

const (
	ada      = "ada@contoso.example"
	grace    = "grace@contoso.example"
	callback = "http://localhost:8080/oauth/outlook/callback"
)

// world drives a sandbox from outside, as its users do.
type world struct {
	t    *testing.T
	sb   *sandbox.Sandbox
	http *http.Client
}

func start(t *testing.T, opts sandbox.Options) *world {
	t.Helper()
	if opts.Key == nil {
		opts.Key = worldtest.Key(t)
	}
	sb, err := sandbox.Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sb: sb, http: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: sb.TLS(), ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		if err := sb.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// empty is a sandbox without seeds.
func empty(t *testing.T) *world {
	t.Helper()
	return start(t, sandbox.Options{NoSeed: true, AllowHTTPNotifications: true})
}

type response struct {
	status int
	header http.Header
	body   string
}

func (w *world) try(method, address, body string, header ...string) (response, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(text)}, err
}

func (w *world) do(method, address, body string, header ...string) response {
	w.t.Helper()
	r, err := w.try(method, address, body, header...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, address, err)
	}
	return r
}

// control calls the control API, wants the status, and decodes into out.
func (w *world) control(want int, method, path, body string, out any) {
	w.t.Helper()
	r := w.do(method, w.sb.ControlURL()+path, body)
	if r.status != want {
		w.t.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.body, want)
	}
	if out != nil {
		if err := json.Unmarshal([]byte(r.body), out); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, r.body)
		}
	}
}

func (w *world) counters(query string) traffic.Report {
	w.t.Helper()
	var r traffic.Report
	w.control(200, "GET", "/control/counters"+query, "", &r)
	return r
}

func (w *world) messages(user string) []cloud.MessageInfo {
	w.t.Helper()
	var m []cloud.MessageInfo
	w.control(200, "GET", "/control/users/"+user+"/messages", "", &m)
	return m
}

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
	Codes   []int  `json:"error_codes"`
}

// connect signs a user in as a program does: it posts the page's form, and
// redeems the code.
func (w *world) connect(user string) tokens {
	w.t.Helper()
	s := w.sb.State()
	query := url.Values{"client_id": {s.ClientID}, "response_type": {"code"}, "redirect_uri": {callback}, "state": {"x"},
		"scope": {"openid offline_access Mail.ReadWrite Mail.Send User.Read MailboxSettings.ReadWrite"}}
	back, err := sandbox.Approve(w.t.Context(), w.http, s.Authority+"/oauth2/v2.0/authorize?"+query.Encode(), user)
	if err != nil {
		w.t.Fatal(err)
	}
	t, status := w.token("grant_type", "authorization_code", "code", back.Query().Get("code"), "redirect_uri", callback)
	if status != 200 {
		w.t.Fatalf("redeem: %d %+v", status, t)
	}
	return t
}

func (w *world) token(pairs ...string) (tokens, int) {
	w.t.Helper()
	s := w.sb.State()
	form := url.Values{"client_id": {s.ClientID}, "client_secret": {s.ClientSecret}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := w.do("POST", s.Authority+"/oauth2/v2.0/token", form.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var t tokens
	if err := json.Unmarshal([]byte(r.body), &t); err != nil {
		w.t.Fatalf("token: %v in %s", err, r.body)
	}
	return t, r.status
}

// graph calls Graph with a token.
func (w *world) graph(t tokens, method, path, body string, header ...string) response {
	w.t.Helper()
	return w.do(method, w.sb.State().Graph+path, body, append([]string{"Authorization", "Bearer " + t.Access, "Content-Type", "application/json"}, header...)...)
}

func decode[T any](t *testing.T, r response) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("%v in %d %s", err, r.status, r.body)
	}
	return v
}

// listed is a page of messages.
type listed struct {
	Value []struct {
		ID      string `json:"id"`
		Subject string `json:"subject"`
		Preview string `json:"bodyPreview"`
	} `json:"value"`
}

// subjects of the newest messages in a folder.
func (w *world) subjects(t tokens, folder string) []string {
	w.t.Helper()
	r := w.graph(t, "GET", "/me/mailFolders/"+folder+"/messages?$top=1000&$select=subject", "")
	var out []string
	for _, m := range decode[listed](w.t, r).Value {
		out = append(out, m.Subject)
	}
	return out
}

func letter(from, to, subject, text string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nDate: Wed, 04 Mar 2026 10:00:00 +0000\r\nMessage-ID: <%s@test.example>\r\n\r\n%s\r\n",
		from, to, subject, url.PathEscape(subject), text)
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if ok() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
