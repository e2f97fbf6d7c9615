package gmail

import (
	"hash/fnv"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// refuses says what stands in a caller's way before any limit does.
func (a Access) refuses(c Caller) error {
	named := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
	}
	switch {
	case named(a.NotConfigured, c.Project):
		n := projectNumber(c.Project)
		return &Error{
			Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "accessNotConfigured", Domain: "usageLimits",
			Message: "Gmail API has not been used in project " + n + " before or it is disabled. Enable it by visiting " +
				"https://console.developers.google.com/apis/api/gmail.googleapis.com/overview?project=" + n +
				" then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.",
			Details: []any{errorInfo("SERVICE_DISABLED", "googleapis.com", map[string]string{"service": "gmail.googleapis.com", "consumer": "projects/" + n})},
		}
	case named(a.Disabled, c.User.Address):
		return &Error{
			Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "domainPolicy", Domain: "global",
			Message: "The domain administrators have disabled Gmail apps.",
		}
	case named(a.NoMail, c.User.Address):
		return errPrecondition("Mail service not enabled")
	}
	return nil
}

// projectNumber is the number that refusals call a project by.
func projectNumber(project string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(project)) // a hash takes everything
	return strconv.FormatUint(100_000_000_000+uint64(h.Sum32()), 10)
}

// refuse words a refusal for a limit in the way that the settings want.
func (q *quota) refuse(why *refusal, project string) *Error {
	limited := func(message string) *Error {
		return &Error{Code: http.StatusTooManyRequests, Status: "RESOURCE_EXHAUSTED", Reason: "rateLimitExceeded", Domain: "usageLimits", Message: message}
	}
	switch why.limit {
	case limitConcurrency:
		return limited("Too many concurrent requests for user")
	case limitSends:
		e := limited("User-rate limit exceeded (Mail sending)")
		e.Reason, e.Domain = "", ""
		return e
	case limitDaily:
		return &Error{
			Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "dailyLimitExceeded", Domain: "usageLimits",
			Message: "Daily Limit Exceeded. The quota will be reset at midnight Pacific Time (PT).",
		}
	}
	return unitRefusal(q.set, why.until, project)
}

// unitRefusal is the refusal of a request for which there are no units left.
func unitRefusal(set Quota, until time.Time, project string) *Error {
	e := &Error{
		Code: set.RefusalStatus, Status: "RESOURCE_EXHAUSTED", Reason: set.RefusalReason, Domain: "usageLimits", Message: retryText(until),
	}
	if e.Code == http.StatusForbidden {
		e.Status = "PERMISSION_DENIED"
	}
	switch set.Refusal {
	case RefusalBare:
		e.Status, e.Reason, e.Domain = "", "", ""
	case RefusalMetric:
		consumer := "project_number:" + projectNumber(project)
		e.Message = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'gmail.googleapis.com' for consumer '" + consumer + "'."
		e.Details = []any{errorInfo("RATE_LIMIT_EXCEEDED", "googleapis.com", map[string]string{
			"service": "gmail.googleapis.com", "consumer": "projects/" + strings.TrimPrefix(consumer, "project_number:"),
			"quota_metric": "gmail.googleapis.com/default", "quota_limit": "defaultPerMinutePerUser",
		})}
	}
	return e
}

// Refusal is what Gmail says with a status that a fault asks for. Where the
// fault has a time to wait, a refusal for quota tells it in its text.
func Refusal(f traffic.Fault, now time.Time) *Error {
	e := &Error{Code: f.Status, Status: "INTERNAL", Reason: "backendError", Message: "Internal error encountered."}
	switch f.Status {
	case http.StatusBadRequest:
		return errPrecondition("Precondition check failed.")
	case http.StatusUnauthorized:
		return errUnauthenticated()
	case http.StatusForbidden, http.StatusTooManyRequests:
		set := Quota{RefusalStatus: f.Status, RefusalReason: "rateLimitExceeded"}
		if f.Status == http.StatusForbidden {
			set.RefusalReason = "userRateLimitExceeded"
		}
		if f.RetryAfter > 0 {
			return unitRefusal(set, now.Add(time.Duration(f.RetryAfter*float64(time.Second))), "")
		}
		e = unitRefusal(set, now, "")
		if e.Message = "User-rate limit exceeded."; f.Status == http.StatusTooManyRequests {
			e.Message = "Too many concurrent requests for user"
		}
	case http.StatusNotFound:
		return errNotFound()
	case http.StatusConflict:
		e.Status, e.Reason, e.Message = "ABORTED", "aborted", "The operation was aborted."
	case http.StatusPreconditionFailed:
		e.Status, e.Reason, e.Message = "FAILED_PRECONDITION", "conditionNotMet", "Precondition Failed"
	case http.StatusBadGateway:
		e.Status, e.Message = "UNAVAILABLE", "Bad Gateway"
	case http.StatusServiceUnavailable:
		e.Status, e.Message = "UNAVAILABLE", "The service is currently unavailable."
	case http.StatusGatewayTimeout:
		e.Status, e.Message = "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."
	}
	return e
}
