package google

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/google/pubsub"
)

// Name is "google".
func (s *Server) Name() string { return Name }

// AddUser makes a user with an empty mailbox.
func (s *Server) AddUser(address, name string) (cloud.User, error) {
	return s.accounts.add(cloud.User{Address: address, Name: name}, true)
}

// AddUserWithoutMail makes a Google account that has no Gmail: it can sign in,
// and every call to Gmail is refused.
func (s *Server) AddUserWithoutMail(address, name string) (cloud.User, error) {
	return s.accounts.add(cloud.User{Address: address, Name: name}, false)
}

// Users are all users, by address.
func (s *Server) Users() []cloud.User { return s.accounts.Users() }

// UserByAddress finds a user, in any case of letters.
func (s *Server) UserByAddress(address string) (cloud.User, bool) {
	return s.accounts.UserByAddress(address)
}

func (s *Server) user(address string) (cloud.User, error) {
	u, ok := s.accounts.UserByAddress(address)
	if !ok {
		return cloud.User{}, fmt.Errorf("no user %s in %s", address, Name)
	}
	return u, nil
}

// Deliver puts a message into a mailbox and returns its id. A user without
// Gmail has none: directory.ErrNoMailbox.
func (s *Server) Deliver(ctx context.Context, address string, d cloud.Delivery) (string, error) {
	return s.gmail.Deliver(ctx, address, d)
}

// Messages lists what a mailbox truly holds.
func (s *Server) Messages(address string) ([]cloud.MessageInfo, error) {
	if _, bare := s.accounts.plain.ByAddress(address); bare {
		return []cloud.MessageInfo{}, nil
	}
	return s.gmail.Messages(address)
}

// Edit changes a message as another of the owner's programs would.
func (s *Server) Edit(address, id string, e cloud.Edit) error { return s.gmail.Edit(address, id, e) }

// Delete removes a message for good.
func (s *Server) Delete(address, id string) error { return s.gmail.Delete(address, id) }

// Revoke ends the grants of a user; with keepAccess the access tokens that are
// out live on until they expire.
func (s *Server) Revoke(address string, keepAccess bool) error {
	u, err := s.user(address)
	if err == nil {
		s.oauth.Revoke(u, keepAccess)
	}
	return err
}

// Block makes signing in or refreshing end with a refusal, by the numbers of
// oauth.Block: 1 disabled, 2 admin_policy_enforced, 3 invalid_rapt; 0 ends it.
func (s *Server) Block(address string, code int) error {
	u, err := s.user(address)
	if err != nil {
		return err
	}
	return s.oauth.Block(u, oauth.Block(code))
}

// ChangePassword ends the refresh tokens of a user that reach mail.
func (s *Server) ChangePassword(address string) error {
	u, err := s.user(address)
	if err == nil {
		s.oauth.ChangePassword(u)
	}
	return err
}

// ExpireTokens ends the access tokens of a user that are out, as if their time
// had come. Refresh tokens live on.
func (s *Server) ExpireTokens(address string) error {
	u, err := s.user(address)
	if err == nil {
		s.oauth.ExpireTokens(u)
	}
	return err
}

// ForgetCursors makes all history ids of a user answer 404.
func (s *Server) ForgetCursors(address string) error { return s.gmail.ForgetCursors(address) }

// Lifecycle plays an event: "watch_expired" ends the user's watches now. It
// says how many there were.
func (s *Server) Lifecycle(address, event string) (int, error) {
	return s.gmail.Lifecycle(address, event)
}

// SetDeltaLag hides changes from history until they are so old.
func (s *Server) SetDeltaLag(d time.Duration) { s.gmail.SetDeltaLag(d) }

// Register adds an OAuth client or replaces it.
func (s *Server) Register(app oauth.App) (oauth.App, error) { return s.oauth.Register(app) }

// Apps lists the OAuth clients.
func (s *Server) Apps() []oauth.App { return s.oauth.Apps() }

// ServiceAccountKey makes a service account of the default project, or finds
// it, gives it roles in the project, and returns its key file with the token
// endpoint under base.
func (s *Server) ServiceAccountKey(name, base string, roles ...string) (string, error) {
	account, err := s.oauth.AddServiceAccount(name, oauth.Project)
	if err != nil {
		return "", err
	}
	for _, role := range roles {
		if err := s.pubsub.Grant("projects/"+oauth.Project, role, "serviceAccount:"+account.Email); err != nil {
			return "", err
		}
	}
	text, err := account.KeyFile(base)
	return string(text), err
}

// DefaultKey is the key file of the service account that exists from the
// start.
func (s *Server) DefaultKey(base string) (string, error) {
	return s.ServiceAccountKey(accountName, base)
}

// SignPush signs claims with the key of the key set, whatever they say: a
// pushed message's token, or one that a test wants to be wrong.
func (s *Server) SignPush(claims map[string]any) (string, error) { return s.oauth.Sign(claims) }

// PushClaims are the claims of a good push token.
func (s *Server) PushClaims(audience, email string) map[string]any {
	return s.pubsub.Claims("", email, audience)
}

// RotateKeys makes a new signing key; the one before stays in the key set.
func (s *Server) RotateKeys() error { return s.oauth.RotateKeys() }

// PubSub are the topics and subscriptions.
func (s *Server) PubSub() *pubsub.Service { return s.pubsub }

// Gmail are the mailboxes.
func (s *Server) Gmail() *gmail.Server { return s.gmail }

// Save keeps everything in a folder.
func (s *Server) Save(dir string) error {
	for _, save := range []func(string) error{s.gmail.Save, s.accounts.save, s.oauth.Save, s.pubsub.Save} {
		if err := save(dir); err != nil {
			return err
		}
	}
	return nil
}

// Load takes up what Save left.
func (s *Server) Load(dir string) error {
	for _, load := range []func(string) error{s.gmail.Load, s.accounts.load, s.oauth.Load, s.pubsub.Load} {
		if err := load(dir); err != nil {
			return err
		}
	}
	return nil
}
