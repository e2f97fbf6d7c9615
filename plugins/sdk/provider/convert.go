package provider

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	pb "github.com/postern-mail/postern/plugins/sdk/provider/providerpb"
)

// This file and its neighbours convert_*.go are the only place where the Go
// contract and the wire meet: for each noun one function each way, named
// fooToPB and fooFromPB. Empty lists and byte strings come back as nil.

// each converts a list; an empty one becomes nil.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, a := range in {
		out[i] = f(a)
	}
	return out
}

// byValue adapts a converter of pointers to lists of values.
func byValue[A, B any](f func(*A) B) func(A) B {
	return func(a A) B { return f(&a) }
}

func texts(in []string) []string { return each(in, valid) }

func list(in []string) []string {
	if len(in) == 0 {
		return nil
	}
	return in
}

func octets(in []byte) []byte {
	if len(in) == 0 {
		return nil
	}
	return in
}

func timeToPB(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func timeFromPB(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

func textMap(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[valid(k)] = valid(v)
	}
	return out
}

func valuesToPB(in map[string][]string) map[string]*pb.Values {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]*pb.Values, len(in))
	for k, v := range in {
		out[valid(k)] = &pb.Values{Values: texts(v)}
	}
	return out
}

func valuesFromPB(in map[string]*pb.Values) map[string][]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string][]string, len(in))
	for k, v := range in {
		out[k] = list(v.GetValues())
	}
	return out
}

func callToPB(c Call) *pb.Call {
	return &pb.Call{Account: valid(c.Account), Priority: pb.Priority(c.Priority)}
}

func callFromPB(c *pb.Call) Call {
	return Call{Account: c.GetAccount(), Priority: Priority(c.GetPriority())}
}

func mailboxToPB(m *mail.Mailbox) *pb.Mailbox {
	return &pb.Mailbox{
		Id: valid(m.ID), ParentId: valid(m.ParentID), Name: valid(m.Name), Role: string(m.Role), Kind: string(m.Kind),
		Hidden: m.Hidden, Total: m.Total, Unread: m.Unread,
	}
}

func mailboxFromPB(m *pb.Mailbox) mail.Mailbox {
	return mail.Mailbox{
		ID: m.GetId(), ParentID: m.GetParentId(), Name: m.GetName(), Role: mail.Role(m.GetRole()), Kind: mail.MailboxKind(m.GetKind()),
		Hidden: m.GetHidden(), Total: m.GetTotal(), Unread: m.GetUnread(),
	}
}

func addressToPB(a mail.Address) *pb.Address {
	return &pb.Address{Name: valid(a.Name), Email: valid(a.Email)}
}

func addressFromPB(a *pb.Address) mail.Address {
	return mail.Address{Name: a.GetName(), Email: a.GetEmail()}
}

func messageToPB(m *mail.Message) *pb.Message {
	return &pb.Message{
		ProviderId: valid(m.ProviderID), ProviderThreadId: valid(m.ProviderThreadID),
		Mailboxes: texts(m.Mailboxes), Keywords: texts(m.Keywords),
		Subject: valid(m.Subject),
		From:    each(m.From, addressToPB), Sender: each(m.Sender, addressToPB),
		To: each(m.To, addressToPB), Cc: each(m.Cc, addressToPB), Bcc: each(m.Bcc, addressToPB),
		ReplyTo:   each(m.ReplyTo, addressToPB),
		MessageId: valid(m.MessageID), InReplyTo: texts(m.InReplyTo), References: texts(m.References),
		SentAt: timeToPB(m.SentAt), ReceivedAt: timeToPB(m.ReceivedAt),
		Preview: valid(m.Preview), Importance: string(m.Importance), HasAttachments: m.HasAttachments,
		Size: m.Size, Version: m.Version, ContentTag: valid(m.ContentTag),
	}
}

func messageFromPB(m *pb.Message) mail.Message {
	return mail.Message{
		ProviderID: m.GetProviderId(), ProviderThreadID: m.GetProviderThreadId(),
		Mailboxes: list(m.GetMailboxes()), Keywords: list(m.GetKeywords()),
		Subject: m.GetSubject(),
		From:    each(m.GetFrom(), addressFromPB), Sender: each(m.GetSender(), addressFromPB),
		To: each(m.GetTo(), addressFromPB), Cc: each(m.GetCc(), addressFromPB), Bcc: each(m.GetBcc(), addressFromPB),
		ReplyTo:   each(m.GetReplyTo(), addressFromPB),
		MessageID: m.GetMessageId(), InReplyTo: list(m.GetInReplyTo()), References: list(m.GetReferences()),
		SentAt: timeFromPB(m.GetSentAt()), ReceivedAt: timeFromPB(m.GetReceivedAt()),
		Preview: m.GetPreview(), Importance: mail.Importance(m.GetImportance()), HasAttachments: m.GetHasAttachments(),
		Size: m.GetSize(), Version: m.GetVersion(), ContentTag: m.GetContentTag(),
	}
}

func itemToPB(i *mail.Item) *pb.Item {
	return &pb.Item{Kind: string(i.Kind), Mailbox: valid(i.Mailbox), Fields: uint32(i.Fields), Message: messageToPB(&i.Message)}
}

func itemFromPB(i *pb.Item) mail.Item {
	return mail.Item{Kind: mail.ItemKind(i.GetKind()), Mailbox: i.GetMailbox(), Fields: mail.Fields(i.GetFields()), Message: messageFromPB(i.GetMessage())}
}

func batchToPB(b *mail.Batch) *pb.ChangesResponse {
	return &pb.ChangesResponse{Items: each(b.Items, byValue(itemToPB)), Next: b.Next, Done: b.Done, AsOf: timeToPB(b.AsOf)}
}

func batchFromPB(b *pb.ChangesResponse) *mail.Batch {
	return &mail.Batch{Items: each(b.GetItems(), itemFromPB), Next: octets(b.GetNext()), Done: b.GetDone(), AsOf: timeFromPB(b.GetAsOf())}
}

func resultToPB(r Result) *pb.Result {
	return &pb.Result{Id: valid(r.ID), Message: messageToPB(&r.Message), Fields: uint32(r.Fields), Error: errorToPB(r.Err)}
}

func resultFromPB(r *pb.Result) Result {
	return Result{ID: r.GetId(), Message: messageFromPB(r.GetMessage()), Fields: mail.Fields(r.GetFields()), Err: errorFromPB(r.GetError())}
}

func hintToPB(h *Hint) *pb.Hint {
	return &pb.Hint{Kind: string(h.Kind), Account: valid(h.Account), LookupKey: valid(h.LookupKey), Mailbox: valid(h.Mailbox)}
}

func hintFromPB(h *pb.Hint) Hint {
	return Hint{Kind: HintKind(h.GetKind()), Account: h.GetAccount(), LookupKey: h.GetLookupKey(), Mailbox: h.GetMailbox()}
}

func infoToPB(i *Info) *pb.DescribeResponse {
	return &pb.DescribeResponse{
		Name: valid(i.Name), Title: valid(i.Title), Version: valid(i.Version), SignIn: string(i.SignIn),
		Settings:     each(i.Settings, settingToPB),
		Capabilities: each(i.Capabilities, func(c Capability) string { return string(c) }),
		Keywords:     texts(i.Keywords), Scope: string(i.Scope), FeedEnumerates: i.FeedEnumerates,
		Limits: &pb.Limits{
			MaxMessageBytes: i.Limits.MaxMessageBytes,
			ModifyBatch:     int64(i.Limits.ModifyBatch), FetchBatch: int64(i.Limits.FetchBatch),
		},
	}
}

func infoFromPB(i *pb.DescribeResponse) *Info {
	return &Info{
		Name: i.GetName(), Title: i.GetTitle(), Version: i.GetVersion(), SignIn: SignIn(i.GetSignIn()),
		Settings:     each(i.GetSettings(), settingFromPB),
		Capabilities: each(i.GetCapabilities(), func(c string) Capability { return Capability(c) }),
		Keywords:     list(i.GetKeywords()), Scope: mail.Scope(i.GetScope()), FeedEnumerates: i.GetFeedEnumerates(),
		Limits: Limits{
			MaxMessageBytes: i.GetLimits().GetMaxMessageBytes(),
			ModifyBatch:     int(i.GetLimits().GetModifyBatch()), FetchBatch: int(i.GetLimits().GetFetchBatch()),
		},
	}
}

func settingToPB(s Setting) *pb.Setting {
	return &pb.Setting{Name: valid(s.Name), Doc: valid(s.Doc), Default: valid(s.Default), Required: s.Required, Secret: s.Secret, File: s.File}
}

func settingFromPB(s *pb.Setting) Setting {
	return Setting{Name: s.GetName(), Doc: s.GetDoc(), Default: s.GetDefault(), Required: s.GetRequired(), Secret: s.GetSecret(), File: s.GetFile()}
}
