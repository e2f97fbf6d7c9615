package oauth

import (
	"encoding/json"
	"net/http"
)

// A refusal is what sign-in or token endpoint answer instead of a grant.
type refusal struct {
	status      int
	name        string // OAuth error
	description string
	subtype     string // error_subtype
}

func (r *refusal) Error() string { return r.name + ": " + r.description }

func badGrant(description string) *refusal {
	return &refusal{status: http.StatusBadRequest, name: "invalid_grant", description: description}
}

func badRequest(description string) *refusal {
	return &refusal{status: http.StatusBadRequest, name: "invalid_request", description: description}
}

var (
	errRevoked       = badGrant("Token has been expired or revoked.")
	errBadGrant      = badGrant("Bad Request")
	errRapt          = &refusal{http.StatusBadRequest, "invalid_grant", "reauth related error (invalid_rapt)", "invalid_rapt"}
	errClientUnknown = &refusal{http.StatusUnauthorized, "invalid_client", "The OAuth client was not found.", ""}
	errClientSecret  = &refusal{http.StatusUnauthorized, "invalid_client", "Unauthorized", ""}
	errClientDeleted = &refusal{http.StatusUnauthorized, "deleted_client", "The OAuth client was deleted.", ""}
	errRedirect      = &refusal{http.StatusBadRequest, "redirect_uri_mismatch", "Bad Request", ""}
	errAdminPolicy   = &refusal{http.StatusBadRequest, "admin_policy_enforced", "Access to your account data is restricted by policies within your organization. Please contact the administrator of your organization for more information.", ""}
	errDisabled      = badGrant("Account has been deleted")
	errOrgInternal   = &refusal{http.StatusForbidden, "org_internal", "This client is restricted to users within its organization.", ""}
	errUserAgent     = &refusal{http.StatusForbidden, "disallowed_useragent", "You can't sign in from this screen because this app doesn't comply with Google's Secure browsers policy.", ""}
	errServer        = &refusal{http.StatusInternalServerError, "internal_failure", "Internal Error", ""}
)

// writeRefusal answers as the token endpoint does (RFC 6749 5.2).
func writeRefusal(w http.ResponseWriter, why *refusal) {
	body := map[string]string{"error": why.name}
	if why.description != "" {
		body["error_description"] = why.description
	}
	if why.subtype != "" {
		body["error_subtype"] = why.subtype
	}
	writeJSON(w, why.status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-cache, no-store, max-age=0, must-revalidate")
		h.Set("Pragma", "no-cache")
	}
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
