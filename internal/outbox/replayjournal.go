package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/postern-mail/postern/store"
)

// owePortion is how many deliveries with their bodies one transaction of a
// replay of the journal writes.
const owePortion = 64

const (
	// clockMargin is how far before its beginning a replay looks into the
	// journal, which is out of order where the clock was set back.
	clockMargin = time.Hour
	// farAhead is how many events that are not the job's are passed by before
	// its place is written down.
	farAhead = 4 * store.MaxRecords
)

// readJournal gives what a job owes for the events after a position: at most limit
// deliveries, and the position of the last event that was looked at.
func (o *Outbox) readJournal(ctx context.Context, j *store.Job, after uint64, limit int) (list []*store.Delivery, last uint64, err error) {
	err = o.store.View(ctx, func(tx store.Tx) error {
		list = list[:0]
		oldest, _, err := tx.JournalBounds()
		if err != nil {
			return fmt.Errorf("read the journal's bounds: %w", err)
		}
		if after+1 < oldest {
			if lost, err := mayHaveLost(tx, j, oldest); err != nil {
				return err
			} else if lost {
				return failure("the journal dropped events before the replay came to them")
			}
			after = oldest - 1
		}
		var wanted []Wanted
		wanted, last, err = o.opts.Owing.Wanted(tx, j.To, after, store.MaxRecords)
		if errors.Is(err, store.ErrNotFound) {
			return failure("the endpoint that was to get it is gone")
		}
		if err != nil {
			return err
		}
		for _, w := range wanted {
			if len(list) == limit {
				last = list[limit-1].Position
				return nil
			}
			if !within(j, w) {
				continue
			}
			again, err := o.owes(tx, j, w.Delivery.ID)
			if err != nil {
				return err
			}
			if again {
				list = append(list, w.Delivery)
			}
		}
		return nil
	})
	return list, last, err
}

// mayHaveLost reports whether something of a job may be among the events that
// the journal has dropped: not where the oldest that is left is before it.
func mayHaveLost(tx store.Tx, j *store.Job, oldest uint64) (bool, error) {
	if j.Since.IsZero() {
		return true, nil
	}
	next, err := tx.EventsAfter(oldest-1, 1)
	if err != nil {
		return false, fmt.Errorf("read the journal: %w", err)
	}
	return len(next) == 0 || !next[0].Time.Before(j.Since), nil
}

// within reports whether a job is about an event.
func within(j *store.Job, w Wanted) bool {
	d := w.Delivery
	return d.Position <= j.End && (j.Account == "" || d.Account == j.Account) && (j.Type == "" || d.Type == j.Type) &&
		!w.At.Before(j.Since) && w.At.Before(j.Until)
}

// owes reports whether a job puts back, or owes for the first time, a delivery.
func (o *Outbox) owes(tx store.Tx, j *store.Job, id string) (bool, error) {
	d, err := tx.Delivery(id)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read delivery: %w", err)
	}
	return slices.Contains(j.States, d.State), nil
}

func (o *Outbox) countJournal(ctx context.Context, j *store.Job) (n int64, err error) {
	for at := j.Last; at < j.End; {
		list, last, err := o.readJournal(ctx, j, at, store.MaxRecords)
		if err != nil {
			return 0, err
		}
		if n += int64(len(list)); last == at {
			break
		}
		at = last
	}
	return n, ctx.Err()
}

func (o *Outbox) replayJournal(ctx context.Context, j *store.Job) (*store.Job, error) {
	for at := j.Last; at < j.End; {
		list, last, err := o.readJournal(ctx, j, at, min(portion(j), owePortion))
		if err != nil {
			return j, err
		}
		switch {
		case len(list) > 0:
			before := j.Done
			next, err := o.oweAll(ctx, j.ID, list, last)
			if err != nil {
				return j, err
			}
			if j = next; pace(ctx, j, j.Done-before) != nil {
				return j, ctx.Err()
			}
		case last-j.Last >= farAhead:
			if j, err = o.changeJob(ctx, j.ID, func(_ store.Tx, j *store.Job) error { j.Last = last; return nil }); err != nil {
				return j, err
			}
		}
		if last == at {
			break
		}
		at = last
	}
	return j, ctx.Err()
}

// oweAll owes some events and moves the job behind the last that was looked
// at, in one transaction.
func (o *Outbox) oweAll(ctx context.Context, id string, list []*store.Delivery, last uint64) (*store.Job, error) {
	now := o.opts.Now().UTC()
	return o.changeJob(ctx, id, func(tx store.Tx, j *store.Job) error {
		var lanes []store.Lane
		for _, given := range list {
			d, err := o.oweAgain(tx, j, given, now)
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
		j.Last = last
		tx.AfterCommit(func() { o.hurry(lanes) })
		return nil
	})
}

func (o *Outbox) oweAgain(tx store.Tx, j *store.Job, given *store.Delivery, now time.Time) (*store.Delivery, error) {
	again, err := o.owes(tx, j, given.ID)
	if err != nil || !again {
		return nil, err
	}
	copied := *given // the transaction may run twice
	d, err := o.owe(tx, j, &copied, now)
	if errors.Is(err, store.ErrNotFound) {
		return nil, failure("the endpoint that was to get it is gone")
	}
	if err != nil {
		return nil, err
	}
	if err := o.opts.Owing.Body(tx, d); err != nil {
		return nil, fmt.Errorf("store webhook body: %w", err)
	}
	return d, nil
}
