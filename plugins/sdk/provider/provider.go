// Package provider is the contract between Postern and a mail provider: the
// verbs that a plugin implements, what it says of itself, and both ends of
// the wire that joins them (gRPC over hashicorp/go-plugin).
//
// A plugin author implements Provider and calls Serve from main; everything
// else in this package is for the host. The rules that no signature shows:
//
//   - A plugin keeps nothing on disk. Grants come in by Open and go out by
//     Host.SaveGrant; access tokens live in memory alone.
//   - However many calls meet an expired token, one refresh leaves.
//   - The plugin alone queues and waits: Retry-After, concurrency and quota
//     per account, by Priority. It gives up when the call's context ends.
//   - Errors are *mail.Error. A verb whose doc says "idempotent" may be
//     repeated by the host after KindUnavailable; no other verb ever is.
//   - A request that may or may not have been carried out is answered with
//     mail.KindOutcomeUnknown.
package provider

import (
	"context"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Provider is what a plugin implements. All methods may be called at once
// from many goroutines. A verb that Info.Capabilities does not name answers
// mail.KindInvalid; embed Unsupported for those.
type Provider interface {
	// Describe says what the provider is and can do. It needs no Configure,
	// never blocks and always gives the same answer. Idempotent.
	Describe(ctx context.Context) (*Info, error)
	// Configure gives the instance's settings, after start and on every
	// reload; running calls go on with the old ones. Settings that cannot
	// work are refused with mail.KindMisconfigured. Idempotent.
	Configure(ctx context.Context, req *ConfigureRequest) (*ConfigureResponse, error)
	// Check tries what can be tried of the settings without any account, within
	// the time that ctx has, and says what to register at the provider. What is
	// wrong is a result, never an error; a plugin without checks has
	// Unsupported's answer. It is called after Configure, and no account need
	// be open. Idempotent.
	Check(ctx context.Context, req *CheckRequest) (*CheckResponse, error)
	// Session runs as long as the host is there. When ctx ends the plugin
	// cancels what it is doing. A plugin that initiates nothing just waits.
	// One session runs at a time; it is opened after Configure.
	Session(ctx context.Context, host Host) error

	// Open hands over an account's grant. Verbs of an account are called only
	// while it is open; an unknown account is answered with ErrNotOpen.
	// Opening an open account replaces its grant. Idempotent.
	Open(ctx context.Context, req *OpenRequest) error
	// Close forgets an account. Idempotent.
	Close(ctx context.Context, req *CloseRequest) error

	// BeginConnect makes the URL at which an owner consents. Idempotent: it
	// leaves nothing behind.
	BeginConnect(ctx context.Context, req *BeginConnectRequest) (*BeginConnectResponse, error)
	// FinishConnect turns the callback's parameters into a grant. A refusal
	// by the owner is mail.KindForbidden; one because an administrator must
	// allow the application first has mail.CodeAdminConsent, and the Link where
	// that is done, made with the request's ApprovalState.
	FinishConnect(ctx context.Context, req *FinishConnectRequest) (*FinishConnectResponse, error)
	// Revoke gives the grant back. A grant already dead is success. Idempotent.
	Revoke(ctx context.Context, req *RevokeRequest) error

	// Mailboxes lists all mailboxes of the account. Idempotent.
	Mailboxes(ctx context.Context, req *MailboxesRequest) (*MailboxesResponse, error)
	CreateMailbox(ctx context.Context, req *CreateMailboxRequest) (*CreateMailboxResponse, error)
	// RenameMailbox renames, and moves below another parent. Idempotent.
	RenameMailbox(ctx context.Context, req *RenameMailboxRequest) (*RenameMailboxResponse, error)
	// DeleteMailbox removes a mailbox as the provider does, usually into its
	// trash. Idempotent.
	DeleteMailbox(ctx context.Context, req *DeleteMailboxRequest) error

	// Enumerate lists a mailbox, newest first by ReceivedAt, with keywords and
	// dates where they are cheap. Idempotent.
	Enumerate(ctx context.Context, req *EnumerateRequest, each func(*EnumerateBatch) error) error
	// Changes tells what happened since a cursor, batch by batch; the last one
	// has Done set. A cursor that is too old is mail.KindCursorExpired. With
	// an empty cursor a provider whose Info.FeedEnumerates is true tells
	// everything there is, newest first; another one answers one empty, done
	// batch with the cursor from which changes will be told. Idempotent.
	Changes(ctx context.Context, req *ChangesRequest, each func(*mail.Batch) error) error
	// Fetch reads metadata or raw bytes of many messages, each answered by
	// one call of the sink, in any order, never at once. Idempotent.
	Fetch(ctx context.Context, req *FetchRequest, sink FetchSink) error
	// Modify changes keywords and mailboxes of many messages. The answer has
	// one result per message, in order. Idempotent.
	Modify(ctx context.Context, req *ModifyRequest) (*ModifyResponse, error)
	// Append stores a message in a mailbox.
	Append(ctx context.Context, req *AppendRequest, raw io.Reader) (*AppendResponse, error)
	// Copy copies messages into a mailbox.
	Copy(ctx context.Context, req *CopyRequest) (*ModifyResponse, error)
	// Delete moves messages to the trash. Idempotent.
	Delete(ctx context.Context, req *DeleteRequest) (*ModifyResponse, error)
	// Purge removes messages for good. One already gone is success. Idempotent.
	Purge(ctx context.Context, req *DeleteRequest) (*ModifyResponse, error)

	// Prepare stores a message to be sent, as a draft. With an operation id it
	// finds again what an earlier call made. Idempotent by operation id.
	Prepare(ctx context.Context, req *PrepareRequest, raw io.Reader) (*PrepareResponse, error)
	// Send sends a prepared message. Never repeated; Probe settles doubt.
	Send(ctx context.Context, req *SendRequest) (*SendResponse, error)
	// Probe tells what became of a prepared message. Idempotent.
	Probe(ctx context.Context, req *ProbeRequest) (*ProbeResponse, error)

	// Identities lists the addresses that the account may send from. Idempotent.
	Identities(ctx context.Context, req *IdentitiesRequest) (*IdentitiesResponse, error)

	// Search asks the provider's own search. Idempotent.
	Search(ctx context.Context, req *SearchRequest) (*SearchResponse, error)

	// Watch creates or renews the push channel of an account. The provider may
	// call Notify before Watch has returned. mail.KindInvalid says that the
	// settings give the provider no way to push: the account is polled.
	// Idempotent.
	Watch(ctx context.Context, req *WatchRequest) (*WatchResponse, error)
	// Unwatch ends it. One already gone is success. Idempotent.
	Unwatch(ctx context.Context, req *UnwatchRequest) error
	// Notify answers an HTTP request that hit the notification URL. It takes
	// no account's lock and needs no open account. Idempotent.
	Notify(ctx context.Context, req *NotifyRequest) (*NotifyResponse, error)
	// Listen streams hints from a feed that serves many accounts, until ctx
	// ends, and returns nil then. Idempotent.
	Listen(ctx context.Context, req *ListenRequest, each func(*Hint) error) error
}

// Host is what the gateway offers a plugin during Session.
type Host interface {
	// SaveGrant stores new grant bytes durably. The plugin uses what it got
	// only after nil.
	SaveGrant(ctx context.Context, account string, grant []byte) error
	// GrantRefused tells that the provider refuses the grant: reason is a
	// *mail.Error of kind grant_expired (the owner must reconnect) or
	// misconfigured (the operator must act).
	GrantRefused(ctx context.Context, account string, reason error) error
	// Hint tells that something changed.
	Hint(ctx context.Context, hint *Hint) error
}

// FetchSink takes what Fetch reads. Its methods are called one at a time.
type FetchSink interface {
	// Message takes metadata (FetchMetadata).
	Message(m *mail.Message) error
	// Raw takes raw bytes (FetchRaw); r is valid until the call returns.
	Raw(providerID, contentTag string, r io.Reader) error
	// Failed takes the fate of a message that could not be read.
	Failed(providerID string, err error) error
}

// ErrNotOpen answers a verb for an account that is not open. The host opens
// it and calls again.
var ErrNotOpen = &mail.Error{Kind: mail.KindUnavailable, Code: CodeNotOpen, Message: "account is not open"}

// CodeNotOpen is the code of ErrNotOpen, also across the wire.
const CodeNotOpen = "not_open"
