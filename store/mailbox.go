package store

import (
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Mailbox is a mailbox of the mirror.
type Mailbox struct {
	// ID is event.HashID("f", account, provider id).
	ID      string
	Account string
	// ProviderID and ParentProviderID as the provider names them; Parent is
	// our id of the parent, empty at the top.
	ProviderID       string
	Parent           string
	ParentProviderID string
	Name             string
	Role             mail.Role
	Kind             mail.MailboxKind
	Hidden           bool
	// UIDValidity and UIDNext as in RFC 9051, 2.3.1.1. UIDs are given once the
	// mailbox's list is complete, oldest message first; until then UIDListed
	// is false and new messages have none.
	UIDValidity uint32
	UIDNext     uint32
	UIDListed   bool
	// Total and Unread are counted by the store. ModSeq is the sequence of
	// the last change of the mailbox or anything in it.
	Total, Unread int64
	ModSeq        uint64
	// ProviderTotal is the provider's count when it was last asked, for
	// progress.
	ProviderTotal int64
	CreatedAt     time.Time
	// Subscription is whether mail programs list it among the subscribed ones.
	Subscription Subscription
}

// Subscription is what a mail program said of a mailbox (RFC 9051, 6.3.7).
type Subscription uint8

// Subscriptions. Where nothing was said, all but the hidden ones count as
// subscribed.
const (
	SubscribedByDefault Subscription = 0
	Subscribed          Subscription = 1
	Unsubscribed        Subscription = 2
)

// Subscribed reports whether a mailbox is among the subscribed ones.
func (m *Mailbox) Subscribed() bool {
	return m.Subscription == Subscribed || m.Subscription == SubscribedByDefault && !m.Hidden
}

// UID is one row of a mailbox's UID table: what FETCH FLAGS needs.
type UID struct {
	UID     uint32
	Message string
	// Keywords are provider's and local ones together.
	Keywords []string
	// Deleted is IMAP's \Deleted, which stays with us.
	Deleted bool
	ModSeq  uint64
	// Size and Date are the message's Size and ReceivedAt. Size is 0 while it
	// is not known.
	Size int64
	Date time.Time
}

// Mailboxes is the noun of mailboxes and their UIDs.
type Mailboxes interface {
	Mailbox(id string) (*Mailbox, error)
	// MailboxesOf lists an account's mailboxes, by id.
	MailboxesOf(account string) ([]*Mailbox, error)
	// PutMailbox leaves Total, Unread, UIDNext and UIDListed to the store: a
	// new mailbox starts with 0, 0, 1 and false, an old one keeps its own.
	// ModSeq never falls.
	PutMailbox(m *Mailbox) error
	// DeleteMailbox removes the mailbox, which must hold no message.
	DeleteMailbox(id string) error
	// UIDValidityFloor is the least UIDVALIDITY that a new mailbox may have, 0
	// where any will do: more than that of every mailbox that is there, or was
	// deleted, alone or with its account. So none is given twice: a mailbox that
	// comes under a name of before, made again or renamed, has another one than
	// ever stood under it, even where the clock was set back (RFC 9051, 2.3.1.1).
	UIDValidityFloor() (uint32, error)

	// GiveUIDs gives UIDs, oldest message first, to at most limit messages
	// that have none, and reports whether there are more. When none are left
	// UIDListed is set, and from then on PutMessage gives UIDs at once.
	GiveUIDs(mailbox string, limit int) (more bool, err error)
	// GiveUID gives a message of the mailbox its UID ahead of that: it was just
	// stored there, and whoever did so is told its UID.
	GiveUID(mailbox, message string) (uint32, error)
	// UIDs lists rows with first <= UID <= last in ascending order.
	UIDs(mailbox string, first, last uint32, limit int) ([]UID, error)
	// SetDeleted sets IMAP's \Deleted on a row.
	SetDeleted(mailbox string, uid uint32, deleted bool, modSeq uint64) error

	// SubscribedNames lists names of mailboxes that mail programs subscribed to
	// though the account has none of that name, in order; RFC 9051, 6.3.7, wants
	// them kept.
	SubscribedNames(account string) ([]string, error)
	PutSubscribedName(account, name string) error
	DeleteSubscribedName(account, name string) error
}
