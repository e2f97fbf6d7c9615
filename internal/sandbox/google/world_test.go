package google

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"
	googleoauth "golang.org/x/oauth2/google"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

const (
	alan     = "alan@gmail.example"
	callback = "http://localhost:8080/oauth/gmail/callback"
	scope    = "https://mail.google.com/"
)

type world struct {
	t        *testing.T
	s        *Server
	base     string
	counters *traffic.Counters
	faults   *traffic.Faults
	looked   chan struct{} // somebody asked for the time
	stop     func()        // ends the server and waits for it
}

// newWorld is a cloud that listens, with one user.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, counters: &traffic.Counters{}, faults: traffic.NewFaults(1), looked: make(chan struct{}, 1)}
	var err error
	w.s, err = New(Settings{PubSub: pubsub.Settings{AllowHTTP: true}}, Options{Now: w.now, Counters: w.counters, Faults: w.faults, Key: worldtest.Key(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.s.AddUser(alan, "Alan Turing"); err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx, l) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *world) now() time.Time {
	select {
	case w.looked <- struct{}{}:
	default:
	}
	return time.Now()
}

// config is a client as an application uses it.
func (w *world) config() *oauth2.Config {
	return &oauth2.Config{
		ClientID: oauth.DefaultAppID, ClientSecret: oauth.DefaultAppSecret, RedirectURL: callback, Scopes: []string{"openid", "email", scope},
		Endpoint: oauth2.Endpoint{AuthURL: w.base + "/o/oauth2/v2/auth", TokenURL: w.base + "/token", AuthStyle: oauth2.AuthStyleInParams},
	}
}

// connect signs a user in.
func (w *world) connect(address string) *oauth2.Token {
	w.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c := w.config()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, c.AuthCodeURL("st", oauth2.AccessTypeOffline, oauth2.ApprovalForce),
		strings.NewReader(url.Values{"user": {address}, "decision": {"approve"}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	back, err := resp.Location()
	if err != nil {
		w.t.Fatalf("not sent back: %s", resp.Status)
	}
	tok, err := c.Exchange(w.t.Context(), back.Query().Get("code"))
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

// robot is a client with the key of a service account.
func (w *world) robot(key string) *http.Client {
	w.t.Helper()
	config, err := googleoauth.JWTConfigFromJSON([]byte(key), "https://www.googleapis.com/auth/pubsub")
	if err != nil {
		w.t.Fatal(err)
	}
	return config.Client(w.t.Context())
}

func (w *world) defaultRobot() *http.Client {
	w.t.Helper()
	key, err := w.s.DefaultKey(w.base)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.robot(key)
}

// do makes a request and gives its status, or the error that cut it.
func (w *world) do(c *http.Client, method, path, body string) (int, string, error) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (w *world) must(c *http.Client, method, path, body string) string {
	w.t.Helper()
	code, text, err := w.do(c, method, path, body)
	if err != nil || code/100 != 2 {
		w.t.Fatalf("%s %s: %d %s %v", method, path, code, text, err)
	}
	return text
}

func (w *world) deliver(address, subject string) string {
	w.t.Helper()
	id, err := w.s.Deliver(w.t.Context(), address, cloud.Delivery{
		Notify: true, Date: time.Now(), Raw: []byte("From: a@b.example\r\nTo: " + address + "\r\nSubject: " + subject + "\r\n\r\nhello\r\n"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}
