package table

import (
	"bytes"
	"container/heap"
	"slices"

	"github.com/postern-mail/postern/store"
)

// Deliveries lists deliveries, newest first: a merge of the ranges that the
// filter leaves, the rest of the filter applied to the records.
func (tx *Tx) Deliveries(f store.DeliveryFilter, after store.DateKey, limit int) ([]*store.Delivery, error) {
	if limit <= 0 {
		return nil, nil
	}
	feeds, err := tx.deliveryFeeds(f)
	if err != nil {
		return nil, err
	}
	var h feedHeap
	for _, r := range feeds {
		r.bound(f, after)
		if ok, err := tx.fill(r); err != nil {
			return nil, err
		} else if ok {
			h = append(h, r)
		}
	}
	heap.Init(&h)
	var out []*store.Delivery
	for len(h) > 0 && len(out) < limit {
		r := h[0]
		d, err := tx.listed(r.pending[0], len(r.prefix))
		if err != nil {
			return nil, err
		}
		if (f.Account == "" || d.Account == f.Account) && (f.State == "" || d.State == f.State) && (f.Type == "" || d.Type == f.Type) {
			out = append(out, d)
		}
		r.pending = r.pending[1:]
		ok, err := tx.fill(r)
		if err != nil {
			return nil, err
		}
		if ok {
			heap.Fix(&h, 0)
		} else {
			heap.Pop(&h)
		}
	}
	return out, nil
}

// listed reads the delivery that a row of an index by date stands for; prefix
// is the length of what stands before the date.
func (tx *Tx) listed(p Pair, prefix int) (*store.Delivery, error) {
	r, err := tx.owedAt(number(p.Value), string(p.Key[prefix+timeSize:]))
	return r.Delivery, err
}

// feed is one range of an index of deliveries by date.
type feed struct {
	bucket   Bucket
	prefix   key
	from, to []byte
	// batch grows as the feed is read.
	batch   int
	pending []Pair
	done    bool
}

// deliveryFeeds chooses the ranges that leave the least to filter. What an
// account was owed lies together; but the few that are pending or dead are
// found faster among the endpoints' own.
func (tx *Tx) deliveryFeeds(f store.DeliveryFilter) (feeds []*feed, err error) {
	states := []store.DeliveryState{store.DeliveryPending, store.DeliveryDelivered, store.DeliveryDead}
	if f.State != "" {
		states = []store.DeliveryState{f.State}
	}
	if f.Account != "" && f.Endpoint == "" && (f.State == "" || f.State == store.DeliveryDelivered) {
		return []*feed{{bucket: bOwedOf, prefix: key(nil).str(f.Account)}}, nil
	}
	add := func(prefix key) error {
		for _, s := range states {
			code, err := stateCode(s)
			if err != nil {
				return err
			}
			feeds = append(feeds, &feed{bucket: bOwedTo, prefix: append(slices.Clone(prefix), code)})
		}
		return nil
	}
	if f.Endpoint != "" {
		return feeds, add(key(nil).str(f.Endpoint))
	}
	err = tx.eachOwed(add)
	return feeds, err
}

// bound narrows the range: created at or after Since, before Until, and after
// the given place.
func (r *feed) bound(f store.DeliveryFilter, after store.DateKey) {
	r.from, r.to, r.batch = r.prefix, end(r.prefix), 4
	if !f.Until.IsZero() {
		r.from = end(slices.Clone(r.prefix).back(f.Until))
	}
	if !f.Since.IsZero() {
		r.to = end(slices.Clone(r.prefix).back(f.Since))
	}
	if !after.Zero() {
		if k := next(slices.Clone(r.prefix).back(after.At).last(after.ID)); bytes.Compare(k, r.from) > 0 {
			r.from = k
		}
	}
}

// fill reads on where nothing is left, and reports whether there is something.
func (tx *Tx) fill(r *feed) (bool, error) {
	if len(r.pending) > 0 {
		return true, nil
	}
	if r.done || (r.to != nil && bytes.Compare(r.from, r.to) >= 0) {
		return false, nil
	}
	pairs, err := tx.scan(r.bucket, r.from, r.to, false, r.batch)
	if err != nil {
		return false, err
	}
	r.pending, r.done = pairs, len(pairs) < r.batch
	if n := len(pairs); n > 0 {
		r.from = next(pairs[n-1].Key)
	}
	r.batch = min(4*r.batch, 256)
	return len(pairs) > 0, nil
}

// feedHeap orders feeds by their newest delivery.
type feedHeap []*feed

func (h feedHeap) Len() int { return len(h) }
func (h feedHeap) Less(i, j int) bool {
	a, b := h[i], h[j]
	return bytes.Compare(a.pending[0].Key[len(a.prefix):], b.pending[0].Key[len(b.prefix):]) < 0
}
func (h feedHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are container/heap's.
func (h *feedHeap) Push(x any) { *h = append(*h, x.(*feed)) }

// Pop removes the last feed.
func (h *feedHeap) Pop() any {
	old := *h
	f := old[len(old)-1]
	*h = old[:len(old)-1]
	return f
}
