package identity

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// ConsumerTenant is the tenant of all personal Microsoft accounts.
const ConsumerTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// DefaultTenant is the sandbox's one organisation, unless set otherwise.
const DefaultTenant = "5b6f6d2c-3c1e-4d57-9a0e-6f1d2a7c8e01"

// Settings are the identity platform's knobs. The zero value is the documented
// behaviour of the real service.
type Settings struct {
	// Tenant is the organisation's id; all users but personal ones belong to
	// it. Default DefaultTenant.
	Tenant string
	// ConsumerDomains are the mail domains whose users are personal accounts.
	// Default outlook.example and hotmail.example.
	ConsumerDomains []string
	// OpaqueConsumerTokens gives personal accounts access tokens that are not
	// JWTs, as the real service does. OpaqueTokens does so for everybody.
	OpaqueConsumerTokens *bool
	OpaqueTokens         bool

	// AccessTokenLifetime is an hour by default. MSAL does not cache a token
	// that lives 300 s or less: shorter values make it refresh on every call.
	AccessTokenLifetime time.Duration
	// RefreshTokenLifetime is 90 days by default, from issue.
	RefreshTokenLifetime time.Duration
	// CodeLifetime is 10 minutes by default.
	CodeLifetime time.Duration
	// StrictRotation makes a refresh token worthless once it was used. The
	// real service leaves it good until it expires.
	StrictRotation bool
	// InvalidClientStatus is the status of error invalid_client: 401 by
	// default; some report 400.
	InvalidClientStatus int
	// SingleSignOn lets a signed-in and consented user through without the
	// page when neither prompt nor a chooser asks for it, as the real service
	// does. Off by default, so that every connect shows the page.
	SingleSignOn bool
	// Scopes are the delegated permissions an app may ask for. Default
	// GraphScopes.
	Scopes []string
	// DefaultScopes stand for the scope .default of the Graph resource.
	DefaultScopes []string
}

// GraphScopes are the delegated permissions of Graph that the sandbox knows.
func GraphScopes() []string {
	return []string{
		"User.Read", "User.ReadBasic.All", "Mail.Read", "Mail.ReadBasic", "Mail.ReadWrite", "Mail.Send",
		"Mail.Read.Shared", "Mail.ReadWrite.Shared", "Mail.Send.Shared",
		"MailboxSettings.Read", "MailboxSettings.ReadWrite", "Contacts.Read", "Calendars.Read",
		"IMAP.AccessAsUser.All", "SMTP.Send",
	}
}

func (s Settings) withDefaults() Settings {
	if s.Tenant == "" {
		s.Tenant = DefaultTenant
	}
	if s.ConsumerDomains == nil {
		s.ConsumerDomains = []string{"outlook.example", "hotmail.example"}
	}
	if s.OpaqueConsumerTokens == nil {
		yes := true
		s.OpaqueConsumerTokens = &yes
	}
	if s.AccessTokenLifetime == 0 {
		s.AccessTokenLifetime = time.Hour
	}
	if s.RefreshTokenLifetime == 0 {
		s.RefreshTokenLifetime = 90 * 24 * time.Hour
	}
	if s.CodeLifetime == 0 {
		s.CodeLifetime = 10 * time.Minute
	}
	if s.InvalidClientStatus == 0 {
		s.InvalidClientStatus = http.StatusUnauthorized
	}
	if s.Scopes == nil {
		s.Scopes = GraphScopes()
	}
	if s.DefaultScopes == nil {
		s.DefaultScopes = []string{"User.Read", "Mail.ReadWrite", "Mail.Send", "MailboxSettings.ReadWrite"}
	}
	return s
}

// personal tells whether an address belongs to a personal account.
func (s Settings) personal(address string) bool {
	_, domain, _ := strings.Cut(address, "@")
	return slices.ContainsFunc(s.ConsumerDomains, func(d string) bool { return strings.EqualFold(d, domain) })
}

// tenantOf is the tenant that a user belongs to.
func (s Settings) tenantOf(address string) string {
	if s.personal(address) {
		return ConsumerTenant
	}
	return s.Tenant
}
