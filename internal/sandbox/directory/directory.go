// Package directory finds the mailboxes of a cloud by the ids and addresses of
// their users, and tells listeners what changes in them.
//
// Addresses are compared without case. A user is added once and never goes.
// The zero values are ready; all methods may be called at once.
package directory

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// ErrNoMailbox is the error of what is asked by an address that has none.
var ErrNoMailbox = errors.New("no such mailbox")

// A Directory holds users with their mailboxes of type M.
type Directory[M any] struct {
	mu        sync.Mutex
	entries   map[string]entry[M] // by user id
	addresses map[string]string   // lower-case address to user id
}

type entry[M any] struct {
	user    cloud.User
	mailbox M
}

// Add registers a user, whose id and address nobody has.
func (d *Directory[M]) Add(u cloud.User, mailbox M) error {
	if !strings.Contains(u.Address, "@") {
		return fmt.Errorf("%q is no address", u.Address)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := strings.ToLower(u.Address)
	if _, taken := d.addresses[key]; taken {
		return fmt.Errorf("%s has a mailbox already", u.Address)
	}
	if _, taken := d.entries[u.ID]; taken {
		return fmt.Errorf("id %s is taken", u.ID)
	}
	if d.entries == nil {
		d.entries, d.addresses = map[string]entry[M]{}, map[string]string{}
	}
	d.entries[u.ID], d.addresses[key] = entry[M]{u, mailbox}, u.ID
	return nil
}

// Users are all users, by address.
func (d *Directory[M]) Users() []cloud.User {
	d.mu.Lock()
	defer d.mu.Unlock()
	us := make([]cloud.User, 0, len(d.entries))
	for _, e := range d.entries {
		us = append(us, e.user)
	}
	slices.SortFunc(us, func(a, b cloud.User) int { return cmp.Compare(a.Address, b.Address) })
	return us
}

// ByAddress finds a user by address.
func (d *Directory[M]) ByAddress(address string) (cloud.User, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, found := d.entries[d.addresses[strings.ToLower(strings.TrimSpace(address))]]
	return e.user, found
}

// ByID finds a user by id.
func (d *Directory[M]) ByID(id string) (cloud.User, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e, found := d.entries[id]
	return e.user, found
}

// Mailbox finds a mailbox by its user's id or address; without one it is the
// zero M.
func (d *Directory[M]) Mailbox(name string) M {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, found := d.entries[name]; found {
		return e.mailbox
	}
	return d.entries[d.addresses[strings.ToLower(name)]].mailbox
}

// Listeners are called with changes of type C.
type Listeners[C any] struct {
	mu   sync.Mutex
	list []func(C)
}

// Add adds a listener. It is called after the change is visible, never while a
// mailbox is locked, and must not block for long.
func (l *Listeners[C]) Add(f func(C)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, f)
}

// Tell calls all listeners with each of the changes.
func (l *Listeners[C]) Tell(changes []C) {
	if len(changes) == 0 {
		return
	}
	l.mu.Lock()
	list := slices.Clone(l.list)
	l.mu.Unlock()
	for _, c := range changes {
		for _, f := range list {
			f(c)
		}
	}
}
