package pluginhost

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// backoff doubles from min to max.
type backoff struct {
	min, max time.Duration
	next     time.Duration
}

func (b *backoff) step() time.Duration {
	if b.next < b.min {
		b.next = b.min
	}
	d := b.next
	b.next = min(2*b.next, b.max)
	return d
}

func (b *backoff) reset() { b.next = 0 }

// What a repeated call waits.
const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second
)

// codeStopped answers calls to an instance that will not come back.
const codeStopped = "stopped"

// mayRepeat is the whole rule of what is tried again: only what passes by
// itself, and only where doing it twice is doing it once.
func mayRepeat(verb provider.Verb, err error) bool {
	if !verb.Idempotent() || mail.KindOf(err) != mail.KindUnavailable {
		return false
	}
	var e *mail.Error
	return !errors.As(err, &e) || e.Code != codeStopped
}

// retry repeats calls up to attempts times, never past their deadline.
func retry(next doer, attempts int, now func() time.Time, wait func(context.Context, time.Duration) error, repeated func(provider.Verb)) doer {
	return func(ctx context.Context, c *call, f func(context.Context, provider.Provider) error) error {
		pause := backoff{min: retryMin, max: retryMax}
		for attempt := 1; ; attempt++ {
			err := next(ctx, c, f)
			if err == nil || attempt >= attempts || !mayRepeat(c.verb, err) || ctx.Err() != nil {
				return err
			}
			// Half to all of the step, so that callers who failed together do
			// not come back together.
			d := pause.step()
			d = d/2 + rand.N(d/2+1)
			d = max(d, mail.RetryAfter(err))
			if deadline, ok := ctx.Deadline(); ok && now().Add(d).After(deadline) {
				return err
			}
			if !c.repeatable() {
				return err
			}
			if wait(ctx, d) != nil {
				return err
			}
			repeated(c.verb)
		}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
