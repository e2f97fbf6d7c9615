package provider

import (
	"context"
	"errors"
	"io"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// Unsupported answers every optional verb with mail.KindInvalid and waits in
// Session and Listen. Embed it, and implement what the provider can do.
type Unsupported struct{}

// codeUnsupported answers a verb that the provider does not have.
const codeUnsupported = "unsupported"

// IsUnsupported reports whether an error is the answer of a plugin that does
// not have the verb, be it by Unsupported or because it is older than the verb.
func IsUnsupported(err error) bool {
	var e *mail.Error
	return errors.As(err, &e) && e.Code == codeUnsupported
}

func unsupported(verb string) error {
	return &mail.Error{Kind: mail.KindInvalid, Op: verb, Code: codeUnsupported, Message: "the provider cannot do this"}
}

// Check is not supported: there is nothing that could be tried.
func (Unsupported) Check(context.Context, *CheckRequest) (*CheckResponse, error) {
	return nil, unsupported("check")
}

// Session waits until the host is gone.
func (Unsupported) Session(ctx context.Context, _ Host) error { <-ctx.Done(); return nil }

// BeginConnect is not supported.
func (Unsupported) BeginConnect(context.Context, *BeginConnectRequest) (*BeginConnectResponse, error) {
	return nil, unsupported("begin connect")
}

// FinishConnect is not supported.
func (Unsupported) FinishConnect(context.Context, *FinishConnectRequest) (*FinishConnectResponse, error) {
	return nil, unsupported("finish connect")
}

// Revoke has nothing to give back.
func (Unsupported) Revoke(context.Context, *RevokeRequest) error { return nil }

// CreateMailbox is not supported.
func (Unsupported) CreateMailbox(context.Context, *CreateMailboxRequest) (*CreateMailboxResponse, error) {
	return nil, unsupported("create mailbox")
}

// RenameMailbox is not supported.
func (Unsupported) RenameMailbox(context.Context, *RenameMailboxRequest) (*RenameMailboxResponse, error) {
	return nil, unsupported("rename mailbox")
}

// DeleteMailbox is not supported.
func (Unsupported) DeleteMailbox(context.Context, *DeleteMailboxRequest) error {
	return unsupported("delete mailbox")
}

// Modify is not supported.
func (Unsupported) Modify(context.Context, *ModifyRequest) (*ModifyResponse, error) {
	return nil, unsupported("modify")
}

// Append is not supported.
func (Unsupported) Append(context.Context, *AppendRequest, io.Reader) (*AppendResponse, error) {
	return nil, unsupported("append")
}

// Copy is not supported.
func (Unsupported) Copy(context.Context, *CopyRequest) (*ModifyResponse, error) {
	return nil, unsupported("copy")
}

// Delete is not supported.
func (Unsupported) Delete(context.Context, *DeleteRequest) (*ModifyResponse, error) {
	return nil, unsupported("delete")
}

// Purge is not supported.
func (Unsupported) Purge(context.Context, *DeleteRequest) (*ModifyResponse, error) {
	return nil, unsupported("purge")
}

// Prepare is not supported.
func (Unsupported) Prepare(context.Context, *PrepareRequest, io.Reader) (*PrepareResponse, error) {
	return nil, unsupported("prepare")
}

// Send is not supported.
func (Unsupported) Send(context.Context, *SendRequest) (*SendResponse, error) {
	return nil, unsupported("send")
}

// Probe is not supported.
func (Unsupported) Probe(context.Context, *ProbeRequest) (*ProbeResponse, error) {
	return nil, unsupported("probe")
}

// Identities is not supported: the host asks only where CapIdentities is.
func (Unsupported) Identities(context.Context, *IdentitiesRequest) (*IdentitiesResponse, error) {
	return nil, unsupported("identities")
}

// Search is not supported.
func (Unsupported) Search(context.Context, *SearchRequest) (*SearchResponse, error) {
	return nil, unsupported("search")
}

// Watch is not supported.
func (Unsupported) Watch(context.Context, *WatchRequest) (*WatchResponse, error) {
	return nil, unsupported("watch")
}

// Unwatch has nothing to end.
func (Unsupported) Unwatch(context.Context, *UnwatchRequest) error { return nil }

// Notify is not supported.
func (Unsupported) Notify(context.Context, *NotifyRequest) (*NotifyResponse, error) {
	return nil, unsupported("notify")
}

// Listen waits until the host is gone.
func (Unsupported) Listen(ctx context.Context, _ *ListenRequest, _ func(*Hint) error) error {
	<-ctx.Done()
	return nil
}
