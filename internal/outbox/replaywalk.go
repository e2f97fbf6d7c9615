package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/store"
)

// A replay of deliveries goes from the oldest to the newest, so that lanes keep
// their order, over a store that lists them newest first. So it first reads
// them all once, which counts them, and keeps of every page only the time at
// which it ends. Then it reads the stretches between these times again, the
// oldest first, sorts each and puts it back, some at a time. Where it stands is
// a place in that order; what is behind it is never looked at again, whatever
// has become of it.

// place is where a delivery stands in the order of a replay.
type place struct {
	at       time.Time
	position uint64
	id       string
}

func placeOf(d *store.Delivery) place { return place{d.CreatedAt, d.Position, d.ID} }

func comparePlaces(a, b place) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.position, b.position), strings.Compare(a.id, b.id))
}

// filters are those by which a job's deliveries are listed: one for each state.
func filters(j *store.Job) []store.DeliveryFilter {
	f := store.DeliveryFilter{Endpoint: j.Endpoint, Account: j.Account, Type: j.Type, Since: j.Since, Until: j.Until}
	if j.LastAt.After(f.Since) {
		f.Since = j.LastAt
	}
	list := make([]store.DeliveryFilter, len(j.States))
	for i, s := range j.States {
		list[i] = f
		list[i].State = s
	}
	return list
}

// each calls fn with the pages of what a filter finds, newest first.
func (o *Outbox) each(ctx context.Context, f store.DeliveryFilter, fn func(page []*store.Delivery)) error {
	var after store.DateKey
	for {
		var page []*store.Delivery
		err := o.store.View(ctx, func(tx store.Tx) (err error) {
			page, err = tx.Deliveries(f, after, store.MaxRecords)
			return err
		})
		if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
		if len(page) > 0 {
			fn(page)
		}
		if len(page) < store.MaxRecords {
			return ctx.Err()
		}
		last := page[len(page)-1]
		after = store.DateKey{At: last.CreatedAt, ID: last.ID}
	}
}

// windows gives the times at which the stretches of a job begin, oldest first,
// and counts what is still ahead of it.
func (o *Outbox) windows(ctx context.Context, j *store.Job) (starts []time.Time, matched int64, err error) {
	last := place{j.LastAt, j.Last, j.LastID}
	for _, f := range filters(j) {
		err := o.each(ctx, f, func(page []*store.Delivery) {
			for _, d := range page {
				if comparePlaces(placeOf(d), last) > 0 {
					matched++
				}
			}
			starts = append(starts, page[len(page)-1].CreatedAt)
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.SortFunc(starts, time.Time.Compare)
	return slices.CompactFunc(starts, time.Time.Equal), matched, nil
}

// stretch lists the places of a job from a time until another, in order.
func (o *Outbox) stretch(ctx context.Context, j *store.Job, from, until time.Time) (list []place, err error) {
	last := place{j.LastAt, j.Last, j.LastID}
	for _, f := range filters(j) {
		if from.After(f.Since) {
			f.Since = from
		}
		f.Until = until
		err := o.each(ctx, f, func(page []*store.Delivery) {
			for _, d := range page {
				if p := placeOf(d); comparePlaces(p, last) > 0 {
					list = append(list, p)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, comparePlaces)
	// One that changed its state between two listings is there twice.
	return slices.CompactFunc(list, func(a, b place) bool { return a.id == b.id }), nil
}

func (o *Outbox) replayDeliveries(ctx context.Context, j *store.Job) (*store.Job, error) {
	starts, _, err := o.windows(ctx, j)
	if err != nil {
		return j, err
	}
	for i, from := range starts {
		until := j.Until
		if i+1 < len(starts) {
			until = starts[i+1]
		}
		list, err := o.stretch(ctx, j, from, until)
		if err != nil {
			return j, err
		}
		for part := range slices.Chunk(list, portion(j)) {
			before := j.Done
			next, err := o.putBackAll(ctx, j.ID, part)
			if err != nil {
				return j, err
			}
			if j = next; pace(ctx, j, j.Done-before) != nil {
				return j, ctx.Err()
			}
		}
	}
	return j, nil
}

// putBackAll puts some deliveries back and moves the job behind them, in one
// transaction.
func (o *Outbox) putBackAll(ctx context.Context, id string, part []place) (*store.Job, error) {
	now := o.opts.Now().UTC()
	return o.changeJob(ctx, id, func(tx store.Tx, j *store.Job) error {
		var lanes []store.Lane
		for _, p := range part {
			d, err := o.again(tx, j, p.id, now)
			if err != nil {
				return err
			}
			if d == nil {
				j.Skipped++
				continue
			}
			j.Done++
			lanes = append(lanes, store.Lane{Endpoint: d.Endpoint, Lane: d.Lane, Due: now})
		}
		last := part[len(part)-1]
		j.LastAt, j.Last, j.LastID = last.at, last.position, last.id
		tx.AfterCommit(func() { o.hurry(lanes) })
		return nil
	})
}

// again puts one delivery back, nil where there is nothing to put back any
// more: it was dropped, or has another state than when the job began.
func (o *Outbox) again(tx store.Tx, j *store.Job, id string, now time.Time) (*store.Delivery, error) {
	d, err := tx.Delivery(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !slices.Contains(j.States, d.State) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	if j.To != "" && j.To != d.Endpoint {
		return o.move(tx, j, d, now)
	}
	if _, err := tx.Endpoint(d.Endpoint); errors.Is(err, store.ErrNotFound) {
		return nil, nil // nobody is there any more to receive it
	} else if err != nil {
		return nil, fmt.Errorf("read endpoint: %w", err)
	}
	if err := putBack(tx, d, j.ID, now); err != nil {
		return nil, fmt.Errorf("write delivery: %w", err)
	}
	return d, nil
}

// move owes another endpoint what a delivery holds.
func (o *Outbox) move(tx store.Tx, j *store.Job, from *store.Delivery, now time.Time) (*store.Delivery, error) {
	d, err := o.opts.Owing.Moved(tx, j.To, from)
	if errors.Is(err, store.ErrNotFound) {
		return nil, failure("the endpoint that was to get it is gone")
	}
	if err != nil {
		return nil, err
	}
	return o.owe(tx, j, d, now)
}

// owe enqueues a delivery, or puts it back where it is there.
func (o *Outbox) owe(tx store.Tx, j *store.Job, d *store.Delivery, now time.Time) (*store.Delivery, error) {
	old, err := tx.Delivery(d.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		d.State, d.CreatedAt, d.NextAt, d.Replay = store.DeliveryPending, now, now, j.ID
		if err := tx.Enqueue(d); err != nil {
			return nil, fmt.Errorf("enqueue delivery: %w", err)
		}
		return d, nil
	case err != nil:
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	if err := putBack(tx, old, j.ID, now); err != nil {
		return nil, fmt.Errorf("write delivery: %w", err)
	}
	return old, nil
}
