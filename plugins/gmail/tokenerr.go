package gmail

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// verdict is what a refusal of the sign-in service asks for.
type verdict int

const (
	undecided  verdict = iota
	reconnect          // the owner must sign in again
	configure          // the operator must correct the OAuth client or the settings
	administer         // an administrator of the owner's organisation must allow it
	retry              // nobody is at fault
)

// verdicts by error string, of the token endpoint (RFC 6749, 5.2) and of the
// sign-in page ("Using OAuth 2.0 for Web Server Applications", errors).
var verdicts = map[string]verdict{
	"invalid_grant":          reconnect,
	"access_denied":          reconnect,
	"interaction_required":   reconnect,
	"login_required":         reconnect,
	"consent_required":       reconnect,
	"invalid_client":         configure,
	"deleted_client":         configure,
	"disabled_client":        configure,
	"unauthorized_client":    configure,
	"invalid_request":        configure,
	"invalid_scope":          configure,
	"redirect_uri_mismatch":  configure,
	"unsupported_grant_type": configure,
	"org_internal":           configure,
	"disallowed_useragent":   configure,
	"admin_policy_enforced":  administer,
	"internal_failure":       retry,
	"server_error":           retry,

	"temporarily_unavailable": retry,
}

// faults say what of the OAuth client is refused.
var faults = map[string]string{
	"invalid_client":        "Google refuses the client id or the client secret: the registration or the settings must be corrected",
	"deleted_client":        "the OAuth client was deleted: another one must be registered and its id set",
	"disabled_client":       "the OAuth client is disabled at Google",
	"redirect_uri_mismatch": "the OAuth client's registration does not have the redirect URL",
	"invalid_scope":         "the setting scopes names a permission that Google does not know",
	"org_internal":          "the OAuth client is for its own organisation alone: its consent screen must be of the user type external",
}

// tokenAnswer is the error document of the token endpoint.
type tokenAnswer struct {
	Error   string `json:"error"`
	Subtype string `json:"error_subtype"`
}

// tokenError turns a failed request for a token into an error of a kind. The
// texts are ours: the library's quote the answer.
func (p *Provider) tokenError(op string, err error) *mail.Error {
	var re *oauth2.RetrieveError
	if !errors.As(err, &re) || re.Response == nil {
		return unreachable(op, err)
	}
	if re.Response.StatusCode < 300 {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: codeBadAnswer, Message: "the sign-in service's answer cannot be used"}
	}
	e := refusedToken(op, re.Response.StatusCode, re.Body)
	e.RetryAfter = retryTime(re.Response.Header, "", p.now())
	return e
}

// unreachable is the error of a sign-in service that gave no answer.
func unreachable(op string, err error) *mail.Error {
	var ue *url.Error
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &cert):
		return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "untrusted_certificate",
			Message: "the sign-in service's certificate is not trusted (" + setCAFile + " names authorities to trust beside the system's): " + cert.Err.Error(), Err: err}
	case errors.As(err, &ue):
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the sign-in service cannot be reached: " + ue.Err.Error(), Err: ue.Err}
	}
	// The library's text may quote the answer, tokens included.
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: codeBadAnswer, Message: "the sign-in service's answer cannot be used"}
}

func refusedToken(op string, status int, body []byte) *mail.Error {
	var a tokenAnswer
	_ = json.Unmarshal(body, &a) // a proxy's page leaves it empty
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || verdicts[a.Error] == undecided {
		return &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: clip(a.Error, 60), Message: "the sign-in service is not available (status " + strconv.Itoa(status) + ")"}
	}
	return judge(op, a)
}

// judge says what a refusal asks for.
func judge(op string, a tokenAnswer) *mail.Error {
	e := &mail.Error{Op: op, Code: a.Error}
	switch verdicts[a.Error] {
	case reconnect:
		e.Kind, e.Message = mail.KindGrantExpired, "the consent has ended: the owner must connect the account again"
		if a.Subtype != "" {
			e.Code = clip(a.Subtype, 60)
		}
		if a.Subtype == "invalid_rapt" {
			e.Message = "the organisation ends sessions after a time: the owner must sign in again"
		}
	case administer:
		e.Kind, e.Message = mail.KindGrantExpired, "an administrator of the organisation does not allow this application access to Gmail; when it is allowed, the owner must connect the account again"
	case configure:
		e.Kind, e.Message = mail.KindMisconfigured, faults[a.Error]
		if e.Message == "" {
			e.Message = "Google refuses the OAuth client: its registration or the settings must be corrected"
		}
	default:
		e.Kind, e.Message = mail.KindUnavailable, "the sign-in service asks to come back later"
	}
	return e
}
