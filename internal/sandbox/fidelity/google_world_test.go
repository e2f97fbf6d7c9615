package fidelity

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/google"
)

const (
	alan           = "alan@gmail.example"
	googleCallback = "http://localhost:8080/oauth/gmail/callback"
	googleScopes   = "openid email https://mail.google.com/ https://www.googleapis.com/auth/gmail.settings.basic https://www.googleapis.com/auth/gmail.settings.sharing"
)

// A googleWorld is a sandbox and Google's own client, signed in through the
// sandbox's pages: with every scope, with none of Gmail's, and not at all.
type googleWorld struct {
	*testing.T
	sb   *sandbox.Sandbox
	full *googleClient
	bare *googleClient // of a person who unticked every box
	gone *googleClient // of a token that was revoked
	doc  *discovery
	n    int
}

// A googleClient remembers the last exchange, as it was on the wire.
type googleClient struct {
	*api.Service
	token string

	method, path string
	status       int
	body         []byte
}

func newGoogleWorld(t *testing.T, doc *discovery) *googleWorld {
	t.Helper()
	sb, err := sandbox.Start(context.Background(), sandbox.Options{NoSeed: true, GoogleSettings: google.Settings{RedirectURIs: []string{googleCallback}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sb.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	g := &googleWorld{T: t, sb: sb, doc: doc}
	st := sb.State()
	app := application{st.Google + "/o/oauth2/v2/auth", st.Google + "/token", st.GoogleClientID, st.GoogleClientSecret, googleCallback}
	person := &http.Client{Timeout: time.Minute, CheckRedirect: noRedirects}
	g.full, g.bare = g.client(app.signIn(t, person, alan, googleScopes)), g.client(app.signIn(t, person, alan, "openid email"))
	g.gone = g.client("ya29.revoked")
	return g
}

// RoundTrip adds the token and keeps what is answered.
func (c *googleClient) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("to the sandbox: %w", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	c.method, c.path, c.status, c.body = r.Method, r.URL.Path, resp.StatusCode, body
	return resp, nil
}

func (g *googleWorld) client(token string) *googleClient {
	g.Helper()
	c := &googleClient{token: token}
	var err error
	c.Service, err = api.NewService(g.Context(), option.WithEndpoint(g.sb.State().Google), option.WithHTTPClient(&http.Client{Transport: c, Timeout: time.Minute}))
	if err != nil {
		g.Fatal(err)
	}
	return c
}

// unique is a name that nothing else has.
func (g *googleWorld) unique(prefix string) string {
	g.n++
	return fmt.Sprint(prefix, g.n)
}

func webBase64(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) }

// letter is a message with an attachment.
func (g *googleWorld) letter() string {
	return "From: Alan <" + alan + ">\r\nTo: ada@contoso.example\r\nSubject: " + g.unique("letter ") + "\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + g.unique("m") +
		"@gmail.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hello &amp; welcome</p>\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--\r\n"
}

// message is one in the inbox.
func (g *googleWorld) message() *api.Message {
	g.Helper()
	m, err := g.full.Users.Messages.Insert("me", &api.Message{Raw: webBase64(g.letter()), LabelIds: []string{"INBOX", "UNREAD"}}).Do()
	if err != nil {
		g.Fatal(err)
	}
	return m
}

func (g *googleWorld) draft() string {
	g.Helper()
	d, err := g.full.Users.Drafts.Create("me", &api.Draft{Message: &api.Message{Raw: webBase64(g.letter())}}).Do()
	if err != nil {
		g.Fatal(err)
	}
	return d.Id
}

func (g *googleWorld) label() string {
	g.Helper()
	l, err := g.full.Users.Labels.Create("me", &api.Label{Name: g.unique("label ")}).Do()
	if err != nil {
		g.Fatal(err)
	}
	return l.Id
}

// refusedWith is status and reason of a refusal; 0 where there was none.
func refusedWith(err error) (int, string) {
	var e *googleapi.Error
	if !errors.As(err, &e) {
		return 0, ""
	}
	if len(e.Errors) == 0 {
		return e.Code, ""
	}
	return e.Code, e.Errors[0].Reason
}

// fails is what is left of a call of which only the error counts.
func fails[T any](_ T, err error) error { return err }
