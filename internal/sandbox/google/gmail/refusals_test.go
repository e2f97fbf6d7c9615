package gmail

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	api "google.golang.org/api/gmail/v1"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

const profile = "/gmail/v1/users/me/profile"

func TestUnitsAreSpent(t *testing.T) {
	d := newDesk(t, Settings{Quota: Quota{UserUnits: 105}})
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.api.Users.Messages.List("me").Do(); err != nil {
		t.Fatal(err)
	}
	_, err := d.api.Users.GetProfile("me").Do()
	d.refusal(err, 429, "rateLimitExceeded", "User-rate limit exceeded.  Retry after 2026-09-11T20:01:00.000Z")
	if resp, _ := d.do("GET", profile, nil, nil); resp.Header.Get("Retry-After") != "" {
		t.Error("a Retry-After header, which Gmail does not send")
	}
	r := d.counters.Report("google", alan)
	if r.UnitsSpent != 105 || r.Units["messages.send"] != 100 || r.Units["messages.list"] != 5 || r.Refusals[limitUnits] != 2 {
		t.Errorf("%+v", r)
	}
	if _, err := d.client("grace").Users.GetProfile("me").Do(); err != nil {
		t.Errorf("another user: %v", err)
	}
	d.clock.advance(time.Minute)
	if _, err := d.api.Users.GetProfile("me").Do(); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// shape is an answer's error with what may be missing told.
func shape(body string) string {
	var in struct {
		Error struct {
			Code    int
			Message string
			Status  string
			Errors  []struct{ Reason, Domain, Message string }
			Details []struct{ Reason string }
		}
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return err.Error()
	}
	e := in.Error
	out := fmt.Sprint(e.Code, " ", e.Status)
	for _, i := range e.Errors {
		out += " " + i.Domain + "/" + i.Reason
	}
	for _, i := range e.Details {
		out += " " + i.Reason
	}
	return out + " " + e.Message
}

func TestRefusalsInTheirVariants(t *testing.T) {
	const retry = "User-rate limit exceeded.  Retry after 2026-09-11T20:00:"
	spent := func(q Quota) Settings {
		q.UserUnits = 1
		return Settings{Quota: q}
	}
	for _, c := range []struct {
		name string
		set  Settings
		want string
	}{
		{"as it is now", spent(Quota{}), "429 RESOURCE_EXHAUSTED usageLimits/rateLimitExceeded User-rate limit exceeded.  Retry after 2026-09-11T20:01:00.000Z"},
		{"as older projects see it", spent(Quota{RefusalStatus: 403, RefusalReason: "userRateLimitExceeded", OldTable: true}), "403 PERMISSION_DENIED usageLimits/userRateLimitExceeded " + retry},
		{"bare", spent(Quota{Refusal: RefusalBare, RefusalStatus: 403, OldTable: true}), "403  " + retry},
		{"by metric", spent(Quota{Refusal: RefusalMetric}), "429 RESOURCE_EXHAUSTED usageLimits/rateLimitExceeded RATE_LIMIT_EXCEEDED Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer 'project_number:"},
		{"by day", Settings{Quota: Quota{DailyUnits: 1}}, "403 PERMISSION_DENIED usageLimits/dailyLimitExceeded Daily Limit Exceeded."},
		{"by project", Settings{Quota: Quota{ProjectUnits: 1}}, "429 RESOURCE_EXHAUSTED usageLimits/rateLimitExceeded User-rate limit exceeded.  Retry after 2026-09-11T20:01:00.000Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.set)
			resp, body := d.do("GET", profile, nil, nil)
			d.is(resp, body, 200, "")
			if _, body := d.do("GET", profile, nil, nil); !strings.HasPrefix(shape(body), c.want) {
				t.Errorf("%s, want %s", shape(body), c.want)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	for _, c := range []struct {
		name   string
		access Access
		want   string
	}{
		{"API off", Access{NotConfigured: []string{"postern-sandbox"}}, "403 PERMISSION_DENIED usageLimits/accessNotConfigured SERVICE_DISABLED Gmail API has not been used in project "},
		{"administrator", Access{Disabled: []string{alan}}, "403 PERMISSION_DENIED global/domainPolicy The domain administrators have disabled Gmail apps."},
		{"no mailbox", Access{NoMail: []string{alan}}, "400 FAILED_PRECONDITION global/failedPrecondition Mail service not enabled"},
	} {
		d := newDesk(t, Settings{Access: c.access})
		if _, body := d.do("GET", profile, nil, nil); !strings.HasPrefix(shape(body), c.want) {
			t.Errorf("%s: %s", c.name, shape(body))
		}
		if u := d.counters.Report("google", alan).UnitsSpent; u != 0 {
			t.Errorf("%s: %d units", c.name, u)
		}
	}
}

func TestTokensAndScopes(t *testing.T) {
	d := newDesk(t, Settings{})
	for _, h := range []http.Header{{"Authorization": {"Bearer nobody"}}, {"Authorization": {""}}} {
		resp, body := d.do("GET", profile, h, nil)
		d.is(resp, body, 401, "Request had invalid authentication credentials.")
		if !strings.Contains(resp.Header.Get("WWW-Authenticate"), `realm="https://accounts.google.com/"`) || !strings.Contains(body, `"message":"Invalid Credentials"`) {
			t.Errorf("%v %s", resp.Header, body)
		}
	}
	d.scopes = []string{scopeSend}
	resp, body := d.do("GET", "/gmail/v1/users/me/labels", nil, nil)
	d.is(resp, body, 403, `"method":"caribou.api.proto.MailboxService.ListLabels"`)
	if got := resp.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="https://mail.google.com/ `) {
		t.Errorf("%q", got)
	}
	if want := "403 PERMISSION_DENIED global/insufficientPermissions ACCESS_TOKEN_SCOPE_INSUFFICIENT Request had insufficient authentication scopes."; shape(body) != want {
		t.Errorf("%s", shape(body))
	}
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do(); err != nil {
		t.Errorf("what the scope is for: %v", err)
	}
	if r := d.counters.Report("google", alan); r.UnitsSpent != 100 {
		t.Errorf("refused requests cost: %+v", r.Units)
	}
}

func TestFieldsOfAnswers(t *testing.T) {
	d := newDesk(t, Settings{})
	resp, body := d.do("GET", profile+"?fields=emailAddress", nil, nil)
	if d.is(resp, body, 200, ""); body != `{"emailAddress":"alan@gmail.example"}` {
		t.Errorf("%s", body)
	}
	resp, body = d.do("GET", "/gmail/v1/users/me/messages?fields=nextPageToken", nil, nil)
	if d.is(resp, body, 200, ""); body != "" {
		t.Errorf("a mask that selects nothing: %s", body)
	}
	before := d.sent()
	resp, body = d.do("POST", "/gmail/v1/users/me/messages/send?fields=nosuch", http.Header{"Content-Type": {"application/json"}}, []byte(`{"raw":"`+b64(letterTo)+`"}`))
	if d.is(resp, body, 400, "Invalid field selection nosuch"); d.sent() != before {
		t.Error("sent all the same")
	}
	resp, body = d.do("GET", "/gmail/v1/users/me/messages/0123456789abcdef?fields=id", nil, nil)
	d.is(resp, body, 404, "notFound") // refusals are shown in full
	if p, err := d.api.Users.GetProfile("me").Fields("historyId").Do(); err != nil || p.HistoryId == 0 || p.EmailAddress != "" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestRefusalsOfFaults(t *testing.T) {
	now := newClock().t
	for _, c := range []struct {
		fault traffic.Fault
		want  string
	}{
		{traffic.Fault{Status: 429, RetryAfter: 1.5}, "429 RESOURCE_EXHAUSTED usageLimits/rateLimitExceeded User-rate limit exceeded.  Retry after 2026-09-11T20:00:01.500Z"},
		{traffic.Fault{Status: 403, RetryAfter: 60}, "403 PERMISSION_DENIED usageLimits/userRateLimitExceeded User-rate limit exceeded.  Retry after 2026-09-11T20:01:00.000Z"},
		{traffic.Fault{Status: 403}, "403 PERMISSION_DENIED usageLimits/userRateLimitExceeded User-rate limit exceeded."},
		{traffic.Fault{Status: 429}, "429 RESOURCE_EXHAUSTED usageLimits/rateLimitExceeded Too many concurrent requests for user"},
		{traffic.Fault{Status: 400}, "400 FAILED_PRECONDITION global/failedPrecondition Precondition check failed."},
		{traffic.Fault{Status: 404}, "404 NOT_FOUND global/notFound Requested entity was not found."},
		{traffic.Fault{Status: 500}, "500 INTERNAL global/backendError Internal error encountered."},
		{traffic.Fault{Status: 503}, "503 UNAVAILABLE global/backendError The service is currently unavailable."},
	} {
		b, err := json.Marshal(Refusal(c.fault, now))
		if err != nil || shape(string(b)) != c.want {
			t.Errorf("%+v: %s %v", c.fault, shape(string(b)), err)
		}
	}
	for _, status := range []int{401, 409, 412, 502, 504} {
		if e := Refusal(traffic.Fault{Status: status}, now); e.Code != status || e.Message == "" {
			t.Errorf("%d: %+v", status, e)
		}
	}
}

// Ten requests of a user may be in flight, however long they take.
func TestTooManyAtOnce(t *testing.T) {
	d := newDesk(t, Settings{})
	inside, leave := make(chan struct{}), make(chan struct{})
	d.spoil = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		inside <- struct{}{}
		<-leave
		next.ServeHTTP(w, r)
	}
	ended := make(chan error)
	for range 10 {
		go func() { ended <- errOf(d.api.Users.GetProfile("me").Do()) }()
		<-inside
	}
	_, err := d.api.Users.GetProfile("me").Do()
	d.refusal(err, 429, "rateLimitExceeded", "Too many concurrent requests for user")
	close(leave)
	for range 10 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	go func() { <-inside }()
	if _, err := d.api.Users.GetProfile("me").Do(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if r := d.counters.Report("google", alan); r.Refusals[limitConcurrency] != 1 || r.UnitsSpent != 11 {
		t.Errorf("%+v %d", r.Refusals, r.UnitsSpent)
	}
}
