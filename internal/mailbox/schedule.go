package mailbox

import (
	"container/heap"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// schedule knows when each account is due. An account without anything to do
// costs one entry of a heap, no goroutine and no timer of its own.
type schedule struct {
	now  func() time.Time
	wake chan struct{}
	// listened is Options.PollListened: how long an account that is polled waits
	// at the most from when somebody begins to listen to it.
	listened time.Duration

	mu sync.Mutex
	// everybody counts listeners to all accounts, listeners those to one: they may
	// come before the account has an entry, and stay while it has none.
	everybody int
	listeners map[string]int
	entries   map[string]*entry
	due       dueHeap
}

type entry struct {
	account          string
	at               time.Time
	index            int // in the heap, -1 while running
	running          bool
	repeat           bool      // asked for again while running
	echo             bool      // the same, because of what we wrote
	wroteAt          time.Time // when we last wrote at the provider
	hinted           bool      // push told of it
	whole            bool      // somebody wants a round, and no less
	wholeAt          time.Time // when the last good round began
	anew             bool      // what it failed by before may be over
	unfinished       bool      // the round itself wants to go on
	unfinishedRounds int
	failures         int
	polled           bool // it waits for its next poll, for want of push
	waiters          []chan error
	// cause is the span that made the account due, if one did.
	cause trace.SpanContext
}

func newSchedule(now func() time.Time) *schedule {
	return &schedule{now: now, wake: make(chan struct{}, 1), entries: map[string]*entry{}, listeners: map[string]int{}}
}

// soon makes an account due at once; done, if not nil, gets the outcome of
// the first round that begins after this call.
func (s *schedule) soon(account string, done chan error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(account)
	if done != nil {
		e.waiters = append(e.waiters, done)
	}
	e.whole = true
	s.ask(e)
}

// hint makes an account due at once because push told of it, and remembers why.
func (s *schedule) hint(account string, cause trace.SpanContext) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(account)
	e.hinted = true
	if cause.IsValid() {
		e.cause = cause
	}
	if s.echoes(e) {
		s.askLater(e)
		return
	}
	s.ask(e)
}

// entry gives an account's entry, and makes it where there is none; the caller
// holds the lock.
func (s *schedule) entry(account string) *entry {
	e := s.entries[account]
	if e == nil {
		e = &entry{account: account, index: -1}
		s.entries[account] = e
	}
	return e
}

// ask makes an entry due at once, or after the round that runs; the caller
// holds the lock.
func (s *schedule) ask(e *entry) {
	if e.running {
		e.repeat = true
		return
	}
	s.at(e, s.now())
}

// fresh makes an account due at once, even after a round that runs and fails.
func (s *schedule) fresh(account string) {
	s.soon(account, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[account]; e != nil {
		e.anew = true
	}
}

// because makes an account due at once and remembers why.
func (s *schedule) because(account string, cause trace.SpanContext) {
	s.soon(account, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[account]; e != nil && cause.IsValid() {
		e.cause = cause
	}
}

// again asks, from inside a round, for another one to go on with what this one
// left.
func (s *schedule) again(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[account]; e != nil {
		e.unfinished = true
	}
}

// polls notes whether an account waits for its next poll alone.
func (s *schedule) polls(e *entry, polled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.polled = polled && s.listened > 0
}

// forget drops an account.
func (s *schedule) forget(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[account]
	if e == nil {
		return
	}
	if e.index >= 0 {
		heap.Remove(&s.due, e.index)
	}
	delete(s.entries, account)
	for _, w := range e.waiters {
		w <- errForgotten()
	}
}

// listen counts who waits for the events of accounts, of all of them where none
// is named; that shortens their poll. The function it gives ends the listening.
func (s *schedule) listen(accounts []string) (stop func()) {
	count := func(by int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(accounts) == 0 {
			s.everybody += by
		}
		for _, account := range accounts {
			s.listeners[account] += by
			if s.listeners[account] == 0 {
				delete(s.listeners, account)
			}
			if e := s.entries[account]; e != nil && s.listeners[account] == 1 && by > 0 && e.polled && e.index >= 0 {
				if soon := s.now().Add(jitter(s.listened)); e.at.After(soon) {
					s.at(e, soon)
				}
			}
		}
	}
	count(1)
	return sync.OnceFunc(func() { count(-1) })
}

// at puts an entry at its time; the caller holds the lock.
func (s *schedule) at(e *entry, t time.Time) {
	e.at = t
	if e.index >= 0 {
		heap.Fix(&s.due, e.index)
	} else {
		heap.Push(&s.due, e)
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take gives the next due entry with those who wait for it, or how long there
// is nothing to do.
func (s *schedule) take() (t *taken, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.due) == 0 {
		return nil, time.Hour
	}
	if wait := s.due[0].at.Sub(s.now()); wait > 0 {
		return nil, wait
	}
	e := heap.Pop(&s.due).(*entry)
	if e.anew {
		e.failures = 0
	}
	t = &taken{entry: e, waiters: e.waiters, cause: e.cause, listened: s.listeners[e.account]+s.everybody > 0, byHint: e.hinted && !e.whole}
	e.running, e.repeat, e.echo, e.unfinished, e.anew, e.hinted, e.whole = true, false, false, false, false, false, false
	e.waiters, e.cause = nil, trace.SpanContext{}
	return t, 0
}

// taken is an entry whose round is to run now.
type taken struct {
	*entry
	waiters []chan error
	cause   trace.SpanContext
	// listened: somebody waits for the account's changes.
	listened bool
	// byHint: push told of the account, and that is all.
	byHint bool
}

// done puts an entry back, to be due after pause. Whoever asked meanwhile is
// served at once, and a good round that left something goes on; but one that
// never comes to an end does not spin, and a failed one rests.
func (s *schedule) done(e *entry, pause time.Duration, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.running = false
	if s.entries[e.account] != e {
		return
	}
	switch {
	case failed && (e.anew || len(e.waiters) > 0): // who asks by name is not kept waiting
		pause = 0
	case failed:
	case e.repeat:
		pause = 0
	case e.unfinished:
		e.unfinishedRounds++
		pause = 0
		if e.unfinishedRounds > 100 {
			pause = time.Second
		}
	default:
		e.unfinishedRounds = 0
		if e.echo {
			pause = min(pause, s.echoWait(e))
		}
	}
	s.at(e, s.now().Add(pause))
}

// Run syncs accounts as they become due, until ctx ends; then it waits for
// the rounds that run. Fetches that outlive their callers end with it.
func (s *Service) Run(ctx context.Context) error {
	defer s.flights.end()
	if err := s.trackAll(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped before it began
		}
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range fillers {
		wg.Go(func() { s.runFill(ctx) })
	}
	slots := make(chan struct{}, s.opts.Workers)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		t, wait := s.schedule.take()
		if t != nil {
			wg.Go(func() {
				defer func() { <-slots }()
				s.runOne(ctx, t)
			})
			continue
		}
		<-slots
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.schedule.wake:
		}
	}
}

func (s *Service) trackAll(ctx context.Context) error {
	after := ""
	for {
		var list []*store.Account
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			list, err = tx.AccountsAfter(after, 500)
			return err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		for _, a := range list {
			s.schedule.fresh(a.ID)
		}
		after = list[len(list)-1].ID
	}
}

func (s *Service) runOne(ctx context.Context, t *taken) {
	e := t.entry
	round, span := s.opts.Tracer.Start(trace.ContextWithRemoteSpanContext(ctx, t.cause), "sync.round",
		trace.WithAttributes(attribute.String("account", e.account)))
	var wait time.Duration
	err := guard.Do(round, s.log, "sync an account", func() (err error) {
		wait, err = s.attend(round, t)
		return err
	}, "account", e.account)
	if errors.Is(err, errTurnOver) {
		span.AddEvent("turn over")
		span.End()
		s.schedule.yield(t)
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, string(mail.KindOf(err)))
	}
	span.End()
	for _, w := range t.waiters {
		w <- err
	}
	switch {
	case err == nil:
		e.failures = 0
	case errors.Is(err, errHeld):
		// No failure of the account's: TouchAll ends the wait.
	default:
		e.failures++
		s.failed(ctx, e.account, e.failures, err)
	}
	if wait == 0 {
		var polled bool
		wait, polled = s.pause(ctx, t, err)
		s.schedule.polls(e, polled)
	}
	s.schedule.done(e, wait, err != nil)
}

// failed says what a failed round means for the account.
func (s *Service) failed(ctx context.Context, account string, failures int, err error) {
	if ctx.Err() != nil {
		return
	}
	kind := mail.KindOf(err)
	s.metrics.failures.WithLabelValues(string(kind)).Inc()
	if kind == mail.KindNotFound {
		if _, aerr := s.account(ctx, account); mail.KindOf(aerr) == mail.KindNotFound {
			s.Forget(account)
			return
		}
	}
	level := slog.LevelWarn
	if kind == mail.KindUnavailable && failures <= 1 {
		level = slog.LevelInfo // passing, or a plugin on its way up
	}
	s.log.Log(ctx, level, "sync failed", "account", account, "kind", kind, "error", err)
	if kind == mail.KindGrantExpired || kind == mail.KindMisconfigured || kind == mail.KindNotFound {
		s.grants.GrantRefused(ctx, account, err)
		return
	}
	if failures >= troubleAfter {
		s.tellTrouble(ctx, account, err)
	}
}

// pause is how long an account rests after a round, and whether that is for want
// of push, so that it may be shortened.
func (s *Service) pause(ctx context.Context, t *taken, err error) (rest time.Duration, polled bool) {
	if errors.Is(err, errHeld) {
		return jitter(s.opts.PollWatched), false
	}
	if err != nil {
		backoff := min(time.Second<<min(t.failures, 9), 5*time.Minute)
		return max(jitter(backoff), mail.RetryAfter(err)), false
	}
	acct, aerr := s.account(ctx, t.account)
	switch {
	case aerr != nil:
		return s.opts.Poll, false
	case !acct.Watch.Expires.IsZero() && acct.Watch.Expires.After(s.now()):
		return jitter(s.opts.PollWatched), false
	case t.listened:
		return jitter(s.opts.PollListened), true
	}
	return jitter(s.opts.Poll), true
}

// jitter spreads what would otherwise happen at once: 80 to 120 %.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// Sync makes an account due at once and waits for the round. Whoever reads the
// account then finds when it was.
func (s *Service) Sync(ctx context.Context, account string) error {
	if _, err := s.account(ctx, account); err != nil {
		return err
	}
	asked := s.now()
	done := make(chan error, 1)
	s.schedule.soon(account, done)
	select {
	case err := <-done:
		if err != nil {
			return err
		}
		return s.noteRound(ctx, account, asked)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteRound writes when a round has ended that somebody asked for, which
// finishRound leaves out where a time was written not long before.
func (s *Service) noteRound(ctx context.Context, account string, asked time.Time) error {
	acct, err := s.account(ctx, account)
	if err != nil || acct.State != store.AccountReady || !acct.LastSyncAt.Before(asked) {
		return err
	}
	return s.store.Update(ctx, func(tx store.Tx) error {
		acct, err := tx.Account(account)
		if err != nil || acct.State != store.AccountReady {
			return err
		}
		acct.LastSyncAt = s.now()
		return tx.PutAccount(acct)
	})
}

// Touch makes an account due at once: it was connected, or changed. The round
// goes on with the trace in ctx.
func (s *Service) Touch(ctx context.Context, account string) {
	s.schedule.because(account, trace.SpanContextFromContext(ctx))
}

// Hinted makes an account due at once: push told that something changed.
func (s *Service) Hinted(ctx context.Context, account string) {
	s.schedule.hint(account, trace.SpanContextFromContext(ctx))
}

// Anew makes an account due at once, whatever it failed by before: its
// provider came back, or was configured anew.
func (s *Service) Anew(account string) { s.schedule.fresh(account) }

// TouchAll makes every account due at once: what kept all of them from being
// pulled is over.
func (s *Service) TouchAll(ctx context.Context) error { return s.trackAll(ctx) }

// Forget stops syncing an account.
func (s *Service) Forget(account string) {
	s.schedule.forget(account)
	s.pauses.forget(account)
	s.fill.forget(account)
	s.noteUnreadable(account, nil)
}

// Listen tells that somebody waits for changes of accounts, of all where none
// is named, until stop.
func (s *Service) Listen(accounts []string) (stop func()) { return s.schedule.listen(accounts) }
