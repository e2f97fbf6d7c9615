package mailbox

import (
	"context"
	"sync"
	"time"
)

// purges remembers which messages are gone, so that an answer which the
// provider began before, or a feed that lags behind, does not bring them back.
// It does not outlive the process; what lagging feeds tell of former times is
// checked for a while after a start.
type purges struct {
	mu sync.Mutex
	at map[string]time.Time // by our id
}

// purgesKept and purgeAge bound it: no answer is under way for so long.
const (
	purgesKept = 10_000
	purgeAge   = 15 * time.Minute
)

func (p *purges) note(id string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[string]time.Time{}
	}
	if len(p.at) >= purgesKept {
		for old, t := range p.at {
			if at.Sub(t) > purgeAge {
				delete(p.at, old)
			}
		}
	}
	p.at[id] = at
}

// since reports whether a message was removed after the provider began to
// answer.
func (p *purges) since(id string, asOf time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[id]
	return ok && asOf.Before(at)
}

// locks has one lock for each account.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{}
}

// lock waits until nobody else has the account's lock, or ctx ends.
func (l *locks) lock(ctx context.Context, account string) (unlock func(), err error) {
	for {
		l.mu.Lock()
		busy, taken := l.held[account]
		if !taken {
			if l.held == nil {
				l.held = map[string]chan struct{}{}
			}
			done := make(chan struct{})
			l.held[account] = done
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, account)
				l.mu.Unlock()
				close(done)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
