package access

import (
	"context"
	"net/netip"

	"github.com/postern-mail/postern/plugins/sdk/mail"
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
}

// Login gives the principal that presents a user name and a secret.
func (a *Access) Login(ctx context.Context, l Login) (*Principal, error) {
	return nil, &mail.Error{Kind: mail.KindUnauthorized, Op: "log in", Message: "user name or password is wrong"}
}

// Revoked gives a channel that is closed when the principal may no longer be
// here: its app password was revoked or its account disconnected. The second
// value gives the place back.
func (a *Access) Revoked(p *Principal) (<-chan struct{}, func()) {
	return make(chan struct{}), func() {}
}
