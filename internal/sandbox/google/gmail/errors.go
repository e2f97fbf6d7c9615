package gmail

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// An Error is a refusal in the form of Google's APIs.
type Error struct {
	Code    int
	Message string
	Status  string // canonical, "NOT_FOUND"; empty is left out
	Reason  string // errors[0].reason; empty leaves errors out
	Domain  string // errors[0].domain; empty is "global"
	Inner   string // errors[0].message where it differs from Message
	// Location and LocationType say where in the request the fault is.
	Location, LocationType string
	Details                []any
	Header                 http.Header // more header fields of the answer
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s: %s", e.Code, e.Reason, e.Message) }

type errorItem struct {
	Message      string `json:"message"`
	Domain       string `json:"domain"`
	Reason       string `json:"reason"`
	Location     string `json:"location,omitempty"`
	LocationType string `json:"locationType,omitempty"`
}

// MarshalJSON gives {"error":{"code","message","errors","status","details"}}.
func (e *Error) MarshalJSON() ([]byte, error) {
	var body struct {
		Code    int         `json:"code"`
		Message string      `json:"message"`
		Errors  []errorItem `json:"errors,omitempty"`
		Status  string      `json:"status,omitempty"`
		Details []any       `json:"details,omitempty"`
	}
	body.Code, body.Message, body.Status, body.Details = e.Code, e.Message, e.Status, e.Details
	if e.Reason != "" {
		it := errorItem{Message: e.Message, Domain: e.Domain, Reason: e.Reason, Location: e.Location, LocationType: e.LocationType}
		if e.Inner != "" {
			it.Message = e.Inner
		}
		if it.Domain == "" {
			it.Domain = "global"
		}
		body.Errors = []errorItem{it}
	}
	return json.Marshal(map[string]any{"error": body})
}

func errUnauthenticated() *Error {
	return &Error{
		Code: http.StatusUnauthorized, Status: "UNAUTHENTICATED", Reason: "authError", Inner: "Invalid Credentials",
		Location: "Authorization", LocationType: "header",
		Message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
			"See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		Header: http.Header{"Www-Authenticate": {`Bearer realm="https://accounts.google.com/", error="invalid_token"`}},
	}
}

// errScopes is for a token whose scopes do not allow the method.
func errScopes(m *method) *Error {
	return &Error{
		Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "insufficientPermissions", Inner: "Insufficient Permission",
		Message: "Request had insufficient authentication scopes.",
		Details: []any{errorInfo("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "googleapis.com", map[string]string{
			"service": "gmail.googleapis.com", "method": "caribou.api.proto.MailboxService." + m.rpc,
		})},
		Header: http.Header{"Www-Authenticate": {
			`Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="` + strings.Join(m.scopes, " ") + `"`,
		}},
	}
}

// errorInfo is a detail of type google.rpc.ErrorInfo.
func errorInfo(reason, domain string, metadata map[string]string) map[string]any {
	return map[string]any{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": domain, "metadata": metadata}
}

// errForbidden is 403 with the reason "forbidden".
func errForbidden(message string) *Error {
	return &Error{Code: http.StatusForbidden, Status: "PERMISSION_DENIED", Reason: "forbidden", Message: message}
}

func errNotFound() *Error {
	return &Error{Code: http.StatusNotFound, Status: "NOT_FOUND", Reason: "notFound", Message: "Requested entity was not found."}
}

// errInvalid is 400 with the reason "invalidArgument".
func errInvalid(format string, args ...any) *Error {
	return &Error{Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "invalidArgument", Message: fmt.Sprintf(format, args...)}
}

// errField is what the front end of all of Google's APIs says to a value that
// does not fit its field: a query parameter's or a body's.
func errField(field, format string, args ...any) *Error {
	msg := fmt.Sprintf(format, args...)
	return &Error{
		Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "badRequest", Message: msg,
		Details: []any{map[string]any{
			"@type":           "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []any{map[string]string{"field": field, "description": msg}},
		}},
	}
}

// errParse is for a body that is no JSON.
func errParse(what string) *Error {
	return &Error{
		Code: http.StatusBadRequest, Status: "INVALID_ARGUMENT", Reason: "parseError",
		Message: "Invalid JSON payload received. " + what,
	}
}

// errPrecondition is 400 with the reason "failedPrecondition".
func errPrecondition(message string) *Error {
	return &Error{Code: http.StatusBadRequest, Status: "FAILED_PRECONDITION", Reason: "failedPrecondition", Message: message}
}

func errLabelExists() *Error {
	return &Error{Code: http.StatusConflict, Status: "ABORTED", Reason: "aborted", Message: "Label name exists or conflicts"}
}

func errInternal() *Error {
	return &Error{Code: http.StatusInternalServerError, Status: "INTERNAL", Reason: "backendError", Message: "Internal error encountered."}
}

func errNotPlayed(m *method) *Error {
	return &Error{
		Code: http.StatusNotImplemented, Status: "UNIMPLEMENTED", Reason: "notImplemented",
		Message: "The sandbox does not play " + m.id + ".",
	}
}
