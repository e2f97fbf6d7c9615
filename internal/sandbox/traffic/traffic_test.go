package traffic

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPattern(t *testing.T) {
	for in, want := range map[string]string{
		"/v1.0/me/messages/AAMkAD-_=":                        "/me/messages/{id}",
		"/v1.0/me/mailFolders('inbox')/messages":             "/me/mailFolders/inbox/messages",
		"/v1.0/me/mailFolders/AAMk=/messages/delta?$top=3":   "/me/mailFolders/{id}/messages/delta",
		"/v1.0/users/ada@contoso.example/sendMail":           "/users/{id}/sendMail",
		"/gmail/v1/users/me/messages/18c1/modify":            "/gmail/v1/users/me/messages/{id}/modify",
		"/resumable/upload/gmail/v1/users/a@b/messages/send": "/resumable/upload/gmail/v1/users/{id}/messages/send",
		"/v1.0/$batch":                                       "/$batch",
		"/me/messages/AAMk=/$value":                          "/me/messages/{id}/$value",
		"/common/oauth2/v2.0/token":                          "/common/oauth2/v2.0/token",
		"/9188040d-6c67-4c5b-b112-36a304b66dad/oauth2/token": "/{id}/oauth2/token",
		"/v1.0/subscriptions/7f180cbb/reauthorize":           "/subscriptions/{id}/reauthorize",
		"/v1.0/me/messages/a/attachments/b%2F/":              "/me/messages/{id}/attachments/{id}",
		"/":                                                  "/",
	} {
		if got := Pattern(in); got != want {
			t.Errorf("Pattern(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestFaultMatch(t *testing.T) {
	for _, c := range []struct {
		match, method, path string
		want                bool
	}{
		{"", "GET", "/x", true},
		{"POST /me/sendMail", "POST", "/v1.0/me/sendMail", true},
		{"POST /me/sendMail", "POST", "/v1.0/users/ada@x.example/sendMail", true},
		{"POST /me/sendMail", "GET", "/v1.0/me/sendMail", false},
		{"post /ME/sendmail", "POST", "/v1.0/me/sendMail", true},
		{"token", "POST", "/common/oauth2/v2.0/token", true},
		{"token", "GET", "/v1.0/me/messages", false},
		{"PATCH", "PATCH", "/v1.0/me/messages/a", true},
		{"PATCH", "GET", "/v1.0/me/messages/a", false},
		{"/me/messages/{id}/send", "POST", "/v1.0/me/messages/AAMk/send", true},
		{"POST /me/messages$", "POST", "/v1.0/me/messages/AAMk/send", false},
		{"POST /me/messages$", "POST", "/v1.0/me/messages", true},
	} {
		if got := matches(c.match, c.method, c.path); got != c.want {
			t.Errorf("matches(%q, %s %s) = %v, want %v", c.match, c.method, c.path, got, c.want)
		}
	}
}

func TestFaultsNarrowAndEnd(t *testing.T) {
	f := NewFaults(1)
	if err := f.Put(Fault{Match: "token", User: "Ada@contoso.example", Status: 503, Times: 2}, Fault{Match: "/x", Rate: 0.25, Status: 500}); err != nil {
		t.Fatal(err)
	}
	if _, met := f.Request("microsoft", "grace@contoso.example", "POST", "/t/token"); met {
		t.Error("a fault for ada met grace")
	}
	for i, want := range []bool{true, true, false} {
		if _, met := f.Request("microsoft", "ada@contoso.example", "POST", "/t/token"); met != want {
			t.Errorf("call %d: met = %v, want %v", i, met, want)
		}
	}
	met := 0
	for range 1000 {
		if _, ok := f.Request("microsoft", "", "GET", "/x"); ok {
			met++
		}
	}
	if met < 200 || met > 300 {
		t.Errorf("a rate of 0.25 met %d of 1000", met)
	}
	if got := f.List(); len(got) != 1 || got[0].Match != "/x" {
		t.Errorf("list = %+v, want the fault that is not spent", got)
	}
	f.Clear()
	if _, ok := f.Request("microsoft", "", "GET", "/x"); ok {
		t.Error("met after clear")
	}
}

func TestFaultPutReplacesAndRefuses(t *testing.T) {
	f := NewFaults(1)
	if err := f.Put(Fault{Match: "token", Status: 503}, Fault{Match: "x", Rate: 2}); err == nil {
		t.Fatal("a rate of 2 was taken")
	}
	if len(f.List()) != 0 {
		t.Error("half of a refused list was taken")
	}
	for _, status := range []int{503, 500} {
		if err := f.Put(Fault{Match: "token", Status: status}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]Fault{{Match: "token", Status: 500}}, f.List()); diff != "" {
		t.Error(diff)
	}
}

func TestNotificationFault(t *testing.T) {
	f := NewFaults(1)
	if err := f.Put(Fault{User: "ada@contoso.example", DeltaLagMS: 1500, Notifications: &NotificationFault{Drop: true}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := f.Request("microsoft", "ada@contoso.example", "GET", "/me"); ok {
		t.Error("a fault of notifications met a request")
	}
	if n, ok := f.Notification("microsoft", "ada@contoso.example"); !ok || !n.Drop {
		t.Errorf("notification = %+v, %v", n, ok)
	}
	if _, ok := f.Notification("microsoft", "grace@contoso.example"); ok {
		t.Error("met for another user")
	}
	if got := f.DeltaLag("microsoft"); got != 1500*time.Millisecond {
		t.Errorf("delta lag = %v", got)
	}
}

func TestReport(t *testing.T) {
	var c Counters
	c.Request("microsoft", "Ada@x.example", "GET", "/v1.0/me/messages/a", 200)
	c.Request("microsoft", "grace@x.example", "GET", "/v1.0/me/messages/b", 200)
	c.Request("microsoft", "grace@x.example", "GET", "/v1.0/me/messages/b", 429)
	c.Token("microsoft", "ada@x.example", "refresh_token", "ok")
	c.Mail("microsoft", "ada@x.example", MailSent)
	c.Fault("microsoft", "", "token")
	all := c.Report("", "")
	if got := all.Count("GET", "/me/messages/{id}"); got != 3 {
		t.Errorf("count = %d, want 3", got)
	}
	if got := all.Count("GET", "/me/messages/{id}", 429); got != 1 {
		t.Errorf("count of 429 = %d, want 1", got)
	}
	ada := c.Report("microsoft", "ada@X.example")
	want := Report{
		Requests: []RequestCount{{"microsoft", "GET", "/me/messages/{id}", 200, 1}},
		Tokens:   map[string]map[string]int64{"refresh_token": {"ok": 1}}, Authorize: map[string]int64{},
		Notifications: map[string]int64{}, Mail: map[string]int64{"sent": 1}, MessagesSent: 1, Faults: map[string]int64{}, Units: map[string]int64{}, Refusals: map[string]int64{},
	}
	if diff := cmp.Diff(want, ada); diff != "" {
		t.Error(diff)
	}
	if got := c.Report("google", ""); len(got.Requests) != 0 {
		t.Errorf("google: %+v", got)
	}
	c.Reset()
	if got := c.Report("", ""); len(got.Requests) != 0 || got.MessagesSent != 0 {
		t.Errorf("after reset: %+v", got)
	}
}

func TestSharesStandBesideEachOther(t *testing.T) {
	list := func(f *Faults) (out []int) {
		for _, r := range f.List() {
			out = append(out, r.Status)
		}
		return out
	}
	f := NewFaults(1)
	put := func(faults ...Fault) {
		t.Helper()
		if err := f.Put(faults...); err != nil {
			t.Fatal(err)
		}
	}
	put(Fault{Status: 503, Rate: 0.05})
	put(Fault{Status: 429, Rate: 0.05})
	put(Fault{Status: 503, Rate: 0.1}) // the same way: in place of the first
	if got := list(f); !slices.Equal(got, []int{429, 503}) {
		t.Errorf("in force: %v", got)
	}
	put(Fault{Match: "GET", Status: 500})
	put(Fault{Status: 504}) // meets all: the others never would
	if got := list(f); !slices.Equal(got, []int{500, 504}) {
		t.Errorf("in force: %v", got)
	}
	put(Fault{Status: 502}, Fault{Status: 505, Rate: 0.5})
	if got := list(f); !slices.Equal(got, []int{500, 502, 505}) {
		t.Errorf("in force: %v", got)
	}
}

func TestCountersOfUnits(t *testing.T) {
	var c Counters
	c.Units("google", "Alan@gmail.example", "messages.get", 20)
	c.Units("google", "alan@gmail.example", "messages.get", 20)
	c.Units("google", "other@gmail.example", "messages.list", 5)
	c.Refusal("google", "alan@gmail.example", "units")
	r := c.Report("google", "alan@gmail.example")
	if r.UnitsSpent != 40 || r.Units["messages.get"] != 40 || r.Refusals["units"] != 1 {
		t.Errorf("%+v", r)
	}
	if r := c.Report("", ""); r.UnitsSpent != 45 || r.Refusals["units"] != 1 {
		t.Errorf("of all: %+v", r)
	}
}
