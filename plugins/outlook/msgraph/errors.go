package msgraph

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/pace"
)

// Error is an answer of Graph that is no success. The status is the fact; the
// code is the innermost one that we know, as Microsoft's guidance asks
// ("Microsoft Graph error responses and resource types").
type Error struct {
	Status     int
	Code       string
	Message    string
	RetryAfter time.Duration
	// Claims is set where the token lacks something that only a new sign-in
	// can give (continuous access evaluation).
	Claims bool
}

// Error gives status, code and message.
func (e *Error) Error() string {
	return fmt.Sprintf("graph answered %d %s: %s", e.Status, e.Code, e.Message)
}

// As finds the Error in a chain, nil where there is none.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// StatusOf is the HTTP status that an error carries, 0 where it has none.
func StatusOf(err error) int {
	if e := As(err); e != nil {
		return e.Status
	}
	return 0
}

// kinds are the codes that say more than their status does.
var kinds = map[string]mail.Kind{
	"ErrorItemNotFound":              mail.KindNotFound,
	"ErrorFolderNotFound":            mail.KindNotFound,
	"ErrorParentFolderNotFound":      mail.KindNotFound,
	"ErrorInvalidIdMalformed":        mail.KindNotFound, // no message has such an id
	"ErrorInvalidIdEmpty":            mail.KindNotFound,
	"ResourceNotFound":               mail.KindNotFound,
	"ErrorInvalidUser":               mail.KindNotFound,
	"MailboxNotEnabledForRESTAPI":    mail.KindForbidden, // no licence, or kept on premises
	"ErrorAccessDenied":              mail.KindForbidden,
	"Authorization_RequestDenied":    mail.KindForbidden,
	"ErrorSendAsDenied":              mail.KindForbidden,
	"ErrorDeleteDistinguishedFolder": mail.KindForbidden,
	"ErrorMoveDistinguishedFolder":   mail.KindForbidden,
	"ErrorFolderExists":              mail.KindConflict,
	"ErrorIrresolvableConflict":      mail.KindConflict,
	"SyncStateNotFound":              mail.KindCursorExpired,
	"resyncRequired":                 mail.KindCursorExpired,
	"syncStateInvalid":               mail.KindCursorExpired,
	"ErrorMessageSizeExceeded":       mail.KindTooLarge,
	"ErrorQuotaExceeded":             mail.KindOverQuota,
	"ErrorExceededMessageLimit":      mail.KindThrottled,
	"ApplicationThrottled":           mail.KindThrottled,
	"TooManyRequests":                mail.KindThrottled,
	"ErrorInvalidRecipients":         mail.KindInvalid,
	"ErrorMailboxStoreUnavailable":   mail.KindUnavailable,
	"MailboxStoreUnavailable":        mail.KindUnavailable,
	"ErrorServerBusy":                mail.KindUnavailable,
	"ServiceUnavailable":             mail.KindUnavailable,
	// These say no more than their status; they are here because an innermost
	// known code is preferred to an outer one.
	"InvalidAuthenticationToken":                        "",
	"InefficientFilter":                                 mail.KindInvalid,
	"SearchWithOrderBy":                                 mail.KindInvalid,
	"SearchWithFilter":                                  mail.KindInvalid,
	"ErrorInvalidUrlQueryFilter":                        mail.KindInvalid,
	"ErrorItemSavePropertyError":                        mail.KindInvalid,
	"ErrorMimeContentInvalidBase64String":               mail.KindInvalid,
	"InvalidInternetMessageHeader":                      mail.KindInvalid,
	"UnableToDeserializePostBody":                       mail.KindInvalid,
	"ErrorAttachmentSizeShouldNotBeLessThanMinimumSize": mail.KindInvalid,
	"ExtensionError":                                    mail.KindInvalid,
	"ValidationError":                                   mail.KindInvalid,
}

// Kind is what the answer means to the core.
func (e *Error) Kind() mail.Kind {
	if k := kinds[e.Code]; k != "" {
		return k
	}
	switch e.Status {
	case http.StatusUnauthorized:
		switch {
		case e.Claims:
			return mail.KindGrantExpired
		case strings.Contains(strings.ToLower(e.Message), "audience"):
			// The token is meant for another cloud's Graph.
			return mail.KindMisconfigured
		}
		return mail.KindUnavailable
	case http.StatusForbidden:
		return mail.KindForbidden
	case http.StatusNotFound:
		return mail.KindNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return mail.KindConflict
	case http.StatusGone:
		return mail.KindCursorExpired
	case http.StatusRequestEntityTooLarge:
		return mail.KindTooLarge
	case http.StatusTooManyRequests:
		return mail.KindThrottled
	case http.StatusInsufficientStorage:
		return mail.KindOverQuota
	case http.StatusBadRequest:
		if strings.Contains(e.Message, "maximum request length") {
			return mail.KindTooLarge
		}
		return mail.KindInvalid
	}
	if e.Status >= 500 || e.Status == http.StatusRequestTimeout {
		return mail.KindUnavailable
	}
	return mail.KindInvalid
}

// mailError is what leaves the package. After a server error a request that
// must not be repeated may have been carried out.
func (e *Error) mailError(op string, once bool) *mail.Error {
	kind := e.Kind()
	if once && e.mayHaveActed() {
		kind = mail.KindOutcomeUnknown
	}
	return &mail.Error{Kind: kind, Op: op, Code: e.Code, Message: e.Message, RetryAfter: e.RetryAfter, Err: e}
}

// mayHaveActed: a gateway that gave up, or a server that stumbled, may have
// let the request through. A 503 with Retry-After is a refusal.
func (e *Error) mayHaveActed() bool {
	return e.Status >= 500 && e.Status != http.StatusInsufficientStorage &&
		!(e.Status == http.StatusServiceUnavailable && e.RetryAfter > 0)
}

// again says whether the request may be sent once more, and after how long.
func (e *Error) again(once bool, attempt int) (time.Duration, bool) {
	switch e.Status {
	case http.StatusTooManyRequests:
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if once && e.mayHaveActed() {
			return 0, false
		}
	default:
		return 0, false
	}
	if e.RetryAfter > 0 {
		return e.RetryAfter, true
	}
	return pace.Backoff(attempt), true
}

func readError(resp *http.Response) *Error {
	data, _ := readAll(resp.Body, 1<<20)
	e := decodeError(resp.StatusCode, data)
	e.RetryAfter = parseRetryAfter(resp.Header.Get("Retry-After"))
	e.Claims = strings.Contains(resp.Header.Get("WWW-Authenticate"), "insufficient_claims")
	return e
}

// errorBody is one level of Graph's error; innerError is spelled in two ways.
type errorBody struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	InnerError *errorBody `json:"innerError"`
}

func decodeError(status int, data []byte) *Error {
	e := &Error{Status: status, Message: http.StatusText(status)}
	var doc struct {
		Error errorBody `json:"error"`
	}
	// encoding/json matches names without regard to case, so that innererror
	// is understood too. Anything else than JSON leaves the status to speak.
	if json.Unmarshal(data, &doc) != nil || doc.Error.Code == "" {
		return e
	}
	e.Code = doc.Error.Code
	for level := &doc.Error; level != nil; level = level.InnerError {
		if _, known := kinds[level.Code]; known {
			e.Code = level.Code
		}
		if level.Message != "" && (level == &doc.Error || e.Code == level.Code) {
			e.Message = clip(level.Message, 300)
		}
	}
	return e
}

func clip(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "..."
}

// parseRetryAfter understands seconds, with a fraction inside batches, and
// dates (RFC 9110, 10.2.3). 0 where there is none.
func parseRetryAfter(v string) time.Duration {
	v = strings.TrimSpace(v)
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil {
		if !(s > 0) || s > 24*3600 {
			return 0
		}
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}
