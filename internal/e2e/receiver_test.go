package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// hook is one webhook as it was received.
type hook struct {
	Path   string
	Header http.Header
	Raw    []byte
	Body   struct {
		Type    string
		ID      string
		Account *struct{ ID, Address, ExternalID string }
		Data    struct {
			Message, Mailbox, Submission, Endpoint string
			Text                                   string
			Envelope                               struct{ Subject string }
		}
	}
}

// verified checks a webhook with the public library of Standard Webhooks.
func (h *hook) verified(t *testing.T, secret string) bool {
	t.Helper()
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return w.Verify(h.Raw, h.Header) == nil
}

// receiver takes webhooks and answers as it is told.
type receiver struct {
	t   *testing.T
	d   *demo
	URL string

	mu     sync.Mutex
	hooks  []hook
	more   chan struct{}
	answer func(w http.ResponseWriter, h *hook)
}

// receive starts a receiver on loopback. It answers 204 unless answer is set.
func (d *demo) receive(answer func(w http.ResponseWriter, h *hook)) *receiver {
	r := &receiver{t: d.t, d: d, more: make(chan struct{}), answer: answer}
	srv := httptest.NewServer(http.HandlerFunc(r.serve))
	d.t.Cleanup(srv.Close)
	r.URL = srv.URL
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	h := hook{Path: req.URL.Path, Header: req.Header, Raw: raw}
	if err != nil || json.Unmarshal(raw, &h.Body) != nil {
		http.Error(w, "not a webhook", http.StatusBadRequest)
		return
	}
	if r.answer != nil {
		r.answer(w, &h)
	} else {
		w.WriteHeader(http.StatusNoContent)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks = append(r.hooks, h)
	close(r.more)
	r.more = make(chan struct{})
}

// wait gives the n-th webhook for which want says yes.
func (r *receiver) wait(what string, n int, want func(*hook) bool) *hook {
	r.t.Helper()
	ctx := r.d.ctx()
	for {
		r.mu.Lock()
		found := 0
		for i := range r.hooks {
			if want(&r.hooks[i]) {
				if found++; found == n {
					defer r.mu.Unlock()
					return &r.hooks[i]
				}
			}
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-ctx.Done():
			r.t.Fatalf("no webhook came in time: %s", what)
		}
	}
}

// count counts the webhooks for which want says yes.
func (r *receiver) count(want func(*hook) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.hooks {
		if want(&r.hooks[i]) {
			n++
		}
	}
	return n
}

// endpoint makes an endpoint and gives its id and secret.
func (d *demo) endpoint(in map[string]any) (id, secret string) {
	d.t.Helper()
	var got struct {
		CreateEndpoint struct {
			Endpoint struct {
				ID       string
				Attempts int
			}
			Secret string
		}
	}
	d.query(`mutation($in: CreateEndpointInput!) { createEndpoint(input: $in) { endpoint { id attempts } secret } }`, map[string]any{"in": in}, &got)
	if got.CreateEndpoint.Endpoint.Attempts < 1 {
		d.t.Errorf("the endpoint says that it gets %d attempts", got.CreateEndpoint.Endpoint.Attempts)
	}
	return got.CreateEndpoint.Endpoint.ID, got.CreateEndpoint.Secret
}
