package pubsub

import (
	"encoding/json"
	"net/http"
)

// A problem is a refusal in the form of Google's APIs. Those of Pub/Sub have
// no errors list.
type problem struct {
	code    int
	status  string
	message string
}

func (p *problem) Error() string { return p.status + ": " + p.message }

func notFound(resource string) *problem {
	return &problem{http.StatusNotFound, "NOT_FOUND", "Resource not found (resource=" + short(resource) + ")."}
}

func invalid(message string) *problem {
	return &problem{http.StatusBadRequest, "INVALID_ARGUMENT", message}
}

var (
	errForbidden       = &problem{http.StatusForbidden, "PERMISSION_DENIED", "User not authorized to perform this action."}
	errScopes          = &problem{http.StatusForbidden, "PERMISSION_DENIED", "Request had insufficient authentication scopes."}
	errUnauthenticated = &problem{http.StatusUnauthorized, "UNAUTHENTICATED", "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."}
	errNoMethod        = &problem{http.StatusNotFound, "NOT_FOUND", "Requested entity was not found."}
)

func writeProblem(w http.ResponseWriter, p *problem) {
	inner := map[string]any{"code": p.code, "message": p.message, "status": p.status}
	switch p {
	case errScopes:
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="insufficient_scope", scope="https://www.googleapis.com/auth/pubsub https://www.googleapis.com/auth/cloud-platform"`)
		inner["details"] = []any{map[string]any{
			"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com",
			"metadata": map[string]string{"service": "pubsub.googleapis.com"},
		}}
	case errUnauthenticated:
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://accounts.google.com/", error="invalid_token"`)
	}
	writeJSON(w, p.code, map[string]any{"error": inner})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
