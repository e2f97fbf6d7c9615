package sandbox_test

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
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

func TestApproveAndDeny(t *testing.T) {
	w := empty(t)
	state := w.sb.State()
	address := func(redirect string) string {
		return state.Authority + "/oauth2/v2.0/authorize?" + url.Values{"client_id": {state.ClientID}, "response_type": {"code"},
			"scope": {"openid"}, "redirect_uri": {redirect}}.Encode()
	}
	back, err := sandbox.Deny(t.Context(), w.http, address(callback))
	if err != nil || back.Query().Get("error") != "access_denied" {
		t.Errorf("deny: %v, %v", back, err)
	}
	if _, err := sandbox.Approve(t.Context(), w.http, address("https://evil.example/"), ada); err == nil || !strings.Contains(err.Error(), "AADSTS50011") {
		t.Errorf("a foreign redirect URI: %v", err)
	}
	if _, err := sandbox.Approve(t.Context(), w.http, address(callback), "nobody@contoso.example"); err == nil || !strings.Contains(err.Error(), "AADSTS50034") {
		t.Errorf("nobody: %v", err)
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
	// Had it waited for the request, that would be a minute.
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("closing took %v", took)
	}
	if err := <-failed; err == nil {
		t.Error("a held request was answered")
	}
}
