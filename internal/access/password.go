package access

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const (
	// maxPasswords is how many app passwords an account has that are good, and
	// keptRevoked how many that are not: they are known when they come again.
	maxPasswords = 100
	keptRevoked  = 50
	maxName      = 100
)

// CreateAppPassword is a new app password.
type CreateAppPassword struct {
	Account string
	// Name is what its owner calls the program that it is for.
	Name string
	// Scopes are imap and smtp where it is nil; an empty list is refused.
	Scopes []Scope
	// HideCaps are capabilities of IMAP that the program is not told of, for one
	// that gets them wrong. SMTP tells its own before anybody has logged in.
	HideCaps []string
}

// DefaultScopes are those of an app password that names none.
func DefaultScopes() []Scope { return []Scope{ScopeIMAP, ScopeSMTP} }

// check completes it. The capabilities that may be hidden are given.
func (c *CreateAppPassword) check(hideable []string) error {
	bad := func(format string, args ...any) error {
		return mail.Errorf(mail.KindInvalid, "create app password", format, args...)
	}
	c.Name = strings.TrimSpace(c.Name)
	if c.Name == "" || !utf8.ValidString(c.Name) || utf8.RuneCountInString(c.Name) > maxName || strings.ContainsFunc(c.Name, unicode.IsControl) {
		return bad("name: 1 to %d characters, none of them a control character", maxName)
	}
	switch {
	case c.Scopes == nil:
		c.Scopes = DefaultScopes()
	case len(c.Scopes) == 0:
		return bad("scopes: an empty list lets a program do nothing: leave it out for imap and smtp")
	}
	for _, s := range c.Scopes {
		if s != ScopeIMAP && s != ScopeIMAPRead && s != ScopeSMTP {
			return bad("scopes: %q is none of imap:read, imap, smtp", s)
		}
	}
	slices.Sort(c.Scopes)
	c.Scopes = slices.Compact(c.Scopes)
	hide := make([]string, len(c.HideCaps))
	for i, h := range c.HideCaps {
		before, _, _ := strings.Cut(h, "=") // as APPENDLIMIT=1048576 is told
		at := slices.IndexFunc(hideable, func(name string) bool { return strings.EqualFold(name, h) || strings.EqualFold(name, before) })
		if at < 0 {
			return bad("hideCapabilities: %q is none of %s", clip(h), strings.Join(slices.Sorted(slices.Values(hideable)), ", "))
		}
		hide[i] = strings.ToUpper(hideable[at])
	}
	slices.Sort(hide)
	c.HideCaps = slices.Compact(hide)
	return nil
}

// clip shortens a word that is repeated to whoever said it.
func clip(s string) string {
	const longest = 40
	if len(s) <= longest {
		return s
	}
	return s[:longest] + "..."
}

// CreateAppPassword makes an app password. The secret is given this once.
func (a *Access) CreateAppPassword(ctx context.Context, in CreateAppPassword) (*store.AppPassword, string, error) {
	if err := in.check(a.opts.Hideable); err != nil {
		return nil, "", err
	}
	secret := newSecret()
	hash, err := a.hash(ctx, secret)
	if err != nil {
		return nil, "", err
	}
	p := &store.AppPassword{ID: "p" + strings.ToLower(rand.Text()), Account: in.Account, Name: in.Name, HideCaps: in.HideCaps,
		Hash: hash, CreatedAt: a.opts.Now().UTC()}
	for _, s := range in.Scopes {
		p.Scopes = append(p.Scopes, string(s))
	}
	err = a.store.Update(ctx, func(tx store.Tx) error {
		all, err := tx.AppPasswordsOf(in.Account)
		if err != nil {
			return err
		}
		if len(good(all)) >= maxPasswords {
			return mail.Errorf(mail.KindInvalid, "create app password", "the account has %d app passwords: revoke those that nobody uses", maxPasswords)
		}
		return tx.PutAppPassword(p)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", mail.Errorf(mail.KindNotFound, "create app password", "no such account")
	}
	if err != nil {
		return nil, "", err
	}
	a.passwordsChanged(in.Account)
	a.opts.Log.InfoContext(ctx, "app password created", "account", p.Account, "app_password", p.ID)
	return p, secret, nil
}

// RevokeAppPassword ends an app password, and the connections that it opened.
// One that was revoked before is success.
func (a *Access) RevokeAppPassword(ctx context.Context, id string) (*store.AppPassword, error) {
	var p *store.AppPassword
	err := a.store.Update(ctx, func(tx store.Tx) (err error) {
		if p, err = tx.AppPassword(id); err != nil || !p.Revoked.IsZero() {
			return err
		}
		// It is kept for a while: a program that goes on with it is no guesser.
		p.Revoked = a.opts.Now().UTC()
		if err := tx.PutAppPassword(p); err != nil {
			return err
		}
		return forgetRevoked(tx, p.Account)
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, mail.Errorf(mail.KindNotFound, "revoke app password", "no such app password")
	}
	if err != nil {
		return nil, err
	}
	a.passwordsChanged(p.Account)
	a.sessions.end(func(s *session) bool { return s.password == id })
	a.opts.Log.InfoContext(ctx, "app password revoked", "account", p.Account, "app_password", id)
	return p, nil
}

// forgetRevoked keeps the latest of an account's revoked app passwords.
func forgetRevoked(tx store.Tx, account string) error {
	all, err := tx.AppPasswordsOf(account)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(p *store.AppPassword) bool { return p.Revoked.IsZero() })
	slices.SortFunc(all, func(x, y *store.AppPassword) int { return y.Revoked.Compare(x.Revoked) })
	for i, p := range all {
		if i >= keptRevoked {
			if err := tx.DeleteAppPassword(p.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// AppPasswords lists an account's app passwords that are good, oldest first.
func (a *Access) AppPasswords(ctx context.Context, account string) ([]*store.AppPassword, error) {
	var list []*store.AppPassword
	err := a.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = tx.AppPasswordsOf(account)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	list = good(list)
	slices.SortFunc(list, func(x, y *store.AppPassword) int {
		if c := x.CreatedAt.Compare(y.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	for _, p := range list {
		if used := a.uses.of(p.ID); used.After(p.LastUsedAt) {
			p.LastUsedAt = used
		}
	}
	return list, nil
}

func good(list []*store.AppPassword) []*store.AppPassword {
	return slices.DeleteFunc(list, func(p *store.AppPassword) bool { return !p.Revoked.IsZero() })
}

// reads are the scopes that look at mail.
var reads = []string{string(ScopeIMAP), string(ScopeIMAPRead)}

// ReadBy reports whether an account has an app password that reads its mail:
// its bytes are wanted then, whoever will ask.
func (a *Access) ReadBy(account string) bool {
	a.readMu.Lock()
	defer a.readMu.Unlock()
	if is, ok := a.read[account]; ok {
		return is
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	list, err := a.AppPasswords(ctx, account)
	if err != nil {
		return false // asked again the next time
	}
	is := slices.ContainsFunc(list, func(p *store.AppPassword) bool {
		return slices.ContainsFunc(p.Scopes, func(s string) bool { return slices.Contains(reads, s) })
	})
	a.read[account] = is
	return is
}

func (a *Access) passwordsChanged(account string) {
	a.readMu.Lock()
	delete(a.read, account)
	a.readMu.Unlock()
	if a.opts.Changed != nil {
		a.opts.Changed(account)
	}
}
