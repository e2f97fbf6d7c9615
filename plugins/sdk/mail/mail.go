// Package mail holds the nouns that Postern and its provider plugins share:
// mailboxes, messages, keywords, changes, and the one error type that crosses
// packages and processes.
//
// The words follow JMAP (RFC 8621) and IMAP (RFC 9051). The package imports
// the standard library alone, so that it can be read, and depended on, by
// anybody.
package mail

import "time"

// Role is the purpose of a mailbox, an RFC 6154 special use in JMAP's
// spelling. The empty role is an ordinary mailbox.
type Role string

// Roles. A provider gives each role to at most one mailbox of an account.
const (
	RoleNone    Role = ""
	RoleInbox   Role = "inbox"
	RoleDrafts  Role = "drafts"
	RoleSent    Role = "sent"
	RoleTrash   Role = "trash"
	RoleJunk    Role = "junk"
	RoleArchive Role = "archive"
	RoleAll     Role = "all"
	RoleFlagged Role = "flagged"
	// RoleOutbox holds messages between submission and sending. Its messages
	// are hidden from mirror and journal until they are sent.
	RoleOutbox Role = "outbox"
)

// MailboxKind tells whether a message can be in several such mailboxes.
type MailboxKind string

// Kinds of mailbox.
const (
	// KindFolder: a message is in exactly one folder.
	KindFolder MailboxKind = "folder"
	// KindLabel: a message may carry any number of labels.
	KindLabel MailboxKind = "label"
)

// Mailbox is a named place for messages, as the provider describes it.
type Mailbox struct {
	// ID is the provider's id, stable over renames.
	ID string
	// ParentID is the provider's id of the parent, empty at the top.
	ParentID string
	// Name is the last component, in the owner's language.
	Name string
	Role Role
	Kind MailboxKind
	// Hidden mailboxes are mirrored but not shown to mail programs.
	Hidden bool
	// Total and Unread are the provider's counts, -1 where it gives none.
	Total, Unread int64
}

// Keywords in JMAP's spelling (RFC 8621, 4.1.1), always lower case.
const (
	Seen      = "$seen"
	Flagged   = "$flagged"
	Answered  = "$answered"
	Draft     = "$draft"
	Forwarded = "$forwarded"
)

// Address is one mailbox of RFC 5322, decoded to Unicode. Either part may be
// empty in ugly mail.
type Address struct {
	Name, Email string
}

// Identity is an address that an account may send from (RFC 8621, 6).
type Identity struct {
	Email, Name string
	// ReplyTo is where answers go, empty where they go to Email.
	ReplyTo string
	// Default is set of the one that is used where nobody chooses.
	Default bool
}

// Importance as RFC 2156 and RFC 4021 name it.
type Importance string

// Importance values. The empty value means normal.
const (
	ImportanceLow    Importance = "low"
	ImportanceNormal Importance = "normal"
	ImportanceHigh   Importance = "high"
)

// Header is one header field, decoded to Unicode, unfolded.
type Header struct {
	Name, Value string
}

// Message is what can be known of a message without its bytes: the metadata
// that providers answer cheaply. Zero fields are unknown or empty.
type Message struct {
	// ProviderID is the provider's id, stable over moves inside the account.
	ProviderID string
	// ProviderThreadID groups a conversation at the provider.
	ProviderThreadID string
	// Mailboxes are the provider's ids of the mailboxes it is in, sorted.
	Mailboxes []string
	// Keywords are those that the provider can hold, lower case, sorted.
	Keywords []string

	Subject    string
	From       []Address
	Sender     []Address
	To         []Address
	Cc         []Address
	Bcc        []Address
	ReplyTo    []Address
	MessageID  string   // without angle brackets
	InReplyTo  []string // without angle brackets
	References []string // without angle brackets

	// SentAt is the Date header, ReceivedAt the arrival in the account (IMAP
	// INTERNALDATE). UTC, second precision.
	SentAt     time.Time
	ReceivedAt time.Time

	// Preview is up to 256 characters of text.
	Preview        string
	Importance     Importance
	HasAttachments bool

	// Size is the length of the raw bytes in octets, 0 where only the bytes
	// themselves can tell.
	Size int64
	// Version orders the states of one message: an item with a smaller
	// version than the mirror's is stale. 0 where the provider has none.
	Version uint64
	// ContentTag changes when the raw bytes may have changed (drafts). Empty
	// where the provider has none.
	ContentTag string
}

// HasKeyword reports whether the message carries the keyword.
func (m *Message) HasKeyword(k string) bool {
	for _, have := range m.Keywords {
		if have == k {
			return true
		}
	}
	return false
}
