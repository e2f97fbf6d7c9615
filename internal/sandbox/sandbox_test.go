package sandbox_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/mailfile"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

func TestSignInAndReadMail(t *testing.T) {
	w := start(t, sandbox.Options{Seed: 3})
	tok := w.connect(ada)
	me := decode[map[string]any](t, w.graph(tok, "GET", "/me", ""))
	if me["mail"] != ada || me["displayName"] != "Ada Lovelace" {
		t.Errorf("me: %v", me)
	}
	inbox := w.subjects(tok, "inbox")
	if len(inbox) < 25 || !slices.Contains(inbox, "Lunch?") || !slices.Contains(inbox, "海水中の二酸化炭素の測定について") {
		t.Errorf("inbox: %q", inbox)
	}
	for folder, least := range map[string]int{"sentitems": 8, "archive": 4, "drafts": 2, "junkemail": 1} {
		if got := len(w.subjects(tok, folder)); got < least {
			t.Errorf("%d messages in %s", got, folder)
		}
	}
	r := w.counters("?user=" + ada)
	if r.Authorize["approved"] != 1 || r.Tokens["authorization_code"]["ok"] != 1 || r.Count("GET", "/me", 200) != 1 || r.Count("GET", "/me/mailFolders/inbox/messages", 200) != 1 {
		t.Errorf("counters: %+v", r)
	}
	if r := w.counters("?user=" + grace); len(r.Requests) != 0 {
		t.Errorf("grace's counters: %+v", r)
	}
}

func TestRefusedTokens(t *testing.T) {
	w := empty(t)
	for header, message := range map[string]string{
		"": "Access token is empty.", "Bearer junk": "CompactToken parsing failed with error code: 80049217",
	} {
		r := w.do("GET", w.sb.State().Graph+"/me", "", "Authorization", header)
		e := decode[struct {
			Error struct{ Code, Message string }
		}](t, r)
		if r.status != 401 || e.Error.Code != "InvalidAuthenticationToken" || e.Error.Message != message {
			t.Errorf("%q: %d %s", header, r.status, r.body)
		}
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), `Bearer realm=""`) || r.header.Get("request-id") == "" {
			t.Errorf("%q: header %v", header, r.header)
		}
	}
	if n := w.counters("").Count("GET", "/me", 401); n != 2 {
		t.Errorf("counted %d", n)
	}
}

func TestControlUsersAndMessages(t *testing.T) {
	w := empty(t)
	var user struct{ Cloud, ID, Address, Name string }
	w.control(201, "POST", "/control/users", `{"cloud":"microsoft","address":"Mary@fabrikam.example","name":"Mary Somerville"}`, &user)
	if user.ID == "" || user.Cloud != "microsoft" {
		t.Errorf("user %+v", user)
	}
	var users []struct{ Address string }
	if w.control(200, "GET", "/control/users", "", &users); len(users) != 3 {
		t.Errorf("users %v", users)
	}
	raw := letter("a@elsewhere.example", "mary@fabrikam.example", "by hand", "hello\n.dot")
	var made struct{ ID string }
	w.control(201, "POST", "/control/users/mary@fabrikam.example/messages?mailbox=Work/2026&date=2026-01-02T03:04:05Z&keywords=$seen,$flagged,blue&notify=false", raw, &made)
	got := w.messages("mary@fabrikam.example")
	served := strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n")
	sum := sha256.Sum256([]byte(served))
	if len(got) != 1 || got[0].ID != made.ID || got[0].Size != int64(len(served)) || got[0].SHA256 != hex.EncodeToString(sum[:]) {
		t.Fatalf("messages %+v, want the one as served", got)
	}
	for _, k := range []string{"$seen", "$flagged", "blue"} {
		if !slices.Contains(got[0].Keywords, k) {
			t.Errorf("keywords %v lack %s", got[0].Keywords, k)
		}
	}
	tok := w.connect("mary@fabrikam.example")
	r := w.graph(tok, "GET", "/me/messages/"+made.ID+"/$value", "")
	if r.body != served {
		t.Errorf("$value is %q, want %q", r.body, served)
	}
	m := decode[map[string]any](t, w.graph(tok, "GET", "/me/messages/"+made.ID, ""))
	if m["receivedDateTime"] != "2026-01-02T03:04:05Z" || m["isRead"] != true {
		t.Errorf("message %v", m)
	}
	w.control(204, "DELETE", "/control/users/mary@fabrikam.example/messages/"+made.ID, "", nil)
	if got := w.messages("mary@fabrikam.example"); len(got) != 0 {
		t.Errorf("after delete: %+v", got)
	}
	w.control(404, "DELETE", "/control/users/mary@fabrikam.example/messages/"+made.ID, "", nil)
}

func TestControlRefusesBadInput(t *testing.T) {
	w := empty(t)
	for _, c := range []struct {
		status             int
		method, path, body string
	}{
		{404, "GET", "/control/users/nobody@contoso.example/messages", ""},
		{404, "POST", "/control/users/nobody@contoso.example/revoke", ""},
		{409, "POST", "/control/users", `{"address":"ADA@contoso.example"}`},
		{400, "POST", "/control/users", `{"address":"no address"}`},
		{400, "POST", "/control/users", `{"address":"x@y.example","cloud":"pigeon"}`},
		{400, "POST", "/control/users", `{"adress":"x@y.example"}`},
		{400, "POST", "/control/users", `{`},
		{400, "POST", "/control/users/" + ada + "/messages", ""},
		{400, "POST", "/control/users/" + ada + "/messages?date=yesterday", "Subject: x\r\n\r\n"},
		{400, "POST", "/control/users/" + ada + "/lifecycle", `{"event":"party"}`},
		{400, "POST", "/control/users/" + ada + "/block", `{"code":1}`},
		{400, "PUT", "/control/faults", `{"status":42}`},
		{400, "PUT", "/control/faults", `{"rate":7}`},
		{400, "PUT", "/control/faults", `{"user":"nobody@contoso.example"}`},
		{400, "PUT", "/control/faults", `{"colour":"red"}`},
		{400, "POST", "/control/apps", `{"redirect_uris":["nonsense"]}`},
		{405, "PATCH", "/control/faults", ""},
	} {
		r := w.do(c.method, w.sb.ControlURL()+c.path, c.body)
		if r.status != c.status || c.status != 405 && !strings.Contains(r.body, `"error"`) {
			t.Errorf("%s %s %s: %d %s, want %d", c.method, c.path, c.body, r.status, r.body, c.status)
		}
	}
	if r := w.do("POST", w.sb.ControlURL()+"/control/users/"+ada+"/revoke", "", "Sec-Fetch-Site", "cross-site"); r.status != 403 {
		t.Errorf("a web page of another origin was heard: %d", r.status)
	}
}

func TestMailGoesFromUserToUser(t *testing.T) {
	w := empty(t)
	adas, graces := w.connect(ada), w.connect(grace)
	body := `{"message":{"subject":"Moth","body":{"contentType":"text","content":"found one"},"toRecipients":[{"emailAddress":{"address":"Grace@contoso.example"}},{"emailAddress":{"address":"nobody@nowhere.example"}}]}}`
	if r := w.graph(adas, "POST", "/me/sendMail", body); r.status != 202 {
		t.Fatalf("sendMail: %d %s", r.status, r.body)
	}
	if got := w.subjects(graces, "inbox"); !slices.Equal(got, []string{"Moth"}) {
		t.Errorf("grace has %q", got)
	}
	if got := w.subjects(adas, "sentitems"); !slices.Equal(got, []string{"Moth"}) {
		t.Errorf("sent: %q", got)
	}
	if got := w.subjects(adas, "inbox"); !slices.Equal(got, []string{"Undeliverable: Moth"}) {
		t.Errorf("ada has %q", got)
	}
	r := w.counters("")
	if r.MessagesSent != 1 || r.Mail["delivered"] != 2 || r.Mail["bounced"] != 1 || r.Count("POST", "/me/sendMail", 202) != 1 {
		t.Errorf("counters %+v", r)
	}
	id := decode[listed](t, w.graph(adas, "GET", "/me/mailFolders/inbox/messages", "")).Value[0].ID
	dsn := w.graph(adas, "GET", "/me/messages/"+id+"/$value", "").body
	for _, want := range []string{"Return-Path: <>", "report-type=delivery-status", "Final-Recipient: rfc822; nobody@nowhere.example", "Status: 5.1.1", "Subject: Moth"} {
		if !strings.Contains(dsn, want) {
			t.Errorf("the bounce lacks %q:\n%s", want, dsn)
		}
	}
	id = decode[listed](t, w.graph(graces, "GET", "/me/messages", "")).Value[0].ID
	copied := w.graph(graces, "GET", "/me/messages/"+id+"/$value", "").body
	if !strings.HasPrefix(copied, "Return-Path: <ada@contoso.example>\r\nReceived: from microsoft by mx.sandbox.example") {
		t.Errorf("grace's copy:\n%s", copied)
	}
}

func TestMessageIDsAreKeptOrRewritten(t *testing.T) {
	for _, rewrite := range []bool{false, true} {
		w := start(t, sandbox.Options{NoSeed: true, RewriteMessageIDs: rewrite})
		client, err := smtp.Dial(w.sb.State().SMTP)
		if err != nil {
			t.Fatal(err)
		}
		sendSMTP(t, client, "x@elsewhere.example", letter("x@elsewhere.example", ada, "kept", "text"), ada)
		tok := w.connect(ada)
		m := decode[struct{ Value []map[string]any }](t, w.graph(tok, "GET", "/me/messages", "")).Value[0]
		if got := m["internetMessageId"] == "<kept@test.example>"; got == rewrite {
			t.Errorf("rewrite %v: %v", rewrite, m["internetMessageId"])
		}
		raw := w.graph(tok, "GET", "/me/messages/"+m["id"].(string)+"/$value", "").body
		if rewrite != strings.Contains(raw, "X-Original-Message-ID: <kept@test.example>") {
			t.Errorf("rewrite %v:\n%s", rewrite, raw)
		}
	}
}

func sendSMTP(t *testing.T, c *smtp.Client, from, raw string, to ...string) {
	t.Helper()
	defer func() {
		if err := c.Quit(); err != nil {
			t.Error(err)
		}
	}()
	if err := c.Mail(from); err != nil {
		t.Fatal(err)
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			t.Fatal(err)
		}
	}
	body, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(body, raw); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSMTPIn(t *testing.T) {
	w := empty(t)
	c, err := smtp.Dial(w.sb.State().SMTP)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Mail("x@elsewhere.example"); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("nobody@contoso.example"); err == nil || !strings.HasPrefix(err.Error(), "550 ") || !strings.Contains(err.Error(), "5.1.1 ") {
		t.Errorf("unknown recipient: %v", err)
	}
	if err := c.Reset(); err != nil {
		t.Fatal(err)
	}
	sendSMTP(t, c, "x@elsewhere.example", letter("x@elsewhere.example", ada, "by SMTP", "one\n.\ntwo"), "ADA@contoso.example", grace)
	for _, user := range []string{ada, grace} {
		tok := w.connect(user)
		page := decode[listed](t, w.graph(tok, "GET", "/me/messages", ""))
		if len(page.Value) != 1 || page.Value[0].Subject != "by SMTP" || !strings.Contains(page.Value[0].Preview, "two") {
			t.Errorf("%s has %+v", user, page)
		}
	}
}

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
	case <-time.After(10 * time.Second):
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

func TestAppsByControl(t *testing.T) {
	w := empty(t)
	var app struct {
		ClientID string `json:"client_id"`
	}
	w.control(201, "POST", "/control/apps", `{"name":"other","redirect_uris":["http://localhost:9/cb"],"secrets":[{"value":"s"}]}`, &app)
	if app.ClientID == "" {
		t.Fatal("no client id")
	}
	r := w.do("GET", w.sb.State().Authority+"/oauth2/v2.0/authorize?response_type=code&scope=openid&redirect_uri=http%3A%2F%2Flocalhost%3A9%2Fcb&client_id="+app.ClientID, "")
	if r.status != 200 || !strings.Contains(r.body, "other asks for permission") {
		t.Errorf("%d %s", r.status, r.body)
	}
	var apps []any
	if w.control(200, "GET", "/control/apps", "", &apps); len(apps) != 2 {
		t.Errorf("%d apps", len(apps))
	}
}

func TestPage(t *testing.T) {
	w := empty(t)
	post := func(form string) response {
		return w.do("POST", w.sb.ControlURL()+"/", form, "Content-Type", "application/x-www-form-urlencoded")
	}
	if r := post("do=user&address=mary%40fabrikam.example&name=Mary"); r.status != 303 || !strings.Contains(r.header.Get("Location"), "done=") {
		t.Errorf("add: %d %v", r.status, r.header)
	}
	if r := post("do=deliver&to=mary%40fabrikam.example&from=x%40y.example%0D%0ABcc:+z&subject=Hi&text=one%0D%0Atwo"); r.status != 303 || strings.Contains(r.header.Get("Location"), "problem=") && !strings.Contains(r.header.Get("Location"), "problem=&") {
		t.Errorf("deliver: %d %v", r.status, r.header)
	}
	if got := w.messages("mary@fabrikam.example"); len(got) != 1 {
		t.Errorf("%d messages", len(got))
	}
	if r := post("do=fault&match=token&status=503"); !strings.Contains(r.header.Get("Location"), "done=") {
		t.Errorf("fault: %v", r.header)
	}
	if r := post("do=fault&match=token&status=lots"); !strings.Contains(r.header.Get("Location"), "problem=") {
		t.Errorf("bad fault: %v", r.header)
	}
	body := w.do("GET", w.sb.ControlURL()+"/?problem=%3Cb%3E", "").body
	for _, want := range []string{"mary@fabrikam.example", "<code>token</code>", "status 503", "&lt;b&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"<script", "src=", "<link"} {
		if strings.Contains(body, never) {
			t.Errorf("the page has %q", never)
		}
	}
	post("do=clear")
	if len(w.sb.Faults().List()) != 0 {
		t.Error("faults were not cleared")
	}
}

func TestStateFolder(t *testing.T) {
	dir := t.TempDir()
	opts := sandbox.Options{StateDir: dir, AllowHTTPNotifications: true}
	first, err := sandbox.Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sb: first, http: &http.Client{Transport: &http.Transport{TLSClientConfig: first.TLS()}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	w.control(201, "POST", "/control/users/"+ada+"/messages", letter("a@b.example", ada, "kept", "x"), nil)
	tok := w.connect(ada)
	base, posts := hook(t)
	w.subscribe(tok, base, "me/messages", "created")
	before := w.messages(ada)
	w.http.CloseIdleConnections()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, opts)
	if again.sb.State().CA != first.State().CA {
		t.Error("another authority")
	}
	after := again.messages(ada)
	if len(after) != len(before) || len(after) < 50 {
		t.Fatalf("%d messages, before %d", len(after), len(before))
	}
	for i := range after {
		if after[i].SHA256 != before[i].SHA256 || after[i].ID != before[i].ID {
			t.Fatalf("message %d is another", i)
		}
	}
	if _, status := again.token("grant_type", "refresh_token", "refresh_token", tok.Refresh); status != 200 {
		t.Errorf("refresh after a restart: %d", status)
	}
	again.control(201, "POST", "/control/users/"+ada+"/messages", letter("a@b.example", ada, "new", "x"), nil)
	next(t, posts)
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for what, opts := range map[string]sandbox.Options{
		"listen for control":              {Control: l.Addr().String(), NoSeed: true},
		"load mail from":                  {Mail: filepath.Join(t.TempDir(), "missing")},
		"write the certificate authority": {CAFile: filepath.Join(t.TempDir(), "no", "ca.pem")},
		"authority for notifications":     {NotifyCAFile: filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := sandbox.Start(t.Context(), opts); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want something about %q", err, what)
		}
	}
}

func TestCloseIsQuickWithRequestsUnderWay(t *testing.T) {
	w := start(t, sandbox.Options{NoSeed: true})
	tok := w.connect(ada)
	if err := w.sb.Faults().Put(traffic.Fault{Match: "/me$", DelayMS: 60_000}); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		_, err := w.try("GET", w.sb.State().Graph+"/me", "", "Authorization", "Bearer "+tok.Access)
		failed <- err
	}()
	eventually(t, "the request is under way", func() bool { return w.sb.Counters().Report("", "").Faults["/me$"] == 1 })
	began := time.Now()
	if err := w.sb.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("closing took %v", took)
	}
	if err := <-failed; err == nil {
		t.Error("a held request was answered")
	}
}

// Every file of the corpus is served, byte for byte.
func TestCorpusIsServedAsItIs(t *testing.T) {
	dir := corpus(t)
	w := start(t, sandbox.Options{Mail: dir})
	loaded, _, err := mailfile.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]int{}
	for _, m := range w.messages(ada) {
		served[m.SHA256]++
	}
	for _, m := range loaded {
		sum := sha256.Sum256(m.Raw)
		if served[hex.EncodeToString(sum[:])] == 0 {
			t.Errorf("%s is not served as it is", m.Path)
		}
		served[hex.EncodeToString(sum[:])]--
	}
	r := w.graph(w.connect(ada), "GET", "/me/mailFolders/inbox", "")
	if n := decode[map[string]any](t, r)["totalItemCount"]; n != float64(len(loaded)) {
		t.Errorf("the inbox has %v, want %d", n, len(loaded))
	}
}

func corpus(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above")
		}
		dir = filepath.Dir(dir)
	}
	found := filepath.Join(filepath.Dir(dir), "shared", "corpus", "mail")
	if _, err := os.Stat(found); err != nil {
		t.Skip("../shared is not present")
	}
	return found
}
