package sandbox_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
)

// hook is an endpoint for notifications; it hands out what came.
func hook(t *testing.T) (string, <-chan string) {
	t.Helper()
	posts := make(chan string, 100)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if token := r.URL.Query().Get("validationToken"); token != "" {
			rw.Header().Set("Content-Type", "text/plain")
			_, _ = io.WriteString(rw, token)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		rw.WriteHeader(http.StatusAccepted)
		posts <- r.URL.Path + " " + string(body)
	}))
	t.Cleanup(s.Close)
	return s.URL, posts
}

func next(t *testing.T, posts <-chan string) string {
	t.Helper()
	select {
	case p := <-posts:
		return p
	case <-time.After(time.Minute):
		t.Fatal("no notification came")
		return ""
	}
}

func (w *world) subscribe(tok tokens, base, resource, kinds string) string {
	w.t.Helper()
	body, err := json.Marshal(map[string]string{
		"changeType": kinds, "notificationUrl": base + "/n", "lifecycleNotificationUrl": base + "/l", "resource": resource,
		"expirationDateTime": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "clientState": "s3cret",
	})
	if err != nil {
		w.t.Fatal(err)
	}
	r := w.graph(tok, "POST", "/subscriptions", string(body), "Prefer", `IdType="ImmutableId"`)
	if r.status != 201 {
		w.t.Fatalf("subscribe: %d %s", r.status, r.body)
	}
	return decode[map[string]any](w.t, r)["id"].(string)
}

func TestNotificationsOfRealMail(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	base, posts := hook(t)
	id := w.subscribe(tok, base, "me/mailFolders('inbox')/messages", "created,deleted")
	var made struct{ ID string }
	w.control(201, "POST", "/control/users/"+ada+"/messages?notify=false", letter("a@b.example", ada, "silent", "x"), nil)
	w.control(201, "POST", "/control/users/"+ada+"/messages", letter("a@b.example", ada, "loud", "x"), &made)
	p := next(t, posts)
	if !strings.Contains(p, made.ID) || !strings.Contains(p, `"changeType":"created"`) || !strings.Contains(p, id) || !strings.Contains(p, "s3cret") {
		t.Errorf("notification %s, want %s created", p, made.ID)
	}
	if r := w.graph(tok, "POST", "/me/messages/"+made.ID+"/move", `{"destinationId":"archive"}`); r.status != 201 {
		t.Fatalf("move: %d %s", r.status, r.body)
	}
	if p := next(t, posts); !strings.Contains(p, `"changeType":"deleted"`) {
		t.Errorf("after the move: %s", p)
	}
	for _, event := range []string{"reauthorizationRequired", "missed", "subscriptionRemoved"} {
		var told struct{ Subscriptions int }
		w.control(200, "POST", "/control/users/"+ada+"/lifecycle", `{"event":"`+event+`"}`, &told)
		if p := next(t, posts); told.Subscriptions != 1 || !strings.HasPrefix(p, "/l ") || !strings.Contains(p, `"lifecycleEvent":"`+event+`"`) {
			t.Errorf("%s told %d: %s", event, told.Subscriptions, p)
		}
	}
	if r := w.graph(tok, "GET", "/subscriptions/"+id, ""); r.status != 404 {
		t.Errorf("a removed subscription: %d", r.status)
	}
	eventually(t, "the counters agree", func() bool {
		n := w.counters("?user=" + ada).Notifications
		return n["delivered"] == 2 && n["validated"] == 2 && n["lifecycle_delivered"] == 3
	})
}

func TestHTTPNotificationURLsAreRefusedUnlessAllowed(t *testing.T) {
	w := start(t, sandbox.Options{NoSeed: true})
	base, _ := hook(t)
	body := fmt.Sprintf(`{"changeType":"created","notificationUrl":"%s","resource":"me/messages","expirationDateTime":"%s"}`, base, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if r := w.graph(w.connect(ada), "POST", "/subscriptions", body); r.status != 400 || !strings.Contains(r.body, "https") {
		t.Errorf("%d %s", r.status, r.body)
	}
}
