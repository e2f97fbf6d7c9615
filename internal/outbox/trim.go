package outbox

import (
	"context"
	"time"

	"github.com/postern-mail/postern/store"
)

// trimEvery is how often settled deliveries are looked at for their age.
const trimEvery = time.Hour

// trimLoop removes settled deliveries that are older than they are kept.
func (o *Outbox) trimLoop(ctx context.Context) {
	clock := time.NewTicker(trimEvery)
	defer clock.Stop()
	for {
		if err := o.trim(ctx); err != nil && ctx.Err() == nil {
			o.opts.Log.Error("outbox cannot trim", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
	}
}

func (o *Outbox) trim(ctx context.Context) error {
	now := o.opts.Now()
	delivered, dead := now.Add(-o.opts.KeepDelivered), now.Add(-o.opts.KeepDead)
	for {
		var more bool
		err := o.store.UpdateSoon(ctx, func(tx store.Tx) (err error) {
			_, more, err = tx.TrimOutbox(delivered, dead, chunk)
			return err
		})
		if err != nil {
			return err
		}
		if !more {
			return o.trimJobs(ctx, delivered)
		}
	}
}
