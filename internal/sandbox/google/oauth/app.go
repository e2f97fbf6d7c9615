package oauth

import (
	"crypto/subtle"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// Project is the developer project of everything that exists from the start.
const Project = "postern-sandbox"

// The app that is registered when none is given.
const (
	DefaultAppID     = "104729150310-sandboxapp.apps.googleusercontent.com"
	DefaultAppName   = "sandbox-app"
	DefaultAppSecret = "GOCSPX-sandbox-for-local-use-only"
)

// An App is an OAuth client with the consent screen of its project.
type App struct {
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	// Project is the developer project: quota and watches count for it.
	Project string `json:"project,omitempty"`
	// RedirectURIs are compared exactly.
	RedirectURIs []string `json:"redirect_uris"`
	Secrets      []Secret `json:"secrets,omitempty"`
	// Testing is the publishing status: only TestUsers may sign in, and what
	// they grant lives seven days.
	Testing   bool     `json:"testing,omitempty"`
	TestUsers []string `json:"test_users,omitempty"`
	// Internal, a mail domain, makes it an app of that organisation alone.
	Internal string `json:"internal,omitempty"`
	// Deleted keeps the id known and refuses it as deleted_client.
	Deleted bool `json:"deleted,omitempty"`
}

// A Secret is a client secret; a disabled one is refused.
type Secret struct {
	Value    string `json:"value"`
	Disabled bool   `json:"disabled,omitempty"`
}

// DefaultApp is the client that exists without being asked for.
func DefaultApp(redirectURIs ...string) App {
	if len(redirectURIs) == 0 {
		redirectURIs = []string{"http://localhost:8080/oauth/gmail/callback", "http://127.0.0.1:8080/oauth/gmail/callback"}
	}
	return App{
		ClientID: DefaultAppID, Name: DefaultAppName, Project: Project, RedirectURIs: redirectURIs,
		Secrets: []Secret{{Value: DefaultAppSecret}},
	}
}

func (a App) checked() (App, error) {
	if a.ClientID == "" {
		a.ClientID = strings.ToLower(signin.Opaque("")[:16]) + ".apps.googleusercontent.com"
	}
	if a.Name == "" {
		a.Name = DefaultAppName
	}
	if a.Project == "" {
		a.Project = Project
	}
	for _, uri := range a.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" {
			return App{}, fmt.Errorf("redirect URI %q is not an absolute URL without a fragment", uri)
		}
	}
	return a, nil
}

// goodSecret compares in constant time with each.
func (a App) goodSecret(presented string) bool {
	good := false
	for _, s := range a.Secrets {
		if subtle.ConstantTimeCompare([]byte(s.Value), []byte(presented)) == 1 && !s.Disabled {
			good = true
		}
	}
	return good
}

// admits tells whether an app in testing knows the user.
func (a App) admits(address string) bool {
	return !a.Testing || slices.ContainsFunc(a.TestUsers, func(t string) bool { return strings.EqualFold(t, address) })
}
