package google

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// Name is "google".
func (s *Server) Name() string { return Name }

// AddUser makes a user with an empty mailbox.
func (s *Server) AddUser(address, name string) (cloud.User, error) {
	if err := s.gmail.AddUser(cloud.User{Address: address, Name: name}); err != nil {
		return cloud.User{}, err
	}
	return s.user(address)
}

// Users are all users, by address.
func (s *Server) Users() []cloud.User { return s.gmail.Users() }

// UserByAddress finds a user, in any case of letters.
func (s *Server) UserByAddress(address string) (cloud.User, bool) {
	return s.gmail.UserByAddress(address)
}

func (s *Server) user(address string) (cloud.User, error) {
	u, ok := s.gmail.UserByAddress(address)
	if !ok {
		return cloud.User{}, fmt.Errorf("no user %s in %s", address, Name)
	}
	return u, nil
}

// Deliver puts a message into a mailbox and returns its id.
func (s *Server) Deliver(ctx context.Context, address string, d cloud.Delivery) (string, error) {
	return s.gmail.Deliver(ctx, address, d)
}

// Messages lists what a mailbox truly holds.
func (s *Server) Messages(address string) ([]cloud.MessageInfo, error) {
	return s.gmail.Messages(address)
}

// Edit changes a message as another of the owner's programs would.
func (s *Server) Edit(address, id string, e cloud.Edit) error { return s.gmail.Edit(address, id, e) }

// Delete removes a message for good.
func (s *Server) Delete(address, id string) error { return s.gmail.Delete(address, id) }

// Revoke ends the grants of a user; with keepAccess the access tokens that are
// out live on until they expire.
func (s *Server) Revoke(address string, _ bool) error {
	_, err := s.user(address)
	return err
}

// Block makes signing in and refreshing end with a refusal; 0 ends it.
func (s *Server) Block(address string, _ int) error {
	_, err := s.user(address)
	return err
}

// ExpireTokens ends the access tokens of a user that are out, as if their time
// had come. Refresh tokens live on.
func (s *Server) ExpireTokens(address string) error {
	_, err := s.user(address)
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

// Save keeps everything in a folder.
func (s *Server) Save(dir string) error { return s.gmail.Save(dir) }

// Load takes up what Save left.
func (s *Server) Load(dir string) error { return s.gmail.Load(dir) }
