package record

import (
	"time"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record/recordpb"
)

// EncodeEndpoint encodes all of an endpoint but its id.
func EncodeEndpoint(e *store.Endpoint) ([]byte, error) {
	return encode(&recordpb.Endpoint{
		Config: e.Config, Ordered: e.Ordered, Disabled: e.Disabled, Reason: text(e.Reason),
		PausedUntil: putTime(e.PausedUntil), Failing: putTime(e.Failing), Failures: int64(e.Failures),
		LastOkAt: putTime(e.LastOKAt), CreatedAt: putTime(e.CreatedAt), Told: int64(e.Told), ToldDead: e.ToldDead,
		Edition: e.Edition,
	})
}

// DecodeEndpoint decodes what EncodeEndpoint gave.
func DecodeEndpoint(id string, b []byte) (*store.Endpoint, error) {
	var r recordpb.Endpoint
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	return &store.Endpoint{
		ID: id, Config: r.Config, Ordered: r.Ordered, Disabled: r.Disabled, Reason: r.Reason,
		PausedUntil: getTime(r.PausedUntil), Failing: getTime(r.Failing), Failures: int(r.Failures),
		LastOKAt: getTime(r.LastOkAt), CreatedAt: getTime(r.CreatedAt), Told: int(r.Told), ToldDead: r.ToldDead,
		Edition: r.Edition,
	}, nil
}

// EncodeBody encodes an event's body with whose mail it holds.
func EncodeBody(account string, body []byte) ([]byte, error) {
	return encode(&recordpb.Body{Account: text(account), Body: body})
}

// DecodeBody decodes what EncodeBody gave.
func DecodeBody(b []byte) (account string, body []byte, err error) {
	var r recordpb.Body
	if err := decode(b, &r); err != nil {
		return "", nil, err
	}
	return r.Account, r.Body, nil
}

// EncodeDelivery encodes a delivery. place is its row in the lane, last the
// encoded attempt that settled it.
func EncodeDelivery(d *store.Delivery, place uint64, last []byte) ([]byte, error) {
	return encode(&recordpb.Delivery{
		Endpoint: text(d.Endpoint), Lane: text(d.Lane), Account: text(d.Account), Event: text(d.Event), Type: text(d.Type),
		Position: d.Position, Sequence: d.Sequence, Previous: d.Previous, Rendition: text(d.Rendition),
		State: text(string(d.State)), CreatedAt: putNano(d.CreatedAt), NextAt: putNano(d.NextAt),
		Attempts: int64(d.Attempts), FirstFailAt: putNano(d.FirstFailAt), LastStatus: int64(d.LastStatus),
		LastError: text(d.LastError), DoneAt: putNano(d.DoneAt), Replays: int64(d.Replays), Trace: text(d.Trace), Place: place, Id: text(d.ID), Replay: text(d.Replay), Last: last,
		RequeuedAt: putNano(d.RequeuedAt),
	})
}

// DecodeDelivery decodes what EncodeDelivery gave.
func DecodeDelivery(b []byte) (d *store.Delivery, place uint64, last []byte, err error) {
	var r recordpb.Delivery
	if err := decode(b, &r); err != nil {
		return nil, 0, nil, err
	}
	return &store.Delivery{
		ID: r.Id, Endpoint: r.Endpoint, Lane: r.Lane, Account: r.Account, Event: r.Event, Type: r.Type,
		Position: r.Position, Sequence: r.Sequence, Previous: r.Previous, Rendition: r.Rendition,
		State: store.DeliveryState(r.State), CreatedAt: getNano(r.CreatedAt), NextAt: getNano(r.NextAt),
		Attempts: int(r.Attempts), FirstFailAt: getNano(r.FirstFailAt), LastStatus: int(r.LastStatus),
		LastError: r.LastError, DoneAt: getNano(r.DoneAt), Replays: int(r.Replays), Trace: r.Trace, Replay: r.Replay,
		RequeuedAt: getNano(r.RequeuedAt),
	}, r.Place, r.Last, nil
}

// EncodeAttempt encodes all of an attempt but its delivery.
func EncodeAttempt(a *store.Attempt) ([]byte, error) {
	return encode(&recordpb.Attempt{
		Number: int64(a.Number), At: putNano(a.At), DurationNs: int64(a.Duration), Status: int64(a.Status),
		Error: text(a.Error), Answer: a.Answer, Peer: text(a.Peer), Class: text(a.Class), Header: texts(a.Header),
		DnsNs: int64(a.DNS), ConnectNs: int64(a.Connect), TlsNs: int64(a.TLS), FirstByteNs: int64(a.FirstByte), Keys: texts(a.Keys),
	})
}

// DecodeAttempt decodes what EncodeAttempt gave.
func DecodeAttempt(delivery string, b []byte) (store.Attempt, error) {
	var r recordpb.Attempt
	if err := decode(b, &r); err != nil {
		return store.Attempt{}, err
	}
	return store.Attempt{
		Delivery: delivery, Number: int(r.Number), At: getNano(r.At), Duration: time.Duration(r.DurationNs),
		Status: int(r.Status), Error: r.Error, Answer: r.Answer, Peer: r.Peer, Class: r.Class, Header: r.Header,
		DNS: time.Duration(r.DnsNs), Connect: time.Duration(r.ConnectNs), TLS: time.Duration(r.TlsNs),
		FirstByte: time.Duration(r.FirstByteNs), Keys: r.Keys,
	}, nil
}
