package msgraph

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// refusing asks for an hour's silence once.
type refusing struct{ asked int }

func (r *refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	r.asked++
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{}`)), Request: req}
	if r.asked == 1 {
		resp.StatusCode = http.StatusTooManyRequests
		resp.Header.Set("Retry-After", "3600")
	}
	return resp, nil
}

// TestLongSilence: a silence that nobody waits for is told at once, and holds
// the mailbox's other calls back no longer than one that is waited for.
func TestLongSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Base: &url.URL{Scheme: "https", Host: "graph.example", Path: "/v1.0"}, HTTP: &http.Client{Transport: &refusing{}}, Tokens: &fixedTokens{}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		get := &Request{Op: "op", Method: http.MethodGet, Path: "/me"}
		if err := c.Do(ctx, get, nil); mail.KindOf(err) != mail.KindThrottled || mail.RetryAfter(err) < time.Hour {
			t.Errorf("the first call: %v, again after %v", err, mail.RetryAfter(err))
		}
		if err := c.Do(ctx, get, nil); err != nil {
			t.Errorf("another call, within ten minutes: %v", err)
		}
	})
}
