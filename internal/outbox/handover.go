package outbox

import (
	"time"

	"github.com/postern-mail/postern/store"
)

// Handed is a delivery that was just enqueued, with its body: most are sent at
// once, and then need not be read.
type Handed struct {
	Delivery *store.Delivery
	Body     []byte
}

// owed is a delivery in memory.
type owed struct {
	*store.Delivery
	// body is nil where it has to be read.
	body []byte
	// at is when it was handed over.
	at time.Time
}

const (
	// maxHanded bounds the bodies in memory, maxAhead the deliveries of a lane.
	maxHanded = 32 << 20
	maxAhead  = 64
	// fresh is how long a body from memory is sent without another look at the
	// store, which may have been told to erase it. An attempt that is under way
	// lasts longer.
	fresh = time.Second
)

// Hand is Notice with the deliveries themselves. They are not changed
// afterwards.
func (o *Outbox) Hand(list []Handed) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.running {
		return // the scan at the start finds them
	}
	now := o.steady()
	for _, h := range list {
		o.hand(h, now)
	}
	o.dispatch(now)
}

func (o *Outbox) hand(h Handed, now time.Time) {
	d := h.Delivery
	ep := o.endpoints[d.Endpoint]
	var known *lane
	if ep != nil {
		known = ep.lanes[d.Lane]
	}
	soon := ep != nil && o.scanned && ep.record != nil && !ep.dropping && !ep.record.Disabled && !ep.breaker.until.After(now) && !ep.paused.After(now)
	if !soon || o.handed+len(h.Body) > maxHanded || known == nil && (ep.more || len(ep.lanes) >= o.opts.Known) ||
		known != nil && (!known.whole || len(known.head) >= maxAhead) {
		o.learn(store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: d.NextAt}, true)
		return
	}
	if known != nil && known.has(d.ID) {
		return // it was read between its commit and now
	}
	item := &owed{Delivery: d, body: h.Body, at: now}
	o.handed += len(h.Body)
	if known == nil {
		known = &lane{ep: ep, id: d.Lane, whole: true, state: laneIdle}
		ep.lanes[d.Lane] = known
	}
	known.head = append(known.head, item)
	if known.state == laneIdle {
		o.ready(known)
	}
}

// has reports whether a lane has heard of a delivery.
func (l *lane) has(id string) bool {
	for _, d := range l.head {
		if d != nil && d.ID == id {
			return true
		}
	}
	_, decided := l.behind[id]
	return decided
}

// unload gives back the room of a body.
func (o *Outbox) unload(d *owed) {
	if d == nil {
		return
	}
	o.handed -= len(d.body)
	d.body = nil
}
