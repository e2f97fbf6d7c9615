// Package pace is how a plugin keeps to what a provider allows one mailbox: so
// many requests at once, so many quota units in a time, silence when it asks for
// silence. The plugin alone queues and waits (see package provider); this is
// the queue.
//
// Limiter orders those who wait by priority and age. Body gives a request's
// slot back when its answer was read, or has gone silent. Backoff and Wait are
// the times between two tries.
//
// Kept true: nobody is overtaken by a request of the same or a lower priority;
// within any window no more units are spent than the quota has, however the
// provider counts; who gives up waiting has spent nothing.
package pace

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// firstBackoff doubles with each attempt where nobody says how long to wait.
	firstBackoff = 500 * time.Millisecond
	maxBackoff   = 30 * time.Second
)

// Backoff is how long to wait after a number of attempts: exponential with full
// jitter over its upper half.
func Backoff(attempt int) time.Duration {
	d := min(firstBackoff<<min(attempt-1, 10), maxBackoff)
	return d/2 + rand.N(d/2+1)
}

// Wait waits, unless the context would end before: then it does not begin to.
func Wait(ctx context.Context, d time.Duration) error {
	return WaitBy(ctx, d, Sleep)
}

// WaitBy is Wait with another way of sleeping.
func WaitBy(ctx context.Context, d time.Duration, sleep func(context.Context, time.Duration) error) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return context.DeadlineExceeded
	}
	return sleep(ctx, d)
}

// Sleep waits for the time or the end of the context.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
