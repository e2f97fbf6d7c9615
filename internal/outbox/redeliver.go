package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const opRedeliver = "redeliver"

// Redeliver makes deliveries again, with the same id and body. Settled ones go
// to the end of their lane, pending ones become due now. It reports how many.
// After an error the chunks before it stay done, and calling again does the
// rest. More than can be named is what Replay is for.
func (o *Outbox) Redeliver(ctx context.Context, ids []string) (int, error) {
	if len(ids) == 0 {
		return 0, mail.Errorf(mail.KindInvalid, opRedeliver, "name deliveries by id or give a filter that says which")
	}
	if err := o.mustExist(ctx, ids); err != nil {
		return 0, err
	}
	done := 0
	for len(ids) > 0 {
		n := min(chunk, len(ids))
		count, err := o.requeue(ctx, ids[:n])
		done += count
		if err != nil {
			return done, err
		}
		ids = ids[n:]
	}
	return done, nil
}

// mustExist refuses the whole request for one wrong id.
func (o *Outbox) mustExist(ctx context.Context, ids []string) error {
	for len(ids) > 0 {
		n := min(store.MaxRecords, len(ids))
		err := o.store.View(ctx, func(tx store.Tx) error {
			for _, id := range ids[:n] {
				if _, err := tx.Delivery(id); errors.Is(err, store.ErrNotFound) {
					return mail.Errorf(mail.KindNotFound, opRedeliver, "there is no delivery %q", id)
				} else if err != nil {
					return fmt.Errorf("read delivery: %w", err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		ids = ids[n:]
	}
	return nil
}

// requeue takes one chunk back.
func (o *Outbox) requeue(ctx context.Context, ids []string) (count int, err error) {
	now := o.opts.Now()
	err = o.store.Update(ctx, func(tx store.Tx) error {
		count = 0
		var lanes []store.Lane
		for _, id := range ids {
			d, err := tx.Delivery(id)
			if errors.Is(err, store.ErrNotFound) {
				continue // dropped meanwhile
			}
			if err != nil {
				return fmt.Errorf("read delivery: %w", err)
			}
			if _, err := tx.Endpoint(d.Endpoint); errors.Is(err, store.ErrNotFound) {
				continue // nobody is there any more to receive it
			} else if err != nil {
				return fmt.Errorf("read endpoint: %w", err)
			}
			if err := putBack(tx, d, "", now); err != nil {
				return fmt.Errorf("write delivery: %w", err)
			}
			count++
			lanes = append(lanes, store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: now})
		}
		tx.AfterCommit(func() { o.hurry(lanes) })
		return nil
	})
	return count, err
}

// Await gives a replay once it has ended, or as it stands when the time is up.
func (o *Outbox) Await(ctx context.Context, id string, limit time.Duration) (*store.Job, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		ended := o.replays.ended()
		j, err := o.Job(ctx, id)
		if err != nil || j.State != store.JobRunning {
			return j, err
		}
		select {
		case <-ctx.Done():
			return j, nil
		case <-timer.C:
			return j, nil
		case <-ended:
		}
	}
}

// Deliveries lists deliveries by CreatedAt, newest first.
func (o *Outbox) Deliveries(ctx context.Context, f store.DeliveryFilter, after store.DateKey, limit int) (list []*store.Delivery, err error) {
	err = o.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = tx.Deliveries(f, after, limit)
		return err
	})
	return list, err
}

// Delivery gives one delivery with its attempts, oldest first.
func (o *Outbox) Delivery(ctx context.Context, id string) (d *store.Delivery, attempts []store.Attempt, err error) {
	err = o.store.View(ctx, func(tx store.Tx) (err error) {
		d, err = tx.Delivery(id)
		if errors.Is(err, store.ErrNotFound) {
			return mail.Errorf(mail.KindNotFound, "read delivery", "there is no delivery %q", id)
		}
		if err != nil {
			return fmt.Errorf("read delivery: %w", err)
		}
		attempts, err = tx.AttemptsOf(id)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return d, attempts, nil
}
