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

// A replay of deliveries goes in the order of the events, by position, so that
// lanes keep theirs whatever the clock said when it was owed, over a store that
// lists deliveries by that time, newest first. So it first reads them all once,
// which counts them, and keeps of every page only its stretch: from which time
// to which, and the positions in it. Then it goes through the positions, from
// one border of a page to the next, reads those pages again that have some of
// them, sorts what it finds and puts it back, some at a time. As long as nobody
// set the clock back, positions rise with time and each page is read again once
// or twice. Where it stands is a place in that order; what is behind it is never
// looked at again, whatever has become of it.

// place is where a delivery stands in the order of a replay.
type place struct {
	position uint64
	at       time.Time
	id       string
}

func placeOf(d *store.Delivery) place { return place{d.Position, d.CreatedAt, d.ID} }

// lastOf is how far a job has come.
func lastOf(j *store.Job) place { return place{j.Last, j.LastAt, j.LastID} }

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.position, b.position), a.at.Compare(b.at), strings.Compare(a.id, b.id))
}

// stretch is a page of a listing: the filter that gives it again, and the
// positions that are in it.
type stretch struct {
	filter    store.DeliveryFilter
	low, high uint64
}

// filters are those by which a job's deliveries are listed: one for each state.
func filters(j *store.Job) []store.DeliveryFilter {
	f := store.DeliveryFilter{Endpoint: j.Endpoint, Account: j.Account, Type: j.Type, Since: j.Since, Until: j.Until}
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

// stretches reads what a job is about, and counts what is still ahead of it.
func (o *Outbox) stretches(ctx context.Context, j *store.Job) (list []stretch, matched int64, err error) {
	last := lastOf(j)
	for _, f := range filters(j) {
		err := o.each(ctx, f, func(page []*store.Delivery) {
			st := stretch{filter: f, low: page[0].Position, high: page[0].Position}
			for _, d := range page {
				st.low, st.high = min(st.low, d.Position), max(st.high, d.Position)
				if comparePlaces(placeOf(d), last) > 0 {
					matched++
				}
			}
			st.filter.Since, st.filter.Until = page[len(page)-1].CreatedAt, page[0].CreatedAt.Add(1)
			list = append(list, st)
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return list, matched, nil
}

// borders are the positions at which stretches begin, or have ended.
func borders(list []stretch) []uint64 {
	var at []uint64
	for _, st := range list {
		at = append(at, st.low, st.high+1)
	}
	slices.Sort(at)
	return slices.Compact(at)
}

// between lists the places of a job from a position until another, in order.
func (o *Outbox) between(ctx context.Context, j *store.Job, all []stretch, from, until uint64) (list []place, err error) {
	last := lastOf(j)
	for _, st := range all {
		if st.high < from || st.low >= until {
			continue
		}
		err := o.each(ctx, st.filter, func(page []*store.Delivery) {
			for _, d := range page {
				if p := placeOf(d); p.position >= from && p.position < until && comparePlaces(p, last) > 0 {
					list = append(list, p)
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, comparePlaces)
	// One is there twice that changed its state between two listings, or whose
	// time is that of a page's end.
	return slices.CompactFunc(list, func(a, b place) bool { return a.id == b.id }), nil
}

func (o *Outbox) replayDeliveries(ctx context.Context, j *store.Job) (*store.Job, error) {
	all, _, err := o.stretches(ctx, j)
	if err != nil {
		return j, err
	}
	var from uint64
	for i, until := range borders(all) {
		if i == 0 || until <= j.Last {
			from = until
			continue
		}
		list, err := o.between(ctx, j, all, from, until)
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
		from = until
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
// more: it was dropped, has another state than when the job began, or is what
// the job has made.
func (o *Outbox) again(tx store.Tx, j *store.Job, id string, now time.Time) (*store.Delivery, error) {
	d, err := tx.Delivery(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && (!slices.Contains(j.States, d.State) || d.Replay == j.ID) {
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
