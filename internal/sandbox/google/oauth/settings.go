package oauth

import (
	"slices"
	"strings"
	"time"
)

// Settings are the knobs of sign-in. The zero value is the documented
// behaviour of the real service.
type Settings struct {
	// AccessTokenLifetime is what expires_in says: 3,599 s.
	AccessTokenLifetime time.Duration
	// CodeLifetime is 10 minutes.
	CodeLifetime time.Duration
	// UnusedLifetime is how long a refresh token lives without being used:
	// 6 months.
	UnusedLifetime time.Duration
	// TestingLifetime is how long a grant to an app in testing lives: 7 days.
	TestingLifetime time.Duration
	// MaxRefreshTokens of one user to one app are alive: 100 (it was 50). One
	// more silently ends the oldest.
	MaxRefreshTokens int
	// KeysMaxAge is how long a key set may be cached: 5 hours.
	KeysMaxAge time.Duration
	// SingleSignOn lets a signed-in and consented user through without the
	// page when no prompt asks for it, as the real service does. Off by
	// default, so that every connect shows the page.
	SingleSignOn bool
	// Unticked shows the boxes of the consent screen empty, as the real
	// service does to new grants. Off by default, so that a form that is sent
	// as it stands gives what was asked for.
	Unticked bool
	// Scopes that an app may ask for. Default Scopes.
	Scopes []string
}

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	set(&s.AccessTokenLifetime, 3599*time.Second)
	set(&s.CodeLifetime, 10*time.Minute)
	set(&s.UnusedLifetime, 180*24*time.Hour)
	set(&s.TestingLifetime, 7*24*time.Hour)
	set(&s.KeysMaxAge, 5*time.Hour)
	if s.MaxRefreshTokens == 0 {
		s.MaxRefreshTokens = 100
	}
	if s.Scopes == nil {
		s.Scopes = Scopes()
	}
	return s
}

// The scopes of identity, in their full form.
const (
	scopeOpenID  = "openid"
	scopeEmail   = "https://www.googleapis.com/auth/userinfo.email"
	scopeProfile = "https://www.googleapis.com/auth/userinfo.profile"
)

// Scopes are those the sandbox knows: of identity, Gmail and Pub/Sub.
func Scopes() []string {
	return []string{
		scopeOpenID, scopeEmail, scopeProfile,
		"https://mail.google.com/",
		"https://www.googleapis.com/auth/gmail.modify", "https://www.googleapis.com/auth/gmail.readonly",
		"https://www.googleapis.com/auth/gmail.compose", "https://www.googleapis.com/auth/gmail.send",
		"https://www.googleapis.com/auth/gmail.insert", "https://www.googleapis.com/auth/gmail.labels",
		"https://www.googleapis.com/auth/gmail.metadata",
		"https://www.googleapis.com/auth/gmail.settings.basic", "https://www.googleapis.com/auth/gmail.settings.sharing",
		"https://www.googleapis.com/auth/pubsub", "https://www.googleapis.com/auth/cloud-platform",
	}
}

// parseScopes reads a scope parameter: the short names of identity in their
// full form, each once, in the order asked for. bad are those that nobody
// knows.
func (s Settings) parseScopes(words string) (scopes, bad []string) {
	for _, w := range strings.Fields(words) {
		full := w
		switch w {
		case "email":
			full = scopeEmail
		case "profile":
			full = scopeProfile
		}
		switch {
		case !slices.Contains(s.Scopes, full):
			bad = append(bad, w)
		case !slices.Contains(scopes, full):
			scopes = append(scopes, full)
		}
	}
	return scopes, bad
}

// isIdentity tells the scopes that a sign-in gives anyway: there is no box for
// them.
func isIdentity(scope string) bool {
	return scope == scopeOpenID || scope == scopeEmail || scope == scopeProfile
}

// limited tells whether a grant to an app in testing ends after a while: one
// of identity alone does not.
func limited(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool { return !isIdentity(s) })
}

// hasMail tells the grants that a change of password ends.
func hasMail(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(s string) bool {
		return s == "https://mail.google.com/" || strings.HasPrefix(s, "https://www.googleapis.com/auth/gmail.")
	})
}
