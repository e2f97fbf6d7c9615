package table

import (
	"container/heap"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

// DueLanes lists due lanes, earliest first: a merge of the due endpoints'
// lanes. Of the endpoints, too, only the limit earliest can contribute.
func (tx *Tx) DueLanes(t time.Time, limit int) ([]store.Lane, error) {
	if err := tx.settle(); err != nil {
		return nil, err
	}
	rows, err := tx.scan(bEndpointDue, nil, end(key(nil).at(t)), false, limit)
	if err != nil {
		return nil, err
	}
	var feeds []*laneFeed
	for _, r := range rows {
		id := string(r.Key[timeSize:])
		s, err := tx.endpointState(id)
		if err != nil {
			return nil, err
		}
		prefix := key(nil).str(id)
		feeds = append(feeds, &laneFeed{
			endpoint: id, prefix: len(prefix), paused: s.paused,
			from: prefix, to: end(slices.Clone(prefix).at(t)),
		})
	}
	return tx.mergeLanes(feeds, limit)
}

// LanesAfter lists all lanes by when their heads are due, whatever holds their
// endpoint back.
func (tx *Tx) LanesAfter(after store.Lane, limit int) ([]store.Lane, error) {
	if err := tx.flushLanes(); err != nil {
		return nil, err
	}
	rows, err := tx.scan(bEndpointState, nil, nil, false, maxEndpoints)
	if err != nil {
		return nil, err
	}
	var feeds []*laneFeed
	for _, r := range rows {
		f := &laneFeed{endpoint: string(r.Key)}
		prefix := key(nil).str(f.endpoint)
		f.prefix, f.from, f.to = len(prefix), prefix, end(prefix)
		if after != (store.Lane{}) {
			at := slices.Clone(prefix).at(after.Due)
			switch {
			case f.endpoint < after.Endpoint:
				f.from = end(at)
			case f.endpoint == after.Endpoint:
				f.from = next(at.last(after.Lane))
			default:
				f.from = at
			}
		}
		feeds = append(feeds, f)
	}
	return tx.mergeLanes(feeds, limit)
}

func (tx *Tx) mergeLanes(feeds []*laneFeed, limit int) ([]store.Lane, error) {
	h := make(laneHeap, 0, len(feeds))
	for _, f := range feeds {
		f.batch = 1
		if len(feeds) < 8 {
			f.batch = min(limit, 64)
		}
		if ok, err := tx.advance(f); err != nil {
			return nil, err
		} else if ok {
			h = append(h, f)
		}
	}
	heap.Init(&h)
	var out []store.Lane
	for len(h) > 0 && len(out) < limit {
		f := h[0]
		out = append(out, f.head)
		ok, err := tx.advance(f)
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

// laneFeed walks one endpoint's lanes in bLaneDue.
type laneFeed struct {
	endpoint string
	// prefix is the length of what stands before the time in the keys.
	prefix int
	paused time.Time
	// batch grows as lanes of the endpoint are taken.
	batch    int
	from, to []byte
	pending  []Pair
	done     bool
	head     store.Lane
}

// advance loads the feed's next lane into head.
func (tx *Tx) advance(f *laneFeed) (bool, error) {
	if len(f.pending) == 0 && !f.done {
		pairs, err := tx.scan(bLaneDue, f.from, f.to, false, f.batch)
		if err != nil {
			return false, err
		}
		f.pending, f.done = pairs, len(pairs) < f.batch
		if n := len(pairs); n > 0 {
			f.from = next(pairs[n-1].Key)
		}
		f.batch = min(4*f.batch, 256)
	}
	if len(f.pending) == 0 {
		return false, nil
	}
	k := f.pending[0].Key[f.prefix:]
	f.pending = f.pending[1:]
	f.head = store.Lane{Endpoint: f.endpoint, Lane: string(k[timeSize:]), Due: later(readAt(k), f.paused)}
	return true, nil
}

// laneHeap orders feeds by their head.
type laneHeap []*laneFeed

func (h laneHeap) Len() int { return len(h) }
func (h laneHeap) Less(i, j int) bool {
	a, b := h[i].head, h[j].head
	if !a.Due.Equal(b.Due) {
		return a.Due.Before(b.Due)
	}
	return a.Endpoint < b.Endpoint
}
func (h laneHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push and Pop are container/heap's.
func (h *laneHeap) Push(x any) { *h = append(*h, x.(*laneFeed)) }

// Pop removes the last feed.
func (h *laneHeap) Pop() any {
	old := *h
	f := old[len(old)-1]
	*h = old[:len(old)-1]
	return f
}
