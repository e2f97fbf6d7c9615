package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// chunk is how many deliveries one transaction touches: each is some records,
// and a transaction writes at most store.MaxRecords.
const chunk = 128

// ack is a decision on its way into the store.
type ack struct {
	lane     *lane
	step     step
	delivery store.Delivery
	attempt  store.Attempt
	// health is what is known of the endpoint now, nil where nothing changed.
	health *store.Endpoint
	// own is the lane that a delivery gets which leaves the order.
	own    *lane
	failed int
}

// settles reports whether the delivery leaves its lane.
func (a *ack) settles() bool { return a.step == stepDelivered || a.step == stepDead || a.own != nil }

// maxFailed is how often writing one decision is tried when others succeed.
const maxFailed = 3

// commitLoop writes decisions, as many at once as there are, until the outbox
// is closing and none is left. Decisions may wait for the next commit of
// somebody else (UpdateSoon) while there are few of them.
func (o *Outbox) commitLoop(ctx context.Context) error {
	var busy time.Time // until then nothing is held back
	var last error
	lost := 0
	for tries := 0; ; {
		batch, closing := o.takeAcks()
		if len(batch) == 0 {
			if lost > 0 {
				return fmt.Errorf("%d decisions: %w", lost, last)
			}
			return nil
		}
		update := o.store.UpdateSoon
		held := !closing && len(batch) < chunk && !o.opts.Now().Before(busy)
		if !held {
			update = o.store.Update
		}
		began := o.opts.Now()
		left, err := o.write(ctx, update, batch)
		if now := o.opts.Now(); held && now.Sub(began) >= 40*time.Millisecond && o.acksWaiting() >= 32 {
			// Nobody else writes, and decisions pile up: a hold gains nothing.
			busy = now.Add(time.Second)
		}
		if err == nil {
			tries = 0
			continue
		}
		last = err
		o.opts.Log.Error("outbox cannot write", "decisions", len(left), "error", err)
		if tries++; closing && tries >= maxFailed {
			lost += len(left)
			continue
		}
		o.putBack(left)
		time.Sleep(min(time.Second, 50*time.Millisecond<<min(tries, 5)))
	}
}

func (o *Outbox) takeAcks() (batch []*ack, closing bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.acks) == 0 && !o.closing {
		o.ackCond.Wait()
	}
	// Everybody who enqueues shares a commit with one batch of these. So a
	// batch grows with what waits, or decisions would fall behind.
	n := min(len(o.acks), max(chunk, min(len(o.acks)/2, 2*chunk)))
	batch, o.acks = o.acks[:n:n], o.acks[n:]
	return batch, o.closing
}

func (o *Outbox) acksWaiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acks)
}

func (o *Outbox) putBack(acks []*ack) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.acks = append(acks[:len(acks):len(acks)], o.acks...)
}

type updater = func(ctx context.Context, fn func(store.Tx) error) error

// write makes a batch durable. When it cannot be written together, one by one:
// a decision that fails while others succeed is given up after some tries, so
// that it does not hold up the rest; its lane reads the store again. left are
// those that are still to be written.
func (o *Outbox) write(ctx context.Context, update updater, batch []*ack) (left []*ack, err error) {
	err = update(ctx, func(tx store.Tx) error { return o.apply(tx, batch) })
	if err == nil {
		o.durable(batch)
		return nil, nil
	}
	sound := false // or the store is at fault, and no decision
	for i, a := range batch {
		if e := o.store.Update(ctx, func(tx store.Tx) error { return o.apply(tx, batch[i:i+1]) }); e != nil {
			err = e
			if left = append(left, a); !sound && len(left) == maxFailed {
				if sound = o.sound(ctx); !sound {
					return batch, err
				}
			}
			continue
		}
		sound = true
		o.durable(batch[i : i+1])
	}
	if !sound && !o.sound(ctx) {
		return batch, err
	}
	bad := left
	left = nil
	for _, a := range bad {
		if a.failed++; a.failed < maxFailed {
			left = append(left, a)
			continue
		}
		o.opts.Log.Error("outbox gives up writing a decision", "delivery", a.delivery.ID, "error", err)
		o.giveUp(a)
	}
	if len(left) == 0 {
		return nil, nil
	}
	return left, err
}

// sound reports whether the store writes what is no decision.
func (o *Outbox) sound(ctx context.Context) bool {
	return o.store.Update(ctx, func(tx store.Tx) error { return o.putMark(tx, o.opts.Now()) }) == nil
}

// apply writes decisions. Deliveries and endpoints that were deleted meanwhile
// need none.
func (o *Outbox) apply(tx store.Tx, batch []*ack) error {
	newest := map[string]*ack{}
	dead, err := o.deadBefore(tx, batch)
	if err != nil {
		return err
	}
	for _, a := range batch {
		d, attempt := a.delivery, a.attempt
		if d.Replays > 0 {
			// Earlier rounds have used the numbers up to here.
			earlier, err := tx.AttemptsOf(d.ID)
			if err != nil {
				return fmt.Errorf("list attempts: %w", err)
			}
			if n := len(earlier); n > 0 {
				attempt.Number = earlier[n-1].Number + 1
			}
		}
		err = tx.Conclude(&d, &attempt)
		if errors.Is(err, store.ErrNotFound) {
			if _, gone := tx.Delivery(d.ID); gone != nil {
				continue // erased
			}
			err = tx.PutAttempt(&attempt) // settled by somebody else
		} else if err == nil && a.own != nil {
			err = tx.Detach(&d)
		}
		if err != nil {
			return fmt.Errorf("write delivery: %w", err)
		}
		if a.health != nil {
			if before := newest[d.Endpoint]; before != nil && before.health.Disabled && !a.health.Disabled && before.health.Edition == a.health.Edition {
				continue
			}
			newest[d.Endpoint] = a
		}
	}
	if err := o.markClock(tx); err != nil {
		return err
	}
	for id, a := range newest {
		if err := o.applyHealth(tx, id, a.health); err != nil {
			return err
		}
	}
	for id, before := range dead {
		if err := o.toldDead(tx, id, before); err != nil {
			return err
		}
	}
	return nil
}

// deadBefore counts the dead letters of endpoints that are about to get more.
func (o *Outbox) deadBefore(tx store.Tx, batch []*ack) (counts map[string]int64, err error) {
	for _, a := range batch {
		if a.step != stepDead {
			continue
		}
		id := a.delivery.Endpoint
		if _, ok := counts[id]; ok {
			continue
		}
		stats, err := tx.EndpointStats(id)
		if err != nil {
			return nil, fmt.Errorf("count dead letters: %w", err)
		}
		if counts == nil {
			counts = map[string]int64{}
		}
		counts[id] = stats.Dead
	}
	return counts, nil
}

// readEndpoint reads a record that may have been deleted.
func readEndpoint(tx store.Tx, id string) (e *store.Endpoint, gone bool, err error) {
	e, err = tx.Endpoint(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read endpoint: %w", err)
	}
	return e, false, nil
}

// applyHealth writes what the outbox knows of an endpoint and leaves alone
// what belongs to others.
func (o *Outbox) applyHealth(tx store.Tx, id string, h *store.Endpoint) error {
	e, gone, err := readEndpoint(tx, id)
	if gone || err != nil {
		return err
	}
	if e.Edition != h.Edition {
		return nil // its owner has changed it since
	}
	before := *e
	e.Failing, e.Failures, e.PausedUntil, e.Told = h.Failing, h.Failures, h.PausedUntil, h.Told
	if h.LastOKAt.After(e.LastOKAt) {
		e.LastOKAt = h.LastOKAt
	}
	if h.Disabled && !e.Disabled {
		e.Disabled, e.Reason = true, h.Reason
	}
	if err := tx.PutEndpoint(e); err != nil {
		return fmt.Errorf("write endpoint: %w", err)
	}
	return o.told(tx, e, before, o.opts.Policy.percent(e, o.opts.Now()))
}

// durable lets lanes go on that waited for their decisions.
func (o *Outbox) durable(batch []*ack) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range batch {
		o.settled(a)
	}
	o.dispatch(o.steady())
}

func (o *Outbox) settled(a *ack) {
	l := a.lane
	if a.settles() {
		delete(l.behind, a.delivery.ID)
	}
	if l.newest == a {
		l.newest = nil
	}
	if own := a.own; own != nil && own.newest == a {
		own.newest = nil
		if own.state == laneWaiting {
			o.unread(own)
		}
	}
	switch l.state {
	case laneWaiting:
		o.unread(l)
	case laneStalled:
		if len(l.behind) <= maxBehind/2 && !l.ep.dropping {
			o.ready(l)
		}
	case laneIdle:
		// A delivery may have come back (Requeue) while its first settling was
		// not durable and hid it: look once more, unless all is known.
		switch {
		case len(l.behind) > 0 || l.ep.dropping:
		case l.whole:
			o.forget(l)
		default:
			o.ready(l)
		}
	}
}

// giveUp makes a lane forget an unwritable decision. The delivery will be made
// again: at least once.
func (o *Outbox) giveUp(a *ack) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := a.lane
	if a.settles() {
		delete(l.behind, a.delivery.ID)
	}
	if l.ep.dropping {
		return
	}
	if l.newest == a {
		l.newest = nil
	}
	l.whole = false
	if own := a.own; own != nil && own.state == laneWaiting {
		o.unsetTimer(own.timer)
		o.forget(own)
	}
	switch l.state {
	case laneStalled, laneIdle:
		o.waitFor(l, o.steady().Add(time.Minute))
	case laneReady, laneWaiting:
		o.discard(l)
	case laneBusy:
		// Its attempt goes on from the head it has.
	}
}
