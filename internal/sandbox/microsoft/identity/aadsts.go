package identity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// A refusal is one answer of the table below, with its text filled in.
type refusal struct {
	code     int
	oauth    string // the OAuth error
	suberror string
	text     string
}

func (r *refusal) Error() string { return fmt.Sprintf("AADSTS%d: %s", r.code, r.text) }

// description is error_description without the trace lines.
func (r *refusal) description() string { return r.Error() }

type entry struct {
	oauth    string
	suberror string
	text     string
}

// aadsts lists the codes of the real service that the sandbox can answer with,
// their OAuth errors and texts (the identity platform's error reference and
// the reports quoted there). A text's verbs are filled by refuse. Which OAuth
// error goes with a code differs by flow in reality: a client does well to look
// at error_codes first.
var aadsts = map[int]entry{
	28000:   {"invalid_scope", "", "Provided value for the input parameter scope is not valid because it contains more than one resource. Scope %s is not valid."},
	50001:   {"invalid_resource", "", "The resource principal named %s was not found in the tenant. Check that the resource has been registered."},
	50011:   {"invalid_request", "", "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'. Make sure the redirect URI sent in the request matches one added to your application in the Azure portal."},
	50020:   {"invalid_grant", "", "User account '%s' from identity provider 'live.com' does not exist in tenant 'Contoso' and cannot access the application in that tenant. The account needs to be added as an external user in the tenant first."},
	50034:   {"invalid_grant", "", "The user account %s does not exist in the %s directory. To sign into this application, the account must be added to the directory."},
	50055:   {"invalid_grant", "", "The password is expired."},
	50057:   {"invalid_grant", "", "The user account is disabled."},
	50058:   {"login_required", "", "Session information is not sufficient for single-sign-on."},
	50059:   {"invalid_request", "", "No tenant-identifying information found in either the request or implied by any provided credentials."},
	50076:   {"interaction_required", "basic_action", "Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'."},
	50078:   {"invalid_grant", "basic_action", "Presented multi-factor authentication has expired due to policies configured by your administrator, you must refresh your multi-factor authentication to access '00000003-0000-0000-c000-000000000000'."},
	50079:   {"interaction_required", "basic_action", "Due to a configuration change made by your administrator, or because you moved to a new location, you must enroll in multi-factor authentication to access '00000003-0000-0000-c000-000000000000'."},
	50105:   {"access_denied", "", "Your administrator has configured the application to block users unless they are specifically granted ('assigned') access to the application. The signed in user is blocked because they are not a direct member of a group with access."},
	50173:   {"invalid_grant", "", "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '%s' and the TokensValidFrom date (before which tokens are not valid) for this user is '%s'."},
	50194:   {"invalid_request", "", "Application '%s' is not configured as a multi-tenant application. Usage of the /common endpoint is not supported for such apps created after '10/15/2018'. Use a tenant-specific endpoint or configure the application to be multi-tenant."},
	50196:   {"invalid_grant", "", "The server terminated an operation because it encountered a client request loop. Please contact your app vendor."},
	53003:   {"invalid_grant", "message_only", "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance."},
	54005:   {"invalid_grant", "", "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token."},
	65001:   {"invalid_grant", "consent_required", "The user or administrator has not consented to use the application with ID '%s'. Send an interactive authorization request for this user and resource."},
	65004:   {"access_denied", "", "User declined to consent to access the app."},
	70000:   {"invalid_grant", "bad_token", "Provided grant is invalid or malformed."},
	70003:   {"unsupported_grant_type", "", "The app requested an unsupported grant type '%s'."},
	70007:   {"invalid_request", "", "'%s' is not a supported value of '%s' for requesting a token."},
	70008:   {"invalid_grant", "", "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource."},
	70011:   {"invalid_scope", "", "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. The scope %s is not valid."},
	70043:   {"invalid_grant", "bad_token", "The refresh token has expired or is invalid due to sign-in frequency checks by conditional access."},
	90002:   {"invalid_request", "", "Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."},
	90014:   {"invalid_request", "", "The required field '%s' is missing from the credential. Ensure that you have all the necessary parameters for the login request."},
	90094:   {"consent_required", "", "An administrator of Contoso has set a policy that prevents you from granting the application the permissions it is requesting. Contact an administrator, who can grant permissions to this application on your behalf."},
	500011:  {"invalid_resource", "", "The resource principal named %s was not found in the tenant named Contoso. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant."},
	500112:  {"invalid_client", "", "The reply address '%s' does not match the reply address '%s' provided when requesting Authorization code."},
	501481:  {"invalid_grant", "", "The Code_Verifier does not match the code_challenge supplied in the authorization request."},
	501491:  {"invalid_request", "", "Invalid size of Code_Challenge parameter."},
	700005:  {"invalid_grant", "", "Provided Authorization Code is intended to use against other tenant, thus rejected."},
	700016:  {"unauthorized_client", "", "Application with identifier '%s' was not found in the directory 'Contoso'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."},
	700023:  {"invalid_client", "", "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials."},
	700024:  {"invalid_client", "", "Client assertion is not within its valid time range. Current time: %s, assertion valid from %s, expiry time of assertion %s."},
	700025:  {"invalid_client", "", "Client is public so neither 'client_assertion' nor 'client_secret' should be presented."},
	700027:  {"invalid_client", "", "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - %s, Thumbprint of key used by client: '%s']"},
	700054:  {"unsupported_response_type", "", "response_type '%s' is not enabled for the application."},
	700082:  {"invalid_grant", "", "The refresh token has expired due to inactivity. The token was issued on %s and was inactive for %s."},
	900144:  {"invalid_request", "", "The request body must contain the following parameter: '%s'."},
	1002012: {"invalid_scope", "", "The provided value for scope is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."},
	7000215: {"invalid_client", "", "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'."},
	7000218: {"invalid_client", "", "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."},
	7000222: {"invalid_client", "", "The provided client secret keys for app '%s' are expired. Visit the Azure portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: https://aka.ms/certCreds."},
	9002313: {"invalid_grant", "", "Invalid request. Request is malformed or invalid."},
}

// refuse fills the text of a row. A code that is not in the table is a mistake
// of the sandbox's own and reads as one.
func refuse(code int, args ...any) *refusal {
	row, ok := aadsts[code]
	if !ok {
		return &refusal{code: 90000, oauth: "server_error", text: fmt.Sprintf("the sandbox has no text for code %d", code)}
	}
	text := row.text
	if len(args) > 0 {
		text = fmt.Sprintf(row.text, args...)
	}
	return &refusal{code: code, oauth: row.oauth, suberror: row.suberror, text: text}
}

// tokenError is the body of a refused token request.
type tokenError struct {
	Error         string `json:"error"`
	Description   string `json:"error_description"`
	Codes         []int  `json:"error_codes"`
	Timestamp     string `json:"timestamp"`
	TraceID       string `json:"trace_id"`
	CorrelationID string `json:"correlation_id"`
	URI           string `json:"error_uri"`
	Suberror      string `json:"suberror,omitempty"`
}

// writeRefusal answers a token request with an error, HTTP 400, or for
// invalid_client the status that is set.
func (p *Provider) writeRefusal(w http.ResponseWriter, r *http.Request, why *refusal) {
	status := http.StatusBadRequest
	if why.oauth == "invalid_client" {
		status = p.settings.InvalidClientStatus
	}
	now := p.now().UTC()
	correlation := r.Header.Get("client-request-id")
	if _, err := uuid.Parse(correlation); err != nil {
		correlation = uuid.NewString()
	}
	trace := uuid.NewString()
	stamp := now.Format("2006-01-02 15:04:05Z")
	body := tokenError{
		Error:       why.oauth,
		Description: fmt.Sprintf("%s\r\nTrace ID: %s\r\nCorrelation ID: %s\r\nTimestamp: %s", why.description(), trace, correlation, stamp),
		Codes:       []int{why.code},
		Timestamp:   stamp, TraceID: trace, CorrelationID: correlation,
		URI:      fmt.Sprintf("https://%s/error?code=%d", r.Host, why.code),
		Suberror: why.suberror,
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store, no-cache")
	w.Header().Set("Pragma", "no-cache")
	w.WriteHeader(status)
	// The client is gone when this fails; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}

// span writes a duration as .NET does: 90.00:00:00.
func span(d time.Duration) string {
	days := int(d / (24 * time.Hour))
	d -= time.Duration(days) * 24 * time.Hour
	return fmt.Sprintf("%d.%02d:%02d:%02d", days, int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
}
