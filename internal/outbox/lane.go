package outbox

import (
	"container/heap"
	"time"

	"github.com/postern-mail/postern/store"
)

// laneState is what a lane is doing.
type laneState int

const (
	// laneReady lanes stand in their endpoint's queue.
	laneReady laneState = iota
	// laneBusy lanes have an attempt under way.
	laneBusy
	// laneWaiting lanes stand in the timers.
	laneWaiting
	// laneStalled lanes have too many decisions that are not durable yet.
	laneStalled
	// laneIdle lanes have nothing to send, and are forgotten as soon as their
	// last decision is durable.
	laneIdle
)

// maxBehind is how many undurable decisions a lane may have: what a crash can
// repeat, and what reading a head must skip.
const maxBehind = 256

// maxUndurable is how many decisions of all lanes may wait to be written before
// no more attempts begin.
const maxUndurable = 8192

// readAhead is how many deliveries are read at once, where there is not more to
// be skipped.
const readAhead = 8

// lane is one account's queue to one endpoint.
type lane struct {
	ep    *endpoint
	id    string
	state laneState
	// head are the next deliveries, as far as they were read.
	head []*store.Delivery
	// behind are deliveries that were settled but whose transaction is not
	// durable yet: the store still shows them.
	behind map[string]struct{}
	// newest is the last decision, nil once it is durable.
	newest *ack
	// noticed: something was enqueued since the head was last read.
	noticed bool
	// same and lastLocal count identical local errors.
	same      int
	lastLocal string
	timer     *timer
}

// unread forgets what was read ahead, as far as the store knows the same.
func (l *lane) unread() {
	if l.newest == nil {
		l.head = nil
	} else if len(l.head) > 1 {
		l.head = l.head[:1:1]
	}
}

// endpoint is an endpoint as the dispatcher sees it.
type endpoint struct {
	id string
	// record is a copy of the store's, nil until it was read; health in it is
	// ahead of the store.
	record *store.Endpoint
	// limits are what it grants its deliveries, and takes at once.
	limits Limits
	// reading: an attempt is about to read the record.
	reading bool
	lanes   map[string]*lane
	queue   fifo[*lane]
	// listed: it stands in a ring.
	listed bool
	flying int
	// more: the store has lanes that did not fit.
	more bool
	// dropping: it was deleted, and what it was owed is being removed.
	dropping bool
	breaker  breaker
	// edition counts refreshes, so that a record read before one is not kept.
	edition int
	// savedOK is when a success was last written to the record.
	savedOK time.Time
	resume  *timer
}

// refresh forgets what the store may know better now. The next attempt reads
// it again.
func (ep *endpoint) refresh(now time.Time) {
	ep.record = nil
	ep.edition++
	ep.breaker.release(now)
}

// mayStart reports whether an attempt may begin now; if only time is missing,
// until says when.
func (ep *endpoint) mayStart(now time.Time) (ok bool, until time.Time) {
	if ep.dropping || ep.flying >= ep.breaker.limit {
		return false, time.Time{}
	}
	if ep.record == nil {
		// The first attempt reads the record, before any other starts.
		return !ep.reading, time.Time{}
	}
	if ep.record.Disabled {
		return false, time.Time{}
	}
	until = ep.breaker.until
	if ep.record.PausedUntil.After(until) {
		until = ep.record.PausedUntil
	}
	if until.After(now) {
		return false, until
	}
	return true, time.Time{}
}

// timer wakes a lane or an endpoint.
type timer struct {
	at    time.Time
	lane  *lane
	ep    *endpoint
	index int
}

// timers is a heap by time (container/heap).
type timers []*timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push is for container/heap.
func (t *timers) Push(x any) {
	e := x.(*timer)
	e.index = len(*t)
	*t = append(*t, e)
}

// Pop is for container/heap.
func (t *timers) Pop() any {
	old := *t
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return e
}

// fifo is a queue on a slice.
type fifo[T any] struct {
	items []T
	first int
}

func (q *fifo[T]) len() int { return len(q.items) - q.first }

func (q *fifo[T]) push(v T) {
	if q.first > 64 && q.first > len(q.items)/2 {
		n := copy(q.items, q.items[q.first:])
		clear(q.items[n:])
		q.items, q.first = q.items[:n], 0
	}
	q.items = append(q.items, v)
}

func (q *fifo[T]) pop() T {
	var zero T
	v := q.items[q.first]
	q.items[q.first] = zero
	q.first++
	if q.first == len(q.items) {
		q.items, q.first = q.items[:0], 0
	}
	return v
}

func (o *Outbox) newEndpoint(id string) *endpoint {
	ep := &endpoint{id: id, lanes: map[string]*lane{}, breaker: newBreaker(o.opts.Policy, o.opts.Lanes)}
	o.endpoints[id] = ep
	return ep
}

// learn takes a lane into memory, or tells a known one that it has grown.
func (o *Outbox) learn(l store.Lane, noticed bool) {
	ep := o.endpoints[l.Endpoint]
	if ep == nil {
		ep = o.newEndpoint(l.Endpoint)
	}
	known := ep.lanes[l.Lane]
	switch {
	case ep.dropping:
	case known != nil:
		if noticed {
			known.noticed = true
			if known.state == laneIdle {
				o.ready(known)
			}
		}
	case len(ep.lanes) >= o.opts.Known:
		ep.more = true
	default:
		known = &lane{ep: ep, id: l.Lane}
		ep.lanes[l.Lane] = known
		if l.Due.After(o.opts.Now()) {
			o.waitFor(known, l.Due)
		} else {
			o.ready(known)
		}
	}
}

// ready puts a lane into its endpoint's queue.
func (o *Outbox) ready(l *lane) {
	l.state = laneReady
	l.ep.queue.push(l)
	o.list(l.ep, o.opts.Now())
}

// waitFor puts a lane into the timers.
func (o *Outbox) waitFor(l *lane, at time.Time) {
	l.state = laneWaiting
	l.timer = &timer{at: at, lane: l}
	o.setTimer(l.timer)
}

// forget drops a lane that has nothing to send. When memory has room again for
// lanes that did not fit, the index is read again.
func (o *Outbox) forget(l *lane) {
	delete(l.ep.lanes, l.id)
	if l.ep.more && len(l.ep.lanes) <= o.opts.Known/2 {
		l.ep.more = false
		o.Wake()
	}
}

func (o *Outbox) setTimer(t *timer) {
	heap.Push(&o.timers, t)
	if t.index == 0 {
		select {
		case o.kick <- struct{}{}:
		default:
		}
	}
}

func (o *Outbox) unsetTimer(t *timer) { heap.Remove(&o.timers, t.index) }
