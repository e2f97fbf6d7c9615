package record

import (
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeJob encodes all of a job but its id.
func EncodeJob(j *store.Job) ([]byte, error) {
	r := &recordpb.Job{
		State: text(string(j.State)), Source: text(string(j.Source)), Endpoint: text(j.Endpoint), Account: text(j.Account),
		Type: text(j.Type), Since: putTime(j.Since), Until: putTime(j.Until), To: text(j.To), PerSecond: int64(j.PerSecond),
		CreatedAt: putTime(j.CreatedAt), DoneAt: putTime(j.DoneAt), Counted: j.Counted, Matched: j.Matched, Done: j.Done,
		Skipped: j.Skipped, Reason: text(j.Reason), Last: j.Last, LastAt: putTime(j.LastAt), LastId: text(j.LastID), End: j.End,
	}
	for _, s := range j.States {
		r.States = append(r.States, text(string(s)))
	}
	return encode(r)
}

// DecodeJob decodes what EncodeJob gave.
func DecodeJob(id string, b []byte) (*store.Job, error) {
	var r recordpb.Job
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	j := &store.Job{
		ID: id, State: store.JobState(r.State), Source: store.JobSource(r.Source), Endpoint: r.Endpoint, Account: r.Account,
		Type: r.Type, Since: getTime(r.Since), Until: getTime(r.Until), To: r.To, PerSecond: int(r.PerSecond),
		CreatedAt: getTime(r.CreatedAt), DoneAt: getTime(r.DoneAt), Counted: r.Counted, Matched: r.Matched, Done: r.Done,
		Skipped: r.Skipped, Reason: r.Reason, Last: r.Last, LastAt: getTime(r.LastAt), LastID: r.LastId, End: r.End,
	}
	for _, s := range r.States {
		j.States = append(j.States, store.DeliveryState(s))
	}
	return j, nil
}
