package e2e

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// shared finds the link to hand on, and the way back, on a page of ours.
var (
	shared  = regexp.MustCompile(`id="share" href="([^"]+)"`)
	wayBack = regexp.MustCompile(`href="([^"]+)">Back to`)
)

func found(t *testing.T, re *regexp.Regexp, page string) string {
	t.Helper()
	m := re.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("%s is not on the page\n%s", re, page)
	}
	return html.UnescapeString(m[1])
}

// TestAdministratorConsents: where users may not allow applications, the page
// gives a link for an administrator, who returns to a page of ours from another
// browser, and the user's next try succeeds.
func TestAdministratorConsents(t *testing.T) {
	t.Parallel()
	const mary = "mary@contoso.example"
	d := startDemo(t)
	d.control("POST", "/control/users", `{"cloud": "microsoft", "address": "`+mary+`", "name": "Mary Somerville"}`, nil)
	var told struct{ Administrator string }
	d.control("PUT", "/control/consent", `{"administrators_only": true}`, &told)
	if told.Administrator == "" {
		t.Fatal("the sandbox names no administrator")
	}

	// The user signs in and is sent back.
	browser := d.browser()
	link := d.link(nil)
	refused := func() string {
		t.Helper()
		_, at, _ := d.visit(browser, link, nil)
		status, at, page := d.visit(browser, at.String(), url.Values{"user": {mary}, "decision": {"approve"}})
		if status != http.StatusForbidden || !strings.Contains(page, "An administrator must allow this application") || !strings.Contains(page, "admin_consent_required") {
			t.Fatalf("the user is at %s: %d\n%s", at.Redacted(), status, page)
		}
		back, err := url.Parse(found(t, wayBack, page))
		if err != nil || !strings.HasPrefix(back.String(), returnURL) || back.Query().Get("status") != "error" || back.Query().Get("code") != "admin_consent_required" {
			t.Errorf("the way back is %s, %v", back, err)
		}
		return found(t, shared, page)
	}
	approve := refused()

	// The administrator has the link alone, and another browser.
	administrator := d.browser()
	answer := func(decision string) (int, string) {
		t.Helper()
		if status, at, page := d.visit(administrator, approve, nil); status != http.StatusOK || !strings.HasPrefix(at.String(), d.info.Sandbox.Clouds["microsoft"]) {
			t.Fatalf("the link leads to %s: %d\n%s", at.Redacted(), status, page)
		}
		status, at, page := d.visit(administrator, approve, url.Values{"user": {told.Administrator}, "decision": {decision}})
		if !strings.HasSuffix(at.Path, "/oauth/outlook/callback") {
			t.Fatalf("the administrator returns to %s", at.Redacted())
		}
		return status, page
	}
	if status, page := answer("deny"); status != http.StatusForbidden || !strings.Contains(page, "was not allowed") {
		t.Errorf("after a denial: %d\n%s", status, page)
	}
	if again := refused(); again != approve {
		t.Errorf("the second try gives another link: %s, then %s", approve, again)
	}
	if status, page := answer("approve"); status != http.StatusOK || !strings.Contains(page, "The application is allowed") || !strings.Contains(page, "127.0.0.1:9") {
		t.Errorf("after the approval: %d\n%s", status, page)
	}

	// The next try, through the very same link.
	back := d.decide(browser, link, mary, "approve")
	if back.Get("status") != "connected" || back.Get("account") == "" {
		t.Fatalf("the next try came back with %v", back)
	}
	d.eventually(mary+" is in step", func() bool { return d.state(back.Get("account")) == "READY" })
}
