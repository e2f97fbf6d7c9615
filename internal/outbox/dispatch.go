package outbox

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// longestSleep bounds how long the timers are trusted.
const longestSleep = 30 * time.Second

// Run delivers until ctx ends, then lets attempts finish for the grace period,
// writes down what they came to, and returns. An error says what is left: it
// is not lost, but will be sent again.
func (o *Outbox) Run(ctx context.Context) error {
	attemptCtx, cutAttempts := context.WithCancel(context.WithoutCancel(ctx))
	defer cutAttempts()
	choreCtx, endChores := context.WithCancel(ctx)
	defer endChores()

	o.mu.Lock()
	if o.running || o.closing {
		o.mu.Unlock()
		return errors.New("outbox: Run was called twice")
	}
	o.running = true
	o.attemptCtx, o.choreCtx = attemptCtx, choreCtx
	o.mu.Unlock()

	committed := make(chan error, 1)
	go func() { committed <- o.commitLoop(context.WithoutCancel(ctx)) }()
	o.chores.Go(func() { o.scanLoop(choreCtx) })
	o.chores.Go(func() { o.trimLoop(choreCtx) })
	o.chores.Go(func() { o.replayLoop(choreCtx) })
	o.Wake()

	o.timerLoop(ctx)

	// Nothing starts any more; what is under way may end.
	o.mu.Lock()
	o.running = false
	o.ground()
	o.mu.Unlock()
	endChores()
	o.chores.Wait()
	done := make(chan struct{})
	go func() { o.attempts.Wait(); close(done) }()
	grace := time.NewTimer(o.opts.Grace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		cutAttempts()
		<-done
	}

	o.mu.Lock()
	o.closing = true
	o.ackCond.Signal()
	cut := o.cut
	o.mu.Unlock()
	if err := <-committed; err != nil {
		return fmt.Errorf("outbox: write down what was delivered: %w", err)
	}
	if cut > 0 {
		return fmt.Errorf("outbox: %d attempts were cut off and will be made again", cut)
	}
	return nil
}

// timerLoop wakes lanes and endpoints until ctx ends.
func (o *Outbox) timerLoop(ctx context.Context) {
	clock := time.NewTimer(longestSleep)
	defer clock.Stop()
	for {
		o.mu.Lock()
		sleep := o.advance(o.steady())
		o.mu.Unlock()
		clock.Reset(sleep)
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		case <-o.kick:
		}
	}
}

// advance starts everything whose time has come and says how long to sleep.
func (o *Outbox) advance(now time.Time) time.Duration {
	for len(o.timers) > 0 && !o.timers[0].at.After(now) {
		t := heap.Pop(&o.timers).(*timer)
		if t.lane != nil {
			t.lane.timer = nil
			o.awake(t.lane, now)
		} else {
			t.ep.resume = nil
			o.list(t.ep, now)
		}
	}
	o.dispatch(now)
	if len(o.timers) == 0 {
		return longestSleep
	}
	return min(longestSleep, o.timers[0].at.Sub(now))
}

// list puts an endpoint into its ring if it has something to start.
func (o *Outbox) list(ep *endpoint, now time.Time) {
	if ep.listed || ep.queue.len() == 0 {
		return
	}
	ok, until := ep.mayStart(now)
	if !ok {
		if !until.IsZero() && ep.resume == nil {
			ep.resume = &timer{at: until, ep: ep}
			o.setTimer(ep.resume)
		}
		return
	}
	ep.listed = true
	o.rings[ep.breaker.trust].push(ep)
}

// dispatch starts attempts while there is room, one lane of one endpoint after
// the other.
func (o *Outbox) dispatch(now time.Time) {
	for o.running && o.flying < o.opts.Workers && len(o.acks) < maxUndurable {
		ep := o.pick(now)
		if ep == nil {
			return
		}
		l := ep.queue.pop()
		l.state = laneBusy
		ep.flying++
		o.flying++
		if ep.record == nil {
			ep.reading = true
		}
		class := ep.breaker.trust
		o.flights[class]++
		ep.tempo.take(now)
		o.attempts.Add(1)
		o.start(flight{l, class})
		o.list(ep, now)
	}
}

// flight is an attempt that is to be made.
type flight struct {
	lane  *lane
	class trust
}

// maxIdle is how many goroutines are kept for the next attempts: one that has
// made an attempt before has a stack that is large enough.
const maxIdle = 256

// start makes an attempt on a goroutine of its own.
func (o *Outbox) start(f flight) {
	if n := len(o.idle); n > 0 {
		c := o.idle[n-1]
		o.idle = o.idle[:n-1]
		c <- f
		return
	}
	go o.fly(f)
}

// fly makes attempts until nobody needs it.
func (o *Outbox) fly(f flight) {
	c := make(chan flight, 1)
	for {
		o.attempt(f.lane, f.class)
		o.mu.Lock()
		keep := o.running && len(o.idle) < maxIdle
		if keep {
			o.idle = append(o.idle, c)
		}
		o.mu.Unlock()
		if !keep {
			return
		}
		var ok bool
		if f, ok = <-c; !ok {
			return
		}
	}
}

// ground lets goroutines go that wait for an attempt.
func (o *Outbox) ground() {
	for _, c := range o.idle {
		close(c)
	}
	o.idle = nil
}

// pick takes the next endpoint, from all rings in turn.
func (o *Outbox) pick(now time.Time) *endpoint {
	for {
		r, found := o.turn, false
		for range trusts {
			r = (r + 1) % trusts
			if o.rings[r].len() > 0 && o.room(r) {
				found = true
				break
			}
		}
		if !found {
			return nil
		}
		o.turn = r
		ep := o.rings[r].pop()
		ep.listed = false
		if ok, _ := ep.mayStart(now); !ok || ep.queue.len() == 0 || ep.breaker.trust != r {
			o.list(ep, now) // it changed while it stood in the ring
			continue
		}
		return ep
	}
}

// room reports whether one more attempt may go to endpoints of a trust.
func (o *Outbox) room(class trust) bool {
	bad, fresh := o.flights[failing], o.flights[unknown]
	switch class {
	case failing:
		return bad < max(1, o.opts.Workers/2)
	case unknown:
		return bad+fresh < max(1, o.opts.Workers*3/4)
	}
	return true
}

// scanLoop reads the index of due times into memory: at the start, when
// somebody asks, and when memory had no room for all of it.
func (o *Outbox) scanLoop(ctx context.Context) {
	if err := o.readClock(ctx); err != nil && ctx.Err() == nil {
		o.opts.Log.Error("outbox cannot read its clock", "error", err)
	}
	if err := o.resumeDrops(ctx); err != nil && ctx.Err() == nil {
		o.opts.Log.Error("outbox cannot read which endpoints were deleted", "error", err)
	}
	clock := time.NewTicker(longestSleep)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
			if !o.makeRoom() {
				continue
			}
		case <-o.wake:
		}
		if err := o.scan(ctx); err != nil && ctx.Err() == nil {
			o.opts.Log.Error("outbox scan failed", "error", err)
			o.retryScan(ctx)
		}
	}
}

// retryScan asks for a scan again after a while.
func (o *Outbox) retryScan(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(time.Second):
		o.Wake()
	}
}

// makeRoom forgets lanes that wait for later, for endpoints with lanes in the
// store that did not fit and may be due before them. It reports whether there
// were such endpoints.
func (o *Outbox) makeRoom() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	found := false
	for _, ep := range o.endpoints {
		if !ep.more {
			continue
		}
		found, ep.more = true, false
		o.scanned = false // until it is, what is not known may be in the store
		for id, l := range ep.lanes {
			if l.state == laneWaiting && len(l.behind) == 0 && len(l.head) == 0 {
				o.unsetTimer(l.timer)
				l.wait.reset(l)
				delete(ep.lanes, id)
			}
		}
	}
	return found
}

// scan reads the index in pages, earliest first. A lane that is known already
// is left alone: memory is ahead of the store.
func (o *Outbox) scan(ctx context.Context) error {
	var after store.Lane
	for {
		var page []store.Lane
		err := o.store.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.LanesAfter(after, store.MaxRecords)
			return err
		})
		if err != nil {
			return fmt.Errorf("list lanes: %w", err)
		}
		o.mu.Lock()
		for _, l := range page {
			o.learn(l, false)
		}
		if len(page) < store.MaxRecords {
			o.scanned = true
			o.skewTaken()
		}
		o.dispatch(o.steady())
		o.mu.Unlock()
		if len(page) < store.MaxRecords {
			return nil
		}
		after = page[len(page)-1]
	}
}
