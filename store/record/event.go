package record

import (
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeEvent encodes what of an event is ids, numbers and times; its trace is
// not kept. sealed is
// what EncodeEventContent gave, sealed under the key of the given life of its
// account.
func EncodeEvent(e *event.Event, life uint64, sealed []byte) ([]byte, error) {
	return encode(&recordpb.Event{
		Id: text(e.ID), Epoch: e.Epoch, Sequence: e.Sequence, Type: text(string(e.Type)), Account: text(e.Account),
		Time: putTime(e.Time), Backfill: e.Backfill, Internal: e.Internal,
		Message: text(e.Message), Mailbox: text(e.Mailbox), Submission: text(e.Submission), Endpoint: text(e.Endpoint),
		AddedMailboxes: texts(e.AddedMailboxes), RemovedMailboxes: texts(e.RemovedMailboxes),
		Sealed: sealed, Life: life, Percent: int64(e.Percent), DeadLetters: e.DeadLetters, Provider: text(e.Provider),
	})
}

// DecodeEvent decodes what EncodeEvent gave.
func DecodeEvent(position uint64, b []byte) (e event.Event, life uint64, sealed []byte, err error) {
	var r recordpb.Event
	if err := decode(b, &r); err != nil {
		return e, 0, nil, err
	}
	return event.Event{
		ID: r.Id, Position: position, Epoch: r.Epoch, Sequence: r.Sequence, Type: event.Type(r.Type), Account: r.Account,
		Time: getTime(r.Time), Backfill: r.Backfill, Internal: r.Internal,
		Message: r.Message, Mailbox: r.Mailbox, Submission: r.Submission, Endpoint: r.Endpoint,
		AddedMailboxes: r.AddedMailboxes, RemovedMailboxes: r.RemovedMailboxes,
		Percent: int(r.Percent), DeadLetters: r.DeadLetters, Provider: r.Provider,
	}, r.Life, r.Sealed, nil
}

// EncodeEventContent encodes what of an event is mail, or words about it. It
// gives nil where there is none.
func EncodeEventContent(e *event.Event) ([]byte, error) {
	if e.Snapshot == nil && e.Reason == "" && len(e.AddedKeywords) == 0 && len(e.RemovedKeywords) == 0 {
		return nil, nil
	}
	r := &recordpb.EventContent{
		AddedKeywords: texts(e.AddedKeywords), RemovedKeywords: texts(e.RemovedKeywords), Reason: text(e.Reason),
	}
	if s := e.Snapshot; s != nil {
		r.Snapshot = &recordpb.Snapshot{
			ProviderId: text(s.ProviderID), Thread: text(s.Thread), Mailboxes: texts(s.Mailboxes), Keywords: texts(s.Keywords),
			Subject: text(s.Subject), From: putAddresses(s.From), To: putAddresses(s.To), Cc: putAddresses(s.Cc),
			MessageId: text(s.MessageID), SentAt: putTime(s.SentAt), ReceivedAt: putTime(s.ReceivedAt),
			Preview: text(s.Preview), HasAttachments: s.HasAttachments, Size: s.Size,
		}
	}
	return encode(r)
}

// DecodeEventContent adds to an event what EncodeEventContent gave.
func DecodeEventContent(e *event.Event, b []byte) error {
	var r recordpb.EventContent
	if err := decode(b, &r); err != nil {
		return err
	}
	e.AddedKeywords, e.RemovedKeywords, e.Reason = r.AddedKeywords, r.RemovedKeywords, r.Reason
	if s := r.Snapshot; s != nil {
		e.Snapshot = &event.Snapshot{
			ProviderID: s.ProviderId, Thread: s.Thread, Mailboxes: s.Mailboxes, Keywords: s.Keywords,
			Subject: s.Subject, From: getAddresses(s.From), To: getAddresses(s.To), Cc: getAddresses(s.Cc),
			MessageID: s.MessageId, SentAt: getTime(s.SentAt), ReceivedAt: getTime(s.ReceivedAt),
			Preview: s.Preview, HasAttachments: s.HasAttachments, Size: s.Size,
		}
	}
	return nil
}
