// Package worldtest is what tests of the sandbox's clouds share: a clock that
// they move, a directory of a few users, and a key that is made once.
package worldtest

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// A Clock stands still until it is moved. All methods may be called at once.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// At is a clock that shows t.
func At(t time.Time) *Clock { return &Clock{t: t} }

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Advance moves the clock.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Users are a directory.
type Users []cloud.User

// Users are all of them.
func (d Users) Users() []cloud.User { return d }

// UserByAddress finds a user, in any case of letters.
func (d Users) UserByAddress(a string) (cloud.User, bool) {
	return d.find(func(u cloud.User) bool { return strings.EqualFold(u.Address, a) })
}

// UserByID finds a user by id.
func (d Users) UserByID(id string) (cloud.User, bool) {
	return d.find(func(u cloud.User) bool { return u.ID == id })
}

func (d Users) find(is func(cloud.User) bool) (cloud.User, bool) {
	for _, u := range d {
		if is(u) {
			return u, true
		}
	}
	return cloud.User{}, false
}

// made is the key of Key.
var made = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// Key is one for all tests of a process: to make one takes longer than most of
// them.
func Key(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := made()
	if err != nil {
		t.Fatal(err)
	}
	return key
}
