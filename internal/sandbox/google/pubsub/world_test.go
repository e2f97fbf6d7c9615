package pubsub

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

const (
	project   = "projects/postern-sandbox"
	topicName = project + "/topics/gmail"
	subName   = project + "/subscriptions/gmail-pull"
	gmailPush = "gmail-api-push@system.gserviceaccount.com"
	robot     = "serviceAccount:robot@postern-sandbox.iam.gserviceaccount.com"
	owner     = "user:owner@corp.example"
	push      = `{"emailAddress":"alan@gmail.example","historyId":42}`
)

type world struct {
	t        *testing.T
	s        *Service
	clock    *worldtest.Clock
	counters *traffic.Counters
	faults   *traffic.Faults
}

// newWorld has a topic, a subscription that pulls from it, and a running
// service.
func newWorld(t *testing.T, settings Settings) *world {
	t.Helper()
	w := &world{t: t, clock: worldtest.At(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), counters: &traffic.Counters{}, faults: traffic.NewFaults(1)}
	w.s = w.service(settings, w.clock.Now)
	for _, err := range []error{
		w.s.AddTopic(topicName), w.s.AddSubscription(subName, topicName),
		w.s.Grant(topicName, "roles/pubsub.publisher", "serviceAccount:"+gmailPush),
		w.s.Grant(project, "roles/owner", owner),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w.run()
	return w
}

// service makes one whose callers say in headers who they are.
func (w *world) service(settings Settings, now func() time.Time) *Service {
	return New(settings, Options{
		Caller: func(r *http.Request) (Caller, bool) {
			return Caller{Member: r.Header.Get("X-Member"), Scopes: strings.Fields(r.Header.Get("X-Scopes"))}, r.Header.Get("X-Member") != ""
		},
		Sign: func(claims any) (string, error) {
			text, err := json.Marshal(claims)
			return "signed." + base64.RawURLEncoding.EncodeToString(text), err
		},
		AccountID: func(email string) string { return "id of " + email },
		Now:       now, Counters: w.counters, Faults: w.faults,
	})
}

func (w *world) run() {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- w.s.Run(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Errorf("run: %v", err)
		}
	})
}

// as makes a request as a member, with the scope of Pub/Sub.
func (w *world) as(member, method, path, body string) (int, string) {
	return w.with(member, "https://www.googleapis.com/auth/pubsub", method, path, body)
}

func (w *world) with(member, scopes, method, path, body string) (int, string) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "/v1/"+path, strings.NewReader(body))
	r.Header.Set("X-Member", member)
	r.Header.Set("X-Scopes", scopes)
	rec := httptest.NewRecorder()
	w.s.ServeHTTP(rec, r)
	return rec.Code, rec.Body.String()
}

// must makes a request as the owner, which has to succeed.
func (w *world) must(method, path, body string) string {
	w.t.Helper()
	code, text := w.as(owner, method, path, body)
	if code != 200 {
		w.t.Fatalf("%s %s: %d %s", method, path, code, text)
	}
	return text
}

func (w *world) publish(data string) {
	w.t.Helper()
	if err := w.s.Publish(w.t.Context(), topicName, gmailPush, []byte(data)); err != nil {
		w.t.Fatal(err)
	}
}

type received struct {
	AckID   string `json:"ackId"`
	Attempt int    `json:"deliveryAttempt"`
	Message struct {
		Data        []byte
		MessageID   string `json:"messageId"`
		PublishTime string `json:"publishTime"`
		Attributes  map[string]string
	}
}

// pull asks for what is there now.
func (w *world) pull(n int) []received {
	w.t.Helper()
	return decode(w.t, w.must("POST", subName+":pull", fmt.Sprintf(`{"maxMessages":%d,"returnImmediately":true}`, n)))
}

func decode(t *testing.T, text string) []received {
	t.Helper()
	var out struct{ ReceivedMessages []received }
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return out.ReceivedMessages
}

func (w *world) ack(ids ...string) {
	w.t.Helper()
	body, _ := json.Marshal(map[string][]string{"ackIds": ids})
	if got := w.must("POST", subName+":acknowledge", string(body)); strings.TrimSpace(got) != "{}" {
		w.t.Errorf("acknowledged with %q", got)
	}
}

func (w *world) counted() map[string]int64 {
	return w.counters.Report("google", "alan@gmail.example").Notifications
}

// A hook is an endpoint for pushes. answer says what it answers to the n-th.
type hook struct {
	server *httptest.Server
	posts  chan *http.Request // with its body read into X-Body
}

func newHook(t *testing.T, answer func(n int) int) *hook {
	t.Helper()
	h := &hook{posts: make(chan *http.Request, 100)}
	var mu sync.Mutex
	n := 0
	h.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Header.Set("X-Body", base64.StdEncoding.EncodeToString(body))
		mu.Lock()
		n++
		code := answer(n)
		mu.Unlock()
		rw.WriteHeader(code)
		h.posts <- r
	}))
	t.Cleanup(h.server.Close)
	return h
}

func (h *hook) next(t *testing.T) (*http.Request, []byte) {
	t.Helper()
	select {
	case r := <-h.posts:
		body, err := base64.StdEncoding.DecodeString(r.Header.Get("X-Body"))
		if err != nil {
			t.Fatal(err)
		}
		return r, body
	case <-time.After(time.Minute):
		t.Fatal("no post came")
	}
	return nil, nil
}

// eventually waits until the counter of an outcome is n.
func (w *world) eventually(outcome string, n int64) {
	w.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for w.counted()[outcome] != n {
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("%s is not %d: %v", outcome, n, w.counted())
		}
	}
}
