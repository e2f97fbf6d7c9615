package gmail

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

// refusal is an answer of the API that is no success. The reason is the fact,
// where there is one that we know; then the words, then the status ("Resolve
// errors", Gmail API). The status alone is not enough: 403 and 429 both stand
// for a quota, and 403 for a missing right, an API that is switched off and an
// administrator's policy as well.
type refusal struct {
	status     int
	kind       mail.Kind
	code       string
	message    string
	retryAfter time.Duration
	err        error
}

// Codes of refusals that somebody has to act on.
const (
	codeInsufficient = "insufficient_scopes"
	codeNotEnabled   = "mail_service_not_enabled"
	// codeBadAnswer is an answer that is not what it should be.
	codeBadAnswer = "bad_answer"
	// codeUndecodable are bytes of a message that are not what they should be.
	codeUndecodable = "undecodable_raw"
)

// reasons are what errors[].reason and ErrorInfo.reason say beyond the status.
var reasons = map[string]mail.Kind{
	"rateLimitExceeded":               mail.KindThrottled,
	"userRateLimitExceeded":           mail.KindThrottled,
	"RATE_LIMIT_EXCEEDED":             mail.KindThrottled,
	"quotaExceeded":                   mail.KindThrottled,
	"dailyLimitExceeded":              mail.KindThrottled,
	"insufficientPermissions":         mail.KindForbidden,
	"ACCESS_TOKEN_SCOPE_INSUFFICIENT": mail.KindForbidden,
	"domainPolicy":                    mail.KindForbidden,
	"forbidden":                       mail.KindForbidden,
	"accessNotConfigured":             mail.KindMisconfigured,
	"SERVICE_DISABLED":                mail.KindMisconfigured,
	"accountDeleted":                  mail.KindGrantExpired,
	"notFound":                        mail.KindNotFound,
	"aborted":                         mail.KindConflict,
	"alreadyExists":                   mail.KindConflict,
	"duplicate":                       mail.KindConflict,
	"conditionNotMet":                 mail.KindConflict,
	"uploadTooLarge":                  mail.KindTooLarge,
	"storageQuotaExceeded":            mail.KindOverQuota,
	"invalidArgument":                 mail.KindInvalid,
	"failedPrecondition":              mail.KindInvalid,
	"backendError":                    mail.KindUnavailable,
	"internalError":                   mail.KindUnavailable,
}

// refusalOf reads an error of the API, nil where it is none.
func refusalOf(err error, now time.Time) *refusal {
	var ge *googleapi.Error
	if !errors.As(err, &ge) {
		return nil
	}
	r := &refusal{status: ge.Code, message: clip(ge.Message, 300), err: err}
	info := readBody(ge.Body)
	for _, e := range ge.Errors {
		info.reasons = append(info.reasons, e.Reason)
		if r.message == "" {
			r.message = clip(e.Message, 300)
		}
	}
	for _, reason := range info.reasons {
		if r.code == "" {
			r.code = reason
		}
		if k := reasons[reason]; k != "" {
			r.kind, r.code = k, reason
			break
		}
	}
	if r.code == "" {
		r.code = info.status
	}
	if r.kind == "" {
		r.kind = kindOfStatus(r.status)
	}
	if r.message == "" {
		r.message = http.StatusText(r.status)
	}
	r.byWords()
	r.retryAfter = retryTime(ge.Header, ge.Message, now)
	if r.code == "dailyLimitExceeded" && r.retryAfter == 0 {
		r.retryAfter = untilMidnight(now)
	}
	return r
}

func kindOfStatus(status int) mail.Kind {
	switch status {
	case http.StatusUnauthorized, http.StatusRequestTimeout:
		return mail.KindUnavailable
	case http.StatusForbidden:
		return mail.KindForbidden
	case http.StatusNotFound, http.StatusGone:
		return mail.KindNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return mail.KindConflict
	case http.StatusRequestEntityTooLarge:
		return mail.KindTooLarge
	case http.StatusTooManyRequests:
		return mail.KindThrottled
	}
	if status >= 500 || status < 400 { // a redirect leads away from the service
		return mail.KindUnavailable
	}
	return mail.KindInvalid
}

// byWords reads what only the text says. The texts are matched loosely, for
// none of them is documented.
func (r *refusal) byWords() {
	words := strings.ToLower(r.message)
	has := func(s string) bool { return strings.Contains(words, s) }
	switch {
	case has("mail service not enabled"):
		r.kind, r.code, r.message = mail.KindForbidden, codeNotEnabled, "the account has no Gmail: its owner or an administrator must switch it on"
	case r.code == "insufficientPermissions" || r.code == "ACCESS_TOKEN_SCOPE_INSUFFICIENT" || has("insufficient authentication scopes"):
		r.kind, r.code, r.message = mail.KindForbidden, codeInsufficient, "the consent does not cover this: the owner must connect the account again and allow all that is asked for"
	case r.kind == mail.KindMisconfigured:
		r.message = "the Gmail API is not switched on in the project of the OAuth client: " + r.message
	case r.code == "domainPolicy":
		r.message = "an administrator has switched Gmail off for applications"
	case r.status == http.StatusForbidden && (has("rate limit") || has("rate-limit") || has("quota exceeded")):
		r.kind = mail.KindThrottled
	case r.status == http.StatusBadRequest && has("invalid id value"):
		r.kind = mail.KindNotFound // no message has such an id
	case r.status == http.StatusBadRequest && (has("too large") || has("exceeds the maximum")):
		r.kind = mail.KindTooLarge
	}
}

// mailError is what leaves the package. After a server error a request that
// must not be repeated may have been carried out.
func (r *refusal) mailError(op string, once bool) *mail.Error {
	kind := r.kind
	if once && r.mayHaveActed() {
		kind = mail.KindOutcomeUnknown
	}
	return &mail.Error{Kind: kind, Op: op, Code: r.code, Message: r.message, RetryAfter: r.retryAfter, Err: r.err}
}

// mayHaveActed: a gateway that gave up, or a server that stumbled, may have let
// the request through. A 503 that says when to come back is a refusal.
func (r *refusal) mayHaveActed() bool {
	return r.status >= 500 && !(r.status == http.StatusServiceUnavailable && r.retryAfter > 0)
}

// again says whether the request may be sent once more, and after how long.
func (r *refusal) again(once bool, attempt int) (time.Duration, bool) {
	switch r.kind {
	case mail.KindThrottled:
	case mail.KindUnavailable:
		if r.status < 500 || once && r.mayHaveActed() {
			return 0, false
		}
	default:
		return 0, false
	}
	if r.retryAfter > 0 {
		return r.retryAfter, true
	}
	return pace.Backoff(attempt), true
}

// retryText is how Gmail says when to come back; it sends no Retry-After.
var retryText = regexp.MustCompile(`(?i)retry after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))`)

// retryTime is how long to wait, 0 where nobody says.
func retryTime(h http.Header, message string, now time.Time) time.Duration {
	if v := strings.TrimSpace(h.Get("Retry-After")); v != "" {
		if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 && s <= 24*3600 {
			return time.Duration(s * float64(time.Second))
		}
		if t, err := http.ParseTime(v); err == nil && t.After(now) {
			return t.Sub(now)
		}
	}
	if m := retryText.FindStringSubmatch(message); m != nil {
		// A moment more: their clock and ours are not one.
		if t, err := time.Parse(time.RFC3339Nano, m[1]); err == nil && t.After(now) {
			return min(t.Sub(now)+100*time.Millisecond, 24*time.Hour)
		}
	}
	return 0
}

// untilMidnight is when daily quotas begin anew: at midnight of the Pacific
// time zone, of standard time at the latest.
func untilMidnight(now time.Time) time.Duration {
	now = now.UTC()
	next := time.Date(now.Year(), now.Month(), now.Day(), 8, 0, 0, 0, time.UTC)
	if !next.After(now) {
		next = next.AddDate(0, 0, 1)
	}
	return next.Sub(now)
}

type errorInfo struct {
	status  string
	reasons []string
}

// readBody reads what the library does not: the canonical status, and the
// reason of ErrorInfo. Anything else than JSON leaves the status to speak.
func readBody(body string) errorInfo {
	var doc struct {
		Error struct {
			Status  string `json:"status"`
			Details []struct {
				Type   string `json:"@type"`
				Reason string `json:"reason"`
			} `json:"details"`
		} `json:"error"`
	}
	if json.Unmarshal([]byte(body), &doc) != nil {
		return errorInfo{}
	}
	info := errorInfo{status: doc.Error.Status}
	for _, d := range doc.Error.Details {
		if d.Reason != "" {
			info.reasons = append(info.reasons, d.Reason)
		}
	}
	return info
}

// statusOf is the HTTP status that an error carries, 0 where it has none.
func statusOf(err error) int {
	var ge *googleapi.Error
	if errors.As(err, &ge) {
		return ge.Code
	}
	return 0
}

// unreadable tells an answer that is not what it should be from a connection
// that failed.
func unreadable(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	var bad *badBody
	return errors.As(err, &syntax) || errors.As(err, &kind) || errors.As(err, &bad)
}

func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}
