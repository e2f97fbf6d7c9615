package signin_test

import (
	"html/template"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
	"github.com/postern-mail/postern/internal/sandbox/worldtest"
)

var (
	ada   = cloud.User{ID: "1", Address: "ada@x.example"}
	grace = cloud.User{ID: "2", Address: "grace@x.example"}
	all   = worldtest.Users{ada, grace}
)

// TestSessions: who signed in is known to that browser, until it is ended.
func TestSessions(t *testing.T) {
	s := signin.NewSessions("session", "/o/", true)
	add := func(c *http.Cookie, u cloud.User) *http.Cookie {
		rec, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if c != nil {
			r.AddCookie(c)
		}
		s.Add(rec, r, u)
		if set := rec.Result().Cookies(); len(set) == 1 {
			c = set[0]
		}
		return c
	}
	user := func(c *http.Cookie, hint string) string {
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		if c != nil {
			r.AddCookie(c)
		}
		u, ok := s.User(r, all, hint)
		if !ok {
			return ""
		}
		return u.Address
	}
	first := add(nil, ada)
	if !first.HttpOnly || !first.Secure || first.Path != "/o/" || first.SameSite != http.SameSiteLaxMode {
		t.Errorf("cookie %v", first)
	}
	if got := user(first, ""); got != ada.Address {
		t.Errorf("the only one is %q", got)
	}
	if got := user(nil, ""); got != "" {
		t.Errorf("another browser knows %q", got)
	}
	if got := user(first, "GRACE@x.example"); got != "" {
		t.Errorf("hint of a stranger: %q", got)
	}
	if again := add(first, grace); again.Value != first.Value {
		t.Error("a second sign-in made another session")
	}
	add(first, grace)
	for hint, want := range map[string]string{"": "", "Grace@x.example": grace.Address, "1": ada.Address, "3": ""} {
		if got := user(first, hint); got != want {
			t.Errorf("hint %q: %q", hint, got)
		}
	}
	rec, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	r.AddCookie(first)
	s.End(rec, r)
	if got := user(first, "1"); got != "" || rec.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("after the end: %q, %v", got, rec.Result().Cookies())
	}
}

// TestVerifies: PKCE by the example of RFC 7636, appendix B.
func TestVerifies(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for _, tc := range []struct {
		method, challenge, verifier string
		want                        bool
	}{
		{"S256", challenge, verifier, true}, {"S256", challenge, challenge, false}, {"S256", challenge, "", false},
		{"plain", verifier, verifier, true}, {"plain", challenge, verifier, false}, {"", "", "", true}, {"", "", verifier, false},
	} {
		if got := signin.Verifies(tc.method, tc.challenge, tc.verifier); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestChoices(t *testing.T) {
	chosen := func(users []cloud.User, hint string, choose bool) (out []string) {
		for _, c := range signin.Choices(users, hint, choose) {
			if c.Chosen {
				out = append(out, c.Address)
			}
		}
		return out
	}
	if got := chosen(all, "GRACE@x.example", false); len(got) != 1 || got[0] != grace.Address {
		t.Errorf("hinted: %v", got)
	}
	if got := chosen(all, grace.Address, true); got != nil {
		t.Errorf("to choose: %v", got)
	}
	if got := chosen(all[:1], "", false); len(got) != 1 {
		t.Errorf("the only one: %v", got)
	}
	if got := signin.Choices(make([]cloud.User, 21), "", false); got != nil {
		t.Errorf("too many: %d", len(got))
	}
}

// TestPage: nothing may frame or script it, and what it shows is escaped.
func TestPage(t *testing.T) {
	rec := httptest.NewRecorder()
	signin.PageStatus(rec, 403, template.Must(template.New("x").Parse(signin.Head("A&B")+`<p>{{.}}</p>`+signin.Foot)), "<script>")
	body := rec.Body.String()
	if rec.Code != 403 || rec.Header().Get("X-Frame-Options") != "DENY" || !strings.Contains(rec.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", rec.Code, rec.Header())
	}
	if strings.Contains(body, "<script>") || !strings.Contains(body, "A&amp;B") {
		t.Errorf("page %s", body)
	}
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/auth?state=a%26b&user=mallory", strings.NewReader(url.Values{"user": {"ada"}, "nonce": {"n"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	if got := signin.FormAction(r, "user"); got != "/auth?nonce=n&state=a%26b" {
		t.Errorf("action %s", got)
	}
}
