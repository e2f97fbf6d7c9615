package microsoft

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/microsoft/identity"
)

// Name is "microsoft".
func (s *Server) Name() string { return Name }

// AddUser makes a user with an empty mailbox.
func (s *Server) AddUser(address, name string) (cloud.User, error) {
	if err := s.graph.AddUser(cloud.User{Address: address, Name: name}); err != nil {
		return cloud.User{}, err
	}
	return s.user(address)
}

// Users are all users, by address.
func (s *Server) Users() []cloud.User { return s.graph.Users() }

// UserByAddress finds a user, in any case of letters.
func (s *Server) UserByAddress(address string) (cloud.User, bool) {
	return s.graph.UserByAddress(address)
}

func (s *Server) user(address string) (cloud.User, error) {
	u, ok := s.graph.UserByAddress(address)
	if !ok {
		return cloud.User{}, fmt.Errorf("no user %s in %s", address, Name)
	}
	return u, nil
}

// Deliver puts a message into a mailbox and returns its immutable id.
func (s *Server) Deliver(ctx context.Context, address string, d cloud.Delivery) (string, error) {
	return s.graph.Deliver(ctx, address, d)
}

// Messages lists what a mailbox truly holds.
func (s *Server) Messages(address string) ([]cloud.MessageInfo, error) {
	return s.graph.Messages(address)
}

// Edit changes a message as another of the owner's programs would.
func (s *Server) Edit(address, id string, e cloud.Edit) error { return s.graph.Edit(address, id, e) }

// Delete removes a message for good.
func (s *Server) Delete(address, id string) error { return s.graph.Delete(address, id) }

// Revoke ends the grants of a user; with keepAccess the access tokens that are
// out live on until they expire.
func (s *Server) Revoke(address string, keepAccess bool) error {
	u, err := s.user(address)
	if err == nil {
		s.identity.Revoke(u, keepAccess)
	}
	return err
}

// Block makes signing in and refreshing end with an AADSTS code; 0 ends it.
func (s *Server) Block(address string, code int) error {
	u, err := s.user(address)
	if err != nil {
		return err
	}
	return s.identity.Block(u, code)
}

// RestrictConsent makes the organisation's users unable to allow applications,
// or ends that, and gives the address of an administrator, who can.
func (s *Server) RestrictConsent(yes bool) (administrator string) {
	s.identity.RestrictConsent(yes)
	return s.identity.Administrator()
}

// ExpireTokens ends the access tokens of a user that are out, as if their time
// had come. Refresh tokens live on.
func (s *Server) ExpireTokens(address string) error {
	u, err := s.user(address)
	if err == nil {
		s.identity.ExpireTokens(u)
	}
	return err
}

// ForgetCursors makes all delta tokens of a user answer 410.
func (s *Server) ForgetCursors(address string) error { return s.graph.ForgetCursors(address) }

// Lifecycle sends an event to all subscriptions of a user and says how many
// were told.
func (s *Server) Lifecycle(address, event string) (int, error) {
	u, err := s.user(address)
	if err != nil {
		return 0, err
	}
	return s.push.Lifecycle(u, event)
}

// SetDeltaLag hides changes from delta queries until they are so old.
func (s *Server) SetDeltaLag(d time.Duration) { s.graph.SetDeltaLag(d) }

// Register adds an app registration or replaces it.
func (s *Server) Register(app identity.App) (identity.App, error) { return s.identity.Register(app) }

// Apps lists the app registrations.
func (s *Server) Apps() []identity.App { return s.identity.Apps() }

// Tenant is the id of the organisation.
func (s *Server) Tenant() string { return s.identity.Tenant() }

// Save keeps everything in a folder.
func (s *Server) Save(dir string) error {
	if err := s.graph.Save(dir); err != nil {
		return err
	}
	if err := s.identity.Save(dir); err != nil {
		return err
	}
	return s.push.Save(dir)
}

// Load takes up what Save left.
func (s *Server) Load(dir string) error {
	if err := s.graph.Load(dir); err != nil {
		return err
	}
	if err := s.identity.Load(dir); err != nil {
		return err
	}
	return s.push.Load(dir)
}
