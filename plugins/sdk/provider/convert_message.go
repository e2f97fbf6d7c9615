package provider

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

func enumerateToPB(r *EnumerateRequest) *pb.EnumerateRequest {
	return &pb.EnumerateRequest{Call: callToPB(r.Call), Mailbox: valid(r.Mailbox)}
}

func enumerateFromPB(r *pb.EnumerateRequest) *EnumerateRequest {
	return &EnumerateRequest{Call: callFromPB(r.GetCall()), Mailbox: r.GetMailbox()}
}

func enumeratedToPB(b *EnumerateBatch) *pb.EnumerateResponse {
	return &pb.EnumerateResponse{Messages: each(b.Messages, byValue(messageToPB)), Fields: uint32(b.Fields)}
}

func enumeratedFromPB(b *pb.EnumerateResponse) *EnumerateBatch {
	return &EnumerateBatch{Messages: each(b.GetMessages(), messageFromPB), Fields: mail.Fields(b.GetFields())}
}

func changesToPB(r *ChangesRequest) *pb.ChangesRequest {
	return &pb.ChangesRequest{Call: callToPB(r.Call), Mailbox: valid(r.Mailbox), Cursor: r.Cursor}
}

func changesFromPB(r *pb.ChangesRequest) *ChangesRequest {
	return &ChangesRequest{Call: callFromPB(r.GetCall()), Mailbox: r.GetMailbox(), Cursor: octets(r.GetCursor())}
}

func fetchToPB(r *FetchRequest) *pb.FetchRequest {
	return &pb.FetchRequest{Call: callToPB(r.Call), Ids: texts(r.IDs), Mode: pb.FetchMode(r.Mode)}
}

func fetchFromPB(r *pb.FetchRequest) *FetchRequest {
	return &FetchRequest{Call: callFromPB(r.GetCall()), IDs: list(r.GetIds()), Mode: FetchMode(r.GetMode())}
}

func modifyToPB(r *ModifyRequest) *pb.ModifyRequest {
	return &pb.ModifyRequest{
		Call: callToPB(r.Call), Ids: texts(r.IDs),
		AddKeywords: texts(r.AddKeywords), RemoveKeywords: texts(r.RemoveKeywords),
		AddMailboxes: texts(r.AddMailboxes), RemoveMailboxes: texts(r.RemoveMailboxes),
	}
}

func modifyFromPB(r *pb.ModifyRequest) *ModifyRequest {
	return &ModifyRequest{
		Call: callFromPB(r.GetCall()), IDs: list(r.GetIds()),
		AddKeywords: list(r.GetAddKeywords()), RemoveKeywords: list(r.GetRemoveKeywords()),
		AddMailboxes: list(r.GetAddMailboxes()), RemoveMailboxes: list(r.GetRemoveMailboxes()),
	}
}

func resultsToPB(r *ModifyResponse) []*pb.Result { return each(r.Results, resultToPB) }

func resultsFromPB(r []*pb.Result) *ModifyResponse {
	return &ModifyResponse{Results: each(r, resultFromPB)}
}

func appendToPB(r *AppendRequest) *pb.AppendHeader {
	return &pb.AppendHeader{
		Call: callToPB(r.Call), OperationId: valid(r.OperationID), Mailbox: valid(r.Mailbox),
		Keywords: texts(r.Keywords), ReceivedAt: timeToPB(r.ReceivedAt), Size: r.Size,
	}
}

func appendFromPB(r *pb.AppendHeader) *AppendRequest {
	return &AppendRequest{
		Call: callFromPB(r.GetCall()), OperationID: r.GetOperationId(), Mailbox: r.GetMailbox(),
		Keywords: list(r.GetKeywords()), ReceivedAt: timeFromPB(r.GetReceivedAt()), Size: r.GetSize(),
	}
}

func copyToPB(r *CopyRequest) *pb.CopyRequest {
	return &pb.CopyRequest{Call: callToPB(r.Call), OperationId: valid(r.OperationID), Ids: texts(r.IDs), Mailbox: valid(r.Mailbox)}
}

func copyFromPB(r *pb.CopyRequest) *CopyRequest {
	return &CopyRequest{Call: callFromPB(r.GetCall()), OperationID: r.GetOperationId(), IDs: list(r.GetIds()), Mailbox: r.GetMailbox()}
}

func prepareToPB(r *PrepareRequest) *pb.PrepareHeader {
	return &pb.PrepareHeader{
		Call: callToPB(r.Call), OperationId: valid(r.OperationID),
		Envelope:  &pb.Envelope{From: valid(r.Envelope.From), Recipients: texts(r.Envelope.Recipients)},
		MessageId: valid(r.MessageID), InReplyTo: valid(r.InReplyTo), ThreadId: valid(r.ThreadID), Size: r.Size,
		FirstAttempt: timeToPB(r.FirstAttempt),
	}
}

func prepareFromPB(r *pb.PrepareHeader) *PrepareRequest {
	return &PrepareRequest{
		Call: callFromPB(r.GetCall()), OperationID: r.GetOperationId(),
		Envelope:  Envelope{From: r.GetEnvelope().GetFrom(), Recipients: list(r.GetEnvelope().GetRecipients())},
		MessageID: r.GetMessageId(), InReplyTo: r.GetInReplyTo(), ThreadID: r.GetThreadId(), Size: r.GetSize(),
		FirstAttempt: timeFromPB(r.GetFirstAttempt()),
	}
}

func preparedToPB(p *Prepared) *pb.Prepared {
	return &pb.Prepared{ProviderId: valid(p.ProviderID), State: p.State, MessageId: valid(p.MessageID)}
}

func preparedFromPB(p *pb.Prepared) Prepared {
	return Prepared{ProviderID: p.GetProviderId(), State: octets(p.GetState()), MessageID: p.GetMessageId()}
}

func sendToPB(r *SendRequest) *pb.SendRequest {
	return &pb.SendRequest{Call: callToPB(r.Call), OperationId: valid(r.OperationID), Prepared: preparedToPB(&r.Prepared)}
}

func sendFromPB(r *pb.SendRequest) *SendRequest {
	return &SendRequest{Call: callFromPB(r.GetCall()), OperationID: r.GetOperationId(), Prepared: preparedFromPB(r.GetPrepared())}
}

func probeToPB(r *ProbeRequest) *pb.ProbeRequest {
	return &pb.ProbeRequest{Call: callToPB(r.Call), OperationId: valid(r.OperationID), Prepared: preparedToPB(&r.Prepared)}
}

func probeFromPB(r *pb.ProbeRequest) *ProbeRequest {
	return &ProbeRequest{Call: callFromPB(r.GetCall()), OperationID: r.GetOperationId(), Prepared: preparedFromPB(r.GetPrepared())}
}

func searchToPB(r *SearchRequest) *pb.SearchRequest {
	return &pb.SearchRequest{
		Call: callToPB(r.Call), Text: valid(r.Text), From: valid(r.From), To: valid(r.To), Subject: valid(r.Subject),
		After: timeToPB(r.After), Before: timeToPB(r.Before), Mailbox: valid(r.Mailbox),
		HasAttachment: r.HasAttachment, Limit: int64(r.Limit), PageToken: valid(r.PageToken),
	}
}

func searchFromPB(r *pb.SearchRequest) *SearchRequest {
	return &SearchRequest{
		Call: callFromPB(r.GetCall()), Text: r.GetText(), From: r.GetFrom(), To: r.GetTo(), Subject: r.GetSubject(),
		After: timeFromPB(r.GetAfter()), Before: timeFromPB(r.GetBefore()), Mailbox: r.GetMailbox(),
		HasAttachment: r.GetHasAttachment(), Limit: int(r.GetLimit()), PageToken: r.GetPageToken(),
	}
}
