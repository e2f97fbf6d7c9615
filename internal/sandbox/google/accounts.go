package google

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// accounts are all Google accounts: those with a mailbox are Gmail's, the
// others are kept here. A person may have a Google account at any address and
// no Gmail with it.
type accounts struct {
	gmail *gmail.Server

	mu    sync.Mutex
	plain []cloud.User // without Gmail, by address
}

func newAccounts(g *gmail.Server) *accounts { return &accounts{gmail: g} }

func (a *accounts) add(u cloud.User, mail bool) (cloud.User, error) {
	if u.ID == "" {
		u.ID = oauth.AccountID(u.Address)
	}
	if mail {
		if err := a.gmail.AddUser(u); err != nil {
			return cloud.User{}, err
		}
	} else {
		a.mu.Lock()
		defer a.mu.Unlock()
		i, there := a.search(u.Address)
		if there {
			return cloud.User{}, fmt.Errorf("add user: %s exists", u.Address)
		}
		a.plain = slices.Insert(a.plain, i, u)
	}
	return u, nil
}

// search finds an account without Gmail, or where it would stand. Called with
// the lock held.
func (a *accounts) search(address string) (int, bool) {
	return slices.BinarySearchFunc(a.plain, strings.ToLower(address), func(u cloud.User, key string) int {
		return strings.Compare(strings.ToLower(u.Address), key)
	})
}

// Users are all users, by address.
func (a *accounts) Users() []cloud.User {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := append(a.gmail.Users(), a.plain...)
	slices.SortFunc(out, func(x, y cloud.User) int { return strings.Compare(x.Address, y.Address) })
	return out
}

// UserByAddress finds a user, in any case of letters.
func (a *accounts) UserByAddress(address string) (cloud.User, bool) {
	if u, ok := a.gmail.UserByAddress(address); ok {
		return u, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i, ok := a.search(address); ok {
		return a.plain[i], true
	}
	return cloud.User{}, false
}

// UserByID finds a user by the sub of its tokens.
func (a *accounts) UserByID(id string) (cloud.User, bool) {
	if u, ok := a.gmail.UserByID(id); ok {
		return u, true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.plain, func(u cloud.User) bool { return u.ID == id })
	if i < 0 {
		return cloud.User{}, false
	}
	return a.plain[i], true
}

// hasMail tells whether the address has a mailbox.
func (a *accounts) hasMail(address string) bool {
	_, ok := a.gmail.UserByAddress(address)
	return ok
}

const accountsFile = "accounts.json"

func (a *accounts) save(dir string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return keep.Save(dir, accountsFile, a.plain)
}

func (a *accounts) load(dir string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := keep.Load(dir, accountsFile, &a.plain)
	return err
}
