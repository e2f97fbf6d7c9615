package e2e

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"
)

// alanAtGmail is the demo's user at Google.
const alanAtGmail = "alan@gmail.example"

// testing makes the sandbox's Google app one in testing, or publishes it.
func (d *demo) testing(yes bool) {
	d.t.Helper()
	var apps []map[string]any
	d.control("GET", "/control/apps?cloud=google", "", &apps)
	if len(apps) == 0 {
		d.t.Fatal("the sandbox has no app at Google")
	}
	for _, a := range apps {
		a["cloud"], a["testing"], a["test_users"] = "google", yes, []string{alanAtGmail}
		body, err := json.Marshal(a)
		if err != nil {
			d.t.Fatal(err)
		}
		d.control("POST", "/control/apps", string(body), nil)
	}
}

// TestConsentThatEnds: an app in testing mode has consents of seven days. The
// account says so while all is well, with the date, and so does the list of
// accounts; connected again through a published app it has nothing to say.
func TestConsentThatEnds(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	account := d.account(alanAtGmail)
	reason := func() string {
		t.Helper()
		var got struct {
			Account struct{ State, StateReason string }
		}
		d.query(`query($a: ID!) { account(id: $a) { state stateReason } }`, map[string]any{"a": account}, &got)
		if got.Account.State != "READY" {
			t.Errorf("the account is %s", got.Account.State)
		}
		return got.Account.StateReason
	}
	connect := func() {
		t.Helper()
		browser := d.browser()
		_, at, _ := d.visit(browser, d.link(map[string]any{"provider": "gmail", "loginHint": alanAtGmail}), nil)
		_, at, page := d.visit(browser, at.String(), url.Values{"user": {alanAtGmail}, "decision": {"approve"}})
		if q := at.Query(); q.Get("status") != "connected" || q.Get("account") != account {
			t.Fatalf("connecting ended at %s\n%s", at.Redacted(), page)
		}
	}
	if got := reason(); got != "" {
		t.Errorf("a published app's account says %q", got)
	}
	d.testing(true)
	days := func() string { return time.Now().AddDate(0, 0, 7).UTC().Format(time.DateOnly) }
	before := days()
	connect()
	told := reason()
	if !strings.Contains(told, "testing") || !strings.HasPrefix(told, "the consent ends on "+before) && !strings.HasPrefix(told, "the consent ends on "+days()) {
		t.Errorf("in testing it says %q, and should end on %s", told, before)
	}
	if out, err := postern(t, d.info.Config, "accounts", "list"); err != nil || !strings.Contains(out, "READY") || !strings.Contains(out, told) {
		t.Errorf("accounts list: %v\n%s", err, out)
	}
	d.testing(false)
	connect()
	if got := reason(); got != "" {
		t.Errorf("published and connected again it says %q", got)
	}
}
