package pace

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Priority orders those who wait: smaller numbers go first. They are those of
// provider.Priority.
type Priority int

// Limiter bounds the requests that run at once on one mailbox and the quota
// units that they spend in a time, and holds all of them back while the
// provider wants silence. Slots go to the smallest priority first, and to the
// longest waiting among equals. Release is a function, so that a slot cannot be
// given back twice.
type Limiter struct {
	mu      sync.Mutex
	max     int
	used    int
	seq     uint64
	queue   waiters
	silence time.Time
	timer   *time.Timer
	wakes   time.Time // when timer does

	// quota is how many units a window of time has, 0 where nobody counts.
	// Spent are running, of requests under way, and past ones, until each is as
	// old as the window.
	quota   int
	window  time.Duration
	running int
	past    []spending
	passed  int // the sum of past
}

// spending is what a request has cost; it is of no account any more from until
// on. Its window begins with the answer, not with the request: wherever in
// between the provider has counted it, and however it counts (by the minute of
// the clock, by the last sixty seconds, by a bucket that fills again), it has
// forgotten it by then.
type spending struct {
	units int
	until time.Time
}

// NewLimiter makes a Limiter of so many slots, without a quota.
func NewLimiter(slots int) *Limiter {
	return &Limiter{max: max(slots, 1)}
}

// SetMax changes the number of slots.
func (l *Limiter) SetMax(slots int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.max = max(slots, 1)
	l.grant()
}

// SetQuota sets how many units any such time may cost, 0 for any number.
func (l *Limiter) SetQuota(units int, window time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quota, l.window = max(units, 0), window
	l.grant()
}

// Acquire waits for weight slots, or for as many as there are.
func (l *Limiter) Acquire(ctx context.Context, p Priority, weight int) (release func(), err error) {
	return l.AcquireUnits(ctx, p, weight, 0)
}

// AcquireUnits waits for weight slots and so many units of the quota, or for as
// many of either as there are.
func (l *Limiter) AcquireUnits(ctx context.Context, p Priority, weight, units int) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.seq++
	w := &waiter{priority: p, seq: l.seq, want: max(weight, 1), units: max(units, 0), ready: make(chan struct{})}
	heap.Push(&l.queue, w)
	l.grant()
	l.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if w.index >= 0 {
			heap.Remove(&l.queue, w.index)
			l.grant()
			return nil, ctx.Err()
		}
		// The slot was granted in the same moment; nothing was spent.
		l.used -= w.got
		l.running -= w.units
		l.grant()
		return nil, ctx.Err()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.used -= w.got
			l.running -= w.units
			if w.units > 0 {
				l.past = append(l.past, spending{units: w.units, until: time.Now().Add(l.window)})
				l.passed += w.units
			}
			l.grant()
		})
	}, nil
}

// Pause lets nobody start for so long.
func (l *Limiter) Pause(d time.Duration) {
	if d <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	until := time.Now().Add(d)
	if until.After(l.silence) {
		l.silence = until
	}
}

// Resume ends a pause before its time.
func (l *Limiter) Resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silence = time.Time{}
	l.grant()
}

// grant hands slots to the head of the queue. The head is never overtaken,
// even where a later one would fit: a batch would starve behind single
// requests otherwise.
func (l *Limiter) grant() {
	for len(l.queue) > 0 {
		now := time.Now()
		if l.silence.After(now) {
			l.wake(l.silence)
			return
		}
		head := l.queue[0]
		want := min(head.want, l.max)
		if l.used+want > l.max {
			return
		}
		l.forget(now)
		if l.quota > 0 {
			share := l.share(head.priority)
			if spent := l.running + l.passed; spent > 0 && spent+min(head.units, share) > share {
				if len(l.past) > 0 {
					l.wake(l.past[0].until)
				}
				return
			}
		}
		heap.Pop(&l.queue)
		head.got = want
		l.used += want
		l.running += head.units
		close(head.ready)
	}
}

// share is how much of the quota a priority may fill up: what is not urgent
// leaves some of it to those who are.
func (l *Limiter) share(p Priority) int {
	return max(1, l.quota-l.quota*int(min(max(p, 0), 3))/20)
}

// forget drops what was spent long enough ago.
func (l *Limiter) forget(now time.Time) {
	n := 0
	for n < len(l.past) && !l.past[n].until.After(now) {
		l.passed -= l.past[n].units
		n++
	}
	l.past = l.past[n:]
}

// wake looks at the queue again at that time.
func (l *Limiter) wake(at time.Time) {
	if l.timer != nil {
		if !at.Before(l.wakes) {
			return // it will be looked at before, and then again
		}
		l.timer.Stop()
	}
	var t *time.Timer
	t = time.AfterFunc(time.Until(at), func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.timer == t {
			l.timer = nil
		}
		l.grant()
	})
	l.timer, l.wakes = t, at
}

type waiter struct {
	priority    Priority
	seq         uint64
	want, units int
	got         int
	index       int
	ready       chan struct{}
}

// waiters is a heap by priority, then by age.
type waiters []*waiter

func (q waiters) Len() int { return len(q) }
func (q waiters) Less(i, j int) bool {
	if q[i].priority != q[j].priority {
		return q[i].priority < q[j].priority
	}
	return q[i].seq < q[j].seq
}
func (q waiters) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}
func (q *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(*q)
	*q = append(*q, w)
}
func (q *waiters) Pop() any {
	old := *q
	w := old[len(old)-1]
	w.index = -1
	*q = old[:len(old)-1]
	return w
}
