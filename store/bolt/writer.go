package bolt

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/table"
)

const (
	// maxWork and maxMembers bound what one commit takes in.
	maxWork    = 10 * time.Millisecond
	maxMembers = 1000
	// hold is how long UpdateSoon may wait for company, and only while nobody
	// else wants to write.
	hold = 50 * time.Millisecond
	// enough is company enough.
	enough = 512
)

// writer is the one goroutine that writes. It commits at once when it is
// idle; what queues while it is busy shares the next commit. Functions run on
// their callers' goroutines, one at a time, each when its turn has come: a
// panic rises where it belongs.
type writer struct {
	store *Store
	// commit ends a transaction; a test may let it fail.
	commit func(*bbolt.Tx) error

	mu     sync.Mutex
	queue  []*job
	urgent int
	closed bool
	// broken is why nothing is written any more; fell is closed with it.
	broken error
	fell   chan struct{}

	wake chan struct{}
	done chan struct{}
}

// States of a job.
const (
	jobWaiting int32 = iota
	jobStarted
	jobWithdrawn
)

type job struct {
	fn    func(*table.Tx) error
	soon  bool
	since time.Time
	state atomic.Int32
	// turn hands the caller the transaction, ran gives its function's answer
	// back, done is the end.
	turn chan *table.Tx
	ran  chan error
	done chan error
}

func newWriter(s *Store) *writer {
	w := &writer{
		store:  s,
		commit: (*bbolt.Tx).Commit,
		wake:   make(chan struct{}, 1),
		fell:   make(chan struct{}),
		done:   make(chan struct{}),
	}
	go w.loop()
	return w
}

// do runs fn in a transaction and returns when it is durable.
func (w *writer) do(ctx context.Context, fn func(*table.Tx) error, soon bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{
		fn: fn, soon: soon, since: time.Now(),
		turn: make(chan *table.Tx, 1), ran: make(chan error, 1), done: make(chan error, 1),
	}
	if err := w.add(j); err != nil {
		return err
	}
	cancelled := ctx.Done()
	for {
		select {
		case tx := <-j.turn:
			j.run(tx)
		case err := <-j.done:
			return err
		case <-cancelled:
			if j.state.CompareAndSwap(jobWaiting, jobWithdrawn) {
				return ctx.Err()
			}
			// It runs, and may become durable: only the end of it is true.
			cancelled = nil
		}
	}
}

// errAborted stands for a function that did not return.
var errAborted = errors.New("the update panicked")

func (j *job) run(tx *table.Tx) {
	err := errAborted
	defer func() { j.ran <- err }()
	err = j.fn(tx)
}

func (w *writer) add(j *job) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return store.ErrClosed
	}
	if w.broken != nil {
		return w.broken
	}
	w.queue = append(w.queue, j)
	if !j.soon {
		w.urgent++
	}
	w.signal()
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close writes what is queued, held back or not, and ends the writer.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.signal()
	w.mu.Unlock()
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		now, wait, end := w.ready()
		switch {
		case now:
			w.group()
		case end:
			return
		case wait > 0:
			t := time.NewTimer(wait)
			select {
			case <-w.wake:
			case <-t.C:
			}
			t.Stop()
		default:
			<-w.wake
		}
	}
}

// ready says whether to write now, and else how long what is held back may
// wait.
func (w *writer) ready() (now bool, wait time.Duration, end bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.queue) == 0 {
		return false, 0, w.closed
	}
	if w.urgent > 0 || w.closed || len(w.queue) >= enough {
		return true, 0, false
	}
	wait = hold - time.Since(w.queue[0].since)
	return wait <= 0, wait, false
}

// take gives the next job that was not withdrawn, nil where there is none.
func (w *writer) take() *job {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 {
		j := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		if !j.soon {
			w.urgent--
		}
		if j.state.CompareAndSwap(jobWaiting, jobStarted) {
			return j
		}
	}
	return nil
}

// member is a job that ran in the transaction of the moment.
type member struct {
	job *job
	tx  *table.Tx
}

// group runs and commits what is queued, up to the bounds.
func (w *writer) group() {
	began := time.Now()
	members, err := w.collect(began)
	if len(members) == 0 {
		return
	}
	if observe := w.store.opts.Observe.Commit; observe != nil {
		observe(time.Since(began), len(members), err)
	}
	if err == nil {
		for _, m := range members {
			for _, fn := range m.tx.Committed() {
				fn()
			}
		}
	}
	for _, m := range members {
		m.job.done <- err
	}
}

// collect runs members in one transaction and commits it. A member that fails
// after it wrote something ends the collecting: the transaction is rolled
// back, and those before it run again in a new one, which is committed without
// further company so that failing updates do not make others run many times.
func (w *writer) collect(began time.Time) (members []member, err error) {
	btx, batch, err := w.begin()
	if err != nil {
		w.fail(err)
		return nil, nil
	}
	var again []*job
	closing := false
	for {
		var j *job
		switch {
		case len(again) > 0:
			j, again = again[0], again[1:]
		case !closing && len(members) < maxMembers && (len(members) == 0 || time.Since(began) < maxWork):
			j = w.take()
		}
		if j == nil {
			break
		}
		tx := batch.Tx()
		before := batch.Writes()
		j.turn <- tx
		if err := <-j.ran; err == nil {
			members = append(members, member{j, tx})
			continue
		} else {
			j.done <- err
		}
		if batch.Writes() == before {
			continue
		}
		_ = btx.Rollback()
		for i := len(members) - 1; i >= 0; i-- {
			again = append([]*job{members[i].job}, again...)
		}
		members, closing = nil, true
		if len(again) == 0 {
			return nil, nil
		}
		if observe := w.store.opts.Observe.Rerun; observe != nil {
			observe(len(again))
		}
		if btx, batch, err = w.begin(); err != nil {
			for _, j := range again {
				j.done <- err
			}
			return nil, nil
		}
	}
	if batch.Writes() == 0 {
		_ = btx.Rollback()
		return members, nil
	}
	if err := batch.Finish(); err != nil {
		_ = btx.Rollback()
		return members, fmt.Errorf("finish: %w", err)
	}
	if err := w.commit(btx); err != nil {
		return members, w.failed(err)
	}
	return members, nil
}

func (w *writer) begin() (*bbolt.Tx, *table.Batch, error) {
	btx, err := w.store.db.Begin(true)
	if err != nil {
		return nil, nil, fmt.Errorf("begin to write: %w", err)
	}
	return btx, w.store.tables.Begin(newKV(btx), true), nil
}

// fail answers everybody who waits.
func (w *writer) fail(err error) {
	for j := w.take(); j != nil; j = w.take() {
		j.done <- err
	}
}
