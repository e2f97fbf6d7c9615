package outbox

import (
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
	// head are the next deliveries, as far as they were read or handed over.
	head []*owed
	// whole: head and behind are all that the store has of the lane, so that
	// nothing need be read to know that it is empty.
	whole bool
	// ripe: the time of its head has come, whatever the wall clock says.
	ripe bool
	// wait is what the order of a lane has to do with its head that fails.
	wait patience
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
func (o *Outbox) unread(l *lane) {
	if l.newest == nil {
		o.discard(l)
	} else if len(l.head) > 1 {
		for _, d := range l.head[1:] {
			o.unload(d)
		}
		l.head, l.whole = l.head[:1:1], false
	}
}

// discard makes a lane read the store again.
func (o *Outbox) discard(l *lane) {
	for _, d := range l.head {
		o.unload(d)
	}
	l.head, l.whole = nil, false
}

// endpoint is an endpoint as the dispatcher sees it.
type endpoint struct {
	id string
	// record is a copy of the store's, nil until it was read; health in it is
	// ahead of the store.
	record *store.Endpoint
	// limits are what it grants its deliveries, and takes at once.
	limits Limits
	// met: a record of it was read in this run.
	met bool
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
	tempo    tempo
	// paused is until when it wants to be left alone, okAt when it last
	// answered well, both on the steady clock.
	paused, okAt time.Time
	// overdue are lanes whose heads have failed for so long that the lane should
	// go on without them, if only the endpoint answers others.
	overdue map[*lane]struct{}
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
	until = later(later(ep.breaker.until, ep.paused), ep.tempo.free())
	if until.After(now) {
		return false, until
	}
	return true, time.Time{}
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
			o.grown(known)
		}
	case len(ep.lanes) >= o.opts.Known:
		ep.more = true
	default:
		known = &lane{ep: ep, id: l.Lane}
		ep.lanes[l.Lane] = known
		now := o.opts.Now()
		if due := o.skew.ours(l.Due, now, !noticed && !o.tookSkew, o.opts.Policy.longest()); due.After(now) {
			o.waitFor(known, o.steady().Add(due.Sub(now)))
		} else {
			known.ripe = true
			o.ready(known)
		}
	}
}

// grown tells a lane that the store has more of it.
func (o *Outbox) grown(l *lane) {
	l.noticed, l.whole = true, false
	if l.state == laneIdle {
		o.ready(l)
	}
}

// ready puts a lane into its endpoint's queue.
func (o *Outbox) ready(l *lane) {
	l.state = laneReady
	l.ep.queue.push(l)
	o.list(l.ep, o.steady())
}

// hasten makes a lane that waits look at its head at once.
func (o *Outbox) hasten(l *lane) {
	if l.state != laneWaiting {
		return
	}
	if l.timer != nil {
		o.unsetTimer(l.timer)
		l.timer = nil
	}
	l.ripe = true
	o.ready(l)
}

// next takes the head off a lane that it need not wait for any more, and goes
// on with the one behind it.
func (o *Outbox) next(l *lane, decided string) {
	o.unload(l.head[0])
	l.head[0] = nil
	l.head = l.head[1:]
	l.same, l.lastLocal, l.ripe = 0, "", false
	l.wait.reset(l)
	if l.behind == nil {
		l.behind = map[string]struct{}{}
	}
	l.behind[decided] = struct{}{}
	switch {
	case len(l.behind) >= maxBehind:
		l.state = laneStalled
	case len(l.head) == 0 && l.whole:
		l.state = laneIdle
	default:
		o.ready(l)
	}
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
	l.wait.reset(l)
	delete(l.ep.lanes, l.id)
	if l.ep.more && len(l.ep.lanes) <= o.opts.Known/2 {
		l.ep.more, o.scanned = false, false
		o.Wake()
	}
}
