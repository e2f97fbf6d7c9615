package gmail

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// answerOf is what the library makes of an answer.
func answerOf(t *testing.T, status int, body string, header ...string) error {
	t.Helper()
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	if body != "" {
		resp.Body = readCloser{strings.NewReader(body)}
	}
	for i := 0; i+1 < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	err := googleapi.CheckResponse(resp)
	if err == nil {
		t.Fatalf("%d is no refusal", status)
	}
	return fmt.Errorf("wrapped: %w", err)
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// doc is an error document as the API writes it; any part may be left out.
func doc(code int, message, reason, status, info string) string {
	parts := []string{fmt.Sprintf(`"code":%d,"message":%q`, code, message)}
	if reason != "" {
		parts = append(parts, fmt.Sprintf(`"errors":[{"message":%q,"domain":"global","reason":%q}]`, message, reason))
	}
	if status != "" {
		parts = append(parts, fmt.Sprintf(`"status":%q`, status))
	}
	if info != "" {
		parts = append(parts, fmt.Sprintf(`"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":%q,"domain":"googleapis.com"}]`, info))
	}
	return `{"error":{` + strings.Join(parts, ",") + `}}`
}

func TestRefusals(t *testing.T) {
	const (
		later  = "User-rate limit exceeded.  Retry after 2026-11-20T12:00:30.500Z"
		metric = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer 'project_number:1'."
	)
	for name, tc := range map[string]struct {
		status int
		body   string
		header []string
		kind   mail.Kind
		code   string
		wait   time.Duration
		again  bool
	}{
		"rate, 403":           {403, doc(403, later, "userRateLimitExceeded", "PERMISSION_DENIED", ""), nil, mail.KindThrottled, "userRateLimitExceeded", 30600 * time.Millisecond, true},
		"rate, 429":           {429, doc(429, later, "rateLimitExceeded", "RESOURCE_EXHAUSTED", ""), nil, mail.KindThrottled, "rateLimitExceeded", 30600 * time.Millisecond, true},
		"rate, words alone":   {403, doc(403, later, "", "", ""), nil, mail.KindThrottled, "", 30600 * time.Millisecond, true},
		"rate, past":          {429, doc(429, strings.Replace(later, "12:00", "11:59", 1), "rateLimitExceeded", "", ""), nil, mail.KindThrottled, "rateLimitExceeded", 0, true},
		"metric":              {403, doc(403, metric, "rateLimitExceeded", "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"), nil, mail.KindThrottled, "RATE_LIMIT_EXCEEDED", 0, true},
		"metric, words alone": {403, doc(403, metric, "", "", ""), nil, mail.KindThrottled, "", 0, true},
		"too many at once":    {429, doc(429, "Too many concurrent requests for user", "rateLimitExceeded", "RESOURCE_EXHAUSTED", ""), nil, mail.KindThrottled, "rateLimitExceeded", 0, true},
		"sending":             {429, doc(429, "User-rate limit exceeded (Mail sending)", "", "", ""), nil, mail.KindThrottled, "", 0, true},
		"header":              {429, "", []string{"Retry-After", "7"}, mail.KindThrottled, "", 7 * time.Second, true},
		"the day's":           {403, doc(403, "Daily Limit Exceeded", "dailyLimitExceeded", "", ""), nil, mail.KindThrottled, "dailyLimitExceeded", 20 * time.Hour, true},
		"scopes":              {403, doc(403, "Request had insufficient authentication scopes.", "insufficientPermissions", "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"), nil, mail.KindForbidden, "insufficient_scopes", 0, false},
		"scopes, words alone": {403, doc(403, "Request had insufficient authentication scopes.", "", "", ""), nil, mail.KindForbidden, "insufficient_scopes", 0, false},
		"switched off":        {403, doc(403, "Gmail API has not been used in project 1 before or it is disabled.", "accessNotConfigured", "PERMISSION_DENIED", "SERVICE_DISABLED"), nil, mail.KindMisconfigured, "SERVICE_DISABLED", 0, false},
		"switched off, short": {403, doc(403, "Gmail API has not been used in project 1 before or it is disabled.", "accessNotConfigured", "", ""), nil, mail.KindMisconfigured, "accessNotConfigured", 0, false},
		"policy":              {403, doc(403, "The domain administrators have disabled Gmail apps.", "domainPolicy", "", ""), nil, mail.KindForbidden, "domainPolicy", 0, false},
		"no Gmail":            {400, doc(400, "Mail service not enabled", "failedPrecondition", "FAILED_PRECONDITION", ""), nil, mail.KindForbidden, "mail_service_not_enabled", 0, false},
		"precondition":        {400, doc(400, "Precondition check failed.", "failedPrecondition", "FAILED_PRECONDITION", ""), nil, mail.KindInvalid, "failedPrecondition", 0, false},
		"argument":            {400, doc(400, "Invalid pageToken", "invalidArgument", "INVALID_ARGUMENT", ""), nil, mail.KindInvalid, "invalidArgument", 0, false},
		"id":                  {400, doc(400, "Invalid id value", "invalidArgument", "INVALID_ARGUMENT", ""), nil, mail.KindNotFound, "invalidArgument", 0, false},
		"not found":           {404, doc(404, "Requested entity was not found.", "notFound", "NOT_FOUND", ""), nil, mail.KindNotFound, "notFound", 0, false},
		"conflict":            {409, doc(409, "Label name exists or conflicts", "aborted", "ABORTED", ""), nil, mail.KindConflict, "aborted", 0, false},
		"too large":           {413, "", nil, mail.KindTooLarge, "", 0, false},
		"token":               {401, doc(401, "Request had invalid authentication credentials.", "authError", "UNAUTHENTICATED", ""), nil, mail.KindUnavailable, "authError", 0, false},
		"backend":             {503, doc(503, "Backend Error", "backendError", "", ""), nil, mail.KindUnavailable, "backendError", 0, true},
		"proxy":               {502, "<html>", nil, mail.KindUnavailable, "", 0, true},
		"redirect":            {302, "", nil, mail.KindUnavailable, "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := refusalOf(answerOf(t, tc.status, tc.body, tc.header...), now)
			if r == nil {
				t.Fatal("no refusal")
			}
			if r.kind != tc.kind || tc.code != "" && r.code != tc.code || r.retryAfter != tc.wait || r.message == "" && tc.body != "" {
				t.Errorf("kind %s, code %s, wait %v, message %q", r.kind, r.code, r.retryAfter, r.message)
			}
			wait, again := r.again(false, 1)
			if again != tc.again || tc.wait > 0 && again && wait != tc.wait || again && wait <= 0 {
				t.Errorf("again %v, after %v", again, wait)
			}
		})
	}
	if refusalOf(errors.New("cut off"), now) != nil {
		t.Error("a connection that failed is no refusal")
	}
}

// TestRefusalsOfWhatMustNotBeRepeated: after a fault of the service nobody knows.
func TestRefusalsOfWhatMustNotBeRepeated(t *testing.T) {
	for _, tc := range []struct {
		status int
		header []string
		kind   mail.Kind
		again  bool
	}{
		{500, nil, mail.KindOutcomeUnknown, false},
		{504, nil, mail.KindOutcomeUnknown, false},
		{503, []string{"Retry-After", "3"}, mail.KindUnavailable, true},
		{429, nil, mail.KindThrottled, true},
		{400, nil, mail.KindInvalid, false},
	} {
		r := refusalOf(answerOf(t, tc.status, "", tc.header...), now)
		e := r.mailError("send message", true)
		if _, again := r.again(true, 1); e.Kind != tc.kind || again != tc.again || e.Op != "send message" {
			t.Errorf("%d: kind %s, again %v", tc.status, e.Kind, again)
		}
	}
}

func TestDailyQuotasBeginAnewAtMidnight(t *testing.T) {
	for at, want := range map[time.Time]time.Duration{
		now: 20 * time.Hour,
		time.Date(2026, 11, 20, 7, 0, 0, 0, time.UTC): time.Hour,
		time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC): 24 * time.Hour,
	} {
		if got := untilMidnight(at); got != want {
			t.Errorf("at %v in %v, want %v", at, got, want)
		}
	}
}
