package record

import (
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeMessage encodes all of a message but its id and UIDs.
func EncodeMessage(m *store.Message) ([]byte, error) {
	return encode(&recordpb.Message{
		Account: text(m.Account), Thread: text(m.Thread), In: texts(m.In), Local: texts(m.Local), Blob: text(m.Blob),
		ModSeq: m.ModSeq, CreatedSeq: m.CreatedSeq, Backfill: m.Backfill,
		WroteFields: uint32(m.Wrote.Fields), WroteAt: putTime(m.Wrote.At), PlacedAt: putTime(m.PlacedAt),

		ProviderId: text(m.ProviderID), ProviderThreadId: text(m.ProviderThreadID),
		Mailboxes: texts(m.Mailboxes), Keywords: texts(m.Keywords), Subject: text(m.Subject),
		From: putAddresses(m.From), Sender: putAddresses(m.Sender), To: putAddresses(m.To),
		Cc: putAddresses(m.Cc), Bcc: putAddresses(m.Bcc), ReplyTo: putAddresses(m.ReplyTo),
		MessageId: text(m.MessageID), InReplyTo: texts(m.InReplyTo), References: texts(m.References),
		SentAt: putTime(m.SentAt), ReceivedAt: putTime(m.ReceivedAt), Preview: text(m.Preview),
		Importance: text(string(m.Importance)), HasAttachments: m.HasAttachments, Size: m.Size,
		Version: m.Version, ContentTag: text(m.ContentTag),
	})
}

// DecodeMessage decodes what EncodeMessage gave.
func DecodeMessage(id string, b []byte) (*store.Message, error) {
	var r recordpb.Message
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Message{
		ID: id, Account: r.Account, Thread: r.Thread, In: r.In, Local: r.Local, Blob: r.Blob,
		ModSeq: r.ModSeq, CreatedSeq: r.CreatedSeq, Backfill: r.Backfill,
		Wrote: store.Write{Fields: mail.Fields(r.WroteFields), At: getTime(r.WroteAt)}, PlacedAt: getTime(r.PlacedAt),
		Message: mail.Message{
			ProviderID: r.ProviderId, ProviderThreadID: r.ProviderThreadId,
			Mailboxes: r.Mailboxes, Keywords: r.Keywords, Subject: r.Subject,
			From: getAddresses(r.From), Sender: getAddresses(r.Sender), To: getAddresses(r.To),
			Cc: getAddresses(r.Cc), Bcc: getAddresses(r.Bcc), ReplyTo: getAddresses(r.ReplyTo),
			MessageID: r.MessageId, InReplyTo: r.InReplyTo, References: r.References,
			SentAt: getTime(r.SentAt), ReceivedAt: getTime(r.ReceivedAt), Preview: r.Preview,
			Importance: mail.Importance(r.Importance), HasAttachments: r.HasAttachments, Size: r.Size,
			Version: r.Version, ContentTag: r.ContentTag,
		},
	}, nil
}

// EncodeThread encodes all of a thread but its id.
func EncodeThread(t *store.Thread) ([]byte, error) {
	return encode(&recordpb.Thread{LastAt: putTime(t.LastAt), Count: int64(t.Count), Account: text(t.Account)})
}

// DecodeThread decodes what EncodeThread gave.
func DecodeThread(id string, b []byte) (*store.Thread, error) {
	var r recordpb.Thread
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Thread{ID: id, LastAt: getTime(r.LastAt), Count: int(r.Count), Account: r.Account}, nil
}
