package outlook

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// verdict is what a refusal of the token endpoint asks for.
type verdict int

const (
	undecided verdict = iota
	reconnect         // the owner must sign in again
	configure         // the operator must correct the app registration or the settings
	retry             // nobody is at fault
)

// codeBlip is AADSTS70000: a malformed refresh token, but also a passing fault
// after which the same token works again. tokens.judge counts it.
const codeBlip = "AADSTS70000"

// Codes of our own, which the host may show a page for.
const (
	codeAccessDenied = "access_denied"
	codeAdminConsent = mail.CodeAdminConsent
	codeMissingScope = "missing_scope"
)

// verdicts by AADSTS code ("Microsoft Entra authentication and authorization
// error codes"). The error string that goes with a code varies by flow, so
// the codes are asked first, then suberror, then error.
var verdicts = map[int]verdict{
	50020:  reconnect, // user is not in the tenant
	50034:  reconnect, // user is unknown
	50057:  reconnect, // user is disabled
	50058:  reconnect, // no session for prompt=none
	50076:  reconnect, // second factor needed
	50078:  reconnect, // second factor expired
	50079:  reconnect, // second factor must be enrolled
	50105:  reconnect, // user is not assigned to the application
	50173:  reconnect, // revoked, or the password was reset
	53003:  reconnect, // blocked by conditional access
	65001:  reconnect, // no consent
	65004:  reconnect, // the user declined
	90094:  reconnect, // an administrator must consent
	70000:  reconnect, // see codeBlip
	70008:  reconnect, // expired
	700082: reconnect, // expired of disuse
	70043:  reconnect, // sign-in frequency by conditional access
	501481: reconnect, // the code verifier does not fit: this attempt is lost
	54005:  reconnect, // the code was redeemed already

	50001:   configure, // resource unknown in the tenant
	500011:  configure,
	50011:   configure, // redirect URL is not registered
	50194:   configure, // single-tenant application used at /common
	70001:   configure, // application unknown in the tenant
	700016:  configure,
	70011:   configure, // bad scope
	700025:  configure, // public client sent a secret
	700027:  configure, // bad signature of the assertion
	7000215: configure, // wrong secret
	7000222: configure, // expired secret
	90002:   configure, // tenant unknown

	50196: retry, // the client loops: wait
	90033: retry, // a passing fault of the service
}

var suberrors = map[string]verdict{
	"basic_action":      reconnect,
	"additional_action": reconnect,
	"message_only":      reconnect,
	"consent_required":  reconnect,
	"bad_token":         reconnect,
	"token_expired":     reconnect,
}

var errorStrings = map[string]verdict{
	"invalid_grant":           reconnect,
	"interaction_required":    reconnect,
	"login_required":          reconnect,
	"consent_required":        reconnect,
	"access_denied":           reconnect,
	"invalid_client":          configure,
	"unauthorized_client":     configure,
	"invalid_scope":           configure,
	"invalid_resource":        configure,
	"invalid_request":         configure,
	"unsupported_grant_type":  configure,
	"temporarily_unavailable": retry,
	"server_error":            retry,
}

// tokenRefusal is the token endpoint's error document (RFC 6749, 5.2, with
// Microsoft's additions).
type tokenRefusal struct {
	Error       string `json:"error"`
	SubError    string `json:"suberror"`
	Description string `json:"error_description"`
	Codes       []int  `json:"error_codes"`
}

func (r *tokenRefusal) verdict() verdict {
	for _, c := range r.Codes {
		if v := verdicts[c]; v != undecided {
			return v
		}
	}
	if v := suberrors[r.SubError]; v != undecided {
		return v
	}
	return errorStrings[r.Error]
}

// faults say what of the application is refused.
var faults = map[int]string{
	500011:  "the sign-in service refuses the application: the resource is unknown in the tenant",
	50011:   "the sign-in service refuses the application: its registration does not have the redirect URL",
	50194:   "the sign-in service refuses the application: it is registered for one tenant, which the setting authority must name",
	70001:   "the sign-in service does not know the application in this tenant: the setting client_id or authority is wrong",
	700016:  "the sign-in service does not know the application in this tenant: the setting client_id or authority is wrong",
	700025:  "the sign-in service refuses the client secret: the application is registered as one that has none",
	7000215: "the sign-in service refuses the client secret: it is wrong (the secret's value is needed, not its id)",
	7000222: "the sign-in service refuses the client secret: it has expired, and the registration needs a new one",
	90002:   "the sign-in service does not know the tenant: the setting authority is wrong",
}

// fault says in words what the operator has to correct.
func (r *tokenRefusal) fault() string {
	for _, c := range r.Codes {
		if words := faults[c]; words != "" {
			return words
		}
	}
	if r.Error == "invalid_client" {
		return "the sign-in service refuses the client id or the client secret: the registration or the settings must be corrected"
	}
	return "the sign-in service refuses the application: its registration or the settings must be corrected"
}

// code is the first AADSTS code, which may stand in the text alone.
func (r *tokenRefusal) code() string {
	if len(r.Codes) > 0 {
		return "AADSTS" + strconv.Itoa(r.Codes[0])
	}
	if rest, ok := strings.CutPrefix(r.Description, "AADSTS"); ok {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if n, err := strconv.Atoi(digits); err == nil {
			r.Codes = []int{n}
			return "AADSTS" + digits
		}
	}
	return r.Error
}

// refusedToken turns an answer that is no token into an error of a kind. The
// texts are ours: Microsoft's name people.
func refusedToken(op string, status int, body []byte, wait time.Duration) *mail.Error {
	var r tokenRefusal
	_ = json.Unmarshal(body, &r) // a proxy's page leaves r empty
	e := &mail.Error{Kind: mail.KindUnavailable, Op: op, Code: r.code(), RetryAfter: wait,
		Message: "the sign-in service is not available (status " + strconv.Itoa(status) + ")"}
	if status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout {
		return e
	}
	switch r.verdict() {
	case reconnect:
		e.Kind, e.Message = mail.KindGrantExpired, "the consent has ended: the owner must connect the account again"
	case configure:
		e.Kind, e.Message = mail.KindMisconfigured, r.fault()
	case retry:
		e.Message = "the sign-in service asks to come back later"
		if e.Code == "AADSTS50196" {
			e.RetryAfter = max(wait, time.Minute)
		}
	}
	return e
}
