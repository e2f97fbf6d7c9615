package sandbox_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

func TestFaults(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	put := func(fault string) {
		t.Helper()
		w.control(204, "DELETE", "/control/faults", "", nil)
		w.control(200, "PUT", "/control/faults", fault, nil)
	}
	put(`{"cloud":"microsoft","user":"` + ada + `","match":"GET /me/messages","status":503,"retry_after":7,"times":1}`)
	if r := w.graph(tok, "GET", "/me/messages", ""); r.status != 503 || r.header.Get("Retry-After") != "7" || !strings.Contains(r.body, "ServiceUnavailable") {
		t.Errorf("503: %d %v %s", r.status, r.header, r.body)
	}
	if r := w.graph(tok, "GET", "/me/messages", ""); r.status != 200 {
		t.Errorf("a spent fault: %d", r.status)
	}
	put(`{"match":"POST /me/sendMail","cut_after":true}`)
	body := `{"message":{"subject":"cut","body":{"contentType":"text","content":"x"},"toRecipients":[{"emailAddress":{"address":"` + grace + `"}}]}}`
	if _, err := w.try("POST", w.sb.State().Graph+"/me/sendMail", body, "Authorization", "Bearer "+tok.Access, "Content-Type", "application/json"); err == nil {
		t.Error("a cut connection answered")
	}
	if got := len(w.messages(grace)); got != 1 {
		t.Errorf("the cut request was executed %d times, want once", got)
	}
	if r := w.counters(""); r.Count("POST", "/me/sendMail", 0) != 1 || r.Faults["POST /me/sendMail"] != 1 || r.MessagesSent != 1 {
		t.Errorf("counters %+v", r)
	}
	put(`[{"match":"token","aadsts":50173,"user":"` + ada + `"},{"match":"/me$","delay_ms":30}]`)
	if got, status := w.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); status != 400 || !slices.Equal(got.Codes, []int{50173}) {
		t.Errorf("token: %d %+v", status, got)
	}
	began := time.Now()
	if r := w.graph(tok, "GET", "/me", ""); r.status != 200 || time.Since(began) < 30*time.Millisecond {
		t.Errorf("delayed: %d after %v", r.status, time.Since(began))
	}
	put(`{"match":"token","status":503}`)
	if got, status := w.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); status != 503 || got.Error != "temporarily_unavailable" {
		t.Errorf("token: %d %+v", status, got)
	}
	w.control(204, "DELETE", "/control/faults", "", nil)
	if _, status := w.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); status != 200 {
		t.Errorf("after clear: %d", status)
	}
}

func TestDeltaLag(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	w.control(200, "PUT", "/control/faults", `{"cloud":"microsoft","delta_lag_ms":3600000}`, nil)
	w.control(201, "POST", "/control/users/"+ada+"/messages", letter("a@b.example", ada, "late", "x"), nil)
	if r := w.graph(tok, "GET", "/me/mailFolders/inbox/messages/delta", ""); strings.Contains(r.body, "late") {
		t.Error("delta does not lag")
	}
	w.control(204, "DELETE", "/control/faults", "", nil)
	if r := w.graph(tok, "GET", "/me/mailFolders/inbox/messages/delta", ""); !strings.Contains(r.body, "late") {
		t.Errorf("the lag did not end: %s", r.body)
	}
}

func TestRevokeBlockAndForgetCursors(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	link := decode[map[string]any](t, w.graph(tok, "GET", "/me/mailFolders/inbox/messages/delta", ""))["@odata.deltaLink"].(string)
	if r := w.do("GET", link, "", "Authorization", "Bearer "+tok.Access); r.status != 200 {
		t.Fatalf("delta: %d %s", r.status, r.body)
	}
	w.control(204, "POST", "/control/users/"+ada+"/forget-cursors", "", nil)
	if r := w.do("GET", link, "", "Authorization", "Bearer "+tok.Access); r.status != 410 {
		t.Errorf("a forgotten cursor: %d %s", r.status, r.body)
	}
	w.control(204, "POST", "/control/users/"+ada+"/block", `{"code":50078}`, nil)
	if got, _ := w.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); !slices.Equal(got.Codes, []int{50078}) {
		t.Errorf("blocked: %+v", got)
	}
	w.control(204, "POST", "/control/users/"+ada+"/block", `{"code":0}`, nil)
	w.control(204, "POST", "/control/users/"+ada+"/revoke", `{"keep_access_tokens":true}`, nil)
	if r := w.graph(tok, "GET", "/me", ""); r.status != 200 {
		t.Errorf("a kept access token: %d", r.status)
	}
	w.control(204, "POST", "/control/users/"+ada+"/revoke", "", nil)
	if r := w.graph(tok, "GET", "/me", ""); r.status != 401 {
		t.Errorf("a revoked access token: %d", r.status)
	}
	if got, _ := w.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); !slices.Equal(got.Codes, []int{50173}) {
		t.Errorf("revoked: %+v", got)
	}
}

// Requests that a fault holds back keep their place in the throttle, so that
// exactly four of many at once are served.
func TestFourAtOncePerMailbox(t *testing.T) {
	w := empty(t)
	tok, other := w.connect(ada), w.connect(grace)
	w.control(200, "PUT", "/control/faults", `{"match":"GET /me/messages","delay_ms":400}`, nil)
	statuses := make(chan response, 21)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { statuses <- w.graph(tok, "GET", "/me/messages", "") })
	}
	wg.Go(func() {
		if r := w.graph(other, "GET", "/me/messages", ""); r.status != 200 {
			t.Errorf("another mailbox: %d", r.status)
		}
	})
	wg.Wait()
	close(statuses)
	served, refused := 0, 0
	for r := range statuses {
		switch r.status {
		case 200:
			served++
		case 429:
			refused++
			if r.header.Get("Retry-After") != "1" || !strings.Contains(r.body, "ApplicationThrottled") || !strings.Contains(r.body, "Application is over its MailboxConcurrency limit.") {
				t.Errorf("%v %s", r.header, r.body)
			}
		default:
			t.Errorf("status %d", r.status)
		}
	}
	// A slow machine may begin some only after others have ended; never more
	// than four run at once.
	if served < 4 || refused == 0 || served+refused != 20 {
		t.Errorf("%d served, %d refused", served, refused)
	}
}

func TestBatchItemsAreCountedAndSpoiledOneByOne(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	w.control(200, "PUT", "/control/faults", `{"match":"GET /me/mailFolders/inbox","status":429,"retry_after":0.249}`, nil)
	body := `{"requests":[{"id":"1","method":"GET","url":"/me"},{"id":"2","method":"GET","url":"/me/mailFolders/inbox"},{"id":"3","method":"GET","url":"/me/messages"}]}`
	r := w.graph(tok, "POST", "/$batch", body)
	if r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	batch := decode[struct {
		Responses []struct {
			ID      string
			Status  int
			Headers map[string]string
		}
	}](t, r)
	for _, item := range batch.Responses {
		want := 200
		if item.ID == "2" {
			want = 429
			if item.Headers["Retry-After"] != "0.249" {
				t.Errorf("item headers %v", item.Headers)
			}
		}
		if item.Status != want {
			t.Errorf("item %s: %d", item.ID, item.Status)
		}
	}
	c := w.counters("?user=" + ada)
	if c.Count("POST", "/$batch", 200) != 1 || c.Count("GET", "/me", 200) != 1 || c.Count("GET", "/me/mailFolders/inbox", 429) != 1 || c.Count("GET", "/me/messages", 200) != 1 {
		t.Errorf("%+v", c.Requests)
	}
	w.control(204, "DELETE", "/control/faults", "", nil)
	w.control(200, "PUT", "/control/faults", `{"match":"POST /me/mailFolders$","cut_after":true}`, nil)
	body = `{"requests":[{"id":"1","method":"POST","url":"/me/mailFolders","headers":{"Content-Type":"application/json"},"body":{"displayName":"Cut"}},{"id":"2","method":"GET","url":"/me"}]}`
	if _, err := w.try("POST", w.sb.State().Graph+"/$batch", body, "Authorization", "Bearer "+tok.Access, "Content-Type", "application/json"); err == nil {
		t.Error("a cut batch answered")
	}
	if r := w.graph(tok, "GET", "/me/mailFolders?$top=100", ""); strings.Count(r.body, `"Cut"`) != 1 {
		t.Errorf("the cut item was not executed: %s", r.body)
	}
}

// A large attachment goes by an upload session, whose URL is served without a
// token and counted for its owner.
func TestUploadSession(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	draft := decode[map[string]any](t, w.graph(tok, "POST", "/me/messages", `{"subject":"big"}`))["id"].(string)
	size := 3<<20 + 5
	r := w.graph(tok, "POST", "/me/messages/"+draft+"/attachments/createUploadSession", fmt.Sprintf(`{"AttachmentItem":{"attachmentType":"file","name":"big.bin","size":%d}}`, size))
	if r.status != 201 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	address := decode[map[string]any](t, r)["uploadUrl"].(string)
	r = w.do("PUT", address, strings.Repeat("x", size), "Content-Type", "application/octet-stream", "Content-Range", fmt.Sprintf("bytes 0-%d/%d", size-1, size))
	if r.status != 201 || r.header.Get("Location") == "" {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
	got := w.counters("?user=" + ada)
	i := slices.IndexFunc(got.Requests, func(c traffic.RequestCount) bool { return c.Method == "PUT" && c.Status == 201 })
	if i < 0 || !strings.HasPrefix(got.Requests[i].Path, "/upload/Users/{id}/Messages/{id}") {
		t.Errorf("%+v", got.Requests)
	}
}

// Over HTTP/1.1 a cut request leaves not a byte, as over HTTP/2.
func TestCutOverHTTP1(t *testing.T) {
	w := empty(t)
	tok := w.connect(ada)
	w.control(200, "PUT", "/control/faults", `{"match":"POST /me/messages$","cut_after":true}`, nil)
	config := w.sb.TLS()
	config.ServerName, config.NextProtos = "localhost", []string{"http/1.1"}
	conn, err := tls.Dial("tcp", strings.TrimPrefix(w.sb.State().Microsoft, "https://"), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"subject":"cut"}`
	if _, err := fmt.Fprintf(conn, "POST /v1.0/me/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", tok.Access, len(body), body); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(conn); len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
	if got := w.subjects(tok, "drafts"); !slices.Equal(got, []string{"cut"}) {
		t.Errorf("drafts: %q", got)
	}
}
