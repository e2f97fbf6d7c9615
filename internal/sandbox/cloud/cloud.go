// Package cloud holds the few nouns that the sandbox's clouds share: who has a
// mailbox, what is delivered into it, what lies in it, what changed, and the
// small internet that carries mail from one to the other.
//
// It has no behaviour and imports nothing of ours: the clouds depend on it,
// the control API and the small internet depend on it, and none of them on
// each other.
package cloud

import (
	"context"
	"time"
)

// A User is a person with one mailbox in one of the clouds.
type User struct {
	ID      string `json:"id"` // the cloud's own id; for Microsoft the oid, a GUID
	Address string `json:"address"`
	Name    string `json:"name"`
}

// A Delivery is a message on its way into a mailbox from outside the cloud's
// own API: by the small internet, by the control API, from a seed.
type Delivery struct {
	Mailbox  string    // well-known name, display path ("Work/2024") or id; "" is the inbox
	Date     time.Time // when it arrived; zero is now
	Keywords []string  // $seen $flagged $answered $draft $forwarded, and free ones
	Notify   bool      // whether push notifications are sent for it
	Raw      []byte
	// Transit says that it came by the small internet: the cloud may put the
	// header fields in front that its own servers write. Without it the bytes
	// are stored as they are.
	Transit bool
}

// An Edit is what another of the owner's programs does to a message: a phone
// that marks it as read, say.
type Edit struct {
	AddKeywords    []string `json:"add_keywords"`
	RemoveKeywords []string `json:"remove_keywords"`
	Mailbox        string   `json:"mailbox"` // where it is moved, named as in a Delivery; "" leaves it
}

// MessageInfo is what the cloud truly holds of one message: what the tests
// compare every other view with.
type MessageInfo struct {
	ID        string   `json:"id"`        // for Microsoft the immutable id
	Mailboxes []string `json:"mailboxes"` // ids of folders or labels
	Keywords  []string `json:"keywords"`
	Size      int64    `json:"size"`
	SHA256    string   `json:"sha256"` // lower-case hex, of the raw bytes as the cloud serves them
}

// The types of a Change, spelled as in a Microsoft changeType.
const (
	Created = "created"
	Updated = "updated"
	Deleted = "deleted"
)

// A Change is one thing that happened to one message, as a push notification
// would tell it.
type Change struct {
	User        User
	Type        string // Created, Updated or Deleted
	Folder      string // id of the folder it happened in
	MessageID   string // the id that changes on move
	ImmutableID string
	ETag        string
	Time        time.Time
	Silent      bool // no notification is wanted
}

// Sender is the small internet as a cloud sees it: it takes a message as it
// goes over the wire and brings it to whoever it is addressed to.
type Sender interface {
	Submit(ctx context.Context, from User, rcpts []string, raw []byte) error
}
