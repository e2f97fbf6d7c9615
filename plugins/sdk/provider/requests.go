package provider

import (
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Priority orders the calls that wait for the same account.
type Priority int32

// Priorities, most urgent first.
const (
	Interactive Priority = iota
	Write
	Delta
	Backfill
)

// Call is in every request that concerns an account.
type Call struct {
	// Account is the core's id of the account.
	Account  string
	Priority Priority
}

// ConfigureRequest carries an instance's settings.
type ConfigureRequest struct {
	// Instance is the provider instance's key in the configuration.
	Instance string
	Settings map[string]string
	// RedirectURL is where the provider sends the owner back to.
	RedirectURL string
	// NotificationURL is where the provider may push to; empty where this
	// gateway cannot be reached from outside.
	NotificationURL string
	// NotifyKey is a secret of the instance, 32 bytes, the same after a
	// restart: what Notify checks requests by is derived from it.
	NotifyKey []byte
}

// ConfigureResponse answers Configure.
type ConfigureResponse struct {
	// Warnings are for the operator's log.
	Warnings []string
}

// CheckRequest asks for the checks.
type CheckRequest struct{}

// CheckResponse answers Check.
type CheckResponse struct {
	// Registrations are what to enter at the provider, in the order of its
	// pages.
	Registrations []Registration
	Results       []CheckResult
}

// Registration is one value to enter where the application is registered.
type Registration struct {
	Kind RegistrationKind
	// Value is to be pasted as it stands.
	Value string
	// Note says where it goes and why; may be empty.
	Note string
}

// RegistrationKind says what a value is. Others than these are shown as they
// are spelt.
type RegistrationKind string

// Kinds of registration.
const (
	RegisterRedirect     RegistrationKind = "redirect_uri"
	RegisterNotification RegistrationKind = "notification_url"
	RegisterPermission   RegistrationKind = "permission"
)

// CheckResult is what became of one check.
type CheckResult struct {
	// Name says what was tried, in a few words: "credentials".
	Name    string
	Outcome CheckOutcome
	// Detail is what was found. It holds no secret.
	Detail string
	// Remedy is what to do about it, empty where nothing need be done.
	Remedy string
}

// CheckOutcome is passed, failed or unknown.
type CheckOutcome string

// Outcomes of a check.
const (
	CheckPassed CheckOutcome = "passed"
	CheckFailed CheckOutcome = "failed"
	// CheckUnknown: it could not be tried, for want of a setting or because
	// an earlier check failed.
	CheckUnknown CheckOutcome = "unknown"
)

// OpenRequest hands over an account.
type OpenRequest struct {
	Account string
	// Subject is the key that FinishConnect gave for this account.
	Subject string
	Address string
	Grant   []byte
}

// CloseRequest names an account to forget.
type CloseRequest struct{ Account string }

// BeginConnectRequest starts a consent.
type BeginConnectRequest struct {
	// State comes back with the callback; unguessable, used once.
	State       string
	RedirectURL string
	LoginHint   string
}

// BeginConnectResponse is where to send the owner.
type BeginConnectResponse struct {
	URL string
	// Pending goes to FinishConnect; it holds secrets (the PKCE verifier).
	Pending []byte
}

// FinishConnectRequest carries the callback.
type FinishConnectRequest struct {
	Pending     []byte
	RedirectURL string
	// Params are all parameters of the callback, from query and form.
	Params map[string][]string
	// ApprovalState is for a link that somebody else than the owner opens to
	// allow the application: it comes back with that person's answer, perhaps
	// days later.
	ApprovalState string
	// Approval: Params are such an answer. No account comes of it: the
	// response is empty, or the error says why it was refused. Pending is
	// empty.
	Approval bool
}

// FinishConnectResponse is a new grant.
type FinishConnectResponse struct {
	// Accounts that the grant opens, at least one.
	Accounts []ConnectedAccount
	// Granted are the scopes that the owner really gave.
	Granted []string
	Grant   []byte
	// ExpiresAt is when the grant ends whatever is done, zero where nothing
	// says so; ExpiresReason is why, for people, as it would follow a colon:
	// "the application is in testing".
	ExpiresAt     time.Time
	ExpiresReason string
}

// ConnectedAccount is one account that a grant opens.
type ConnectedAccount struct {
	// Subject is the provider's immutable key of the account's owner.
	Subject string
	Address string
	Name    string
}

// RevokeRequest names the grant to give back.
type RevokeRequest struct{ Call }

// MailboxesRequest asks for all mailboxes.
type MailboxesRequest struct{ Call }

// MailboxesResponse lists them, parents before children.
type MailboxesResponse struct{ Mailboxes []mail.Mailbox }

// CreateMailboxRequest describes a new mailbox.
type CreateMailboxRequest struct {
	Call
	ParentID, Name string
}

// CreateMailboxResponse is the new mailbox.
type CreateMailboxResponse struct{ Mailbox mail.Mailbox }

// RenameMailboxRequest gives a mailbox a new name and parent.
type RenameMailboxRequest struct {
	Call
	ID, ParentID, Name string
}

// RenameMailboxResponse is the mailbox afterwards.
type RenameMailboxResponse struct{ Mailbox mail.Mailbox }

// DeleteMailboxRequest names a mailbox.
type DeleteMailboxRequest struct {
	Call
	ID string
}

// EnumerateRequest names a mailbox to list.
type EnumerateRequest struct {
	Call
	Mailbox string
}

// EnumerateBatch is a piece of the listing.
type EnumerateBatch struct {
	// Messages have ProviderID and Mailboxes; Fields says what else.
	Messages []mail.Message
	Fields   mail.Fields
}

// ChangesRequest asks what happened since a cursor.
type ChangesRequest struct {
	Call
	// Mailbox is the provider's id, for providers of mailbox scope.
	Mailbox string
	Cursor  mail.Cursor
}

// FetchMode says what to read.
type FetchMode int32

// Modes of Fetch.
const (
	FetchMetadata FetchMode = iota
	FetchRaw
)

// FetchRequest names messages to read.
type FetchRequest struct {
	Call
	IDs  []string
	Mode FetchMode
}

// ModifyRequest changes messages.
type ModifyRequest struct {
	Call
	IDs             []string
	AddKeywords     []string
	RemoveKeywords  []string
	AddMailboxes    []string
	RemoveMailboxes []string
}

// Result is the fate of one message of a request.
type Result struct {
	// ID as it was asked for.
	ID string
	// Message is its state afterwards, as far as Fields says; for Copy the
	// copy. Its ProviderID may differ from ID.
	Message mail.Message
	Fields  mail.Fields
	// Err is nil where it was done.
	Err error
}

// ModifyResponse has one result per message, in the request's order.
type ModifyResponse struct{ Results []Result }

// AppendRequest describes a message to store.
type AppendRequest struct {
	Call
	OperationID string
	Mailbox     string
	Keywords    []string
	// ReceivedAt is when it arrived. A provider that takes no such date gives
	// the message the one of its own Date field.
	ReceivedAt time.Time
	// Size is the length of the raw bytes that follow.
	Size int64
}

// AppendResponse is the message as the provider stored it.
type AppendResponse struct{ Message mail.Message }

// CopyRequest names messages and where to copy them.
type CopyRequest struct {
	Call
	OperationID string
	IDs         []string
	Mailbox     string
}

// DeleteRequest names messages to trash or purge.
type DeleteRequest struct {
	Call
	IDs []string
}

// Envelope is who a submission is from and to (RFC 5321), which may differ
// from the headers.
type Envelope struct {
	From       string
	Recipients []string
}

// PrepareRequest describes a message to send.
type PrepareRequest struct {
	Call
	// OperationID is unique to the submission; the plugin marks the draft with
	// it where the provider allows.
	OperationID string
	Envelope    Envelope
	// MessageID is the message's Message-ID, without angle brackets. Where it
	// begins with the operation's id and an @, nobody else has it: a draft of
	// that Message-ID is what an earlier attempt has left.
	MessageID string
	// InReplyTo is the provider's id of the message answered or forwarded,
	// ThreadID its conversation; both may be empty.
	InReplyTo string
	ThreadID  string
	// Size is the length of the raw bytes that follow.
	Size int64
	// FirstAttempt is when the operation's first attempt began, or a little
	// before, by the host's clock; zero while this is the first. A host that was
	// killed does not know how far that came. Where a provider cannot make a
	// draft and mark it as the operation's in one step, a draft without a mark may
	// be left, which would never be sent and never go. It is to be removed, and
	// nothing that might be its owner's: mail programs keep drafts under the very
	// Message-ID that they send with, and some store one right before. A draft that
	// is older than FirstAttempt, that bears another mark, or that says anything
	// that the message itself does not say, stays.
	FirstAttempt time.Time
}

// Prepared is a message ready to be sent.
type Prepared struct {
	// ProviderID is the draft's id.
	ProviderID string
	// State is opaque to the core and goes to Send and Probe.
	State []byte
	// MessageID as the provider will send it, where it is known.
	MessageID string
}

// PrepareResponse answers Prepare.
type PrepareResponse struct{ Prepared Prepared }

// SendRequest names what to send.
type SendRequest struct {
	Call
	OperationID string
	Prepared    Prepared
}

// SendResponse tells of the message that was sent.
type SendResponse struct {
	// ProviderID of the copy in Sent, empty where it is not known yet.
	ProviderID string
	MessageID  string
}

// Outcome is what became of a prepared message.
type Outcome string

// Outcomes.
const (
	OutcomeSent    Outcome = "sent"
	OutcomeNotSent Outcome = "not_sent"
	OutcomeUnknown Outcome = "unknown"
)

// ProbeRequest names what to look for.
type ProbeRequest struct {
	Call
	OperationID string
	Prepared    Prepared
}

// ProbeResponse answers Probe.
type ProbeResponse struct {
	Outcome    Outcome
	ProviderID string
	MessageID  string
}

// IdentitiesRequest asks what the account may send from.
type IdentitiesRequest struct{ Call }

// IdentitiesResponse lists it, at most one of them the default.
type IdentitiesResponse struct {
	Identities []mail.Identity
	// Partial: there may be others, which only sending shows. Where it is not
	// set, the host refuses who sends from an address that is not listed.
	Partial bool
}

// SearchRequest is a typed query. Empty fields do not restrict.
type SearchRequest struct {
	Call
	Text          string
	From          string
	To            string
	Subject       string
	After, Before time.Time
	Mailbox       string
	HasAttachment bool
	Limit         int
	PageToken     string
}

// SearchResponse lists provider ids, best or newest first.
type SearchResponse struct {
	IDs           []string
	NextPageToken string
}

// WatchRequest asks for a push channel.
type WatchRequest struct {
	Call
	// State and ID of the channel to renew; empty to make one.
	ID    string
	State []byte
}

// WatchResponse describes the channel.
type WatchResponse struct {
	ID      string
	Expires time.Time
	State   []byte
	// LookupKeys are what a Hint of this channel will name the account by.
	LookupKeys []string
}

// UnwatchRequest names the channel to end.
type UnwatchRequest struct {
	Call
	ID    string
	State []byte
}

// HintKind says what a hint means.
type HintKind string

// Kinds of hint.
const (
	// HintChanged: something changed; ask Changes.
	HintChanged HintKind = "changed"
	// HintMissed: notifications were lost; ask Changes of every scope.
	HintMissed HintKind = "missed"
	// HintRenew: the channel must be renewed now.
	HintRenew HintKind = "renew"
	// HintRemoved: the channel is gone; make a new one and ask every scope.
	HintRemoved HintKind = "removed"
)

// Hint says that something happened to an account.
type Hint struct {
	Kind HintKind
	// Account is the core's id, or empty where LookupKey names the account.
	Account   string
	LookupKey string
	// Mailbox is the provider's id of the mailbox that changed, if known.
	Mailbox string
}

// NotifyRequest is the HTTP request that hit the notification URL.
type NotifyRequest struct {
	Method string
	// Path is what follows the instance's notification URL.
	Path   string
	Query  string
	Header map[string][]string
	Body   []byte
}

// NotifyResponse is the HTTP answer to give, and what it told.
type NotifyResponse struct {
	Status int
	Header map[string][]string
	Body   []byte
	Hints  []Hint
}

// ListenRequest starts listening.
type ListenRequest struct{}
