package gateway

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-mail/postern/bridge/imapd"
	"github.com/postern-mail/postern/internal/access"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// The commands about app passwords: what `postern app-passwords` asks over the
// socket, and does by itself where no gateway runs.

// AppPasswordRow is one app password as `postern app-passwords list` shows it.
type AppPasswordRow struct {
	ID         string    `json:"id"`
	Account    string    `json:"account"`
	User       string    `json:"user"`
	Name       string    `json:"name"`
	Scopes     []string  `json:"scopes"`
	HideCaps   []string  `json:"hide_capabilities,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
	// Secret is shown once, when it was made.
	Secret string `json:"password,omitempty"`
}

// Access checks credentials of a store that no gateway has.
func Access(s store.Store) *access.Access {
	return access.New(s, access.Options{Hideable: imapd.Hideable()})
}

// AppPasswordInput is what is asked of CreateAppPassword.
type AppPasswordInput struct {
	// User is an account's address or id.
	User, Name       string
	Scopes, HideCaps []string
}

// Query writes it as the socket takes it.
func (in AppPasswordInput) Query() url.Values {
	return url.Values{"user": {in.User}, "name": {in.Name}, "scope": in.Scopes, "hide": in.HideCaps}
}

func row(a *store.Account, p *store.AppPassword) AppPasswordRow {
	return AppPasswordRow{ID: p.ID, Account: p.Account, User: a.Address, Name: p.Name, Scopes: p.Scopes, HideCaps: p.HideCaps,
		CreatedAt: p.CreatedAt, LastUsedAt: p.LastUsedAt}
}

// one gives the account that a user name names.
func one(ctx context.Context, a *access.Access, user string) (*store.Account, error) {
	found, err := a.Named(ctx, user)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
		return nil, mail.Errorf(mail.KindNotFound, "look up", "there is no account %q", user)
	case 1:
		return found[0], nil
	}
	return nil, mail.Errorf(mail.KindConflict, "look up", "%d accounts have the address %s: name one by its id", len(found), user)
}

// ListAppPasswords lists the app passwords of an account, or of all where user
// is empty.
func ListAppPasswords(ctx context.Context, a *access.Access, s store.Store, user string) ([]AppPasswordRow, error) {
	rows := []AppPasswordRow{}
	add := func(acct *store.Account) error {
		list, err := a.AppPasswords(ctx, acct.ID)
		for _, p := range list {
			rows = append(rows, row(acct, p))
		}
		return err
	}
	if user != "" {
		acct, err := one(ctx, a, user)
		if err != nil {
			return nil, err
		}
		return rows, add(acct)
	}
	for after := ""; ; {
		var list []*store.Account
		err := s.View(ctx, func(tx store.Tx) (err error) {
			list, err = tx.AccountsAfter(after, 500)
			return err
		})
		if err != nil || len(list) == 0 {
			return rows, err
		}
		for _, acct := range list {
			after = acct.ID
			if err := add(acct); err != nil {
				return rows, err
			}
		}
	}
}

// CreateAppPassword makes an app password.
func CreateAppPassword(ctx context.Context, a *access.Access, in AppPasswordInput) (AppPasswordRow, error) {
	acct, err := one(ctx, a, in.User)
	if err != nil {
		return AppPasswordRow{}, err
	}
	p, secret, err := a.CreateAppPassword(ctx, access.CreateAppPassword{Account: acct.ID, Name: in.Name, Scopes: scopes(in.Scopes), HideCaps: in.HideCaps})
	if err != nil {
		return AppPasswordRow{}, err
	}
	r := row(acct, p)
	r.Secret = secret
	return r, nil
}

// RevokeAppPassword ends an app password.
func RevokeAppPassword(ctx context.Context, a *access.Access, id string) (AppPasswordRow, error) {
	p, err := a.RevokeAppPassword(ctx, id)
	if err != nil {
		return AppPasswordRow{}, err
	}
	return row(&store.Account{}, p), nil
}

// serveAppPasswords adds the commands about app passwords.
func (g *Gateway) serveAppPasswords(mux *http.ServeMux) {
	handle := func(pattern string, fn func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := fn(r)
			respond(w, v, err)
		})
	}
	handle("GET /app-passwords", func(r *http.Request) (any, error) {
		return ListAppPasswords(r.Context(), g.access, g.store, r.URL.Query().Get("user"))
	})
	handle("POST /app-passwords", func(r *http.Request) (any, error) {
		q := r.URL.Query()
		return CreateAppPassword(r.Context(), g.access, AppPasswordInput{User: q.Get("user"), Name: q.Get("name"), Scopes: q["scope"], HideCaps: q["hide"]})
	})
	handle("POST /app-passwords/{id}/revoke", func(r *http.Request) (any, error) {
		return RevokeAppPassword(r.Context(), g.access, r.PathValue("id"))
	})
}
