package provider

import (
	"context"

	"google.golang.org/grpc"

	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// client is the host's end of the wire: Provider over a connection.
type client struct {
	rpc pb.ProviderClient
}

// NewClient gives the Provider at the other end of a connection. Errors are
// *mail.Error as the plugin gave them. A call whose answer never came, because
// the connection broke or the context ended, is mail.KindUnavailable, or
// mail.KindOutcomeUnknown where the verb is not idempotent; the context's
// error is among its causes.
func NewClient(conn grpc.ClientConnInterface) Provider {
	return &client{rpc: pb.NewProviderClient(conn)}
}

func (c *client) Describe(ctx context.Context) (*Info, error) {
	resp, err := c.rpc.Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return nil, fromStatus(ctx, VerbDescribe, err)
	}
	return infoFromPB(resp), nil
}

func (c *client) Configure(ctx context.Context, req *ConfigureRequest) (*ConfigureResponse, error) {
	resp, err := c.rpc.Configure(ctx, configureToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbConfigure, err)
	}
	return &ConfigureResponse{Warnings: list(resp.GetWarnings())}, nil
}

func (c *client) Check(ctx context.Context, _ *CheckRequest) (*CheckResponse, error) {
	resp, err := c.rpc.Check(ctx, &pb.CheckRequest{})
	if err != nil {
		return nil, fromStatus(ctx, VerbCheck, err)
	}
	return checkedFromPB(resp), nil
}

func (c *client) Open(ctx context.Context, req *OpenRequest) error {
	_, err := c.rpc.Open(ctx, openToPB(req))
	return fromStatus(ctx, VerbOpen, err)
}

func (c *client) Close(ctx context.Context, req *CloseRequest) error {
	_, err := c.rpc.Close(ctx, &pb.CloseRequest{Account: valid(req.Account)})
	return fromStatus(ctx, VerbClose, err)
}

func (c *client) BeginConnect(ctx context.Context, req *BeginConnectRequest) (*BeginConnectResponse, error) {
	resp, err := c.rpc.BeginConnect(ctx, beginConnectToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbBeginConnect, err)
	}
	return beginConnectedFromPB(resp), nil
}

func (c *client) FinishConnect(ctx context.Context, req *FinishConnectRequest) (*FinishConnectResponse, error) {
	resp, err := c.rpc.FinishConnect(ctx, finishConnectToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbFinishConnect, err)
	}
	return finishConnectedFromPB(resp), nil
}

func (c *client) Revoke(ctx context.Context, req *RevokeRequest) error {
	_, err := c.rpc.Revoke(ctx, &pb.RevokeRequest{Call: callToPB(req.Call)})
	return fromStatus(ctx, VerbRevoke, err)
}

func (c *client) Mailboxes(ctx context.Context, req *MailboxesRequest) (*MailboxesResponse, error) {
	resp, err := c.rpc.Mailboxes(ctx, &pb.MailboxesRequest{Call: callToPB(req.Call)})
	if err != nil {
		return nil, fromStatus(ctx, VerbMailboxes, err)
	}
	return mailboxesFromPB(resp), nil
}

func (c *client) CreateMailbox(ctx context.Context, req *CreateMailboxRequest) (*CreateMailboxResponse, error) {
	resp, err := c.rpc.CreateMailbox(ctx, createMailboxToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbCreateMailbox, err)
	}
	return &CreateMailboxResponse{Mailbox: mailboxFromPB(resp.GetMailbox())}, nil
}

func (c *client) RenameMailbox(ctx context.Context, req *RenameMailboxRequest) (*RenameMailboxResponse, error) {
	resp, err := c.rpc.RenameMailbox(ctx, renameMailboxToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbRenameMailbox, err)
	}
	return &RenameMailboxResponse{Mailbox: mailboxFromPB(resp.GetMailbox())}, nil
}

func (c *client) DeleteMailbox(ctx context.Context, req *DeleteMailboxRequest) error {
	_, err := c.rpc.DeleteMailbox(ctx, deleteMailboxToPB(req))
	return fromStatus(ctx, VerbDeleteMailbox, err)
}

func (c *client) Modify(ctx context.Context, req *ModifyRequest) (*ModifyResponse, error) {
	resp, err := c.rpc.Modify(ctx, modifyToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbModify, err)
	}
	return resultsFromPB(resp.GetResults()), nil
}

func (c *client) Copy(ctx context.Context, req *CopyRequest) (*ModifyResponse, error) {
	resp, err := c.rpc.Copy(ctx, copyToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbCopy, err)
	}
	return resultsFromPB(resp.GetResults()), nil
}

func (c *client) Delete(ctx context.Context, req *DeleteRequest) (*ModifyResponse, error) {
	resp, err := c.rpc.Delete(ctx, &pb.DeleteRequest{Call: callToPB(req.Call), Ids: texts(req.IDs)})
	if err != nil {
		return nil, fromStatus(ctx, VerbDelete, err)
	}
	return resultsFromPB(resp.GetResults()), nil
}

func (c *client) Purge(ctx context.Context, req *DeleteRequest) (*ModifyResponse, error) {
	resp, err := c.rpc.Purge(ctx, &pb.PurgeRequest{Call: callToPB(req.Call), Ids: texts(req.IDs)})
	if err != nil {
		return nil, fromStatus(ctx, VerbPurge, err)
	}
	return resultsFromPB(resp.GetResults()), nil
}

func (c *client) Send(ctx context.Context, req *SendRequest) (*SendResponse, error) {
	resp, err := c.rpc.Send(ctx, sendToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbSend, err)
	}
	return &SendResponse{ProviderID: resp.GetProviderId(), MessageID: resp.GetMessageId()}, nil
}

func (c *client) Probe(ctx context.Context, req *ProbeRequest) (*ProbeResponse, error) {
	resp, err := c.rpc.Probe(ctx, probeToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbProbe, err)
	}
	return &ProbeResponse{Outcome: Outcome(resp.GetOutcome()), ProviderID: resp.GetProviderId(), MessageID: resp.GetMessageId()}, nil
}

func (c *client) Identities(ctx context.Context, req *IdentitiesRequest) (*IdentitiesResponse, error) {
	resp, err := c.rpc.Identities(ctx, &pb.IdentitiesRequest{Call: callToPB(req.Call)})
	if err != nil {
		return nil, fromStatus(ctx, VerbIdentities, err)
	}
	return &IdentitiesResponse{Identities: each(resp.GetIdentities(), identityFromPB), Partial: resp.GetPartial()}, nil
}

func (c *client) Search(ctx context.Context, req *SearchRequest) (*SearchResponse, error) {
	resp, err := c.rpc.Search(ctx, searchToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbSearch, err)
	}
	return &SearchResponse{IDs: list(resp.GetIds()), NextPageToken: resp.GetNextPageToken()}, nil
}

func (c *client) Watch(ctx context.Context, req *WatchRequest) (*WatchResponse, error) {
	resp, err := c.rpc.Watch(ctx, watchToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbWatch, err)
	}
	return watchedFromPB(resp), nil
}

func (c *client) Unwatch(ctx context.Context, req *UnwatchRequest) error {
	_, err := c.rpc.Unwatch(ctx, unwatchToPB(req))
	return fromStatus(ctx, VerbUnwatch, err)
}

func (c *client) Notify(ctx context.Context, req *NotifyRequest) (*NotifyResponse, error) {
	resp, err := c.rpc.Notify(ctx, notifyToPB(req))
	if err != nil {
		return nil, fromStatus(ctx, VerbNotify, err)
	}
	return notifiedFromPB(resp), nil
}
