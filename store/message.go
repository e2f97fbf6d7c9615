package store

import (
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Message is a message of the mirror.
type Message struct {
	// ID is event.HashID("m", account, provider id).
	ID      string
	Account string
	// Thread is event.HashID("t", account, provider thread id).
	Thread string
	// Message is what the provider told. Its Mailboxes and Keywords are the
	// provider's; Mailboxes below are ours.
	mail.Message
	// In are our ids of the mailboxes it is in, sorted.
	In []string
	// Local are keywords that the provider cannot hold, sorted.
	Local []string
	// Blob is the digest of the raw bytes once they are known, and stays when
	// the bytes are evicted.
	Blob string
	// ModSeq is the sequence of the last change, CreatedSeq of the first.
	ModSeq     uint64
	CreatedSeq uint64
	// Backfill: it was there before the account was connected.
	Backfill bool
	// UIDs by mailbox id; kept by the store.
	UIDs map[string]uint32
	// Wrote guards the fields of our own last write against stale feeds.
	Wrote Write
	// PlacedAt is when the provider was asked for the answer that In is from:
	// an older answer does not move the message back.
	PlacedAt time.Time
}

// Write is our own last write-through to a message.
type Write struct {
	Fields mail.Fields
	At     time.Time
}

// AllKeywords gives the provider's and the local keywords, sorted.
func (m *Message) AllKeywords() []string {
	all := make([]string, 0, len(m.Keywords)+len(m.Local))
	i, j := 0, 0
	for i < len(m.Keywords) || j < len(m.Local) {
		switch {
		case j == len(m.Local) || (i < len(m.Keywords) && m.Keywords[i] < m.Local[j]):
			all = append(all, m.Keywords[i])
			i++
		case i == len(m.Keywords) || m.Local[j] < m.Keywords[i]:
			all = append(all, m.Local[j])
			j++
		default:
			all = append(all, m.Keywords[i])
			i++
			j++
		}
	}
	return all
}

// DateKey is a place in an index by date: newest first, then by id.
type DateKey struct {
	At time.Time
	ID string
}

// Zero reports whether the key is the start of the index.
func (k DateKey) Zero() bool { return k.ID == "" && k.At.IsZero() }

// Thread is a conversation.
type Thread struct {
	ID      string
	Account string
	// LastAt is when its newest message was received.
	LastAt time.Time
	Count  int
}

// Messages is the noun of messages and threads.
type Messages interface {
	Message(id string) (*Message, error)
	// PutMessage writes a message and everything that follows from it: the
	// indexes by date of account and mailboxes, its thread, the mailboxes'
	// counts and ModSeq, and its UID rows. A message that enters a mailbox
	// gets a new UID there as soon as the mailbox is listed; one that leaves
	// loses its row. In must not be empty, and every mailbox in it must exist.
	PutMessage(m *Message) error
	// RenewUIDs gives the message new UIDs in all its mailboxes: its bytes are
	// not what they were.
	RenewUIDs(id string, modSeq uint64) error
	// DeleteMessage removes a message and everything that follows from it.
	// modSeq is the sequence of the deletion.
	DeleteMessage(id string, modSeq uint64) error

	// MessagesOf lists an account's messages by ReceivedAt, newest first,
	// after the given key. MessagesIn does so for a mailbox.
	MessagesOf(account string, after DateKey, limit int) ([]DateKey, error)
	MessagesIn(mailbox string, after DateKey, limit int) ([]DateKey, error)
	// MessagesOldestFirst lists as MessagesIn does, backwards.
	MessagesOldestFirst(mailbox string, after DateKey, limit int) ([]DateKey, error)

	Thread(id string) (*Thread, error)
	// ThreadsOf lists an account's threads by LastAt, newest first.
	ThreadsOf(account string, after DateKey, limit int) ([]*Thread, error)
	// MessagesOfThread lists a thread's messages, oldest first.
	MessagesOfThread(thread string, after DateKey, limit int) ([]DateKey, error)
	// CountMessages is how many messages the account has.
	CountMessages(account string) (int64, error)
}
