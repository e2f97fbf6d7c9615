package mailbox

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// A round holds one of a few workers, and how long a provider goes on telling
// is not ours to say: a first sync takes hours, and a feed that is broken, or
// in bad hands, has no end. So a round has a turn. When that is over, each of
// its feeds stops after the batch at hand, with its cursor kept, and the
// account goes on behind those that wait. Each feed is given one batch at least,
// so that even the longest comes to its end.

// errTurnOver is in the chain of the error of a round whose feeds have more to
// tell than its turn had time for. It is no failure.
var errTurnOver = errors.New("the turn is over")

// turn is the time that a round may take while its feeds have more to tell.
type turn struct {
	now   func() time.Time
	until time.Time
	// left is set once a feed stopped before its end.
	left atomic.Bool
}

func (s *Service) turn() *turn {
	return &turn{now: s.opts.Now, until: s.opts.Now().Add(s.opts.Turn)}
}

// over reports whether a feed that has more to tell is to stop, and notes that
// it does. Without a turn nothing does.
func (t *turn) over() bool {
	if t == nil || t.now().Before(t.until) {
		return false
	}
	t.left.Store(true)
	return true
}

// pause is where a comparison stopped at the end of a turn. Only memory knows
// what it has been told, so that after a restart it begins anew.
type pause struct {
	// begun is when the whole comparison began.
	begun time.Time
	seen  map[string]struct{}
	// next is the cursor with which the feed goes on; of a listing, the one
	// that holds once it has ended.
	next mail.Cursor
	// listing: what is wanted (by provider ids) has still to be read.
	listing bool
	want    []string
}

// pauses are those of all feeds, by account and scope.
type pauses struct {
	mu sync.Mutex
	of map[string]map[string]*pause
}

func (p *pauses) put(account, scope string, at *pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[string]map[string]*pause{}
	}
	if p.of[account] == nil {
		p.of[account] = map[string]*pause{}
	}
	p.of[account][scope] = at
}

// take gives where a feed's comparison stopped, nil where none did, once.
func (p *pauses) take(account, scope string) *pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.of[account][scope]
	delete(p.of[account], scope)
	if len(p.of[account]) == 0 {
		delete(p.of, account)
	}
	return at
}

func (p *pauses) forget(account string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, account)
}

// stop ends a feed's reading for this turn, after a batch that was not the last
// one; a comparison is kept where it is.
func (f *feed) stop(next mail.Cursor) error {
	f.stopped = true
	if f.seen != nil {
		f.s.pauses.put(f.acct.ID, f.scope, &pause{begun: f.compared, seen: f.seen, next: next})
	}
	return errTurnOver
}

// resume takes up a comparison that a turn's end stopped.
func (f *feed) resume() (at *pause) {
	if at = f.s.pauses.take(f.acct.ID, f.scope); at != nil {
		f.seen, f.compared, f.state.Cursor = at.seen, at.begun, at.next
	}
	return at
}

// yield puts an account whose turn is over behind those that are due, with
// those who wait for its round: it goes on.
func (s *schedule) yield(t *taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := t.entry
	e.running = false
	if s.entries[e.account] != e {
		for _, w := range t.waiters {
			w <- errForgotten()
		}
		return
	}
	e.failures = 0
	e.whole = true
	e.waiters = append(t.waiters, e.waiters...)
	if !e.cause.IsValid() {
		e.cause = t.cause
	}
	s.at(e, s.now())
}

// fetchListed reads what a listing wants, newest first, and stops with the turn.
func (f *feed) fetchListed(ctx context.Context, ids []string, next mail.Cursor) error {
	for len(ids) > 0 {
		n := min(len(ids), max(f.perTx, 1))
		if err := f.fetch(ctx, ids[:n], false); err != nil {
			return err
		}
		if ids = ids[n:]; len(ids) > 0 && f.turn.over() {
			f.stopped = true
			f.s.pauses.put(f.acct.ID, f.scope, &pause{begun: f.compared, seen: f.seen, next: next, listing: true, want: ids})
			return errTurnOver
		}
	}
	return nil
}

// maxListed is how many messages one mailbox may list beyond twice those that
// it is known to have. A listing has no cursor to go on from, so that one
// without an end can only be given up.
const maxListed = 2_000_000

func listBound(m *store.Mailbox) int64 { return maxListed + 2*max(m.ProviderTotal, m.Total, 0) }

func errForgotten() error {
	return &mail.Error{Kind: mail.KindNotFound, Op: "sync", Message: "the account was disconnected"}
}
