// Package service is what the GraphQL door asks of the rest of the gateway: small
// interfaces, and the nouns that no other package has.
//
// Reads go straight to the store. Whatever reaches a provider, or has rules of its
// own, goes through one of these. Every method answers with a *mail.Error, or with
// store.ErrNotFound, wherever the caller could do something about it; any other
// error is our own fault and is told as such.
package service

import (
	"context"
	"io"
	"time"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// Principal is who asks.
type Principal struct {
	ID   string
	Name string
}

// Authenticator knows the keys that applications present.
type Authenticator interface {
	// Authenticate finds whose key it is. A wrong one is mail.KindUnauthorized.
	Authenticate(ctx context.Context, key string) (*Principal, error)
}

// ProviderState is where a provider instance stands.
type ProviderState string

// States of a provider instance.
const (
	ProviderStarting      ProviderState = "starting"
	ProviderReady         ProviderState = "ready"
	ProviderMisconfigured ProviderState = "misconfigured"
	ProviderUnavailable   ProviderState = "unavailable"
)

// Provider is a provider instance.
type Provider struct {
	// ID is its key in the configuration.
	ID     string
	Title  string
	State  ProviderState
	Reason string
}

// Providers lists the provider instances, by id.
type Providers interface {
	Providers(ctx context.Context) ([]*Provider, error)
}

// ConnectInput begins a consent.
type ConnectInput struct {
	Provider        string
	ReturnURL       string
	ExternalID      string
	LoginHint       string
	ExpectedAddress string
}

// ConnectLink is where the owner is sent.
type ConnectLink struct {
	URL       string
	ExpiresAt time.Time
}

// AccountChange is a change of settings; nil leaves what is.
type AccountChange struct {
	Mirror     *store.MirrorMode
	Paused     *bool
	ExternalID *string
}

// Accounts connects, changes, syncs and disconnects.
type Accounts interface {
	BeginConnect(ctx context.Context, in ConnectInput) (ConnectLink, error)
	UpdateAccount(ctx context.Context, id string, change AccountChange) (*store.Account, error)
	// DisconnectAccount forgets an account: with revoke the grant is given back,
	// with erase what is owed to endpoints is dropped.
	DisconnectAccount(ctx context.Context, id string, revoke, erase bool) error
	// Identities are the addresses that the account may send from.
	Identities(ctx context.Context, a *store.Account) ([]mail.Identity, error)
	// SyncAccount asks the provider for changes and returns after that round.
	SyncAccount(ctx context.Context, id string) error
}

// AppPasswordInput is a new app password.
type AppPasswordInput struct {
	Account string
	Name    string
	// Scopes are imap:read, imap, smtp; none for the default.
	Scopes   []string
	HideCaps []string
}

// AppPasswords let mail programs in.
type AppPasswords interface {
	// AppPasswords lists an account's, oldest first.
	AppPasswords(ctx context.Context, account string) ([]*store.AppPassword, error)
	CreateAppPassword(ctx context.Context, in AppPasswordInput) (p *store.AppPassword, secret string, err error)
	RevokeAppPassword(ctx context.Context, id string) error
}

// Mailboxes changes mailboxes: provider first, then mirror and journal.
type Mailboxes interface {
	// CreateMailbox makes a mailbox; an empty parent is the top.
	CreateMailbox(ctx context.Context, account, parent, name string) (*store.Mailbox, error)
	// RenameMailbox renames where name is not nil, and moves where parent is not
	// nil: an empty one is the top.
	RenameMailbox(ctx context.Context, id string, name, parent *string) (*store.Mailbox, error)
	DeleteMailbox(ctx context.Context, id string) error
}

// MessageUpdate changes keywords and mailboxes (our ids).
type MessageUpdate struct {
	AddKeywords     []string
	RemoveKeywords  []string
	AddMailboxes    []string
	RemoveMailboxes []string
}

// MessageResult is what became of one message.
type MessageResult struct {
	// ID is the message's, as it was given.
	ID string
	// Message is what it is now, or its copy; nil when it is gone or Err is set.
	Message *store.Message
	Err     error
}

// Mailer changes messages. Each method answers for every id, in any order; an
// error of the whole means that nothing is known of any.
type Mailer interface {
	UpdateMessages(ctx context.Context, ids []string, u MessageUpdate) ([]MessageResult, error)
	MoveMessages(ctx context.Context, ids []string, to string) ([]MessageResult, error)
	CopyMessages(ctx context.Context, ids []string, to string) ([]MessageResult, error)
	DeleteMessages(ctx context.Context, ids []string, permanently bool) ([]MessageResult, error)
}

// Attachment is a part of a message that is not its text.
type Attachment struct {
	// Message is the id of the message it belongs to.
	Message string
	mime.Attachment
}

// Reader reads what the mirror may not hold yet.
type Reader interface {
	// Content reads the message's bytes, fetched from the provider where they are
	// not here.
	Content(ctx context.Context, message string) (*mime.Content, error)
	// Search looks for messages that hold all words of the query, here or at the
	// provider: our ids of what was found, and where to go on, empty at the end.
	Search(ctx context.Context, account, query string, first int, after string) (ids []string, next string, err error)
}

// Bytes are the bytes of messages and their parts.
type Bytes interface {
	Raw(ctx context.Context, message string) (r io.ReadSeekCloser, modified time.Time, err error)
	Attachment(ctx context.Context, message, part string) (r io.ReadSeekCloser, name, contentType string, err error)
}

// Outgoing is a message as it is composed.
type Outgoing struct {
	// From is nil for the account's own address.
	From                 *mail.Address
	To, Cc, Bcc, ReplyTo []mail.Address
	Subject, Text, HTML  string
	Attachments          []OutgoingAttachment
	// Raw is the whole message instead of the above, nil where there is none. It
	// is read once.
	Raw io.Reader
	// Reply and Forward are our ids of what is answered or forwarded.
	Reply, Forward string
}

// OutgoingAttachment is something to attach. Content is read once.
type OutgoingAttachment struct {
	Name      string
	Type      string
	ContentID string
	Size      int64
	Content   io.Reader
}

// Drafts keeps drafts at the provider.
type Drafts interface {
	// SaveDraft saves a draft, in place of another where replaces is not empty.
	SaveDraft(ctx context.Context, account, replaces string, out Outgoing) (*store.Message, error)
	DeleteDraft(ctx context.Context, message string) error
}

// SubmitInput is a message to send.
type SubmitInput struct {
	Account        string
	Message        Outgoing
	SendAt         time.Time
	IdempotencyKey string
}

// Submissions sends.
type Submissions interface {
	Submit(ctx context.Context, in SubmitInput) (*store.Submission, error)
	Cancel(ctx context.Context, id string) (*store.Submission, error)
}

// EndpointState is where an endpoint stands.
type EndpointState string

// States of an endpoint.
const (
	EndpointActive   EndpointState = "active"
	EndpointFailing  EndpointState = "failing"
	EndpointDisabled EndpointState = "disabled"
)

// PayloadMode is how much a webhook tells.
type PayloadMode string

// Payload modes.
const (
	PayloadThin PayloadMode = "thin"
	PayloadFull PayloadMode = "full"
)

// Endpoint is a URL that receives webhooks.
type Endpoint struct {
	ID          string
	URL         string
	Description string
	// Events are the types it receives, AccountIDs the accounts whose events;
	// empty for all.
	Events      []event.Type
	AccountIDs  []string
	State       EndpointState
	StateReason string
	Ordered     bool
	Payload     PayloadMode
	Backfill    bool
	Attempts    int
	Health      EndpointHealth
	CreatedAt   time.Time
	Signature   SignatureKind
	Keys        []EndpointKey
	// KeysURL is where the public keys are, empty where there are none.
	KeysURL string
	// InFlight and PerSecond are 0 for the defaults.
	InFlight          int
	PerSecond         float64
	OnExhausted       Exhaustion
	HeaderNames       []string
	ClientCertificate string
	OAuth             *EndpointOAuth
}

// EndpointOAuth is how tokens for an endpoint's requests are got (RFC 6749,
// 4.4).
type EndpointOAuth struct {
	TokenURL string
	ClientID string
	// ClientSecret is given, and never shown.
	ClientSecret string
	Scopes       []string
}

// Exhaustion is what becomes of a delivery that has used up its attempts.
type Exhaustion string

// What may become of it.
const (
	ExhaustionDeadLetter Exhaustion = "dead_letter"
	ExhaustionHalt       Exhaustion = "halt"
)

// SignatureKind is a manner of signing.
type SignatureKind string

// Manners of signing.
const (
	SignatureHMAC    SignatureKind = "hmac"
	SignatureEd25519 SignatureKind = "ed25519"
)

// EndpointKey is what is shown of a signing key.
type EndpointKey struct {
	ID        string
	Kind      SignatureKind
	PublicKey string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Rotation says how a signing key is replaced.
type Rotation struct {
	// Signature is the kind of the new key, empty for the endpoint's.
	Signature SignatureKind
	// Overlap is how long the former keys sign on, nil for the default.
	Overlap *time.Duration
}

// EndpointHeader is a header that is added to every request.
type EndpointHeader struct{ Name, Value string }

// EndpointHealth is how an endpoint has been doing.
type EndpointHealth struct {
	FailingSince  time.Time
	Failures      int
	LastSuccessAt time.Time
	PausedUntil   time.Time
}

// EndpointInput is a new endpoint.
type EndpointInput struct {
	URL         string
	Description string
	// Events and Accounts restrict; empty ones do not.
	Events   []event.Type
	Accounts []string
	Ordered  bool
	Payload  PayloadMode
	Backfill bool
	// Attempts is how often a delivery is tried, 0 for the default schedule.
	Attempts  int
	Signature SignatureKind
	// Secret is one that is there already, empty for a new one.
	Secret                       string
	InFlight                     int
	PerSecond                    float64
	OnExhausted                  Exhaustion
	Headers                      []EndpointHeader
	ClientCertificate, ClientKey string
	OAuth                        *EndpointOAuth
	// Verify asks the endpoint first.
	Verify bool
}

// EndpointChange changes an endpoint; nil leaves what is. Events and Accounts
// that point at an empty slice lift the restriction.
type EndpointChange struct {
	URL         *string
	Description *string
	Events      *[]event.Type
	Accounts    *[]string
	Ordered     *bool
	Payload     *PayloadMode
	Backfill    *bool
	Attempts    *int
	Enabled     *bool
	Signature   *SignatureKind
	InFlight    *int
	PerSecond   *float64
	OnExhausted *Exhaustion
	Headers     *[]EndpointHeader

	ClientCertificate, ClientKey *string
	// OAuth without a TokenURL takes away what there is.
	OAuth *EndpointOAuth
}

// Endpoints keeps the endpoints.
type Endpoints interface {
	// Endpoints lists them by age.
	Endpoints(ctx context.Context) ([]*Endpoint, error)
	CreateEndpoint(ctx context.Context, in EndpointInput) (e *Endpoint, secret string, err error)
	UpdateEndpoint(ctx context.Context, id string, change EndpointChange) (*Endpoint, error)
	DeleteEndpoint(ctx context.Context, id string) error
	// RotateSecret gives the new secret, empty where the new key has a public
	// half.
	RotateSecret(ctx context.Context, id string, how Rotation) (e *Endpoint, secret string, err error)
	ExpireKey(ctx context.Context, id, key string) (*Endpoint, error)
}

// Deliverer sends again, and sends tests.
type Deliverer interface {
	SendTest(ctx context.Context, endpoint string, t event.Type) (*store.Delivery, error)
	// Redeliver puts deliveries back at once and counts them.
	Redeliver(ctx context.Context, ids []string) (int, error)
	// Replay starts a replay, or only counts what it would do.
	Replay(ctx context.Context, in Replay) (*store.Job, error)
	CancelReplay(ctx context.Context, id string) (*store.Job, error)
}

// Replay says what is made again.
type Replay struct {
	Source store.JobSource
	Filter store.DeliveryFilter
	// States are those of the deliveries that are made again, in place of the
	// filter's.
	States []store.DeliveryState
	// To is the endpoint that gets it all, empty for the deliveries' own.
	To        string
	PerSecond int
	DryRun    bool
	// Wait for its end, some seconds long.
	Wait bool
}

// WatchState is the state of a push channel.
type WatchState string

// States of a push channel.
const (
	WatchPush     WatchState = "push"
	WatchPolling  WatchState = "polling"
	WatchRenewing WatchState = "renewing"
)
