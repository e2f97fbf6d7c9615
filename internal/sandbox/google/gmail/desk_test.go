package gmail

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"
	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

const (
	grace = "grace@gmail.example"
	topic = "projects/postern-sandbox/topics/gmail"
)

// A desk is a Gmail with two users, Google's own client signed in as the first,
// an internet that delivers, and a topic that remembers.
type desk struct {
	*testing.T
	clock    *clock
	server   *Server
	url      string
	api      *api.Service // alan's
	counters *traffic.Counters

	mu        sync.Mutex
	scopes    []string // of alan's token
	project   string
	mail      [][]byte   // as submitted
	rcpts     [][]string // of each
	published []string   // topic and data
	refused   error      // what the topic says
	spoil     func(next http.Handler, w http.ResponseWriter, r *http.Request)
}

// newDesk has no users where any names are given.
func newDesk(t *testing.T, set Settings, without ...string) *desk {
	t.Helper()
	d := &desk{T: t, clock: newClock(), scopes: []string{scopeFull, scopeBasic, scopeSharing}, project: "postern-sandbox", counters: &traffic.Counters{}}
	d.server = New(set, Options{
		Now: d.clock.now, Sender: d, Caller: d.caller, Counters: d.counters,
		Spoil: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if d.spoil == nil {
					next.ServeHTTP(w, r)
					return
				}
				d.spoil(next, w, r)
			})
		},
		Publish: func(_ context.Context, topic, publisher string, data []byte) error {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.refused != nil {
				return d.refused
			}
			d.published = append(d.published, fmt.Sprint(topic, " ", publisher, " ", string(data)))
			return nil
		},
	})
	for _, u := range []cloud.User{{Address: alan, Name: "Alan Turing"}, {Address: grace, Name: "Grace Hopper"}} {
		if len(without) > 0 {
			break
		}
		if err := d.server.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	srv := httptest.NewServer(d.server)
	t.Cleanup(srv.Close)
	d.url = srv.URL
	d.api = d.client("alan")
	return d
}

// client is Google's, unchanged, with a token.
func (d *desk) client(token string) *api.Service {
	d.Helper()
	svc, err := api.NewService(d.Context(), option.WithEndpoint(d.url), option.WithTokenSource(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})))
	if err != nil {
		d.Fatal(err)
	}
	return svc
}

// caller knows the tokens "alan" and "grace".
func (d *desk) caller(r *http.Request) (Caller, bool) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	u, found := d.server.UserByAddress(name + "@gmail.example")
	d.mu.Lock()
	defer d.mu.Unlock()
	return Caller{User: u, ClientID: "client", Project: d.project, Scopes: d.scopes}, ok && found
}

// Submit is the internet.
func (d *desk) Submit(ctx context.Context, _ cloud.User, rcpts []string, raw []byte) error {
	d.mu.Lock()
	d.mail, d.rcpts = append(d.mail, raw), append(d.rcpts, rcpts)
	d.mu.Unlock()
	for _, r := range rcpts {
		if _, ok := d.server.UserByAddress(r); ok {
			if _, err := d.server.Deliver(ctx, r, cloud.Delivery{Raw: raw, Notify: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

func b64(raw string) string { return base64.URLEncoding.EncodeToString([]byte(raw)) }

// raw is the stored message.
func (d *desk) raw(svc *api.Service, id string) string {
	d.Helper()
	m, err := svc.Users.Messages.Get("me", id).Format("raw").Do()
	if err != nil {
		d.Fatal(err)
	}
	b, err := base64.URLEncoding.DecodeString(m.Raw)
	if err != nil {
		d.Fatal(err)
	}
	return string(b)
}

// refusal checks that a call of the client was refused so.
func (d *desk) refusal(err error, status int, reason, message string) {
	d.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) {
		d.Fatalf("%v, want %d %s", err, status, reason)
	}
	got := ""
	if len(e.Errors) > 0 {
		got = e.Errors[0].Reason
	}
	if e.Code != status || got != reason || !strings.Contains(e.Message, message) {
		d.Errorf("%d %s %q, want %d %s %q", e.Code, got, e.Message, status, reason, message)
	}
}

// An exchange by hand, for what the client never does.
func (d *desk) do(method, target string, header http.Header, body []byte) (*http.Response, string) {
	d.Helper()
	if !strings.HasPrefix(target, "http") {
		target = d.url + target
	}
	req, err := http.NewRequestWithContext(d.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		d.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer alan"}}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	return resp, string(b)
}

// is checks an answer's status and that its body contains a text.
func (d *desk) is(resp *http.Response, body string, status int, contains string) {
	d.Helper()
	if resp.StatusCode != status || !strings.Contains(body, contains) {
		d.Errorf("%s %s: %d %.400s, want %d %s", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, body, status, contains)
	}
}

// sent is how many messages left.
func (d *desk) sent() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mail)
}
