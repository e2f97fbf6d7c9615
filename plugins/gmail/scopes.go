package gmail

import (
	"slices"

	gmailapi "google.golang.org/api/gmail/v1"
)

// readsMail: scopes by which messages can be read whole.
func readsMail(scope string) bool {
	switch scope {
	case gmailapi.MailGoogleComScope, gmailapi.GmailModifyScope, gmailapi.GmailReadonlyScope:
		return true
	}
	return false
}

// sameScope: Google answers with long names of what was asked for by short
// ones.
func sameScope(a, b string) bool { return longScope(a) == longScope(b) }

func longScope(s string) string {
	switch s {
	case "email":
		return "https://www.googleapis.com/auth/userinfo.email"
	case "profile":
		return "https://www.googleapis.com/auth/userinfo.profile"
	}
	return s
}

// missingScopes are those that were asked for and not given. Who may use the
// whole of Gmail has all of its parts.
func missingScopes(asked, given []string) []string {
	whole := slices.Contains(given, gmailapi.MailGoogleComScope)
	var out []string
	for _, want := range asked {
		switch {
		case slices.ContainsFunc(given, func(s string) bool { return sameScope(s, want) }):
		case whole && len(want) > len(gmailScopes) && want[:len(gmailScopes)] == gmailScopes:
		default:
			out = append(out, want)
		}
	}
	return out
}

const gmailScopes = "https://www.googleapis.com/auth/gmail."
