package store

import (
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Scope is how far one change feed of an account was read.
type Scope struct {
	Account string
	// Name is the mailbox's provider id, or empty for account scope.
	Name   string
	Cursor mail.Cursor
	// Complete: the first full telling has ended once.
	Complete bool
	// Comparing: the feed tells everything again, and what it does not name
	// will turn out to be absent.
	Comparing bool
	// Asked is when the last complete round began.
	Asked time.Time
	// Unreadable are messages that the feed told of and that cannot be read.
	Unreadable []Unreadable
}

// Unreadable is a message that its provider tells of and does not give.
type Unreadable struct {
	// Message is the provider's id.
	Message string
	// Tries is how often it was tried in vain since the feed went past it.
	Tries int
	// Next is when it is tried again.
	Next time.Time
	// Reason says what the last try met.
	Reason string
}

// Absence is a message that would be in no mailbox any more, held back until
// every scope was asked again.
type Absence struct {
	Account string
	Message string
	// Since is when it went missing: a scope asked after it could have told.
	Since time.Time
}

// Syncs is the noun of how far reading the providers has come.
type Syncs interface {
	// Scope gives a feed's state, ErrNotFound before the first.
	Scope(account, name string) (*Scope, error)
	Scopes(account string) ([]*Scope, error)
	PutScope(s *Scope) error
	DeleteScope(account, name string) error

	Absences(account string, limit int) ([]Absence, error)
	PutAbsence(a Absence) error
	DeleteAbsence(account, message string) error
}
