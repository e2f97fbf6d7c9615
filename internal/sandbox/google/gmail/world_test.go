package gmail

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/option"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

const (
	alan = "alan@gmail.example"
	bea  = "bea@gmail.example"
)

// A world is a server with two users, driven by the official client.
type world struct {
	*testing.T
	s    *Server
	http *httptest.Server
	opts Options

	mu  sync.Mutex
	now time.Time
}

// newWorld starts a server. set changes its settings, opts its options.
func newWorld(t *testing.T, change ...func(*Settings, *Options)) *world {
	t.Helper()
	w := &world{T: t, now: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)}
	set := Settings{}
	w.opts = Options{Now: w.clock, Caller: w.caller}
	for _, f := range change {
		f(&set, &w.opts)
	}
	w.s = New(set, w.opts)
	w.addUsers(w.s)
	w.http = httptest.NewServer(w.s)
	t.Cleanup(w.http.Close)
	return w
}

func (w *world) addUsers(s *Server) {
	w.Helper()
	for _, u := range []cloud.User{{Address: alan, Name: "Alan Turing"}, {Address: bea, Name: "Bea Worm"}} {
		if err := s.AddUser(u); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// pass moves the clock.
func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// caller reads the token of these tests: the user and the scopes.
func (w *world) caller(r *http.Request) (Caller, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	user, scopes, _ := strings.Cut(token, " ")
	if !ok || !strings.Contains(user, "@") {
		return Caller{}, false
	}
	u, known := w.s.UserByAddress(user)
	if !known {
		u = cloud.User{ID: user, Address: user} // signed in, without a mailbox
	}
	return Caller{User: u, ClientID: "client", Project: "postern-sandbox", Scopes: strings.Fields(scopes)}, true
}

// bearer puts a token on every request.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b != "" {
		r.Header.Set("Authorization", "Bearer "+string(b))
	}
	return http.DefaultTransport.RoundTrip(r)
}

// users is the API as a user with these scopes sees it; none is the full one.
func (w *world) users(user string, scopes ...string) *api.UsersService {
	w.Helper()
	if len(scopes) == 0 {
		scopes = []string{scopeFull}
	}
	svc, err := api.NewService(context.Background(), option.WithEndpoint(w.http.URL+"/"),
		option.WithHTTPClient(&http.Client{Transport: bearer(user + " " + strings.Join(scopes, " "))}))
	if err != nil {
		w.Fatal(err)
	}
	return svc.Users
}

// deliver puts a message into Alan's mailbox.
func (w *world) deliver(raw string, change ...func(*cloud.Delivery)) string {
	w.Helper()
	d := cloud.Delivery{Raw: []byte(raw), Notify: true}
	for _, f := range change {
		f(&d)
	}
	id, err := w.s.Deliver(context.Background(), alan, d)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

// letter is a small message.
func letter(subject string, more ...string) string {
	return strings.Join(more, "") + "From: Carl <carl@else.example>\r\nTo: Alan <" + alan + ">\r\nSubject: " + subject +
		"\r\nMessage-ID: <" + strings.ReplaceAll(strings.ToLower(subject), " ", "-") + "@else.example>\r\n\r\nThe text of " + subject + ".\r\n"
}

// refused checks that a call was refused with a status, a reason and words
// that the message begins with.
func refused(t *testing.T, err error, status int, reason, message string) *googleapi.Error {
	t.Helper()
	var e *googleapi.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v, want a refusal with %d %s", err, status, message)
		return &googleapi.Error{}
	}
	got := ""
	if len(e.Errors) > 0 {
		got = e.Errors[0].Reason
	}
	if e.Code != status || got != reason || !strings.HasPrefix(e.Message, message) {
		t.Errorf("refused with %d %s %q, want %d %s %q", e.Code, got, e.Message, status, reason, message)
	}
	return e
}

// must fails the test on an error.
func must[T any](t *testing.T, v T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func decode(t *testing.T, s string) string {
	t.Helper()
	b, err := base64.URLEncoding.DecodeString(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return string(b)
}
