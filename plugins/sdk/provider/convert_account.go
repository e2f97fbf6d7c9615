package provider

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

func configureToPB(r *ConfigureRequest) *pb.ConfigureRequest {
	return &pb.ConfigureRequest{
		Instance: valid(r.Instance), Settings: textMap(r.Settings),
		RedirectUrl: valid(r.RedirectURL), NotificationUrl: valid(r.NotificationURL), NotifyKey: r.NotifyKey,
	}
}

func configureFromPB(r *pb.ConfigureRequest) *ConfigureRequest {
	return &ConfigureRequest{
		Instance: r.GetInstance(), Settings: textMap(r.GetSettings()),
		RedirectURL: r.GetRedirectUrl(), NotificationURL: r.GetNotificationUrl(), NotifyKey: octets(r.GetNotifyKey()),
	}
}

func checkedToPB(r *CheckResponse) *pb.CheckResponse {
	return &pb.CheckResponse{
		Registrations: each(r.Registrations, func(g Registration) *pb.Registration {
			return &pb.Registration{Kind: valid(string(g.Kind)), Value: valid(g.Value), Note: valid(g.Note)}
		}),
		Results: each(r.Results, func(c CheckResult) *pb.CheckResult {
			return &pb.CheckResult{Name: valid(c.Name), Outcome: valid(string(c.Outcome)), Detail: valid(c.Detail), Remedy: valid(c.Remedy)}
		}),
	}
}

func checkedFromPB(r *pb.CheckResponse) *CheckResponse {
	return &CheckResponse{
		Registrations: each(r.GetRegistrations(), func(g *pb.Registration) Registration {
			return Registration{Kind: RegistrationKind(g.GetKind()), Value: g.GetValue(), Note: g.GetNote()}
		}),
		Results: each(r.GetResults(), func(c *pb.CheckResult) CheckResult {
			return CheckResult{Name: c.GetName(), Outcome: CheckOutcome(c.GetOutcome()), Detail: c.GetDetail(), Remedy: c.GetRemedy()}
		}),
	}
}

func identityToPB(i *mail.Identity) *pb.Identity {
	return &pb.Identity{Email: valid(i.Email), Name: valid(i.Name), ReplyTo: valid(i.ReplyTo), IsDefault: i.Default}
}

func identityFromPB(i *pb.Identity) mail.Identity {
	return mail.Identity{Email: i.GetEmail(), Name: i.GetName(), ReplyTo: i.GetReplyTo(), Default: i.GetIsDefault()}
}

func openToPB(r *OpenRequest) *pb.OpenRequest {
	return &pb.OpenRequest{Account: valid(r.Account), Subject: valid(r.Subject), Address: valid(r.Address), Grant: r.Grant}
}

func openFromPB(r *pb.OpenRequest) *OpenRequest {
	return &OpenRequest{Account: r.GetAccount(), Subject: r.GetSubject(), Address: r.GetAddress(), Grant: octets(r.GetGrant())}
}

func beginConnectToPB(r *BeginConnectRequest) *pb.BeginConnectRequest {
	return &pb.BeginConnectRequest{State: valid(r.State), RedirectUrl: valid(r.RedirectURL), LoginHint: valid(r.LoginHint)}
}

func beginConnectFromPB(r *pb.BeginConnectRequest) *BeginConnectRequest {
	return &BeginConnectRequest{State: r.GetState(), RedirectURL: r.GetRedirectUrl(), LoginHint: r.GetLoginHint()}
}

func beginConnectedToPB(r *BeginConnectResponse) *pb.BeginConnectResponse {
	return &pb.BeginConnectResponse{Url: valid(r.URL), Pending: r.Pending}
}

func beginConnectedFromPB(r *pb.BeginConnectResponse) *BeginConnectResponse {
	return &BeginConnectResponse{URL: r.GetUrl(), Pending: octets(r.GetPending())}
}

func finishConnectToPB(r *FinishConnectRequest) *pb.FinishConnectRequest {
	return &pb.FinishConnectRequest{
		Pending: r.Pending, RedirectUrl: valid(r.RedirectURL), Params: valuesToPB(r.Params),
		ApprovalState: valid(r.ApprovalState), Approval: r.Approval,
	}
}

func finishConnectFromPB(r *pb.FinishConnectRequest) *FinishConnectRequest {
	return &FinishConnectRequest{
		Pending: octets(r.GetPending()), RedirectURL: r.GetRedirectUrl(), Params: valuesFromPB(r.GetParams()),
		ApprovalState: r.GetApprovalState(), Approval: r.GetApproval(),
	}
}

func finishConnectedToPB(r *FinishConnectResponse) *pb.FinishConnectResponse {
	return &pb.FinishConnectResponse{
		Accounts: each(r.Accounts, func(a ConnectedAccount) *pb.ConnectedAccount {
			return &pb.ConnectedAccount{Subject: valid(a.Subject), Address: valid(a.Address), Name: valid(a.Name)}
		}),
		Granted: texts(r.Granted), Grant: r.Grant,
		ExpiresAt: timeToPB(r.ExpiresAt), ExpiresReason: valid(r.ExpiresReason),
	}
}

func finishConnectedFromPB(r *pb.FinishConnectResponse) *FinishConnectResponse {
	return &FinishConnectResponse{
		Accounts: each(r.GetAccounts(), func(a *pb.ConnectedAccount) ConnectedAccount {
			return ConnectedAccount{Subject: a.GetSubject(), Address: a.GetAddress(), Name: a.GetName()}
		}),
		Granted: list(r.GetGranted()), Grant: octets(r.GetGrant()),
		ExpiresAt: timeFromPB(r.GetExpiresAt()), ExpiresReason: r.GetExpiresReason(),
	}
}

func mailboxesToPB(r *MailboxesResponse) *pb.MailboxesResponse {
	return &pb.MailboxesResponse{Mailboxes: each(r.Mailboxes, byValue(mailboxToPB))}
}

func mailboxesFromPB(r *pb.MailboxesResponse) *MailboxesResponse {
	return &MailboxesResponse{Mailboxes: each(r.GetMailboxes(), mailboxFromPB)}
}

func createMailboxToPB(r *CreateMailboxRequest) *pb.CreateMailboxRequest {
	return &pb.CreateMailboxRequest{Call: callToPB(r.Call), ParentId: valid(r.ParentID), Name: valid(r.Name)}
}

func createMailboxFromPB(r *pb.CreateMailboxRequest) *CreateMailboxRequest {
	return &CreateMailboxRequest{Call: callFromPB(r.GetCall()), ParentID: r.GetParentId(), Name: r.GetName()}
}

func renameMailboxToPB(r *RenameMailboxRequest) *pb.RenameMailboxRequest {
	return &pb.RenameMailboxRequest{Call: callToPB(r.Call), Id: valid(r.ID), ParentId: valid(r.ParentID), Name: valid(r.Name)}
}

func renameMailboxFromPB(r *pb.RenameMailboxRequest) *RenameMailboxRequest {
	return &RenameMailboxRequest{Call: callFromPB(r.GetCall()), ID: r.GetId(), ParentID: r.GetParentId(), Name: r.GetName()}
}

func deleteMailboxToPB(r *DeleteMailboxRequest) *pb.DeleteMailboxRequest {
	return &pb.DeleteMailboxRequest{Call: callToPB(r.Call), Id: valid(r.ID)}
}

func deleteMailboxFromPB(r *pb.DeleteMailboxRequest) *DeleteMailboxRequest {
	return &DeleteMailboxRequest{Call: callFromPB(r.GetCall()), ID: r.GetId()}
}

func watchToPB(r *WatchRequest) *pb.WatchRequest {
	return &pb.WatchRequest{Call: callToPB(r.Call), Id: valid(r.ID), State: r.State}
}

func watchFromPB(r *pb.WatchRequest) *WatchRequest {
	return &WatchRequest{Call: callFromPB(r.GetCall()), ID: r.GetId(), State: octets(r.GetState())}
}

func watchedToPB(r *WatchResponse) *pb.WatchResponse {
	return &pb.WatchResponse{Id: valid(r.ID), Expires: timeToPB(r.Expires), State: r.State, LookupKeys: texts(r.LookupKeys)}
}

func watchedFromPB(r *pb.WatchResponse) *WatchResponse {
	return &WatchResponse{ID: r.GetId(), Expires: timeFromPB(r.GetExpires()), State: octets(r.GetState()), LookupKeys: list(r.GetLookupKeys())}
}

func unwatchToPB(r *UnwatchRequest) *pb.UnwatchRequest {
	return &pb.UnwatchRequest{Call: callToPB(r.Call), Id: valid(r.ID), State: r.State}
}

func unwatchFromPB(r *pb.UnwatchRequest) *UnwatchRequest {
	return &UnwatchRequest{Call: callFromPB(r.GetCall()), ID: r.GetId(), State: octets(r.GetState())}
}

func notifyToPB(r *NotifyRequest) *pb.NotifyRequest {
	return &pb.NotifyRequest{
		Method: valid(r.Method), Path: valid(r.Path), Query: valid(r.Query),
		Header: valuesToPB(r.Header), Body: r.Body,
	}
}

func notifyFromPB(r *pb.NotifyRequest) *NotifyRequest {
	return &NotifyRequest{
		Method: r.GetMethod(), Path: r.GetPath(), Query: r.GetQuery(),
		Header: valuesFromPB(r.GetHeader()), Body: octets(r.GetBody()),
	}
}

func notifiedToPB(r *NotifyResponse) *pb.NotifyResponse {
	return &pb.NotifyResponse{
		Status: int32(r.Status), Header: valuesToPB(r.Header), Body: r.Body,
		Hints: each(r.Hints, byValue(hintToPB)),
	}
}

func notifiedFromPB(r *pb.NotifyResponse) *NotifyResponse {
	return &NotifyResponse{
		Status: int(r.GetStatus()), Header: valuesFromPB(r.GetHeader()), Body: octets(r.GetBody()),
		Hints: each(r.GetHints(), hintFromPB),
	}
}

func grantRefusedToPB(account string, reason error) *pb.GrantRefused {
	if reason == nil {
		reason = &mail.Error{Kind: mail.KindGrantExpired}
	}
	return &pb.GrantRefused{Account: valid(account), Error: errorToPB(reason)}
}
