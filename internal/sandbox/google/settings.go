package google

import (
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
)

// Settings are all knobs of this cloud. The zero value is the documented
// behaviour of the real service.
type Settings struct {
	OAuth  oauth.Settings
	PubSub pubsub.Settings
	Mail   gmail.Settings
	// Apps are registered at the start; none means oauth.DefaultApp with
	// RedirectURIs.
	Apps []oauth.App
	// RedirectURIs are those of the default app; none means the gateway's
	// default callback on localhost and 127.0.0.1.
	RedirectURIs []string
}

// What exists from the start, in the project oauth.Project: a topic to which
// Gmail may publish, a subscription that pulls from it, and a service account
// that may use both.
const (
	Topic        = "projects/" + oauth.Project + "/topics/gmail"
	Subscription = "projects/" + oauth.Project + "/subscriptions/gmail-pull"
	accountName  = "postern"
	// pushAccount is who publishes Gmail's notifications.
	pushAccount = "gmail-api-push@system.gserviceaccount.com"
)
