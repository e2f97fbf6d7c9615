package push

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

var (
	ada   = cloud.User{ID: "ada-oid", Address: "ada@contoso.example", Name: "Ada"}
	grace = cloud.User{ID: "grace-oid", Address: "grace@contoso.example", Name: "Grace"}
)

type callerKey struct{}

type world struct {
	t        *testing.T
	s        *Service
	clock    *worldtest.Clock
	counters *traffic.Counters
	faults   *traffic.Faults
	api      http.Handler
	hook     *hook
}

// newWorld is a running service with an endpoint that behaves.
func newWorld(t *testing.T, settings Settings) *world {
	t.Helper()
	w := &world{t: t, clock: worldtest.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), counters: &traffic.Counters{}, faults: traffic.NewFaults(1)}
	settings.AllowHTTP = true
	if settings.BatchWindow == 0 {
		settings.BatchWindow = time.Millisecond
	}
	w.s = New(settings, Options{
		Caller: func(ctx context.Context) (Caller, bool) {
			c, ok := ctx.Value(callerKey{}).(Caller)
			return c, ok
		},
		WriteError: func(rw http.ResponseWriter, _ *http.Request, status int, code, message string) {
			rw.WriteHeader(status)
			_ = json.NewEncoder(rw).Encode(map[string]any{"error": map[string]string{"code": code, "message": message}})
		},
		Folder: func(_, ref string) (string, bool) {
			if ref == "inbox" || ref == "folder-inbox" {
				return "folder-inbox", true
			}
			return "", false
		},
		Tenant: func(cloud.User) string { return "tenant" },
		Now:    w.clock.Now, Counters: w.counters, Faults: w.faults,
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	w.api = w.s.Handler()
	w.hook = newHook(t)
	return w
}

// A hook is a notification endpoint.
type hook struct {
	server *httptest.Server
	posts  chan post
	mu     sync.Mutex
	answer func(http.ResponseWriter, *http.Request) bool // true: it answered
	validr func(http.ResponseWriter, *http.Request, string)
}

type post struct {
	path  string
	Value []struct {
		ID             string `json:"id"`
		SubscriptionID string `json:"subscriptionId"`
		Expires        string `json:"subscriptionExpirationDateTime"`
		ClientState    string `json:"clientState"`
		ChangeType     string `json:"changeType"`
		TenantID       string `json:"tenantId"`
		Resource       string `json:"resource"`
		Lifecycle      string `json:"lifecycleEvent"`
		Data           *struct {
			ID   string `json:"id"`
			ETag string `json:"@odata.etag"`
			Type string `json:"@odata.type"`
		} `json:"resourceData"`
	} `json:"value"`
}

func newHook(t *testing.T) *hook {
	h := &hook{posts: make(chan post, 1000)}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		answer, validr := h.answer, h.validr
		h.mu.Unlock()
		if token := r.URL.Query().Get("validationToken"); token != "" {
			if validr != nil {
				validr(w, r, token)
				return
			}
			w.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(w, token)
			return
		}
		var p post
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			t.Errorf("a notification that is no JSON: %v", err)
		}
		p.path = r.URL.RequestURI()
		if answer == nil || !answer(w, r) {
			w.WriteHeader(http.StatusAccepted)
		}
		h.posts <- p
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *hook) setAnswer(f func(http.ResponseWriter, *http.Request) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = f
}

func (h *hook) setValidation(f func(http.ResponseWriter, *http.Request, string)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.validr = f
}

// next is the next post that came.
func (w *world) next() post {
	w.t.Helper()
	select {
	case p := <-w.hook.posts:
		return p
	case <-time.After(time.Minute):
		w.t.Fatal("no notification came")
		return post{}
	}
}

func (w *world) do(caller Caller, method, path, body string, header ...string) (int, map[string]any) {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r = r.WithContext(context.WithValue(w.t.Context(), callerKey{}, caller))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	var out map[string]any
	if rec.Body.Len() > 0 {
		if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
			w.t.Fatalf("%s %s: %v in %q", method, path, err, rec.Body)
		}
	}
	return rec.Code, out
}

var adasCaller = Caller{User: ada, App: "app", Scopes: []string{"Mail.ReadWrite"}}

// want is the JSON of a good subscription, changed by pairs; nil takes a
// property out.
func (w *world) want(changes ...any) string {
	v := map[string]any{
		"changeType": "created,updated,deleted", "notificationUrl": w.hook.server.URL + "/n?tag=1", "resource": "me/messages",
		"expirationDateTime": w.clock.Now().Add(24 * time.Hour).Format(time.RFC3339Nano), "clientState": "s3cret",
		"lifecycleNotificationUrl": w.hook.server.URL + "/l",
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == nil {
			delete(v, changes[i].(string))
		} else {
			v[changes[i].(string)] = changes[i+1]
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// subscribe makes a subscription and returns its id.
func (w *world) subscribe(changes ...any) string {
	w.t.Helper()
	status, body := w.do(adasCaller, "POST", "/subscriptions", w.want(changes...))
	if status != http.StatusCreated {
		w.t.Fatalf("subscribe: %d %v", status, body)
	}
	return body["id"].(string)
}

func problemOf(body map[string]any) (code, message string) {
	e, _ := body["error"].(map[string]any)
	code, _ = e["code"].(string)
	message, _ = e["message"].(string)
	return code, message
}

// counted waits until a counter of notifications has reached n.
func (w *world) counted(outcome string, n int64) {
	w.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		got := w.counters.Report("", "").Notifications[outcome]
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d notifications %s, want %d: %v", got, outcome, n, w.counters.Report("", "").Notifications)
		}
	}
}
