package mailbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/internal/guard"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/store"
)

// Bytes that somebody will ask for are brought ahead, newest message first, and
// with them what is derived from them: where an account's mirror mode says so,
// and where it has mail programs. It is work at the lowest priority, a batch at
// a time, accounts in turn, and it rests while somebody waits for a message of
// the account. What was brought once counts as brought when the bytes are
// evicted: what is derived stays.

const (
	// recentAge bounds what the mirror mode "recent" brings ahead.
	recentAge = 30 * 24 * time.Hour
	// fillers is how many accounts are served at once.
	fillers = 2
	// fillEvents is how many journal entries are looked through for what came,
	// before everything is listed anew.
	fillEvents = 5000
	// fillYield is how long an account rests while somebody waits for a message
	// of it, fillRetry after a failure whose end the provider did not tell,
	// fillAgain until messages that failed by themselves are tried again.
	fillYield = 200 * time.Millisecond
	fillRetry = 30 * time.Second
	fillAgain = 15 * time.Minute
	// fillLag is how many bodies may be missing of an account of which all were
	// here, and it still counts as whole.
	fillLag = 100
	// fillIndexed is after how many bodies the search index is told, while more
	// come: as many as it folds at once.
	fillIndexed = 4096
)

// fill knows what is still to be brought of which account.
type fill struct {
	now  func() time.Time
	wake chan struct{}

	mu sync.Mutex
	of map[string]*filling
}

// filling is an account's share of it. All but at, running and touched belong to
// whoever runs it.
type filling struct {
	account string
	at      time.Time
	running bool
	touched bool // while running

	// listed: todo was listed up to the journal's sequence.
	listed   bool
	sequence uint64
	todo     []string // newest first
	failed   []string // by themselves, to be tried again after retry
	retry    time.Time
	recent   bool // the list is of recent messages alone
	gauged   int  // what the gauge holds of it
	brought  int  // since the search index was told
	gone     bool // the account is not there
	// whole: all bodies of the account have been brought, but for those of late.
	// Anybody may read it.
	whole atomic.Bool
}

func newFill(now func() time.Time) *fill {
	return &fill{now: now, wake: make(chan struct{}, 1), of: map[string]*filling{}}
}

// touch makes an account due: it may have messages whose bytes are missing.
func (f *fill) touch(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x := f.of[account]
	if x == nil {
		x = &filling{account: account}
		f.of[account] = x
	}
	if x.running {
		x.touched = true
		return
	}
	if x.at.IsZero() { // it does not wait for a better time
		x.at = f.now()
	}
	f.signal()
}

// forget has an account looked at that may be gone, and be forgotten then.
func (f *fill) forget(account string) {
	f.mu.Lock()
	x := f.of[account]
	f.mu.Unlock()
	if x != nil {
		f.touch(account)
	}
}

// isWhole reports whether all bodies of an account are here, but for a few that
// came of late. It is not known before the account was looked at.
func (f *fill) isWhole(account string) bool {
	f.mu.Lock()
	x := f.of[account]
	f.mu.Unlock()
	return x != nil && x.whole.Load()
}

// judge says whether the account is whole now, and reports whether it just became
// so. It does when nothing waits any more, and ceases to be when much does.
func (x *filling) judge(acct *store.Account) (became bool) {
	n, was := len(x.todo)+len(x.failed), x.whole.Load()
	is := !x.recent && !acct.SyncedAt.IsZero() && n <= fillLag && (len(x.todo) == 0 || was)
	x.whole.Store(is)
	return is && !was
}

// signal wakes one that waits; the caller holds the lock.
func (f *fill) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take gives the account that has been due for longest, or how long none is.
func (f *fill) take() (*filling, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var next *filling
	for _, x := range f.of {
		if !x.running && !x.at.IsZero() && (next == nil || x.at.Before(next.at)) {
			next = x
		}
	}
	if next == nil {
		return nil, time.Hour
	}
	if wait := next.at.Sub(f.now()); wait > 0 {
		return nil, wait
	}
	next.running, next.touched = true, false
	f.signal() // another may be due as well
	return next, 0
}

// done puts an account back: due after a while, or, with none, once it is
// touched.
func (f *fill) done(x *filling, after time.Duration, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.running = false
	switch {
	case x.gone && !x.touched:
		delete(f.of, x.account)
	case more:
		x.at = f.now().Add(after)
	case x.touched:
		x.at = f.now()
	default:
		x.at = time.Time{}
	}
	f.signal()
}

// runFill brings bodies ahead until ctx ends.
func (s *Service) runFill(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		x, wait := s.fill.take()
		if x != nil {
			after, more := fillAgain, true
			_ = guard.Do(ctx, s.log, "bring bodies ahead", func() error {
				after, more = s.fillSome(ctx, x)
				return nil
			}, "account", x.account)
			s.fill.done(x, after, more)
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.fill.wake:
		}
	}
}

// fillSome brings a batch of an account's bodies, and reports whether there is
// more to do, and after which time.
func (s *Service) fillSome(ctx context.Context, x *filling) (after time.Duration, more bool) {
	defer func() {
		s.metrics.missing.Add(float64(len(x.todo) - x.gauged))
		x.gauged = len(x.todo)
	}()
	acct, err := s.account(ctx, x.account)
	if x.gone = mail.KindOf(err) == mail.KindNotFound; err != nil || !s.fills(ctx, acct) {
		x.listed, x.todo = false, nil
		if err != nil || !s.wantsAll(ctx, acct) {
			x.whole.Store(false) // of one that is paused all stays here
		}
		return 0, false
	}
	switch {
	case s.hold() != nil:
		return 0, false // a round comes when there is room again
	case s.landings.isAwaited(x.account):
		return fillYield, true
	}
	if err := s.listMissing(ctx, acct, x); err != nil {
		s.log.WarnContext(ctx, "bodies not listed", "account", x.account, "error", err)
		return fillRetry, true
	}
	defer func() {
		// What has come is scanned by each search until it is in the index.
		if became := x.judge(acct); s.opts.Text != nil && (became || x.brought >= fillIndexed) {
			s.opts.Text.Touch(acct.ID)
			x.brought = 0
		}
	}()
	if len(x.todo) == 0 {
		if len(x.failed) == 0 {
			return 0, false
		}
		if wait := x.retry.Sub(s.now()); wait > 0 {
			return wait, true
		}
		x.todo, x.failed = x.failed, nil
	}
	n := min(s.bodyBatch(ctx, x.account), len(x.todo))
	errs := s.landAll(ctx, x.account, x.todo[:n], provider.Backfill)
	var left []string
	for i, err := range errs {
		switch id := x.todo[i]; {
		case err == nil:
			s.metrics.bodies.Inc()
		case mail.KindOf(err) == mail.KindNotFound:
		case passes(err):
			left = append(left, id)
			wait := mail.RetryAfter(err)
			if wait == 0 {
				wait = fillRetry
			}
			after = max(after, wait)
		default:
			x.failed, x.retry = append(x.failed, id), s.now().Add(fillAgain)
			s.log.WarnContext(ctx, "a body was not brought ahead", "account", x.account, "message", id, "error", err)
		}
	}
	x.todo = append(left, x.todo[n:]...)
	x.brought += n - len(left)
	if after > 0 && ctx.Err() == nil {
		// Bodies ahead are a comfort: the mirror is in step without them.
		s.log.InfoContext(ctx, "bodies wait for their provider", "account", x.account, "missing", len(x.todo), "after", after)
	}
	return after, true
}

// passes reports whether an error is one of the account's, that a later try may
// not meet, and not the message's own.
func passes(err error) bool {
	switch mail.KindOf(err) {
	case mail.KindThrottled, mail.KindUnavailable, mail.KindUnauthorized, mail.KindGrantExpired, mail.KindMisconfigured:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// fills reports whether an account's bodies are brought ahead.
func (s *Service) fills(ctx context.Context, acct *store.Account) bool {
	switch {
	case acct.Paused, acct.State == store.AccountPaused, acct.State == store.AccountGrantExpired:
		return false
	case acct.Mirror == store.MirrorRecent, acct.Mirror == store.MirrorFull:
		return true
	}
	return s.wantsAll(ctx, acct)
}

func (s *Service) wantsAll(ctx context.Context, acct *store.Account) bool {
	return acct.Mirror == store.MirrorFull || s.opts.WantBodies != nil && s.opts.WantBodies(ctx, acct.ID)
}

// listMissing brings the list of what is missing up to date: by the journal
// where that tells all that came, and else from the messages.
func (s *Service) listMissing(ctx context.Context, acct *store.Account, x *filling) error {
	if recent := !s.wantsAll(ctx, acct); recent != x.recent {
		x.recent, x.listed = recent, false
	}
	if x.listed {
		if ok, err := s.listNew(ctx, x); ok || err != nil {
			return err
		}
	}
	var sequence uint64
	var todo []string
	var after store.DateKey
	for more := true; more; {
		err := s.store.View(ctx, func(tx store.Tx) (err error) {
			if after.Zero() {
				if sequence, err = tx.LastSequence(acct.ID); err != nil {
					return err
				}
			}
			keys, err := tx.MessagesOf(acct.ID, after, 200)
			if more = len(keys) > 0; err != nil {
				return err
			}
			for _, k := range keys {
				if x.recent && s.now().Sub(k.At) > recentAge {
					more = false
					return nil
				}
				missing, err := isMissing(tx, k.ID)
				if err != nil {
					return err
				}
				if after = k; missing {
					todo = append(todo, k.ID)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	x.listed, x.sequence, x.todo, x.failed = true, sequence, todo, nil
	return nil
}

// listNew adds what the journal tells of since the last time, and reports
// whether the journal told all.
func (s *Service) listNew(ctx context.Context, x *filling) (ok bool, err error) {
	var fresh []string
	var last uint64
	err = s.store.View(ctx, func(tx store.Tx) error {
		fresh, ok = nil, false
		if last, err = tx.LastSequence(x.account); err != nil || last < x.sequence || last-x.sequence > fillEvents {
			return err
		}
		seen := map[string]bool{}
		at := x.sequence
		for at < last {
			events, err := tx.AccountEventsAfter(x.account, at, 500)
			if err != nil || len(events) == 0 {
				return err
			}
			for i := range events {
				e := &events[i]
				if e.Sequence != at+1 {
					return nil // the journal was trimmed
				}
				if at++; e.Message == "" || seen[e.Message] {
					continue
				}
				seen[e.Message] = true
				missing, err := isMissing(tx, e.Message)
				if err != nil {
					return err
				}
				if missing && (!x.recent || e.Snapshot == nil || s.now().Sub(e.Snapshot.ReceivedAt) <= recentAge) {
					fresh = append(fresh, e.Message)
				}
			}
		}
		ok = true
		return nil
	})
	if err != nil || !ok {
		return ok, err
	}
	x.sequence = last
	if len(fresh) > 0 {
		slices.Reverse(fresh) // the newest first
		known := map[string]bool{}
		for _, id := range fresh {
			known[id] = true
		}
		x.todo = append(fresh, slices.DeleteFunc(x.todo, func(id string) bool { return known[id] })...)
	}
	return true, nil
}

// isMissing reports whether a message is there and not whole.
func isMissing(tx store.Tx, id string) (bool, error) {
	m, err := tx.Message(id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	whole, err := hydrated(tx, m)
	return !whole, err
}
