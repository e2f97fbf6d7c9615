package httpd

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/account"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// owners are accounts with one link, which one browser may open.
type owners struct {
	browser string
	params  map[string][]string
	err     error
	// finished is what a callback ends with; nil is that all went well.
	finished *account.Finished
}

func (o *owners) Asking(context.Context, string) (account.Asking, error) {
	return account.Asking{Application: "app.example", Provider: "Example Mail", Address: "ann@example.com"}, o.err
}

func (o *owners) OpenLink(_ context.Context, token, browser string) (string, error) {
	o.browser = browser
	return "https://provider.example/sign-in?link=" + token, o.err
}

func (o *owners) Callback(_ context.Context, _, browser string, params map[string][]string) (*account.Finished, error) {
	if o.err == nil && browser != o.browser {
		o.err = &mail.Error{Kind: mail.KindForbidden, Code: "other_browser", Message: "another browser"}
	}
	o.params = params
	if o.finished != nil {
		return o.finished, o.err
	}
	return &account.Finished{Return: "https://app.example/done?status=connected"}, o.err
}

func (o *owners) Hint(context.Context, string, *provider.Hint) {}

// do sends one request with the cookies of an earlier answer.
func do(o *owners, method, target, accept string, form url.Values, before *http.Response) (*http.Response, string) {
	r := httptest.NewRequest(method, target, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", accept)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if before != nil {
		for _, c := range before.Cookies() {
			r.AddCookie(c)
		}
	}
	w := httptest.NewRecorder()
	Handler(Options{Accounts: o, Secure: true}).ServeHTTP(w, r)
	return w.Result(), w.Body.String()
}

func TestConnectPage(t *testing.T) {
	o := &owners{}
	shown, page := do(o, "GET", "/connect/link1", "text/html,*/*", nil, nil)
	for _, want := range []string{"app.example", "ann@example.com", "Continue to Example Mail", `<form method="post">`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if shown.StatusCode != http.StatusOK || o.browser != "" {
		t.Errorf("the page opened the link: %d", shown.StatusCode)
	}
	sent, _ := do(o, "POST", "/connect/link1", "text/html", url.Values{}, nil)
	cookies := sent.Cookies()
	if sent.StatusCode != http.StatusSeeOther || !strings.HasPrefix(sent.Header.Get("Location"), "https://provider.example/") ||
		len(cookies) != 1 || !cookies[0].HttpOnly || !cookies[0].Secure || cookies[0].SameSite != http.SameSiteLaxMode {
		t.Fatalf("the button led to %d %v", sent.StatusCode, sent.Header)
	}
	back, _ := do(o, "GET", "/oauth/example/callback?state=s&code=c", "text/html", nil, sent)
	if back.StatusCode != http.StatusSeeOther || back.Header.Get("Location") != "https://app.example/done?status=connected" || o.params["code"][0] != "c" {
		t.Errorf("back: %d %v", back.StatusCode, back.Header)
	}
	// The same browser keeps its secret from link to link.
	first := o.browser
	if do(o, "POST", "/connect/link2", "text/html", url.Values{}, sent); o.browser != first {
		t.Error("another link made another browser of it")
	}
	if program, _ := do(o, "GET", "/connect/link1", "", nil, nil); program.StatusCode != http.StatusSeeOther {
		t.Errorf("a program is answered by %d", program.StatusCode)
	}
}

func TestCallbackByForm(t *testing.T) {
	o := &owners{}
	sent, _ := do(o, "GET", "/connect/link1", "", nil, nil)
	form, _ := do(o, "POST", "/oauth/example/callback", "text/html", url.Values{"state": {"s"}, "code": {"c d"}}, nil)
	if form.StatusCode != http.StatusSeeOther || o.params != nil {
		t.Fatalf("the form is answered by %d", form.StatusCode)
	}
	do(o, "GET", form.Header.Get("Location"), "text/html", nil, sent)
	if o.err != nil || o.params["code"][0] != "c d" {
		t.Errorf("the parameters came as %v, %v", o.params, o.err)
	}
}

func TestFailuresInWords(t *testing.T) {
	late := &mail.Error{Kind: mail.KindInvalid, Code: "link_expired", Message: "late"}
	for name, c := range map[string]struct {
		err    error
		status int
		want   []string
	}{
		"session": {&mail.Error{Kind: mail.KindInvalid, Code: "state_expired", Message: "late"}, 400,
			[]string{"Your session expired", `href="/connect/link1"`, "Connect again", "state_expired"}},
		"link":    {&account.Again{URL: "https://app.example/?code=link_expired", Err: late}, 400, []string{"Your session expired", `href="https://app.example/?code=link_expired"`}},
		"nowhere": {late, 400, []string{"Your session expired", "ask for a new link"}},
		"browser": {&mail.Error{Kind: mail.KindForbidden, Code: "other_browser", Message: "begun elsewhere"}, 403, []string{"begun elsewhere", "other_browser"}},
		"denied":  {&mail.Error{Kind: mail.KindForbidden, Code: "access_denied"}, 403, []string{"Access was not granted", "access_denied", `href="/connect/link1"`}},
		"ours":    {context.DeadlineExceeded, 500, []string{"Something went wrong on our side"}},
		"script":  {&mail.Error{Kind: mail.KindInvalid, Message: "<script>"}, 400, []string{"&lt;script&gt;"}},
		"fault":   {mail.Errorf(mail.KindUnavailable, "finish connect", "down"), 503, []string{"try again later", `href="/connect/link1"`}},
	} {
		o := &owners{}
		sent, _ := do(o, "GET", "/connect/link1", "", nil, nil)
		o.err = c.err
		got, page := do(o, "GET", "/oauth/example/callback?state=s", "text/html", nil, sent)
		if got.StatusCode != c.status {
			t.Errorf("%s: status %d", name, got.StatusCode)
		}
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q:\n%s", name, want, page)
			}
		}
	}
}

// TestCookiesAreNeeded: who comes back without our cookie is told what to do
// about it.
func TestCookiesAreNeeded(t *testing.T) {
	o := &owners{err: &mail.Error{Kind: mail.KindForbidden, Code: "other_browser", Message: "begun elsewhere"}}
	got, page := do(o, "GET", "/oauth/example/callback?state=s", "text/html", nil, nil)
	for _, want := range []string{"Cookies are needed", "Allow cookies for example.com", "open the link", "other_browser"} {
		if !strings.Contains(page, want) {
			t.Errorf("%d: the page lacks %q:\n%s", got.StatusCode, want, page)
		}
	}
	if got.StatusCode != http.StatusForbidden {
		t.Errorf("status %d", got.StatusCode)
	}
}

// TestUsedLinkOffersNothing: there is no way on from a link that is used up.
func TestUsedLinkOffersNothing(t *testing.T) {
	o := &owners{}
	sent, _ := do(o, "GET", "/connect/link1", "", nil, nil)
	o.err = &mail.Error{Kind: mail.KindConflict, Code: "link_used", Message: "used already"}
	got, page := do(o, "GET", "/oauth/example/callback?state=s", "text/html", nil, sent)
	if got.StatusCode != http.StatusConflict || strings.Contains(page, "/connect/link1") || !strings.Contains(page, "used already") {
		t.Errorf("%d\n%s", got.StatusCode, page)
	}
}

// TestHandingOn: who may not consent is shown what to hand on, and the way back
// to the application; the administrator is told what their answer was.
func TestHandingOn(t *testing.T) {
	refused := &mail.Error{Kind: mail.KindForbidden, Code: mail.CodeAdminConsent, Message: "ask somebody"}
	approval := &account.Approval{Provider: "Example Mail", Application: "app.example"}
	for name, c := range map[string]struct {
		finished account.Finished
		status   int
		want     []string
	}{
		"by an application": {account.Finished{Err: refused, ApprovalURL: "https://login.example/adminconsent?a=1&b=2", Return: "https://app.example/done?code=admin_consent_required&status=error"}, 403,
			[]string{"An administrator must allow this application", `href="https://login.example/adminconsent?a=1&amp;b=2"`, "admin_consent_required",
				`href="https://app.example/done?code=admin_consent_required&amp;status=error"`, "Back to app.example", `href="/connect/link1"`}},
		"by hand":     {account.Finished{Err: refused, ApprovalURL: "https://login.example/adminconsent"}, 403, []string{"Connect again", `href="https://login.example/adminconsent"`}},
		"allowed":     {account.Finished{Approval: approval}, 200, []string{"The application is allowed", "connect again from app.example", "Example Mail"}},
		"not allowed": {account.Finished{Approval: approval, Err: &mail.Error{Kind: mail.KindForbidden, Code: "access_denied"}}, 403, []string{"was not allowed", "access_denied", "administrator"}},
		"allowed, for a link": {account.Finished{Approval: &account.Approval{Provider: "Example Mail"}}, 200,
			[]string{"open the link that they were given once more"}},
	} {
		o := &owners{finished: &c.finished}
		sent, _ := do(o, "GET", "/connect/link1", "", nil, nil)
		got, page := do(o, "GET", "/oauth/example/callback?state=s", "text/html", nil, sent)
		if got.StatusCode != c.status {
			t.Errorf("%s: status %d, to %s", name, got.StatusCode, got.Header.Get("Location"))
		}
		for _, want := range c.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page lacks %q:\n%s", name, want, page)
			}
		}
	}
}
