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
		o.skew = behind
		o.opts.Log.Warn("the clock was set back since the last run", "by", behind.Round(time.Second))
	}
	return nil
}

// markClock writes the time down now and then, with decisions that are written
// anyway. It never goes back.
func (o *Outbox) markClock(tx store.Tx) error {
	now := o.opts.Now()
	o.mu.Lock()
	old := now.Sub(o.marked) < markEvery
	o.mu.Unlock()
	if old {
		return nil
	}
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
