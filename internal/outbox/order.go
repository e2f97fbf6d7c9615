package outbox

import "time"

// A lane waits for its head, but not for ever: one that its receiver keeps
// refusing while the endpoint answers others blocks its lane for at most
// Policy.OrderWait. Then it leaves the order, as a lane of its own that retries
// on the same schedule, and the deliveries behind it go on. Their Previous
// still names it: the receiver sees that something is missing which was
// neither lost nor delivered, and that comes later or ends as a dead letter.
//
// An endpoint that halts (Limits.Halt) would rather wait. And while an endpoint
// answers nobody its lanes keep their order, however long that takes.

// patience is what a lane remembers of a head that fails, on the steady clock.
type patience struct {
	// since is when the head first failed, failed when it last did.
	since, failed time.Time
	// refused: it failed again after the endpoint had answered others.
	refused bool
	// look is when the lane has waited long enough, next when the head is due.
	look, next time.Time
}

func (p *patience) reset(l *lane) {
	*p = patience{}
	delete(l.ep.overdue, l)
}

// blocked takes a failed attempt of a lane's head into account, which is to be
// made again after wait. It reports whether the head leaves the order now, and
// else when to look at the lane again.
func (o *Outbox) blocked(l *lane, d *owed, wait time.Duration) (leave bool, at time.Time) {
	now, p := o.steady(), &l.wait
	if p.since.IsZero() {
		p.since = now.Add(-max(0, o.opts.Now().Sub(d.FirstFailAt)))
	}
	p.refused = p.refused || l.ep.okAt.After(p.since)
	p.failed, p.next, p.look = now, now.Add(wait), time.Time{}
	if l.id == d.ID || o.opts.Policy.OrderWait < 0 || l.ep.limits.Halt {
		return false, p.next
	}
	limit := p.since.Add(o.opts.Policy.OrderWait)
	switch {
	case !limit.After(now):
		if p.refused {
			return true, p.next
		}
		o.await(l)
	case limit.Before(p.next):
		p.look = limit
		return false, limit
	}
	return false, p.next
}

// await makes a lane look at its head as soon as its endpoint answers somebody.
func (o *Outbox) await(l *lane) {
	if l.ep.overdue == nil {
		l.ep.overdue = map[*lane]struct{}{}
	}
	l.ep.overdue[l] = struct{}{}
}

// awake is called when a lane's time has come. Where that is the end of its
// patience and not the time of its head, the head is tried once more if the
// endpoint answers: it is delivered then, or leaves the order.
func (o *Outbox) awake(l *lane, now time.Time) {
	p := &l.wait
	if !p.look.IsZero() && p.next.After(now) {
		p.look = time.Time{}
		if !p.refused && !l.ep.okAt.After(p.failed) {
			o.await(l)
			o.waitFor(l, p.next)
			return
		}
	}
	l.ripe = true
	o.ready(l)
}

// answered lets lanes go on that waited for their endpoint to answer anybody.
func (o *Outbox) answered(ep *endpoint) {
	ep.okAt = o.steady()
	if ep.dropping {
		return
	}
	for l := range ep.overdue {
		delete(ep.overdue, l)
		o.hasten(l)
	}
}

// leave gives the head of a lane a lane of its own.
func (o *Outbox) leave(l *lane, a *ack, at time.Time) {
	d := a.delivery
	d.Lane = d.ID
	o.next(l, d.ID)
	own := &lane{ep: l.ep, id: d.ID, head: []*owed{{Delivery: &d}}, whole: true, newest: a}
	l.ep.lanes[d.ID] = own
	a.own = own
	o.waitFor(own, at)
}
