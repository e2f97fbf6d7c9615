package table

import (
	"encoding/binary"
	"slices"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// Deliveries lists deliveries, newest first: a merge of the ranges that the
// filter leaves, the rest of the filter applied to the records.
func (tx *Tx) Deliveries(f store.DeliveryFilter, after store.DateKey, limit int) ([]*store.Delivery, error) {
	feeds, err := deliveryFeeds(f)
	if err != nil {
		return nil, err
	}
	for _, r := range feeds {
		r.bound(f, after)
		r.batch = min(limit, 128)
	}
	var out []*store.Delivery
	for len(out) < limit {
		id, ok, err := tx.newest(feeds)
		if err != nil || !ok {
			return out, err
		}
		d, _, err := tx.delivery(id)
		if err != nil {
			return nil, err
		}
		if (f.Endpoint == "" || d.Endpoint == f.Endpoint) && (f.Account == "" || d.Account == f.Account) &&
			(f.State == "" || d.State == f.State) && (f.Type == "" || d.Type == f.Type) {
			out = append(out, d)
		}
	}
	return out, nil
}

// feed is one range of an index of deliveries by date.
type feed struct {
	bucket   Bucket
	prefix   key
	from, to []byte
	batch    int
	pending  []Pair
	done     bool
}

// deliveryFeeds chooses the index that leaves the least to filter.
func deliveryFeeds(f store.DeliveryFilter) ([]*feed, error) {
	states := []store.DeliveryState{store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead}
	if f.State != "" {
		states = []store.DeliveryState{f.State}
	}
	if f.Account != "" && f.Endpoint == "" && (f.State == "" || f.State == store.DeliveryDelivered) {
		return []*feed{{bucket: bDeliveryOf, prefix: key(nil).str(f.Account)}}, nil
	}
	var feeds []*feed
	for _, s := range states {
		code, err := stateCode(s)
		if err != nil {
			return nil, err
		}
		if f.Endpoint != "" {
			feeds = append(feeds, &feed{bucket: bDeliveryTo, prefix: append(key(nil).str(f.Endpoint), code)})
		} else {
			feeds = append(feeds, &feed{bucket: bDeliveryState, prefix: key{code}})
		}
	}
	return feeds, nil
}

// bound narrows the range: created at or after Since, before Until, and after
// the given place.
func (r *feed) bound(f store.DeliveryFilter, after store.DateKey) {
	r.from, r.to = r.prefix, end(r.prefix)
	if !f.Until.IsZero() {
		r.from = end(slices.Clone(r.prefix).back(f.Until))
	}
	if !f.Since.IsZero() {
		r.to = end(slices.Clone(r.prefix).back(f.Since))
	}
	if !after.Zero() {
		if k := next(slices.Clone(r.prefix).back(after.At).last(after.ID)); slices.Compare(k, r.from) > 0 {
			r.from = k
		}
	}
}

// newest takes the newest delivery off the feeds.
func (tx *Tx) newest(feeds []*feed) (id string, ok bool, err error) {
	var best *feed
	for _, r := range feeds {
		if len(r.pending) == 0 && !r.done {
			if r.to != nil && slices.Compare(r.from, r.to) >= 0 {
				r.done = true
				continue
			}
			pairs, err := tx.scan(r.bucket, r.from, r.to, false, r.batch)
			if err != nil {
				return "", false, err
			}
			r.pending, r.done = pairs, len(pairs) < r.batch
			if n := len(pairs); n > 0 {
				r.from = next(pairs[n-1].Key)
			}
		}
		if len(r.pending) > 0 && (best == nil || slices.Compare(r.tail(), best.tail()) < 0) {
			best = r
		}
	}
	if best == nil {
		return "", false, nil
	}
	id = string(best.tail()[timeSize:])
	best.pending = best.pending[1:]
	return id, true, nil
}

// tail is what of the feed's next key says when and which.
func (r *feed) tail() []byte { return r.pending[0].Key[len(r.prefix):] }

// maxAttempts bounds the log of one delivery.
const maxAttempts = 1000

// PutAttempt logs a try of a delivery.
func (tx *Tx) PutAttempt(a *store.Attempt) error {
	if _, err := tx.must(bDelivery, key(a.Delivery)); err != nil {
		return err
	}
	k := key(nil).str(a.Delivery).at(a.At).u32(uint32(a.Number))
	b, err := record.EncodeAttempt(a)
	return tx.putSealed(bAttempt, k, 0, b, err)
}

// AttemptsOf lists the tries of a delivery in order.
func (tx *Tx) AttemptsOf(delivery string) ([]store.Attempt, error) {
	pairs, err := tx.prefix(bAttempt, key(nil).str(delivery), maxAttempts)
	if err != nil {
		return nil, err
	}
	var out []store.Attempt
	for _, p := range pairs {
		b, _, err := tx.open(bAttempt, p.Key, p.Value)
		if err != nil {
			return nil, err
		}
		a, err := record.DecodeAttempt(delivery, b)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

func putLife(l uint64) []byte { return binary.AppendUvarint(nil, l) }
