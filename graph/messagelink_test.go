package graph_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestMessageLink: whoever has the key is sent on to the bytes.
func TestMessageLink(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	m := w.message(a, 1, w.mailbox(a, "Inbox", "inbox", nil))
	mux := http.NewServeMux()
	mux.Handle("/messages/{id}", w.server.Messages())
	for name, c := range map[string]struct {
		method, id, key string
		status          int
	}{
		"no key":      {"GET", m.ID, "", 401},
		"wrong key":   {"GET", m.ID, "Bearer nonsense", 401},
		"no message":  {"GET", "mnone", "Bearer " + key, 404},
		"not a query": {"POST", m.ID, "Bearer " + key, 405},
		"message":     {"GET", m.ID, "Bearer " + key, 303},
	} {
		r := httptest.NewRequest(c.method, "/messages/"+c.id, nil)
		if c.key != "" {
			r.Header.Set("Authorization", c.key)
		}
		recorded := httptest.NewRecorder()
		mux.ServeHTTP(recorded, r)
		resp := recorded.Result()
		if resp.StatusCode != c.status {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
		if to := resp.Header.Get("Location"); c.status == 303 {
			if got, body := fetch(t, "GET", to); got.StatusCode != 200 || !strings.HasSuffix(body, "raw of "+m.ID) {
				t.Errorf("%s leads to %d %q", to, got.StatusCode, body)
			}
		}
	}
}
