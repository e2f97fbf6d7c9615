// Package event holds what the outside sees of the journal: the kinds of
// event, the event itself, and the cursor that marks a place among them.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Type is the kind of an event.
type Type string

// Types of event. Every type stands in Types.
const (
	MessageCreated        Type = "message.created"
	MessageUpdated        Type = "message.updated"
	MessageDeleted        Type = "message.deleted"
	MailboxCreated        Type = "mailbox.created"
	MailboxUpdated        Type = "mailbox.updated"
	MailboxDeleted        Type = "mailbox.deleted"
	AccountConnected      Type = "account.connected"
	AccountSynced         Type = "account.synced"
	AccountGrantExpired   Type = "account.grant_expired"
	AccountRecovered      Type = "account.recovered"
	AccountDisconnected   Type = "account.disconnected"
	SubmissionSent        Type = "submission.sent"
	SubmissionFailed      Type = "submission.failed"
	EndpointFailing       Type = "endpoint.failing"
	EndpointDisabled      Type = "endpoint.disabled"
	EndpointRecovered     Type = "endpoint.recovered"
	EndpointDeadLetters   Type = "endpoint.dead_letters"
	ProviderMisconfigured Type = "provider.misconfigured"
	ProviderRecovered     Type = "provider.recovered"
	Ping                  Type = "ping"
)

// Types lists every type, in the order of the documentation.
func Types() []Type {
	return []Type{
		MessageCreated, MessageUpdated, MessageDeleted,
		MailboxCreated, MailboxUpdated, MailboxDeleted,
		AccountConnected, AccountSynced, AccountGrantExpired, AccountRecovered, AccountDisconnected,
		SubmissionSent, SubmissionFailed,
		EndpointFailing, EndpointDisabled, EndpointRecovered, EndpointDeadLetters, ProviderMisconfigured, ProviderRecovered, Ping,
	}
}

// Valid reports whether the type is known.
func (t Type) Valid() bool {
	for _, known := range Types() {
		if t == known {
			return true
		}
	}
	return false
}

// Event is one entry of the journal.
type Event struct {
	// ID is stable: a function of account and sequence.
	ID string
	// Position is the store-wide place in commit order, Epoch the life of the
	// store that it was read in, or written.
	Position uint64
	Epoch    uint32
	// Sequence numbers the account's entries without gaps, from 1; it is the
	// modification sequence of what changed. Events that concern no account
	// share the empty account's sequence.
	Sequence uint64
	Type     Type
	// Account is empty for events of the gateway itself.
	Account string
	Time    time.Time
	// Backfill: what was in the mailbox before the account was connected.
	Backfill bool
	// Internal entries have a number but are told to nobody outside.
	Internal bool

	Message    string
	Mailbox    string
	Submission string
	Endpoint   string
	// Provider is the key of a provider instance, in events about one.
	Provider string

	AddedKeywords    []string
	RemovedKeywords  []string
	AddedMailboxes   []string
	RemovedMailboxes []string

	// Percent is how far a failing endpoint is on its way to being disabled,
	// DeadLetters how many an endpoint has.
	Percent     int
	DeadLetters int64

	// Reason is the code and the words of what went wrong, where something did.
	Reason string
	// Trace is the W3C traceparent of what led to the event. The journal does
	// not keep it; what is owed because of the event does.
	Trace string
	// Snapshot is what was known of the message, for message.created,
	// message.updated and message.deleted.
	Snapshot *Snapshot
}

// Snapshot is what an event keeps of a message, so that it can be told when
// the message is gone.
type Snapshot struct {
	ProviderID     string
	Thread         string
	Mailboxes      []string
	Keywords       []string
	Subject        string
	From, To, Cc   []mail.Address
	MessageID      string
	SentAt         time.Time
	ReceivedAt     time.Time
	Preview        string
	HasAttachments bool
	Size           int64
}

// Cursor gives the event's place in the store.
func (e *Event) Cursor() Cursor { return Cursor{Epoch: e.Epoch, Position: e.Position} }

var lower32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ordered32 keeps the order of the bytes that it encodes.
var ordered32 = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

const (
	idPrefix = "evt_"
	// numberSize is the length of Number.
	numberSize = 13
)

// Number writes a number so that the order of the texts is that of the
// numbers. Ids that begin with it lie together in a store when they are made
// together.
func Number(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return ordered32.EncodeToString(b[:])
}

// ParseNumber reads what Number has written.
func ParseNumber(s string) (uint64, bool) {
	b, err := ordered32.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, false
	}
	n := binary.BigEndian.Uint64(b)
	return n, Number(n) == s
}

// ID makes the stable id of an account's entry. It says which entry it is, so
// that no index is needed to find it.
func ID(account string, sequence uint64) string {
	return idPrefix + account + "_" + Number(sequence)
}

// ParseID takes an id apart that ID has made.
func ParseID(id string) (account string, sequence uint64, ok bool) {
	rest, ok := strings.CutPrefix(id, idPrefix)
	cut := len(rest) - numberSize - 1
	if !ok || cut < 0 || rest[cut] != '_' {
		return "", 0, false
	}
	sequence, ok = ParseNumber(rest[cut+1:])
	return rest[:cut], sequence, ok
}

// HashID makes an id of other ids: a one-letter kind, then base32 of 20 bytes
// of SHA-256 over the parts. The same parts give the same id in every life of
// the store.
func HashID(kind string, parts ...string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + strings.Join(parts, "\x00")))
	return kind + lower32.EncodeToString(sum[:20])
}
