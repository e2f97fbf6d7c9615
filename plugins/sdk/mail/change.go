package mail

import "time"

// Cursor marks a place in a provider's change feed. It is opaque to the core,
// which stores it in the same transaction as what it led to. An empty cursor
// starts a feed.
type Cursor []byte

// ItemKind tells what a change item says.
type ItemKind string

// Kinds of change item.
const (
	// ItemPresent: the message is there, in the state the item gives.
	ItemPresent ItemKind = "present"
	// ItemAbsent: the message is no longer in one mailbox. It may have moved:
	// other scopes will tell.
	ItemAbsent ItemKind = "absent"
	// ItemGone: the message is in no mailbox of the account any more.
	ItemGone ItemKind = "gone"
)

// Fields says which parts of an item are known. A change feed may report
// parts of a message; what is not named keeps its value in the mirror.
type Fields uint32

// Parts of a message.
const (
	// FieldKeywords: Message.Keywords is the full set that the provider holds.
	FieldKeywords Fields = 1 << iota
	// FieldMailboxes: Message.Mailboxes is the full set.
	FieldMailboxes
	// FieldMailbox: the message is in Item.Mailbox; nothing is said of others.
	FieldMailbox
	// FieldSeen, FieldFlagged: only this keyword's presence is known.
	FieldSeen
	FieldFlagged
	// FieldEnvelope: everything else of Message.
	FieldEnvelope
)

// Item is one entry of a change feed. Items may repeat and come in any order
// inside a batch.
type Item struct {
	Kind ItemKind
	// Mailbox is the provider's id of the mailbox that the item is about, for
	// absent and for feeds whose scope is a mailbox.
	Mailbox string
	// Fields is what is told of a present message. With none, something about it
	// has changed and could not be told: it is asked for by Fetch.
	Fields Fields
	// Message carries ProviderID always, Version and ContentTag where known,
	// and what Fields names.
	Message Message
}

// Batch is a piece of a change feed. Next is valid once every item before it
// is stored; a feed that ends with Done has told everything there was.
type Batch struct {
	Items []Item
	Next  Cursor
	Done  bool
	// AsOf is when the provider began to answer the request: a write that was
	// answered later wins over the items.
	AsOf time.Time
}

// Scope is what one cursor covers: an account, or one mailbox of it.
type Scope string

// Scopes of change feeds.
const (
	ScopeAccount Scope = "account"
	ScopeMailbox Scope = "mailbox"
)
