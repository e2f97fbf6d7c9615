package identity

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func (w *world) adminURL(tenant string, changes ...string) string {
	v := url.Values{"client_id": {DefaultAppID}, "redirect_uri": {callback}, "state": {"s t&te"}, "scope": {allWords}}
	change(v, changes)
	return w.server.URL + "/" + tenant + "/v2.0/adminconsent?" + v.Encode()
}

// TestAdminConsent: users who may not allow applications are sent back with
// AADSTS90094 until an administrator has.
func TestAdminConsent(t *testing.T) {
	w := newWorld(t, Settings{})
	w.p.RestrictConsent(true)
	refused := func(user, when string) {
		t.Helper()
		r := w.decide(w.authorizeURL("common"), user, "approve")
		if q := r.location.Query(); q.Get("error") != "consent_required" || !strings.HasPrefix(q.Get("error_description"), "AADSTS90094") || q.Get("state") != "s t&te" {
			t.Errorf("%s, %s came back with %s", when, user, r.location)
		}
	}
	refused(ada.Address, "at first")
	w.code(mary.Address) // has no organisation

	admin := w.p.Administrator()
	page := w.get(w.adminURL("organizations"))
	if page.status != http.StatusOK || !strings.Contains(page.body, admin) || strings.Contains(page.body, ada.Address) {
		t.Errorf("the page: %d %s", page.status, page.body)
	}
	if r := w.decide(w.adminURL("organizations"), ada.Address, "approve"); r.location != nil || !strings.Contains(r.body, "no administrator") {
		t.Errorf("a user at the administrator's page: %v %s", r.location, r.body)
	}
	denied := w.decide(w.adminURL("organizations"), admin, "deny").location.Query()
	if denied.Get("error") != "consent_required" || denied.Get("admin_consent") != "True" || denied.Get("state") != "s t&te" || !strings.HasPrefix(denied.Get("error_description"), "AADSTS65004") {
		t.Errorf("denied: %v", denied)
	}
	refused(ada.Address, "after a denial")

	// What was allowed is allowed, and nothing more.
	w.decide(w.adminURL(w.p.Tenant(), "scope", "User.Read"), admin, "approve")
	refused(ada.Address, "after less was allowed")
	allowed := w.decide(w.adminURL(w.p.Tenant()), admin, "approve").location.Query()
	if allowed.Get("admin_consent") != "True" || allowed.Get("tenant") != w.p.Tenant() || allowed.Get("state") != "s t&te" || allowed.Has("error") {
		t.Errorf("allowed: %v", allowed)
	}
	w.connect(ada.Address)
	w.connect(grace.Address)

	w.p.RestrictConsent(false)
	w.p.RestrictConsent(true)
	w.connect(ada.Address) // has consented herself by now
	dir := t.TempDir()
	if err := w.p.Save(dir); err != nil {
		t.Fatal(err)
	}
	again := newWorld(t, Settings{})
	if err := again.p.Load(dir); err != nil {
		t.Fatal(err)
	}
	if !again.p.restricted {
		t.Error("the restriction did not outlive the process")
	}
}

func TestAdminConsentRefusals(t *testing.T) {
	w := newWorld(t, Settings{})
	for name, c := range map[string]struct{ address, want string }{
		"common":      {w.adminURL("common"), "AADSTS90002"},
		"no tenant":   {w.adminURL("nowhere.example"), "AADSTS90002"},
		"no client":   {w.adminURL("organizations", "client_id", "-"), "AADSTS900144"},
		"a stranger":  {w.adminURL("organizations", "client_id", "00000000-0000-4000-8000-000000000000"), "AADSTS700016"},
		"a redirect":  {w.adminURL("organizations", "redirect_uri", "https://elsewhere.example/"), "AADSTS50011"},
		"no scope":    {w.adminURL("organizations", "scope", "-"), "AADSTS900144"},
		"a bad scope": {w.adminURL("organizations", "scope", "Mail.Everything"), "AADSTS70011"},
	} {
		if r := w.get(c.address); r.location != nil || !strings.Contains(r.body, c.want) {
			t.Errorf("%s: to %v, %s, want %s", name, r.location, r.body, c.want)
		}
	}
}

// TestOwnToken: an application's token for itself shows whether its credential
// is taken, at a tenant of its own.
func TestOwnToken(t *testing.T) {
	w := newWorld(t, Settings{})
	scope := []string{"grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default"}
	status, answer, _ := w.token(w.p.Tenant(), scope...)
	if status != http.StatusOK || answer.AccessToken == "" || answer.RefreshToken != "" || answer.IDToken != "" {
		t.Errorf("%d %+v", status, answer)
	}
	for want, pairs := range map[int][]string{
		7000215: append([]string{"client_secret", "wrong"}, scope...),
		700016:  append([]string{"client_id", "00000000-0000-4000-8000-000000000000"}, scope...),
		1002012: {"grant_type", "client_credentials", "scope", "User.Read"},
	} {
		if _, _, e := w.token(w.p.Tenant(), pairs...); !slices.Equal(e.Codes, []int{want}) {
			t.Errorf("%v, want %d", e.Codes, want)
		}
	}
	if _, _, e := w.token("common", scope...); !slices.Equal(e.Codes, []int{50059}) {
		t.Errorf("at common: %v", e.Codes)
	}
}
