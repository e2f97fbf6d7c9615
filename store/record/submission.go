package record

import (
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeSubmission encodes all of a submission but its id.
func EncodeSubmission(s *store.Submission) ([]byte, error) {
	return encode(&recordpb.Submission{
		Account: text(s.Account), State: text(string(s.State)), Step: text(s.Step), Blob: text(s.Blob), Size: s.Size,
		From: text(s.From), Recipients: texts(s.Recipients), Subject: text(s.Subject), MessageId: text(s.MessageID),
		InReplyTo: text(s.InReplyTo), Forward: s.Forward, Thread: text(s.Thread), DraftId: text(s.DraftID),
		DraftState: s.DraftState, SentMessageId: text(s.SentMessageID), SentProviderId: text(s.SentProviderID),
		IdempotencyKey: text(s.IdempotencyKey), Fingerprint: text(s.Fingerprint), SendAt: putTime(s.SendAt), NextAt: putTime(s.NextAt),
		Attempts: int64(s.Attempts), Error: text(s.Error), CreatedAt: putTime(s.CreatedAt), DoneAt: putTime(s.DoneAt),
		GivenMessageId: text(s.GivenMessageID), Report: putReport(s.Report),
	})
}

// DecodeSubmission decodes what EncodeSubmission gave.
func DecodeSubmission(id string, b []byte) (*store.Submission, error) {
	var r recordpb.Submission
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Submission{
		ID: id, Account: r.Account, State: store.SubmissionState(r.State), Step: r.Step, Blob: r.Blob, Size: r.Size,
		From: r.From, Recipients: r.Recipients, Subject: r.Subject, MessageID: r.MessageId,
		InReplyTo: r.InReplyTo, Forward: r.Forward, Thread: r.Thread, DraftID: r.DraftId,
		DraftState: r.DraftState, SentMessageID: r.SentMessageId, SentProviderID: r.SentProviderId,
		IdempotencyKey: r.IdempotencyKey, Fingerprint: r.Fingerprint, SendAt: getTime(r.SendAt), NextAt: getTime(r.NextAt),
		Attempts: int(r.Attempts), Error: r.Error, CreatedAt: getTime(r.CreatedAt), DoneAt: getTime(r.DoneAt),
		GivenMessageID: r.GivenMessageId, Report: getReport(r.Report),
	}, nil
}

func putReport(r *store.Report) *recordpb.Report {
	if r == nil {
		return nil
	}
	out := &recordpb.Report{State: text(string(r.State)), HeadersOnly: r.HeadersOnly, EnvelopeId: text(r.EnvelopeID)}
	for _, c := range r.Recipients {
		out.Recipients = append(out.Recipients, &recordpb.ReportRecipient{Address: text(c.Address), Original: text(c.Original), Failure: c.Failure, Success: c.Success})
	}
	return out
}

func getReport(r *recordpb.Report) *store.Report {
	if r == nil {
		return nil
	}
	out := &store.Report{State: store.ReportState(r.State), HeadersOnly: r.HeadersOnly, EnvelopeID: r.EnvelopeId}
	for _, c := range r.Recipients {
		out.Recipients = append(out.Recipients, store.ReportRecipient{Address: c.Address, Original: c.Original, Failure: c.Failure, Success: c.Success})
	}
	return out
}
