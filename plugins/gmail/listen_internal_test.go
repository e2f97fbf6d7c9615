package gmail

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/worldtest"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// hasty is a Pub/Sub that answers every pull at once.
type hasty struct {
	pulls        int
	answer       func(pull int) string
	acknowledged func(r *http.Request) io.Reader
}

func serviceKey(t *testing.T) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(worldtest.Key(t))
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (h *hasty) subscription(key []byte) *subscription {
	return &subscription{base: "https://pubsub.example/", name: "projects/p/subscriptions/s", http: &http.Client{Transport: h},
		account: &serviceAccount{Email: "a@b.example", PrivateKey: key, TokenURL: "https://token.example/"}}
}

func (h *hasty) RoundTrip(r *http.Request) (*http.Response, error) {
	var body io.Reader = strings.NewReader(`{"access_token": "t", "token_type": "Bearer", "expires_in": 864000}`)
	switch {
	case strings.HasSuffix(r.URL.Path, ":pull"):
		h.pulls++
		body = strings.NewReader(h.answer(h.pulls))
	case strings.HasSuffix(r.URL.Path, ":acknowledge"):
		body = h.acknowledged(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(body), Request: r}, nil
}

// message is the answer to a pull, of a change of a@b.example.
const message = `{"receivedMessages": [{"ackId": "1", "message": {"data": "eyJlbWFpbEFkZHJlc3MiOiJhQGIuZXhhbXBsZSIsImhpc3RvcnlJZCI6MX0="}}]}`

// stuck is an answer that never goes on.
type stuck struct{ ctx context.Context }

func (s stuck) Read([]byte) (int, error) { <-s.ctx.Done(); return 0, s.ctx.Err() }

// TestListenStuck: an acknowledgement that is never answered to the end does not
// end the hearing.
func TestListenStuck(t *testing.T) {
	key := serviceKey(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		p := New(Options{})
		h := &hasty{answer: func(int) string { return message }}
		h.acknowledged = func(r *http.Request) io.Reader { return stuck{r.Context()} }
		p.conf.Store(&config{pull: h.subscription(key)})
		if err := p.Listen(ctx, &provider.ListenRequest{}, func(*provider.Hint) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if h.pulls < 2 {
			t.Errorf("%d pulls in ten minutes", h.pulls)
		}
		p.echoes.end()
	})
}

// TestListenRests: pulls that end at once with nothing are not repeated without
// a pause, and what comes after one is heard all the same.
func TestListenRests(t *testing.T) {
	key := serviceKey(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		h := &hasty{acknowledged: func(*http.Request) io.Reader { return strings.NewReader("{}") }}
		h.answer = func(n int) string {
			switch {
			case n > 1000:
				cancel()
			case n == 20:
				return message
			}
			return "{}"
		}
		p := New(Options{})
		p.conf.Store(&config{pull: h.subscription(key)})
		heard := 0
		if err := p.Listen(ctx, &provider.ListenRequest{}, func(*provider.Hint) error { heard++; return nil }); err != nil {
			t.Fatal(err)
		}
		p.echoes.end()
		if h.pulls > 1000 || h.pulls < 60 || heard != 1 {
			t.Errorf("%d pulls in ten minutes, %d hints", h.pulls, heard)
		}
	})
}
