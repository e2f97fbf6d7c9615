package gmail

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// answers is a Gmail that answers as the function says.
type answers func(r *http.Request) string

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}`
	if r.URL.Host == "gmail.example" {
		body = f(r)
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// answering is a Provider with an open account "a" at such a Gmail.
func answering(t *testing.T, f answers) *Provider {
	t.Helper()
	p := New(Options{})
	client := &http.Client{Transport: f}
	p.conf.Store(&config{gmailURL: "https://gmail.example/", http: client, authHTTP: client, apiHTTP: &http.Client{Transport: &signer{next: f}},
		quotaUnits: 6000, maxConcurrent: 10, batchSize: 8,
		oauth: oauth2.Config{ClientID: "c", Endpoint: oauth2.Endpoint{TokenURL: "https://token.example/", AuthStyle: oauth2.AuthStyleInParams}}})
	if err := p.Open(t.Context(), &provider.OpenRequest{Account: "a", Grant: []byte(`{"v": 1, "client_id": "c", "sub": "s", "refresh_token": "r"}`)}); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestHistoryEnd: where the history has several pages, the next one begins where
// the first page ended: what changed while they were read is told in any case.
func TestHistoryEnd(t *testing.T) {
	var starts []string
	p := answering(t, func(r *http.Request) string {
		q := r.URL.Query()
		starts = append(starts, q.Get("startHistoryId"))
		record := func(id, next, end string) string {
			return fmt.Sprintf(`{"history": [{"id": "%s", "labelsRemoved": [{"message": {"id": "m%s"}, "labelIds": ["UNREAD"]}]}], "nextPageToken": %q, "historyId": "%s"}`, id, id, next, end)
		}
		switch {
		case q.Get("startHistoryId") != "100":
			return `{"historyId": "130"}`
		case q.Get("pageToken") == "":
			return record("105", "2", "110")
		case q.Get("pageToken") == "2":
			return record("108", "3", "120")
		}
		return record("109", "", "125") // 115 is not among them
	})
	cur := cursor{Version: cursorVersion, History: 100}.encode()
	for range 2 {
		// Each page in a call of its own, as after a crash.
		for done := false; !done; {
			err := p.Changes(t.Context(), &provider.ChangesRequest{Call: provider.Call{Account: "a"}, Cursor: cur}, func(b *mail.Batch) error {
				cur, done = b.Next, b.Done
				return io.EOF
			})
			if err != io.EOF {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Join(starts, " "); got != "100 100 100 110" {
		t.Errorf("asked for the history since %s", got)
	}
}
