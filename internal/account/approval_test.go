package account

import (
	"net/url"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// TestApproval: where an owner may not consent, an administrator gets a link,
// comes back from another browser days later, and the owner's next try succeeds.
func TestApproval(t *testing.T) {
	w := newWorld(t)
	w.cloud.RequireApproval(true)
	refused := func(token string) *Finished {
		f, err := w.svc.Callback(w.ctx, "memory", browser, w.approve(token, ann, true))
		w.must(err)
		if back, _ := url.Parse(f.Return); code(f.Err) != mail.CodeAdminConsent || back.Query().Get("code") != mail.CodeAdminConsent {
			t.Fatalf("refused with %v, back to %s", f.Err, f.Return)
		}
		if f.ApprovalURL == "" || f.Approval != nil {
			t.Fatalf("the owner is shown %+v", f)
		}
		return f
	}
	token := w.link(ConnectInput{ReturnURL: "https://app.example/done"})
	first := refused(token)
	if again := refused(token); again.ApprovalURL != first.ApprovalURL {
		t.Errorf("the second try has another link: %s, then %s", first.ApprovalURL, again.ApprovalURL)
	}
	if other := refused(w.link(ConnectInput{ReturnURL: "https://app.example/done"})); other.ApprovalURL == first.ApprovalURL {
		t.Error("two links have the same link for the administrator")
	}

	w.advance(3 * 24 * time.Hour) // the owner's own link is long gone
	w.link(ConnectInput{})        // which drops what has expired
	denied, err := w.cloud.Approve(first.ApprovalURL, false)
	w.must(err)
	f, err := w.svc.Callback(w.ctx, "memory", "", denied)
	if err != nil || f.Approval == nil || mail.KindOf(f.Err) != mail.KindForbidden || f.Return != "" {
		t.Fatalf("an administrator who denies: %v, %+v", err, f)
	}
	refused(w.link(ConnectInput{ReturnURL: "https://app.example/done"}))

	allowed, err := w.cloud.Approve(first.ApprovalURL, true)
	w.must(err)
	for range 2 { // going back in the browser changes nothing
		f, err = w.svc.Callback(w.ctx, "memory", "the administrator's", allowed)
		if err != nil || f.Err != nil || f.Approval == nil || f.Approval.Application != "app.example" || f.Approval.Provider == "" || f.Account != "" {
			t.Fatalf("an administrator who allows: %v, %+v", err, f)
		}
	}
	if f := w.connect(ConnectInput{}, ann); f.Err != nil || f.Account == "" {
		t.Errorf("the next try: %v", f.Err)
	}
}

// TestForgedApprovals: nobody is told that an application is allowed who did
// not come by a link of ours, and a state of one kind is none of the other.
func TestForgedApprovals(t *testing.T) {
	w := newWorld(t)
	w.cloud.RequireApproval(true)
	token := w.link(ConnectInput{})
	f, err := w.svc.Callback(w.ctx, "memory", browser, w.approve(token, ann, true))
	w.must(err)
	// What waits for an administrator is no link: nobody signs in by it.
	for _, guess := range []string{"approval\x00" + hash(token), hash("approval\x00" + hash(token)), approvalState(hash(token))} {
		if _, err := w.svc.OpenLink(w.ctx, guess, browser); code(err) != "link_unknown" {
			t.Errorf("opened as the link %q: %v", guess, err)
		}
	}
	answer, err := w.cloud.Approve(f.ApprovalURL, true)
	w.must(err)
	state := answer.Get("state")
	for name, bad := range map[string]string{
		"an unknown state": "0" + state, "a sign-in's state": state[:len(state)-len(approvalMark)] + "-x", "nothing but the mark": approvalMark,
	} {
		params := url.Values{"approved": {"yes"}, "state": {bad}}
		if f, err := w.svc.Callback(w.ctx, "memory", browser, params); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
	if _, err := w.svc.Callback(w.ctx, "other", browser, answer); code(err) != "approval_unknown" {
		t.Errorf("at another provider: %v", err)
	}
	w.advance(approvalLife + time.Minute)
	if _, err := w.svc.Callback(w.ctx, "memory", browser, answer); code(err) != "approval_unknown" {
		t.Errorf("after %v: %v", approvalLife, err)
	}
}

// TestApprovalLinks: a plugin's link is shown to people, so it must be one that
// leads to a web page.
func TestApprovalLinks(t *testing.T) {
	w := newWorld(t)
	token := w.link(ConnectInput{})
	c, err := w.svc.byLink(w.ctx, token)
	w.must(err)
	for link, good := range map[string]bool{
		"https://login.example/adminconsent?state=x": true, "http://localhost:8090/adminconsent": true,
		"": false, "javascript:alert(1)": false, "/relative": false, "https://user:pass@login.example/": false, "%": false,
	} {
		got := w.svc.awaitApproval(w.ctx, c, &mail.Error{Kind: mail.KindForbidden, Code: mail.CodeAdminConsent, Link: link})
		if (got != "") != good {
			t.Errorf("%q is shown as %q", link, got)
		}
	}
	if got := w.svc.awaitApproval(w.ctx, c, &mail.Error{Kind: mail.KindForbidden, Code: "access_denied", Link: "https://login.example/"}); got != "" {
		t.Errorf("a link without the code is shown: %q", got)
	}
}
