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
	pulls  int
	answer func(pull int) string
}

func (h *hasty) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"access_token": "t", "token_type": "Bearer", "expires_in": 864000}`
	if strings.HasSuffix(r.URL.Path, ":pull") {
		h.pulls++
		body = h.answer(h.pulls)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestListenRests: pulls that end at once with nothing are not repeated without
// a pause, and what comes after one is heard all the same.
func TestListenRests(t *testing.T) {
	der, err := x509.MarshalPKCS8PrivateKey(worldtest.Key(t))
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		h := &hasty{}
		const message = `{"receivedMessages": [{"message": {"data": "eyJlbWFpbEFkZHJlc3MiOiJhQGIuZXhhbXBsZSIsImhpc3RvcnlJZCI6MX0="}}]}`
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
		client := &http.Client{Transport: h}
		p.conf.Store(&config{http: client, pull: &subscription{base: "https://pubsub.example/", name: "projects/p/subscriptions/s", http: client,
			account: &serviceAccount{Email: "a@b.example", PrivateKey: key, TokenURL: "https://token.example/"}}})
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
