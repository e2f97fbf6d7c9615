package outbox

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/postern-mail/postern/store"
)

// job is what an attempt needs from the store.
type job struct {
	record   *store.Endpoint
	limits   Limits
	delivery *owed
	body     []byte
	// spoilt says why the body cannot be had.
	spoilt string
	// erased: the delivery was removed after it was read.
	erased bool
	// deleted: the endpoint is not there any more.
	deleted bool
	// edition is the endpoint's when the attempt began.
	edition int
}

// attempt takes a lane from its head to the decision what follows.
func (o *Outbox) attempt(l *lane, class trust) {
	defer o.attempts.Done()
	j, err := o.read(l)
	if err != nil && o.attemptCtx.Err() == nil {
		o.opts.Log.Error("outbox cannot read", "endpoint", l.ep.id, "error", err)
	}
	if err != nil || j.body == nil && j.spoilt == "" {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.land(l, class)
		o.park(l, j, err != nil)
		o.dispatch(o.steady())
		return
	}
	out := Outcome{Class: ClassLocal, Error: j.spoilt}
	if j.spoilt == "" {
		out = o.deliver(j)
	}
	o.conclude(l, class, j, out)
}

// land counts an attempt as no longer under way.
func (o *Outbox) land(l *lane, class trust) {
	l.ep.flying--
	o.flying--
	o.flights[class]--
}

// read finds the lane's next delivery that was not decided yet, and its body
// if it may be sent now.
func (o *Outbox) read(l *lane) (job, error) {
	o.mu.Lock()
	ep, head, record, edition, limits := l.ep, l.head, l.ep.record, l.ep.edition, l.ep.limits
	if len(head) > 0 && record != nil && head[0].body != nil && o.steady().Sub(head[0].at) <= fresh {
		j := job{record: record, limits: limits, delivery: head[0], body: head[0].body, edition: edition}
		o.mu.Unlock()
		return j, nil
	}
	l.noticed = false
	ripe, skew, met := l.ripe, o.skew, ep.met
	var behind map[string]struct{}
	if len(head) == 0 {
		// What is durable by now is left out too, which is right: the
		// transaction below may be older than that.
		behind = make(map[string]struct{}, len(l.behind))
		for id := range l.behind {
			behind[id] = struct{}{}
		}
	}
	o.mu.Unlock()

	now := o.opts.Now()
	var j job
	var whole bool
	err := o.store.View(o.attemptCtx, func(tx store.Tx) error {
		j = job{record: record, limits: limits, edition: edition}
		if record == nil {
			found, err := tx.Endpoint(ep.id)
			if errors.Is(err, store.ErrNotFound) {
				j.deleted = true
				return nil
			}
			if err != nil {
				return fmt.Errorf("read endpoint: %w", err)
			}
			j.record, j.limits = found, o.opts.Limits(found)
		}
		if len(head) == 0 {
			limit := len(behind) + max(readAhead, len(behind))
			rows, err := tx.Head(ep.id, l.id, limit)
			if err != nil {
				return fmt.Errorf("read lane: %w", err)
			}
			for _, d := range rows {
				if _, decided := behind[d.ID]; !decided {
					head = append(head, &owed{Delivery: d})
				}
			}
			whole = len(rows) < limit && len(head) == len(rows)
		}
		if len(head) == 0 {
			return nil
		}
		j.delivery = head[0]
		if j.record.Disabled || record == nil && o.opts.Policy.paused(j.record, now, skew, met).After(now) {
			return nil
		}
		if _, later := o.opts.Policy.waits(j.delivery.Delivery, now, skew); later && !ripe {
			return nil
		}
		body, err := tx.Body(j.delivery.Delivery)
		switch {
		case errors.Is(err, store.ErrNotFound):
			// What was read ahead may have been erased since.
			if _, err := tx.Delivery(j.delivery.ID); errors.Is(err, store.ErrNotFound) {
				j.erased = true
				return nil
			}
			j.spoilt = "the body is not in the store any more"
		case errors.Is(err, store.ErrDamaged):
			j.spoilt = "read the body: " + err.Error()
		case err != nil:
			return fmt.Errorf("read the body: %w", err) // that is the store, and not the delivery
		case len(body) == 0:
			j.spoilt = "the body is empty"
		}
		j.body = body
		return nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if record == nil {
		ep.reading = false
	}
	if err != nil {
		return job{}, err
	}
	if len(l.head) == 0 {
		l.head, l.whole = head, whole && !l.noticed
	}
	// A record that is there is ahead of the one that this attempt began with.
	if ep.edition == edition && ep.record == nil {
		if j.record != nil {
			o.adopt(ep, j)
		}
		o.list(ep, o.steady())
		o.dispatch(o.steady())
	}
	return j, nil
}

// adopt takes over what was read of an endpoint.
func (o *Outbox) adopt(ep *endpoint, j job) {
	ep.record, ep.limits = j.record, j.limits
	if !j.record.Failing.IsZero() {
		// It was failing when we last ran: one more failure is enough.
		ep.breaker.failures = max(ep.breaker.failures, ep.breaker.threshold-1)
	}
	now, wall := o.steady(), o.opts.Now()
	ep.paused = time.Time{}
	if until := o.opts.Policy.paused(j.record, wall, o.skew, ep.met); until.After(wall) {
		ep.paused = now.Add(until.Sub(wall))
	}
	ep.met = true
	if !j.record.LastOKAt.IsZero() && ep.okAt.IsZero() {
		ep.okAt = now.Add(-max(0, wall.Sub(j.record.LastOKAt)))
	}
	most := j.limits.InFlight
	if most <= 0 {
		most = o.opts.Lanes
	}
	ep.breaker.allow(most)
	ep.tempo.set(j.limits.PerSecond)
}

// park puts a lane away that has nothing to send now.
func (o *Outbox) park(l *lane, j job, unread bool) {
	now, wall := o.steady(), o.opts.Now()
	var due time.Time
	waits := false
	if j.delivery != nil {
		due, waits = o.opts.Policy.waits(j.delivery.Delivery, wall, o.skew)
	}
	switch {
	case l.ep.dropping:
		o.abandon(l)
	case unread:
		o.unread(l)
		o.waitFor(l, now.Add(time.Second))
	case j.deleted:
		o.drop(l.ep)
		o.abandon(l)
	case j.erased:
		o.discard(l)
		o.ready(l)
	case j.delivery == nil && l.noticed:
		o.ready(l)
	case j.delivery == nil && len(l.behind) > 0:
		l.state = laneIdle
		o.list(l.ep, now)
	case j.delivery == nil:
		o.forget(l)
		o.list(l.ep, now)
	case !l.ripe && waits:
		o.unread(l)
		o.waitFor(l, now.Add(due.Sub(wall)))
		o.list(l.ep, now)
	default: // its endpoint is disabled or paused
		o.unread(l)
		o.ready(l)
	}
}

// deliver makes the attempt. A panic in the carrier is that delivery's own
// trouble and nobody else's.
func (o *Outbox) deliver(j job) (out Outcome) {
	parent := propagation.TraceContext{}.Extract(o.attemptCtx, propagation.MapCarrier{"traceparent": j.delivery.Trace})
	ctx, span := o.opts.Tracer.Start(parent, "outbox.attempt", trace.WithAttributes(
		attribute.String("endpoint", j.delivery.Endpoint), attribute.String("delivery", j.delivery.ID),
		attribute.String("event", j.delivery.Event), attribute.Int("attempt", j.delivery.Attempts+1)))
	began := o.opts.Now()
	defer func() {
		if p := recover(); p != nil {
			o.opts.Log.Error("carrier panicked", "delivery", j.delivery.ID, "stack", string(debug.Stack()))
			out = Outcome{Class: ClassLocal, Error: fmt.Sprintf("panic: %v", p)}
		}
		if out.Class == "" {
			out.Class = ClassLocal
			if out.OK {
				out.Class = ClassOK
			}
		}
		out.Error = plain(out.Error)
		if out.Duration == 0 {
			out.Duration = o.opts.Now().Sub(began)
		}
		span.SetAttributes(attribute.String("class", string(out.Class)), attribute.Int("status", out.Status))
		if !out.OK {
			span.SetStatus(codes.Error, out.Error)
		}
		span.End()
	}()
	return o.carrier.Deliver(ctx, j.record, j.delivery.Delivery, j.body)
}

// plain makes a text fit for a record: valid, and not endless.
func plain(s string) string {
	const longest = 1000
	return strings.ToValidUTF8(s[:min(len(s), longest)], "\uFFFD")
}

// conclude decides what an outcome leads to, in memory, and hands the decision
// to be written.
func (o *Outbox) conclude(l *lane, class trust, j job, out Outcome) {
	now := o.opts.Now()
	var dead *store.Delivery
	defer func() {
		o.opts.Log.Debug("delivery attempted", "delivery", j.delivery.ID, "endpoint", j.delivery.Endpoint, "account", j.delivery.Account,
			"class", out.Class, "status", out.Status, "duration", out.Duration)
		if dead != nil {
			o.opts.Log.Warn("delivery is dead", "delivery", dead.ID, "endpoint", dead.Endpoint, "account", dead.Account, "reason", dead.LastError)
		}
	}()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.land(l, class)
	if l.ep.dropping {
		// What it was owed goes with it, whatever became of this.
		o.metrics.attempt(out.Class)
		o.abandon(l)
		o.dispatch(o.steady())
		return
	}
	if !out.OK && o.attemptCtx.Err() != nil {
		o.cut++ // we did that, not the receiver: it counts for nothing
		return
	}
	if out.Class == ClassProxy {
		o.metrics.attempt(out.Class)
		o.waitFor(l, o.steady().Add(jitter(o.opts.Policy.Probe, o.opts.Random())))
		o.list(l.ep, o.steady())
		o.dispatch(o.steady())
		return
	}
	d := *j.delivery.Delivery
	d.Attempts++
	d.LastStatus, d.LastError = out.Status, out.Error
	if out.OK {
		d.LastError = ""
	} else if d.FirstFailAt.IsZero() {
		d.FirstFailAt = now
	}
	if out.Class == ClassLocal && out.Error == l.lastLocal {
		l.same++
	} else {
		l.same = 1
	}
	l.lastLocal = ""
	if out.Class == ClassLocal {
		l.lastLocal = out.Error
	}

	record := *j.record
	if l.ep.record != nil {
		record = *l.ep.record
	}
	stale := o.stale(l.ep, j)
	if stale {
		record.Disabled, record.Failing, record.Failures, record.Told = false, time.Time{}, 0, 0
	}
	judged := record
	if !out.OK && out.Class != ClassLocal && judged.Failing.IsZero() {
		judged.Failing = now
	}
	v := o.opts.Policy.decide(trial{
		outcome: out, delivery: &d, endpoint: &judged, attempts: j.limits.Attempts, halt: j.limits.Halt,
		same: l.same, now: now, random: o.opts.Random(),
	})

	a := &ack{lane: l, step: v.step, attempt: store.Attempt{
		Delivery: d.ID, Number: d.Attempts, At: now.Add(-out.Duration), Duration: out.Duration,
		Status: out.Status, Class: string(out.Class), Error: out.Error, Answer: out.Answer, Peer: out.Peer, Header: out.Header,
		DNS: out.DNS, Connect: out.Connect, TLS: out.TLS, FirstByte: out.FirstByte, Keys: out.Keys,
	}}
	if !stale {
		a.health = o.health(l.ep, &record, out, v, now)
	}
	o.metrics.attempt(out.Class)

	l.newest = a
	steady := o.steady()
	switch v.step {
	case stepDelivered, stepDead:
		d.State, d.DoneAt = store.DeliveryDelivered, now
		if v.step == stepDead {
			d.State, d.LastError = store.DeliveryDead, v.reason
			dead = &d
		} else {
			o.metrics.latency(now.Sub(d.CreatedAt))
		}
		o.next(l, d.ID)
	case stepRetry:
		d.NextAt = now.Add(v.wait)
		o.keep(l, &d)
		leave, at := o.blocked(l, l.head[0], v.wait)
		if leave {
			a.delivery = d
			o.leave(l, a, at)
			break
		}
		o.waitFor(l, at)
	case stepDisable:
		d.NextAt = now
		o.keep(l, &d)
		o.ready(l)
	}
	a.delivery = d
	if out.OK {
		o.answered(l.ep)
	}
	o.acks = append(o.acks, a)
	o.ackCond.Signal()
	o.list(l.ep, steady)
	o.dispatch(steady)
}

// stale reports whether an endpoint was changed or enabled since an attempt
// began: what that says of the endpoint's health is about another one.
func (o *Outbox) stale(ep *endpoint, j job) bool {
	return j.edition != ep.edition || ep.record != nil && ep.record.Edition != j.record.Edition
}

// keep makes what was decided about a lane's head known to the lane, alone:
// what was read ahead may wait for long.
func (o *Outbox) keep(l *lane, d *store.Delivery) {
	whole := l.whole && len(l.head) == 1
	o.discard(l)
	l.head, l.whole, l.ripe = []*owed{{Delivery: d}}, whole, false
}

// health takes an outcome into the endpoint's record and breaker, and gives
// what must be written of it, nil where nothing must.
func (o *Outbox) health(ep *endpoint, record *store.Endpoint, out Outcome, v verdict, now time.Time) *store.Endpoint {
	changed := false
	switch {
	case out.OK:
		ep.breaker.succeeded()
		changed = !record.Failing.IsZero() || record.Told > 0 || !record.PausedUntil.IsZero() || now.Sub(ep.savedOK) >= time.Minute
		record.Failing, record.Failures, record.Told, record.LastOKAt = time.Time{}, 0, 0, now
		if !record.PausedUntil.After(now) {
			record.PausedUntil = time.Time{}
		}
		if changed {
			ep.savedOK = now
		}
	case out.Class != ClassLocal:
		changed = true
		if out.Class.counts() {
			ep.breaker.failed(o.steady(), o.opts.Random())
		}
		if record.Failing.IsZero() {
			record.Failing, record.Told = now, 0
		}
		record.Failures++
		record.Told = o.opts.Policy.stage(record, ep.breaker.open(o.steady()), now)
		if v.pause > 0 {
			record.PausedUntil = now.Add(v.pause)
			ep.paused = later(ep.paused, o.steady().Add(v.pause))
		}
	}
	if v.step == stepDisable {
		changed = true
		record.Disabled, record.Reason = true, v.reason
	}
	if ep.record != nil {
		ep.record = record
	}
	if !changed {
		return nil
	}
	written := *record
	return &written
}
