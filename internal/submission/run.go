package submission

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/store"
)

const (
	// workLimit bounds how far one submission is taken at once.
	workLimit = 5 * time.Minute
	// noteLimit bounds writing down how that went, when its time was up.
	noteLimit = 5 * time.Second
	// horizon is how far ahead the next submission is looked for.
	horizon = time.Hour
	// look is how often the clock is looked at: times of sending are told by
	// it, and it may be set while the timer runs.
	look = 15 * time.Second
)

// Run sends what is due until ctx ends, then lets what is under way finish for
// Options.Grace: a Send that is cut off is a Send in doubt.
func (s *Service) Run(ctx context.Context) error {
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(s.opts.Grace, cut) })()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, s.opts.Workers)
	busy := &busy{ids: map[string]bool{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var swept time.Time
	for {
		if now := s.now(); now.Sub(swept) >= sweepEvery {
			swept = now
			wg.Go(func() { s.sweep(work) })
		}
		due, wait, err := s.due(ctx, busy)
		if err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "due submissions not read", "error", err)
			wait = 5 * time.Second
		}
		for _, sub := range due {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
			busy.add(sub.ID)
			wg.Go(func() {
				s.work(work, sub)
				busy.remove(sub.ID)
				<-slots
				s.nudge()
			})
		}
		if len(due) > 0 {
			continue
		}
		timer.Reset(min(wait, look))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.wake:
		}
	}
}

// busy are the submissions that are worked on: each nudges when it ends.
type busy struct {
	mu  sync.Mutex
	ids map[string]bool
	// told is when it was last told of those that cannot be read.
	told time.Time
}

// tellEvery is how often it is told of submissions that cannot be read.
const tellEvery = time.Hour

func (b *busy) tell(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.told.IsZero() && now.Sub(b.told).Abs() < tellEvery {
		return false
	}
	b.told = now
	return true
}

func (b *busy) add(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids[id] = true
}

func (b *busy) remove(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ids, id)
}

func (b *busy) all() map[string]bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.ids)
}

// due gives what is to be done now and nobody does, or how long that is
// nothing.
func (s *Service) due(ctx context.Context, busy *busy) (due []*store.Submission, wait time.Duration, err error) {
	wait = horizon
	// Looked at before the store is: one that is let go of while the store is
	// read may be read as it was before.
	working := busy.all()
	var unread error
	err = s.store.View(ctx, func(tx store.Tx) error {
		now := s.now()
		list, err := tx.DueSubmissions(now.Add(horizon), 100+s.opts.Workers)
		if err != nil && len(list) == 0 {
			return err
		}
		unread = err // the others go on
		due = due[:0]
		for _, sub := range list {
			switch left := sub.NextAt.Sub(now); {
			case working[sub.ID]:
			case left > 0:
				wait = min(wait, left)
				return nil
			default:
				due = append(due, sub)
			}
		}
		return nil
	})
	if unread != nil && busy.tell(s.now()) {
		s.log.ErrorContext(ctx, "due submissions that cannot be read are not sent", "error", unread)
	}
	return due, wait, err
}

// work takes one submission as far as it goes now. One that is cut off stays
// as it was noted, and is gone on with after the next start. One that something
// panics over is put off: it must not keep the others, nor be tried at once for
// ever.
func (s *Service) work(ctx context.Context, sub *store.Submission) {
	id := sub.ID
	err := guard.Do(ctx, s.log, "work on a submission", func() error { s.workOn(ctx, sub); return nil }, "submission", id)
	if err == nil {
		return
	}
	// What is at hand may be half of a step. What is noted is not.
	_ = guard.Do(ctx, s.log, "put off a submission", func() error { s.panicked(ctx, id, err); return nil }, "submission", id)
}

func (s *Service) workOn(ctx context.Context, sub *store.Submission) {
	if sub.Ended() {
		s.discard(ctx, sub)
		s.report(ctx, sub)
		return
	}
	limited, cancel := context.WithTimeout(ctx, workLimit)
	defer cancel()
	err := s.advance(limited, sub)
	if err == nil || ctx.Err() != nil {
		return
	}
	s.putBack(ctx, sub, err)
}

func (s *Service) putBack(ctx context.Context, sub *store.Submission, cause error) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), noteLimit)
	defer done()
	if err := s.setBack(ctx, sub, cause); err != nil {
		s.log.ErrorContext(ctx, "submission not put back", "submission", sub.ID, "error", err)
	}
}

// panicked puts off a submission that something has panicked over.
func (s *Service) panicked(ctx context.Context, id string, cause error) {
	ctx = context.WithoutCancel(ctx)
	var sub *store.Submission
	err := s.store.View(ctx, func(tx store.Tx) (err error) {
		sub, err = tx.Submission(id)
		return err
	})
	if err != nil {
		s.log.ErrorContext(ctx, "submission not put back", "submission", id, "error", err)
		return
	}
	sub.Attempts++
	if !sub.Ended() {
		s.putBack(ctx, sub, cause)
		return
	}
	if sub.State != store.SubmissionSent {
		s.verdicts.tell(id, verdict{refused: cause}) // whoever was promised an answer
	}
	if !sub.Waits() {
		return
	}
	sub.NextAt = s.now().Add(backoff(sub.Attempts))
	if s.now().Sub(sub.DoneAt) >= reportFor {
		if sub.Step == store.StepDiscard {
			sub.Step = stepLeft
		}
		if sub.Report != nil && sub.Report.State == store.ReportDue {
			sub.Report.State = store.ReportLeft
		}
	}
	s.noteEnded(ctx, sub)
}
