package google

import (
	"fmt"
	"slices"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/directory"
	"github.com/postern-mail/postern/internal/sandbox/google/gmail"
	"github.com/postern-mail/postern/internal/sandbox/google/oauth"
	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// accounts are all Google accounts: those with a mailbox are Gmail's, the
// others are kept here. A person may have a Google account at any address and
// no Gmail with it.
type accounts struct {
	gmail *gmail.Server
	plain directory.Directory[struct{}] // without Gmail
}

func (a *accounts) add(u cloud.User, mail bool) (cloud.User, error) {
	if u.ID == "" {
		u.ID = oauth.AccountID(u.Address)
	}
	if mail {
		return u, a.gmail.AddUser(u)
	}
	return u, a.plain.Add(u, struct{}{})
}

// Users are all users, by address.
func (a *accounts) Users() []cloud.User {
	out := append(a.gmail.Users(), a.plain.Users()...)
	slices.SortFunc(out, func(x, y cloud.User) int { return strings.Compare(x.Address, y.Address) })
	return out
}

// UserByAddress finds a user, in any case of letters.
func (a *accounts) UserByAddress(address string) (cloud.User, bool) {
	if u, ok := a.gmail.UserByAddress(address); ok {
		return u, true
	}
	return a.plain.ByAddress(address)
}

// UserByID finds a user by the sub of its tokens.
func (a *accounts) UserByID(id string) (cloud.User, bool) {
	if u, ok := a.gmail.UserByID(id); ok {
		return u, true
	}
	return a.plain.ByID(id)
}

const accountsFile = "accounts.json"

func (a *accounts) save(dir string) error { return keep.Save(dir, accountsFile, a.plain.Users()) }

func (a *accounts) load(dir string) error {
	var users []cloud.User
	if _, err := keep.Load(dir, accountsFile, &users); err != nil {
		return err
	}
	for _, u := range users {
		if err := a.plain.Add(u, struct{}{}); err != nil {
			return fmt.Errorf("load %s: %w", accountsFile, err)
		}
	}
	return nil
}
