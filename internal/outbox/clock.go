package outbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/store"
)

// clockSetting is the latest time of the wall at which the outbox is known to
// have run: where the clock is behind it at the start, it was set back, and
// what is due by the old one is not made to wait for that time to come again.
//
// A run that has found its clock set back reads what it finds at its start by
// the old clock, and then writes the time down anew: what it writes itself is
// by the clock that it has, and the next run must not take it for the old
// one's. What is left of the old clock then, in endpoints with more lanes than
// fit into memory or after another restart, shows by being further ahead than
// anything can have been put off; where the clock was set back by less than
// that, it is late by as much, once.
const clockSetting = "outbox.clock"

// markEvery is how often the time is written down, and how far behind it a
// clock must be to count as set back.
const markEvery = time.Minute

// readClock compares the clock with what the last run has seen of it.
func (o *Outbox) readClock(ctx context.Context) error {
	var mark time.Time
	err := o.store.View(ctx, func(tx store.Tx) error {
		b, err := tx.Setting(clockSetting)
		if err == nil && len(b) == 8 {
			mark = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("read the outbox's clock: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.marked = mark
	if behind := mark.Sub(o.opts.Now()); behind > markEvery {
		o.skew = oldClock(behind)
		o.opts.Log.Warn("the clock was set back since the last run", "by", behind.Round(time.Second))
	}
	return nil
}

// markClock writes the time down now and then, with decisions that are written
// anyway.
func (o *Outbox) markClock(tx store.Tx) error {
	now := o.opts.Now()
	o.mu.Lock()
	old := now.Sub(o.marked) < markEvery
	o.mu.Unlock()
	if old {
		return nil
	}
	return o.putMark(tx, now)
}

func (o *Outbox) putMark(tx store.Tx, now time.Time) error {
	o.mu.Lock()
	now = later(o.marked, now)
	o.mu.Unlock()
	if err := tx.PutSetting(clockSetting, binary.BigEndian.AppendUint64(nil, uint64(now.UnixNano()))); err != nil {
		return fmt.Errorf("write the outbox's clock: %w", err)
	}
	tx.AfterCommit(func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.marked = later(o.marked, now)
	})
	return nil
}

// skewTaken is called when all that a former run has left was read, or as much
// of it as fits into memory: the clock of this run holds from now on.
func (o *Outbox) skewTaken() {
	if o.skew > 0 && !o.tookSkew {
		o.marked = time.Time{}
	}
	o.tookSkew = true
}

// oldClock is how far ahead of ours the clock of former runs was.
type oldClock time.Duration

// ours turns a stored time into one of the clock that we have. former: it is
// known to have been written by a former run. Nothing is put off for longer
// than longest.
func (c oldClock) ours(at, now time.Time, former bool, longest time.Duration) time.Time {
	if former || at.Sub(now) > longest {
		at = at.Add(-time.Duration(c))
	}
	if at.Sub(now) > longest {
		return now // neither clock has written this
	}
	return at
}

// waits reports whether a delivery is to be sent later, and when by our clock.
// One that was never tried and was due when it came to be is due now, whatever
// was done to the clock since.
func (p Policy) waits(d *store.Delivery, now time.Time, c oldClock) (at time.Time, later bool) {
	at = c.ours(d.NextAt, now, false, p.longest())
	return at, at.After(now) && (d.Attempts > 0 || d.NextAt.After(d.CreatedAt))
}

// paused is until when an endpoint's record says that it is to be left alone,
// by our clock. The first one that is read, before the endpoint was met, was
// written by a former run.
func (p Policy) paused(e *store.Endpoint, now time.Time, c oldClock, met bool) time.Time {
	return c.ours(e.PausedUntil, now, !met, p.MaxRetryAfter)
}
