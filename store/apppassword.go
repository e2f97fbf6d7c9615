package store

import "time"

// AppPassword lets one program of an account's owner in, over IMAP or SMTP.
// Sealed under its account's key, and gone with the account.
type AppPassword struct {
	ID      string
	Account string
	Name    string
	Scopes  []string
	// HideCaps are capabilities that the program is not told of.
	HideCaps []string
	// Hash is what is kept of the secret.
	Hash       []byte
	CreatedAt  time.Time
	LastUsedAt time.Time
	// Revoked is when it was revoked, zero while it is good.
	Revoked time.Time
}

// AppPasswords is the noun of app passwords.
type AppPasswords interface {
	AppPassword(id string) (*AppPassword, error)
	// AppPasswordByHash finds the one that has a hash, whosever it is.
	AppPasswordByHash(hash []byte) (*AppPassword, error)
	// AppPasswordsOf lists an account's by id.
	AppPasswordsOf(account string) ([]*AppPassword, error)
	// PutAppPassword writes one. No two may have the same hash.
	PutAppPassword(p *AppPassword) error
	DeleteAppPassword(id string) error
}
