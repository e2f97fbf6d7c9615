package identity

import (
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPageShowsWhoAsksForWhat(t *testing.T) {
	w := newWorld(t, Settings{})
	r := w.get(w.authorizeURL("common", "login_hint", "GRACE@contoso.example"))
	if r.status != http.StatusOK {
		t.Fatalf("status %d", r.status)
	}
	for _, want := range []string{
		"sandbox-app asks for permission", "Ada Lovelace", `value="grace@contoso.example" checked`,
		"Read and write your mail", "Send mail as you", `value="approve"`, `value="deny"`, `method="post"`,
	} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, never := range []string{"http-equiv", "<script", "src=", "<link"} {
		if strings.Contains(r.body, never) {
			t.Errorf("the page has %q: it must need no other asset", never)
		}
	}
	if strings.Contains(w.get(w.authorizeURL("common", "login_hint", grace.Address, "prompt", "select_account")).body, "checked") {
		t.Error("prompt=select_account chose a user")
	}
}

func TestPageEscapesWhatTheClientSends(t *testing.T) {
	app := DefaultApp()
	app.Name = `<script>alert(1)</script>`
	w := newWorld(t, Settings{}, app)
	r := w.get(w.authorizeURL("common", "state", `"><script>alert(2)</script>`, "login_hint", `"><b>`))
	if strings.Contains(r.body, "<script>") || strings.Contains(r.body, "<b>") {
		t.Errorf("not escaped:\n%s", r.body)
	}
}

// The page's own form, sent as a browser would, ends at the redirect URI.
func TestFormOfThePageWorks(t *testing.T) {
	w := newWorld(t, Settings{})
	body := w.get(w.authorizeURL("common")).body
	_, rest, ok := strings.Cut(body, `action="`)
	if !ok {
		t.Fatal("no form")
	}
	action, _, _ := strings.Cut(rest, `"`)
	r := w.decide(w.server.URL+html.UnescapeString(action), ada.Address, "approve")
	if r.status != http.StatusFound || r.location.Query().Get("state") != "s t&te" || r.location.Query().Get("code") == "" {
		t.Fatalf("%d %v %s", r.status, r.location, r.body)
	}
	if got := r.location.Scheme + "://" + r.location.Host + r.location.Path; got != callback {
		t.Errorf("went to %s", got)
	}
}

func TestRefusedRequests(t *testing.T) {
	w := newWorld(t, Settings{})
	for _, c := range []struct {
		name    string
		tenant  string
		changes []string
		code    string // AADSTS
		oauth   string // "" when the page answers, without a redirect
	}{
		{"no client", "common", []string{"client_id", "-"}, "AADSTS900144", ""},
		{"unknown client", "common", []string{"client_id", "nobody"}, "AADSTS700016", ""},
		{"unknown tenant", "fabrikam.example", nil, "AADSTS90002", ""},
		{"redirect not registered", "common", []string{"redirect_uri", "https://evil.example/"}, "AADSTS50011", ""},
		{"redirect nearly registered", "common", []string{"redirect_uri", callback + "/"}, "AADSTS50011", ""},
		{"redirect port", "common", []string{"redirect_uri", strings.Replace(callback, "8080", "9090", 1)}, "AADSTS50011", ""},
		{"response type", "common", []string{"response_type", "token"}, "AADSTS700054", "unsupported_response_type"},
		{"no response type", "common", []string{"response_type", "-"}, "AADSTS900144", "invalid_request"},
		{"response mode", "common", []string{"response_mode", "smoke"}, "AADSTS70007", "invalid_request"},
		{"no scope", "common", []string{"scope", "-"}, "AADSTS900144", "invalid_request"},
		{"unknown scope", "common", []string{"scope", "Mail.Burn"}, "AADSTS70011", "invalid_scope"},
		{"unknown resource", "common", []string{"scope", "https://example.com/Mail.Read"}, "AADSTS500011", "invalid_resource"},
		{"short challenge", "common", []string{"code_challenge", "short"}, "AADSTS501491", "invalid_request"},
		{"challenge method", "common", []string{"code_challenge_method", "S512"}, "AADSTS70007", "invalid_request"},
		{"prompt", "common", []string{"prompt", "shout"}, "AADSTS70007", "invalid_request"},
		{"no session", "common", []string{"prompt", "none"}, "AADSTS50058", "login_required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.t = t
			r := w.get(w.authorizeURL(c.tenant, c.changes...))
			if c.oauth == "" {
				if r.status != http.StatusOK || r.location != nil || !strings.Contains(r.body, c.code) {
					t.Fatalf("want a page with %s: %d %v\n%s", c.code, r.status, r.location, r.body)
				}
				return
			}
			if r.status != http.StatusFound {
				t.Fatalf("status %d\n%s", r.status, r.body)
			}
			q := r.location.Query()
			if q.Get("error") != c.oauth || !strings.HasPrefix(q.Get("error_description"), c.code+": ") || q.Get("state") != "s t&te" {
				t.Errorf("got %v", q)
			}
		})
	}
}

func TestDenied(t *testing.T) {
	w := newWorld(t, Settings{})
	q := w.decide(w.authorizeURL("common"), "", "deny").location.Query()
	if q.Get("error") != "access_denied" || !strings.HasPrefix(q.Get("error_description"), "AADSTS65004: ") || q.Get("error_subcode") != "cancel" {
		t.Errorf("got %v", q)
	}
	if got := w.counters.Report("", "").Authorize["denied"]; got != 1 {
		t.Errorf("counted %d denials", got)
	}
}

func TestResponseModes(t *testing.T) {
	w := newWorld(t, Settings{})
	r := w.decide(w.authorizeURL("common", "response_mode", "fragment"), ada.Address, "approve")
	values, err := url.ParseQuery(r.location.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	if r.location.RawQuery != "" || values.Get("code") == "" || values.Get("state") != "s t&te" {
		t.Errorf("fragment: %s", r.header.Get("Location"))
	}
	r = w.decide(w.authorizeURL("common", "response_mode", "form_post"), ada.Address, "approve")
	if r.status != http.StatusOK || !strings.Contains(r.body, `action="`+callback+`"`) ||
		!strings.Contains(r.body, `name="code"`) || !strings.Contains(r.body, `name="state" value="s t&amp;te"`) {
		t.Errorf("form_post: %d\n%s", r.status, r.body)
	}
}

func TestWhoMaySignInWhere(t *testing.T) {
	w := newWorld(t, Settings{})
	for _, c := range []struct {
		tenant, user, problem string
	}{
		{"common", ada.Address, ""},
		{"common", mary.Address, ""},
		{"organizations", ada.Address, ""},
		{"organizations", mary.Address, "AADSTS50020"},
		{"consumers", mary.Address, ""},
		{"consumers", ada.Address, "AADSTS50034"},
		{DefaultTenant, ada.Address, ""},
		{"contoso.example", ada.Address, ""},
		{"contoso.example", mary.Address, "AADSTS50020"},
		{"common", "nobody@contoso.example", "AADSTS50034"},
	} {
		r := w.decide(w.authorizeURL(c.tenant), c.user, "approve")
		if ok := r.status == http.StatusFound && r.location.Query().Has("code"); ok != (c.problem == "") {
			t.Errorf("%s at %s: %d %v", c.user, c.tenant, r.status, r.location)
		} else if !ok && !strings.Contains(r.body, c.problem) {
			t.Errorf("%s at %s: want %s\n%s", c.user, c.tenant, c.problem, r.body)
		}
	}
}

func TestSingleTenantApp(t *testing.T) {
	app := DefaultApp()
	app.Tenant = DefaultTenant
	w := newWorld(t, Settings{}, app)
	if r := w.get(w.authorizeURL("common")); !strings.Contains(r.body, "AADSTS50194") {
		t.Errorf("at common: %s", r.body)
	}
	if r := w.get(w.authorizeURL(DefaultTenant)); r.status != http.StatusOK || strings.Contains(r.body, "AADSTS") {
		t.Errorf("at its own tenant: %s", r.body)
	}
}

func TestBlockedUsersComeBackOrStay(t *testing.T) {
	w := newWorld(t, Settings{})
	for _, c := range []struct {
		code  int
		oauth string // "" when the page keeps the user
	}{
		{50057, ""}, {53003, ""}, {50105, "access_denied"}, {90094, "consent_required"}, {50076, "interaction_required"},
	} {
		if err := w.p.Block(ada, c.code); err != nil {
			t.Fatal(err)
		}
		r := w.decide(w.authorizeURL("common"), ada.Address, "approve")
		switch {
		case c.oauth == "" && (r.status != http.StatusOK || !strings.Contains(r.body, refuse(c.code).description())):
			t.Errorf("%d: %d\n%s", c.code, r.status, r.body)
		case c.oauth != "" && (r.location == nil || r.location.Query().Get("error") != c.oauth):
			t.Errorf("%d: %v", c.code, r.location)
		}
	}
	if err := w.p.Block(ada, 12345); err == nil {
		t.Error("a code that does not exist was taken")
	}
	if err := w.p.Block(ada, 0); err != nil {
		t.Fatal(err)
	}
	w.code(ada.Address)
}

func TestPromptNoneWithASession(t *testing.T) {
	w := newWorld(t, Settings{})
	w.code(ada.Address)
	if r := w.get(w.authorizeURL("common", "prompt", "none")); r.location == nil || !r.location.Query().Has("code") {
		t.Fatalf("the session's only user: %v", r.location)
	}
	r := w.get(w.authorizeURL("common", "prompt", "none", "scope", "openid MailboxSettings.ReadWrite"))
	if q := r.location.Query(); q.Get("error") != "interaction_required" || !strings.HasPrefix(q.Get("error_description"), "AADSTS65001") {
		t.Errorf("without consent: %v", q)
	}
	if q := w.get(w.authorizeURL("common", "prompt", "none", "login_hint", grace.Address)).location.Query(); q.Get("error") != "login_required" {
		t.Errorf("another user: %v", q)
	}
	if r := w.get(w.authorizeURL("common")); r.status != http.StatusOK {
		t.Error("without prompt=none the page was skipped")
	}
	w.get(w.server.URL + "/common/oauth2/v2.0/logout")
	if q := w.get(w.authorizeURL("common", "prompt", "none")).location.Query(); q.Get("error") != "login_required" {
		t.Errorf("after logout: %v", q)
	}
}

func TestSingleSignOn(t *testing.T) {
	w := newWorld(t, Settings{SingleSignOn: true})
	if r := w.get(w.authorizeURL("common")); r.status != http.StatusOK {
		t.Fatal("no page although nobody signed in")
	}
	w.code(ada.Address)
	if r := w.get(w.authorizeURL("common")); r.status != http.StatusFound {
		t.Error("the page was shown to a signed-in user who consented")
	}
	if r := w.get(w.authorizeURL("common", "prompt", "select_account")); r.status != http.StatusOK {
		t.Error("prompt=select_account was not honoured")
	}
}

func TestLoopbackPortsBySetting(t *testing.T) {
	app := DefaultApp("http://localhost/cb", "https://example.com/cb")
	app.IgnoreLoopbackPort = true
	w := newWorld(t, Settings{}, app)
	for uri, want := range map[string]bool{
		"http://localhost:12345/cb":   true,
		"http://localhost/cb":         true,
		"http://localhost:12345/xx":   false,
		"https://example.com:444/cb":  false,
		"http://127.0.0.1:12345/cb":   false,
		"http://localhost.evil.ex/cb": false,
	} {
		if got := !strings.Contains(w.get(w.authorizeURL("common", "redirect_uri", uri)).body, "AADSTS50011"); got != want {
			t.Errorf("%s: allowed = %v, want %v", uri, got, want)
		}
	}
}
