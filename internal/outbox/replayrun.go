package outbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/postern-mail/postern/store"
)

// replays are the jobs that this process works on.
type replays struct {
	wake chan struct{}

	mu     sync.Mutex
	active map[string]context.CancelFunc
	// over is closed when any of them ends, and made anew.
	over chan struct{}
}

func newReplays() replays {
	return replays{wake: make(chan struct{}, 1), active: map[string]context.CancelFunc{}, over: make(chan struct{})}
}

// ended gives a channel that is closed when the next job ends.
func (r *replays) ended() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// nudge has the list of running jobs read again.
func (r *replays) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// stop has a job look at its record at once.
func (r *replays) stop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cancel := r.active[id]; cancel != nil {
		cancel()
	}
}

// begin notes that a job is worked on, unless it is already.
func (r *replays) begin(ctx context.Context, id string) (context.Context, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active[id] != nil {
		return nil, false
	}
	ctx, r.active[id] = context.WithCancel(ctx)
	return ctx, true
}

func (r *replays) end(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active[id]()
	delete(r.active, id)
	close(r.over)
	r.over = make(chan struct{})
}

// retryReplay is how long after trouble with the store a job is gone on with,
// and maxStuck how often at one place before the job has failed.
const (
	retryReplay = 5 * time.Second
	maxStuck    = 20
)

// replayLoop works on the jobs that run, each in a goroutine of its own, and
// returns when all of them have put down where they stand.
func (o *Outbox) replayLoop(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		var again <-chan time.Time
		var jobs []*store.Job
		err := o.store.View(ctx, func(tx store.Tx) (err error) {
			jobs, err = tx.RunningJobs(maxReplays)
			return err
		})
		if err != nil && ctx.Err() == nil {
			o.opts.Log.Error("outbox cannot read replays", "error", err)
			again = time.After(retryReplay)
		}
		for _, j := range jobs {
			if jobCtx, ok := o.replays.begin(ctx, j.ID); ok {
				wg.Go(func() {
					defer o.replays.end(j.ID)
					o.replay(jobCtx, j.ID)
				})
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-o.replays.wake:
		case <-again:
		}
	}
}

// errEnded: the job was cancelled or dropped.
var errEnded = errors.New("the replay has ended")

// failure is an error that ends a job, in words for who asked for it.
type failure string

func (f failure) Error() string { return string(f) }

// replay works on a job until it has come to its end, or ctx ends.
func (o *Outbox) replay(ctx context.Context, id string) {
	for tries, at := 0, int64(-1); ; tries++ {
		j, err := o.replayOn(ctx, id)
		if ctx.Err() != nil || errors.Is(err, errEnded) {
			return
		}
		var failed failure
		switch {
		case err == nil:
			err = o.endJob(ctx, id, store.JobDone, "")
		case errors.As(err, &failed):
			err = o.endJob(ctx, id, store.JobFailed, string(failed))
		default:
			if j != nil && j.Done+j.Skipped != at {
				tries, at = 0, j.Done+j.Skipped
			}
			o.opts.Log.Error("replay is held up", "job", id, "error", err)
			if tries >= maxStuck {
				// Where it is the store, this is not written either.
				err = o.endJob(ctx, id, store.JobFailed, "given up after "+fmt.Sprint(maxStuck)+" tries at one place; see the log")
			}
		}
		if err == nil || errors.Is(err, errEnded) || pause(ctx, retryReplay) != nil {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// trimJobs drops replays that were done before t.
func (o *Outbox) trimJobs(ctx context.Context, t time.Time) error {
	for dropped := chunk; dropped == chunk; {
		err := o.store.UpdateSoon(ctx, func(tx store.Tx) (err error) {
			dropped, err = tx.TrimJobs(t, chunk)
			return err
		})
		if err != nil {
			return fmt.Errorf("drop old replays: %w", err)
		}
	}
	return nil
}

// changeJob changes a job that runs.
func (o *Outbox) changeJob(ctx context.Context, id string, fn func(tx store.Tx, j *store.Job) error) (j *store.Job, err error) {
	err = o.store.Update(ctx, func(tx store.Tx) error {
		if j, err = runningJob(tx, id); err != nil {
			return err
		}
		if err := fn(tx, j); err != nil {
			return err
		}
		return tx.PutJob(j)
	})
	if err != nil {
		return nil, err
	}
	return j, nil
}

func runningJob(tx store.Tx, id string) (*store.Job, error) {
	j, err := tx.Job(id)
	if errors.Is(err, store.ErrNotFound) || err == nil && j.State != store.JobRunning {
		return nil, errEnded
	}
	if err != nil {
		return nil, fmt.Errorf("read replay: %w", err)
	}
	return j, nil
}

func (o *Outbox) endJob(ctx context.Context, id string, state store.JobState, reason string) error {
	j, err := o.changeJob(ctx, id, func(_ store.Tx, j *store.Job) error {
		j.State, j.Reason, j.DoneAt = state, reason, o.opts.Now().UTC()
		return nil
	})
	if err == nil {
		o.opts.Log.Info("replay ended", "job", id, "state", string(state), "matched", j.Matched, "done", j.Done, "skipped", j.Skipped, "reason", reason)
	}
	return err
}

// replayOn counts what a job matches, where that is not known yet, and goes on
// from where it stands. The job that it gives is the last that was written.
func (o *Outbox) replayOn(ctx context.Context, id string) (*store.Job, error) {
	var j *store.Job
	err := o.store.View(ctx, func(tx store.Tx) (err error) {
		j, err = runningJob(tx, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !j.Counted {
		matched, err := o.count(ctx, j)
		if err != nil {
			return j, err
		}
		if j, err = o.changeJob(ctx, id, func(_ store.Tx, j *store.Job) error {
			j.Matched, j.Counted = matched, true
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if j.Source == store.JobJournal {
		return o.replayJournal(ctx, j)
	}
	return o.replayDeliveries(ctx, j)
}

func (o *Outbox) count(ctx context.Context, j *store.Job) (int64, error) {
	if j.Source == store.JobJournal {
		return o.countJournal(ctx, j)
	}
	_, n, err := o.stretches(ctx, j)
	return n, err
}

// portion is how many deliveries one transaction of a job puts back: fewer
// where it has a rate, so that they do not come in bursts.
func portion(j *store.Job) int {
	if j.PerSecond == 0 {
		return chunk
	}
	return min(max(j.PerSecond/4, 1), chunk)
}

// pace waits as long as n deliveries take at the job's rate.
func pace(ctx context.Context, j *store.Job, n int64) error {
	if j.PerSecond == 0 || n == 0 {
		return ctx.Err()
	}
	return pause(ctx, time.Duration(n)*time.Second/time.Duration(j.PerSecond))
}

// putBack makes a delivery due now, at the end of its lane where it is
// settled, and notes which replay did it.
func putBack(tx store.Tx, d *store.Delivery, job string, now time.Time) error {
	d.NextAt, d.Replay = now, job
	if d.State == store.DeliveryPending {
		return tx.Reschedule(d)
	}
	d.State, d.Attempts, d.LastError, d.Replays = store.DeliveryPending, 0, "", d.Replays+1
	d.FirstFailAt, d.DoneAt, d.RequeuedAt = time.Time{}, time.Time{}, now
	return tx.Requeue(d)
}
