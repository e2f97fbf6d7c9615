package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// raw sends a request to a path of the gateway.
func (w *bad) raw(method, path, contentType, body string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx(), method, strings.TrimSuffix(w.info.GraphQL, "/graphql")+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+w.info.APIKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp
}

// page opens a page of the gateway in a browser and gives its status and text.
func (w *bad) page(path string) (int, string) {
	w.t.Helper()
	status, _, text := w.visit(w.browser(), strings.TrimSuffix(w.info.GraphQL, "/graphql")+path, nil)
	return status, text
}

func (w *bad) connecting(t *testing.T) {
	begin := `mutation($in: BeginConnectInput!) { beginConnect(input: $in) { url } }`
	for _, u := range []string{"javascript:alert(1)", "/relative", "ftp://example.com/", "https://user:secret@example.com/", "https://example.com/#x", "https:///x"} {
		w.refused("BAD_INPUT", begin, map[string]any{"in": map[string]any{"provider": "outlook", "redirectUrl": u}})
	}
	wrong := func(path string, status int, code string) {
		t.Helper()
		if got, text := w.page(path); got != status || code != "" && !strings.Contains(text, code) {
			t.Errorf("%.80s is answered by %d, want %d %s\n%s", path, got, status, code, text)
		}
	}
	wrong("/connect/nobodyknowsthis", http.StatusNotFound, "link_unknown")
	wrong("/connect/"+strings.Repeat("x", 5000), http.StatusNotFound, "link_unknown")
	wrong("/connect/", http.StatusNotFound, "")
	wrong("/oauth/outlook/callback", http.StatusBadRequest, "state_missing")
	wrong("/oauth/outlook/callback?state=invented&code=x", http.StatusNotFound, "link_unknown")
	wrong("/oauth/nowhere/callback?state=invented&code=x", http.StatusNotFound, "")

	// A browser is shown who asks before it goes on.
	req, err := http.NewRequestWithContext(w.ctx(), http.MethodGet, w.link(map[string]any{"expectedAddress": ada}), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	resp, err := w.browser().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("127.0.0.1:9")) || !bytes.Contains(page, []byte(ada)) {
		t.Errorf("the page does not say who asks for what: %s %v\n%s", resp.Status, err, page)
	}

	// An owner who says no, then somebody who signs in as another than expected.
	// Whom an administrator must allow in first is shown a page, of which
	// TestAdministratorConsents is.
	for _, c := range []struct {
		user, decision, code string
		in                   map[string]any
	}{
		{ada, "deny", "access_denied", nil},
		{grace, "approve", "address_mismatch", map[string]any{"expectedAddress": ada}},
	} {
		back := w.decide(w.browser(), w.link(c.in), c.user, c.decision)
		if back.Get("status") != "error" || back.Get("code") != c.code || back.Get("account") != "" {
			t.Errorf("%s of %s came back with %v, want %s", c.decision, c.user, back, c.code)
		}
	}

	// The provider's answer counts once, from the browser that began, and at the
	// provider that it was asked of.
	browser := w.browser()
	link := w.link(nil)
	callback := w.callbackOf(browser, link)
	elsewhere := strings.Replace(callback, "/oauth/outlook/", "/oauth/elsewhere/", 1)
	if status, _, _ := w.visit(browser, elsewhere, nil); status != http.StatusBadRequest && status != http.StatusNotFound {
		t.Errorf("at another provider the answer is taken: %d", status)
	}
	if status, _, text := w.visit(w.browser(), callback, nil); status != http.StatusForbidden || !strings.Contains(text, "other_browser") {
		t.Errorf("from another browser the answer is taken: %d\n%s", status, text)
	}
	if _, at, text := w.visit(browser, callback, nil); at.Query().Get("status") != "connected" {
		t.Errorf("from its own browser the answer is refused: %s\n%s", at.Redacted(), text)
	}
	if status, _, text := w.visit(browser, callback, nil); status != http.StatusConflict || !strings.Contains(text, "link_used") {
		t.Errorf("the same answer is taken twice: %d\n%s", status, text)
	}
	if status, _, text := w.visit(browser, link, nil); status != http.StatusConflict || !strings.Contains(text, "link_used") {
		t.Errorf("a used link opens: %d\n%s", status, text)
	}
}

// callbackOf approves at the provider, and gives the URL with which the
// provider sends the browser back, without following it.
func (w *bad) callbackOf(browser *http.Client, link string) string {
	w.t.Helper()
	staying := *browser
	staying.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if strings.Contains(req.URL.Path, "/oauth/outlook/callback") {
			return http.ErrUseLastResponse
		}
		return nil
	}
	_, at, _ := w.visit(&staying, link, nil)
	_, at, page := w.visit(&staying, at.String(), url.Values{"user": {ada}, "decision": {"approve"}})
	if !strings.Contains(at.Path, "/oauth/outlook/callback") {
		w.t.Fatalf("the provider sent the browser to %s\n%s", at.Redacted(), page)
	}
	return at.String()
}

func (w *bad) notifications(t *testing.T) {
	rounds := func() int64 { return w.counted(ada, "GET", "/me/mailFolders") }
	// What connecting has begun ends first.
	w.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": w.ada}, nil)
	before := rounds()
	for _, body := range []string{
		``, `nonsense`, `{}`, `{"value":[]}`, `{"value":[{}]}`,
		`{"value":[{"subscriptionId":"x","clientState":"guessed","changeType":"created","resource":"me/messages/x"}]}`,
		`{"value":[{"subscriptionId":"x","clientState":"","lifecycleEvent":"subscriptionRemoved"}]}`,
	} {
		if resp := w.raw("POST", "/notify/outlook", "application/json", body); resp.StatusCode != http.StatusForbidden && resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s is answered by %s", body, resp.Status)
		}
	}
	for want, req := range map[int][3]string{
		http.StatusMethodNotAllowed:      {"GET", "/notify/outlook", ""},
		http.StatusNotFound:              {"POST", "/notify/nowhere", "{}"},
		http.StatusRequestEntityTooLarge: {"POST", "/notify/outlook", strings.Repeat(" ", 2<<20)},
	} {
		if resp := w.raw(req[0], req[1], "application/json", req[2]); resp.StatusCode != want {
			t.Errorf("%s %s is answered by %s, want %d", req[0], req[1], resp.Status, want)
		}
	}
	resp, err := http.Post(strings.TrimSuffix(w.info.GraphQL, "/graphql")+"/notify/outlook?validationToken=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	echo, err := io.ReadAll(resp.Body)
	if err != nil || bytes.Contains(echo, []byte("<script")) || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("the validation token is echoed as %s %s %v", resp.Header.Get("Content-Type"), echo, err)
	}
	// A round that a forged notification had begun would come before one of
	// another account that is asked for now.
	w.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": w.grace}, nil)
	if after := rounds(); after != before {
		t.Errorf("forged notifications led to %d requests", after-before)
	}
	var got struct {
		Account struct{ Watch struct{ State string } }
	}
	w.query(`query($id: ID!) { account(id: $id) { watch { state } } }`, map[string]any{"id": w.ada}, &got)
	if got.Account.Watch.State != "PUSH" {
		t.Errorf("the push channel is %s", got.Account.Watch.State)
	}
}

func (w *bad) blobs(t *testing.T) {
	var got struct{ Message struct{ Raw string } }
	w.query(`query($id: ID!) { message(id: $id) { raw } }`, map[string]any{"id": w.message}, &got)
	link, err := url.Parse(got.Message.Raw)
	if err != nil {
		t.Fatal(err)
	}
	q := link.Query()
	for name, change := range map[string]func(){
		"no signature":    func() { q.Del("sig") },
		"other signature": func() { q.Set("sig", "AAAA") },
		"longer life":     func() { q.Set("exp", "99999999999") },
		"other message":   func() { link.Path = strings.Replace(link.Path, w.message, "mother", 1) },
		"other kind":      func() { link.Path = strings.Replace(link.Path, "/raw/", "/attachment/", 1) + "/1" },
		"no message":      func() { link.Path = "/blobs/" },
	} {
		saved, path := link.Query(), link.Path
		q = link.Query()
		change()
		link.RawQuery = q.Encode()
		resp, err := http.Get(link.String())
		if err != nil {
			t.Fatal(err)
		}
		var body struct{ Errors []gqlError }
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != http.StatusForbidden || len(body.Errors) != 1 || body.Errors[0].Extensions.Code != "FORBIDDEN" {
			t.Errorf("%s is answered by %s %+v %v", name, resp.Status, body, err)
		}
		_ = resp.Body.Close()
		link.RawQuery, link.Path = saved.Encode(), path
	}
}

// expiredLinks waits until a link is too old, at a gateway of its own: the
// demo's links are to last, however long the rest takes.
func (w *bad) expiredLinks(t *testing.T) {
	const life = 100 * time.Millisecond
	g, _, _ := w.own(t, func(_ string, s settings) { s.section("connect")["link_life"] = life.String() })
	link := g.link(nil)
	<-time.After(life)
	if status, _, text := g.visit(g.browser(), link, nil); status != http.StatusBadRequest && status != http.StatusNotFound ||
		!strings.Contains(text, "link_expired") && !strings.Contains(text, "link_unknown") {
		t.Errorf("an expired link is answered by %d\n%s", status, text)
	}
}
