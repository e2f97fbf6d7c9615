package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// TestDeniedThenApproved: an owner who denied can open the same link again; one
// who looks at the link, or another who opens it, ends no sign-in.
func TestDeniedThenApproved(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	link, browser := d.link(map[string]any{"expectedAddress": ada}), d.browser()
	if back := d.decide(browser, link, ada, "deny"); back.Get("code") != "access_denied" {
		t.Fatalf("denied, and came back with %v", back)
	}
	if resp, err := http.Head(link); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("HEAD of the link: %v %v", resp, err)
	}
	_, at, page := d.visit(browser, link, nil)
	if !strings.HasPrefix(at.String(), d.info.Sandbox.Clouds["microsoft"]) {
		t.Fatalf("the link led to %s\n%s", at.Redacted(), page)
	}
	// A scanner follows the link while the owner thinks.
	if _, at, page := d.visit(d.browser(), link, nil); !strings.HasPrefix(at.String(), d.info.Sandbox.Clouds["microsoft"]) {
		t.Fatalf("another one was led to %s\n%s", at.Redacted(), page)
	}
	_, at, page = d.visit(browser, at.String(), map[string][]string{"user": {ada}, "decision": {"approve"}})
	if at.Query().Get("status") != "connected" {
		t.Fatalf("after approving the browser is at %s\n%s", at.Redacted(), page)
	}
	if _, _, page := d.visit(browser, link, nil); !strings.Contains(page, "link_used") {
		t.Errorf("the link is good still:\n%s", page)
	}
}
