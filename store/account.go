package store

import (
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// AccountState is where an account stands.
type AccountState string

// States of an account.
const (
	AccountConnecting   AccountState = "connecting"
	AccountSyncing      AccountState = "syncing"
	AccountReady        AccountState = "ready"
	AccountGrantExpired AccountState = "grant_expired"
	AccountPaused       AccountState = "paused"
	AccountError        AccountState = "error"
)

// MirrorMode says which bytes are brought ahead.
type MirrorMode string

// Mirror modes.
const (
	MirrorMetadata MirrorMode = "metadata"
	MirrorRecent   MirrorMode = "recent"
	MirrorFull     MirrorMode = "full"
)

// Account is one address at one provider instance. Sealed but for its id.
type Account struct {
	// ID is event.HashID("a", provider, subject, address in lower case).
	ID       string
	Provider string
	// Subject is the provider's immutable key of the owner.
	Subject    string
	Address    string
	Name       string
	ExternalID string
	Grant      string
	State      AccountState
	// StateReason is a code and words, empty while all is well.
	StateReason string
	Mirror      MirrorMode
	Paused      bool
	CreatedAt   time.Time
	// ConnectedAt: what arrived after it is no backfill.
	ConnectedAt time.Time
	// SyncedAt is when the first sync was complete, LastSyncAt the last round.
	SyncedAt   time.Time
	LastSyncAt time.Time
	// Done and Total are the first sync's progress, in messages.
	Done, Total int64
	Watch       Watch
	// GrantEnds is when the consent ends whatever is done, zero where nothing
	// says so, and GrantEndsWhy why, in words.
	GrantEnds    time.Time
	GrantEndsWhy string
	// Identities are what the provider lets the account send from, as it told
	// last; IdentitiesPartial: it may let it send from others too.
	Identities        []mail.Identity
	IdentitiesPartial bool
}

// Ending says that the consent will end, and when and why, where that is so.
func (a *Account) Ending() string {
	if a.GrantEnds.IsZero() || a.State == AccountGrantExpired {
		return ""
	}
	out := "the consent ends on " + a.GrantEnds.UTC().Format(time.DateOnly)
	if a.GrantEndsWhy != "" {
		out += ": " + a.GrantEndsWhy
	}
	return out
}

// Watch is an account's push channel.
type Watch struct {
	ID         string
	State      []byte
	Expires    time.Time
	LookupKeys []string
	LastHintAt time.Time
}

// Grant is the consent and tokens by which we act; opaque outside its plugin.
type Grant struct {
	ID        string
	Provider  string
	Accounts  []string
	Granted   []string
	Bytes     []byte
	UpdatedAt time.Time
}

// Connect is a consent that has begun: what must be remembered between the
// link and the callback.
type Connect struct {
	// Link is the unguessable id in the link we gave out, State the one the
	// provider brings back. Both are stored hashed by the caller.
	Link            string
	State           string
	Provider        string
	ReturnURL       string
	ExternalID      string
	LoginHint       string
	ExpectedAddress string
	Pending         []byte
	ExpiresAt       time.Time
	// UsedAt is set by the first callback.
	UsedAt time.Time
}

// Accounts is the noun of accounts, grants and pending consents.
type Accounts interface {
	Account(id string) (*Account, error)
	// AccountsAfter lists accounts by id, at most limit, after the given id.
	AccountsAfter(id string, limit int) ([]*Account, error)
	// PutAccount also keeps the index of watch lookup keys.
	PutAccount(a *Account) error
	// AccountByLookup finds whom a hint of the provider instance names.
	AccountByLookup(provider, key string) (string, error)
	// DeleteAccount removes the account's record and its data key, which makes
	// everything sealed under it unreadable at once.
	DeleteAccount(id string) error
	// DropAccountRecords removes what DeleteAccount left behind, at most limit
	// records, and reports whether there is more. An account that was connected
	// again meanwhile keeps what is new. Journal entries stay until they are
	// trimmed, without the mail they told of; deliveries stay owed.
	DropAccountRecords(id string, limit int) (more bool, err error)

	Grant(id string) (*Grant, error)
	PutGrant(g *Grant) error
	DeleteGrant(id string) error

	// ConnectByLink and ConnectByState find a pending consent.
	ConnectByLink(link string) (*Connect, error)
	ConnectByState(state string) (*Connect, error)
	PutConnect(c *Connect) error
	// ExpireConnects removes consents that expired before t.
	ExpireConnects(t time.Time, limit int) (removed int, err error)
}
