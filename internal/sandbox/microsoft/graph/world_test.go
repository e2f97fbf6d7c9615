package graph

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

const ada, grace = "ada@contoso.example", "grace@contoso.example"

var everyScope = []string{"User.Read", "https://graph.microsoft.com/Mail.ReadWrite", "Mail.Send", "MailboxSettings.ReadWrite"}

// A world is a server with two users, a clock that tests turn, and everything
// that left it.
type world struct {
	*testing.T
	s      *Server
	http   *httptest.Server
	user   string
	scopes []string

	mu      sync.Mutex
	now     time.Time
	sent    []submission
	refuse  error
	changes []cloud.Change
}

type submission struct {
	from  cloud.User
	rcpts []string
	raw   []byte
}

func (w *world) Submit(_ context.Context, from cloud.User, rcpts []string, raw []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.refuse != nil {
		return w.refuse
	}
	w.sent = append(w.sent, submission{from, rcpts, raw})
	return nil
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// newWorld starts a server with the default settings, changed by edit.
func newWorld(t *testing.T, edit func(*Settings)) *world {
	t.Helper()
	w := &world{T: t, user: ada, scopes: everyScope, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	set := DefaultSettings()
	if edit != nil {
		edit(&set)
	}
	w.s = New(set, Options{Now: w.clock, Sender: w, BaseURL: func() string { return "https://graph.example" }})
	for _, u := range []cloud.User{{Address: ada, Name: "Ada Lovelace"}, {Address: grace, Name: "Grace Hopper"}} {
		if err := w.s.AddUser(u); err != nil {
			t.Fatal(err)
		}
	}
	w.s.OnChange(func(c cloud.Change) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes = append(w.changes, c)
	})
	handler := w.s.Handler()
	mux := http.NewServeMux()
	mux.Handle("/upload/", w.s.UploadHandler())
	mux.Handle("/v1.0/$batch", w.s.BatchHandler(handler))
	mux.Handle("/", handler)
	w.http = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		u, _ := w.s.UserByAddress(w.user)
		r = r.WithContext(WithUser(r.Context(), u, w.scopes))
		if strings.Contains(r.URL.Path, "//") { // a mux would redirect
			handler.ServeHTTP(rw, r)
			return
		}
		mux.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.http.Close)
	return w
}

// A reply is a response with its body read.
type reply struct {
	*world
	status int
	header http.Header
	raw    []byte
	json   map[string]any
	what   string
}

// do makes a request; a body that is no string or bytes goes as JSON. Headers
// are pairs.
func (w *world) do(method, path string, body any, headers ...string) *reply {
	w.Helper()
	var b []byte
	ctype := "application/json"
	switch body := body.(type) {
	case nil:
	case string:
		b, ctype = []byte(body), "text/plain"
	case []byte:
		b = body
	default:
		var err error
		if b, err = json.Marshal(body); err != nil {
			w.Fatal(err)
		}
	}
	if !strings.HasPrefix(path, "http") {
		path = w.http.URL + "/v1.0" + strings.ReplaceAll(path, " ", "%20")
	}
	path = strings.Replace(path, "https://graph.example", w.http.URL, 1)
	req, err := http.NewRequestWithContext(w.Context(), method, path, bytes.NewReader(b))
	if err != nil {
		w.Fatal(err)
	}
	if b != nil {
		req.Header.Set("Content-Type", ctype)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.http.Client().Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{world: w, status: resp.StatusCode, header: resp.Header, what: method + " " + path}
	if r.raw, err = io.ReadAll(resp.Body); err != nil {
		w.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") && resp.Header.Get("Content-Encoding") == "" {
		if err := json.Unmarshal(r.raw, &r.json); err != nil {
			w.Fatalf("%s: %v in %s", r.what, err, r.raw)
		}
	}
	return r
}

func (w *world) get(path string, headers ...string) *reply {
	w.Helper()
	return w.do(http.MethodGet, path, nil, headers...)
}

// is checks the status.
func (r *reply) is(status int) *reply {
	r.Helper()
	if r.status != status {
		r.Fatalf("%s: status %d, want %d: %s", r.what, r.status, status, r.raw)
	}
	return r
}

// refuses checks status and code of an error.
func (r *reply) refuses(status int, code string) *reply {
	r.Helper()
	if got := r.at("error", "code"); r.status != status || got != code {
		r.Fatalf("%s: %d %v, want %d %s: %s", r.what, r.status, got, status, code, r.raw)
	}
	if r.at("error", "innerError", "request-id") == nil || r.at("error", "innerError", "date") == nil || r.at("error", "message") == "" {
		r.Fatalf("%s: incomplete error: %s", r.what, r.raw)
	}
	return r
}

// at walks keys and indexes into the JSON.
func (r *reply) at(path ...any) any { return dig(r.json, path...) }

func (r *reply) text(path ...any) string {
	s, _ := r.at(path...).(string)
	return s
}

func dig(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (r *reply) values() []map[string]any {
	r.Helper()
	l, ok := r.at("value").([]any)
	if !ok {
		r.Fatalf("%s: no value in %s", r.what, r.raw)
	}
	vs := make([]map[string]any, len(l))
	for i, v := range l {
		vs[i], _ = v.(map[string]any)
	}
	return vs
}

// list is one property of every value.
func (r *reply) list(key string) []string {
	r.Helper()
	ss := []string{}
	for _, v := range r.values() {
		ss = append(ss, fmt.Sprint(v[key]))
	}
	return ss
}

// deliver puts a small message into a mailbox and returns its immutable id.
func (w *world) deliver(d cloud.Delivery) string {
	w.Helper()
	id, err := w.s.Deliver(w.Context(), w.user, d)
	if err != nil {
		w.Fatal(err)
	}
	return id
}

func letter(subject, body string, extra ...string) []byte {
	return []byte("From: Grace Hopper <" + grace + ">\r\nTo: Ada <" + ada + ">\r\nSubject: " + subject + "\r\n" +
		"Date: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + url.QueryEscape(subject) + "@example.org>\r\n" +
		strings.Join(extra, "") + "\r\n" + body + "\r\n")
}

func b64(raw []byte) string { return base64.StdEncoding.EncodeToString(raw) }

const immutable = `IdType="ImmutableId"`

type obj = map[string]any

func to(addresses ...string) []obj {
	var rs []obj
	for _, a := range addresses {
		rs = append(rs, obj{"emailAddress": obj{"address": a}})
	}
	return rs
}
