package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

const (
	opReplay = "replay"
	// maxReplays is how many replays run at once.
	maxReplays = 100
	// maxPerSecond bounds the rate that a replay may be given.
	maxPerSecond = 100_000
)

// Replay says what is made again: the deliveries that a filter finds, oldest
// first, or the events of the journal that an endpoint wants.
type Replay struct {
	Source store.JobSource
	// Filter restricts what is replayed. Its State stands for States. Since and
	// Until are about when a delivery was owed, or when an event happened.
	Filter store.DeliveryFilter
	// States are those of the deliveries that are made again. Without any:
	// those that are dead; and where the journal is read none, so that an
	// endpoint gets what it was never owed.
	States []store.DeliveryState
	// To is the endpoint that gets it all, empty for the deliveries' own.
	To string
	// PerSecond bounds how many are put back in a second, 0 does not.
	PerSecond int
}

// Owing knows what endpoints are owed. Only replays ask it.
type Owing interface {
	// Wanted reads at most limit events of the journal after a position, and
	// gives those that an endpoint wants as the deliveries it is, or would be,
	// owed. last is the position that it came to, after where nothing is left.
	Wanted(tx store.Tx, endpoint string, after uint64, limit int) (list []Wanted, last uint64, err error)
	// Body fixes the body of a delivery that Wanted gave, unless it is there.
	Body(tx store.Tx, d *store.Delivery) error
	// Moved gives the delivery by which another endpoint is owed the same event
	// with the same body.
	Moved(tx store.Tx, to string, d *store.Delivery) (*store.Delivery, error)
}

// Wanted is what an endpoint is owed for an event that happened At.
type Wanted struct {
	Delivery *store.Delivery
	At       time.Time
}

// job checks a replay and makes a job of it.
func (r Replay) job(now time.Time) (*store.Job, error) {
	j := &store.Job{
		ID: "r" + strings.ToLower(rand.Text()), State: store.JobRunning, Source: r.Source,
		Endpoint: r.Filter.Endpoint, Account: r.Filter.Account, Type: r.Filter.Type, Since: r.Filter.Since, Until: r.Filter.Until,
		States: slices.Clone(r.States), To: r.To, PerSecond: r.PerSecond, CreatedAt: now,
	}
	invalid := func(format string, args ...any) (*store.Job, error) {
		return nil, mail.Errorf(mail.KindInvalid, opReplay, format, args...)
	}
	if r.Filter.State != "" {
		if len(j.States) > 0 {
			return invalid("give one state or several, not both")
		}
		j.States = []store.DeliveryState{r.Filter.State}
	}
	switch r.Source {
	case store.JobDeliveries:
		if len(j.States) == 0 {
			j.States = []store.DeliveryState{store.DeliveryDead}
		}
	case store.JobJournal:
		if j.To == "" {
			j.To = j.Endpoint
		}
		if j.To == "" {
			return invalid("the journal is replayed to one endpoint: say to which")
		}
		if j.Endpoint != "" && j.Endpoint != j.To {
			return invalid("the journal is replayed to one endpoint, not from one to another")
		}
		j.Endpoint = j.To
	default:
		return invalid("%q is nothing to replay", r.Source)
	}
	slices.Sort(j.States)
	j.States = slices.Compact(j.States)
	if !j.Since.IsZero() && !j.Until.IsZero() && !j.Since.Before(j.Until) {
		return invalid("since is before until")
	}
	if j.PerSecond < 0 || j.PerSecond > maxPerSecond {
		return invalid("a rate is between 1 and %d per second", maxPerSecond)
	}
	return j, nil
}

// replayable makes a job of a replay that this outbox can do.
func (o *Outbox) replayable(r Replay) (*store.Job, error) {
	j, err := r.job(o.opts.Now().UTC())
	if err == nil && j.To != "" && o.opts.Owing == nil {
		err = mail.Errorf(mail.KindInvalid, opReplay, "nothing can be replayed to an endpoint of choice here")
	}
	return j, err
}

// Replay starts a replay, which goes on over restarts until it has come to the
// end or is cancelled. The job that it gives is where it stands now.
func (o *Outbox) Replay(ctx context.Context, r Replay) (*store.Job, error) {
	j, err := o.replayable(r)
	if err != nil {
		return nil, err
	}
	err = o.store.Update(ctx, func(tx store.Tx) error {
		if err := o.bound(tx, j); err != nil {
			return err
		}
		running, err := tx.RunningJobs(maxReplays)
		if err != nil {
			return fmt.Errorf("list replays: %w", err)
		}
		if len(running) == maxReplays {
			return mail.Errorf(mail.KindConflict, opReplay, "%d replays are running: wait for one, or cancel it", maxReplays)
		}
		return tx.PutJob(j)
	})
	if err != nil {
		return nil, err
	}
	o.replays.nudge()
	return j, nil
}

// CountReplay says what a replay would do, and changes nothing. The job that
// it gives has Matched, and is not kept.
func (o *Outbox) CountReplay(ctx context.Context, r Replay) (*store.Job, error) {
	j, err := o.replayable(r)
	if err != nil {
		return nil, err
	}
	if err := o.store.View(ctx, func(tx store.Tx) error { return o.bound(tx, j) }); err != nil {
		return nil, err
	}
	if j.Matched, err = o.count(ctx, j); err != nil {
		return nil, err
	}
	j.State, j.Counted, j.DoneAt = store.JobDone, true, j.CreatedAt
	return j, nil
}

// bound sets where a job ends, so that it does not replay what it causes, and
// refuses endpoints that are not there.
func (o *Outbox) bound(tx store.Tx, j *store.Job) error {
	for _, id := range []string{j.Endpoint, j.To} {
		if id == "" {
			continue
		}
		if _, err := tx.Endpoint(id); errors.Is(err, store.ErrNotFound) {
			return mail.Errorf(mail.KindNotFound, opReplay, "there is no endpoint %q", id)
		} else if err != nil {
			return fmt.Errorf("read endpoint: %w", err)
		}
	}
	if j.Source == store.JobJournal {
		_, newest, err := tx.JournalBounds()
		if err != nil {
			return fmt.Errorf("read the journal's bounds: %w", err)
		}
		since := j.Since
		if !since.IsZero() {
			since = since.Add(-clockMargin)
		}
		if j.Last, err = store.PositionBefore(tx, since); err != nil {
			return fmt.Errorf("look for the beginning in the journal: %w", err)
		}
		j.End = newest
	}
	// Right behind the newest that is there: the clock may have been set back.
	// An end that is yet to come would have the job chase what it makes.
	asked := j.Until
	j.Until = j.CreatedAt
	if j.Source == store.JobDeliveries {
		newest, err := tx.Deliveries(store.DeliveryFilter{Endpoint: j.Endpoint}, store.DateKey{}, 1)
		if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
		if len(newest) > 0 && newest[0].CreatedAt.After(j.Until) {
			j.Until = newest[0].CreatedAt
		}
	}
	if j.Until = j.Until.Add(1); !asked.IsZero() && asked.Before(j.Until) {
		j.Until = asked
	}
	return nil
}

// Job gives a replay.
func (o *Outbox) Job(ctx context.Context, id string) (j *store.Job, err error) {
	err = o.store.View(ctx, func(tx store.Tx) error {
		j, err = tx.Job(id)
		return noReplay(id, err)
	})
	return j, err
}

func noReplay(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return mail.Errorf(mail.KindNotFound, opReplay, "there is no replay %q", id)
	}
	return err
}

// Jobs lists replays, newest first.
func (o *Outbox) Jobs(ctx context.Context, after store.DateKey, limit int) (list []*store.Job, err error) {
	err = o.store.View(ctx, func(tx store.Tx) (err error) {
		list, err = tx.Jobs(after, limit)
		return err
	})
	return list, err
}

// CancelJob ends a replay. What it has put back stays put back.
func (o *Outbox) CancelJob(ctx context.Context, id string) (j *store.Job, err error) {
	err = o.store.Update(ctx, func(tx store.Tx) error {
		if j, err = tx.Job(id); err != nil {
			return noReplay(id, err)
		}
		switch j.State {
		case store.JobCancelled:
			return nil
		case store.JobRunning:
		default:
			return mail.Errorf(mail.KindConflict, opReplay, "the replay is %s already", j.State)
		}
		j.State, j.DoneAt = store.JobCancelled, o.opts.Now().UTC()
		return tx.PutJob(j)
	})
	if err != nil {
		return nil, err
	}
	o.replays.stop(id)
	return j, nil
}

// DropJobsOf removes what names an account of the replays, and ends those that
// run: it is a part of erasing the account.
func (o *Outbox) DropJobsOf(ctx context.Context, account string) error {
	for more := true; more; {
		err := o.store.Update(ctx, func(tx store.Tx) (err error) {
			more, err = tx.DropJobsOf(account, chunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop replays: %w", err)
		}
	}
	return nil
}
