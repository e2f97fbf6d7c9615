package access

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Scope is what an app password opens.
type Scope string

// Scopes of app passwords.
const (
	// ScopeIMAPRead reads over IMAP and changes nothing.
	ScopeIMAPRead Scope = "imap:read"
	// ScopeIMAP reads and writes over IMAP.
	ScopeIMAP Scope = "imap"
	// ScopeSMTP submits mail.
	ScopeSMTP Scope = "smtp"
)

// Login is what a mail program presents.
type Login struct {
	// User is the account's address, in any case, or its id.
	User   string
	Secret string
	// Mechanism is the SASL mechanism's name, or LOGIN for IMAP's command.
	Mechanism string
	// Bearer: Secret came as a bearer token (OAUTHBEARER, XOAUTH2), where an API
	// key is taken as well as an app password.
	Bearer bool
	// Need names the scopes of which one is enough.
	Need []Scope
	// Remote is who asks.
	Remote netip.Addr
	// Client is the program's name, where it gave one.
	Client string
}

// Principal is who has logged in.
type Principal struct {
	Account string
	// Password is the app password's id; empty for an API key.
	Password string
	// ReadOnly: only ScopeIMAPRead was given.
	ReadOnly bool
	// HideCaps are capabilities that this client is not told of.
	HideCaps []string

	// keys counts the API keys there have been when this one was presented.
	keys int64
}

// Login gives the principal that presents a user name and a secret. Its errors:
//
//   - KindUnauthorized: user name or secret is wrong, in the same words and after
//     the same time whichever it is;
//   - KindThrottled: there were too many of those from here;
//   - KindForbidden: right, and not for this;
//   - KindGrantExpired, KindUnavailable: right, and the account cannot be used
//     now. Never said as a wrong password: a program would ask for another one.
func (a *Access) Login(ctx context.Context, l Login) (*Principal, error) {
	// An address with a zone or mapped into IPv6 is the same address.
	l.Remote = l.Remote.WithZone("").Unmap()
	l.User = strings.TrimSpace(l.User)
	if wait := a.guesses.locked(l.Remote, l.User); wait > 0 {
		a.count("locked")
		if err := a.opts.Sleep(ctx, lockedDelay); err != nil {
			return nil, err
		}
		return nil, &mail.Error{Kind: mail.KindThrottled, Op: "log in", RetryAfter: wait,
			Message: "too many wrong passwords from your address; try again later"}
	}
	p, known, err := a.present(ctx, l)
	if err == nil {
		a.guesses.right(l.Remote, l.User)
		a.uses.now(p.Password)
		a.count("ok")
		return p, nil
	}
	if mail.KindOf(err) != mail.KindUnauthorized {
		a.count(string(mail.KindOf(err)))
		a.opts.Log.InfoContext(ctx, "login refused", "remote", l.Remote, "mechanism", l.Mechanism, "error", err)
		return nil, err
	}
	a.count("wrong")
	// What was good once is no guess: a program that was not told of the
	// revocation must not lock out the others of its machine.
	delay, locked := a.guesses.wrong(l.Remote, l.User, known)
	level := a.opts.Log.InfoContext
	if locked {
		level = a.opts.Log.WarnContext
	}
	level(ctx, "login failed", "remote", l.Remote, "mechanism", l.Mechanism, "revoked", known, "locked", locked)
	if err := a.opts.Sleep(ctx, delay); err != nil {
		return nil, err
	}
	return nil, err
}

func wrong() error {
	return &mail.Error{Kind: mail.KindUnauthorized, Op: "log in", Message: "user name or password is wrong; mail programs need an app password"}
}

// present looks up who presents a secret. known: it was this user's app password
// once.
func (a *Access) present(ctx context.Context, l Login) (p *Principal, known bool, err error) {
	if l.Bearer && strings.HasPrefix(l.Secret, keyPrefix) {
		p, err = a.presentKey(ctx, l)
		return p, false, err
	}
	hash, err := a.hash(ctx, l.Secret)
	if err != nil {
		return nil, false, err
	}
	var account *store.Account
	var password *store.AppPassword
	err = a.store.View(ctx, func(tx store.Tx) (err error) {
		account = nil
		if password, err = tx.AppPasswordByHash(hash); err == nil {
			account, err = tx.Account(password.Account)
		}
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, false, wrong()
	}
	if err != nil {
		return nil, false, err
	}
	if !named(account, l.User) || !password.Revoked.IsZero() {
		return nil, named(account, l.User), wrong()
	}
	has := func(s Scope) bool { return slices.Contains(password.Scopes, string(s)) }
	if !slices.ContainsFunc(l.Need, has) {
		return nil, true, mail.Errorf(mail.KindForbidden, "log in", "this app password is not for %s: it has %s",
			strings.Join(words(l.Need), " or "), strings.Join(password.Scopes, ", "))
	}
	p = &Principal{Account: account.ID, Password: password.ID, HideCaps: password.HideCaps,
		ReadOnly: slices.Contains(l.Need, ScopeIMAPRead) && !has(ScopeIMAP)}
	return p, true, usable(account)
}

// named reports whether a user name is an account's: its address in any case
// (RFC 5321, 2.4, lets only its owner tell cases apart, and nobody does), or its
// id, where two accounts have one address.
func named(a *store.Account, user string) bool {
	return user == a.ID || strings.EqualFold(user, a.Address)
}

func words(scopes []Scope) []string {
	out := make([]string, len(scopes))
	for i, s := range scopes {
		out[i] = string(s)
	}
	return out
}

// usable says why an account that is there cannot be used. The words are shown
// to its owner by the mail program, and tell what to do.
func usable(a *store.Account) error {
	switch {
	case a.State == store.AccountGrantExpired:
		return &mail.Error{Kind: mail.KindGrantExpired, Op: "log in",
			Message: "your password is right, but " + cmp.Or(a.Address, "this account") + " must be connected again: open the application that manages it and follow its link to reconnect"}
	case a.Paused:
		return &mail.Error{Kind: mail.KindUnavailable, Op: "log in",
			Message: "your password is right, but this account is paused: resume it in the application that manages it"}
	}
	return nil
}

// presentKey takes the admin's API key for the account that the user name
// names.
func (a *Access) presentKey(ctx context.Context, l Login) (*Principal, error) {
	keys := a.keys.Load()
	if _, err := a.Authenticate(ctx, l.Secret); err != nil {
		if mail.KindOf(err) == mail.KindUnauthorized {
			return nil, wrong()
		}
		return nil, err
	}
	found, err := a.Named(ctx, l.User)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, wrong()
	case 1:
		return &Principal{Account: found[0].ID, keys: keys}, usable(found[0])
	}
	return nil, mail.Errorf(mail.KindConflict, "log in", "%d accounts have this address: use the account's id as user name", len(found))
}

// Named looks for the accounts that a user name names. It reads them all; only
// whoever has the API key, or the data folder, gets here.
func (a *Access) Named(ctx context.Context, user string) (found []*store.Account, err error) {
	const page = 500
	err = a.store.View(ctx, func(tx store.Tx) error {
		found = nil
		if one, err := tx.Account(user); err == nil {
			found = append(found, one)
			return nil
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		for after := ""; ; {
			list, err := tx.AccountsAfter(after, page)
			if err != nil || len(list) == 0 {
				return err
			}
			for _, acc := range list {
				if after = acc.ID; named(acc, user) {
					found = append(found, acc)
				}
			}
		}
	})
	return found, err
}
