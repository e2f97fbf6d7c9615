package msgraph

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// DefaultConcurrency is what Exchange allows one application on one mailbox:
// "ApplicationThrottled: Application is over its MailboxConcurrency limit"
// comes back above it.
const DefaultConcurrency = 4

// Priority orders those who wait: smaller numbers go first.
type Priority int

// Limiter bounds the requests that run at once on one mailbox, and holds all
// of them back while Graph wants silence. Slots go to the smallest priority
// first, and to the longest waiting among equals. Release is a function, so
// that a slot cannot be given back twice.
type Limiter struct {
	mu      sync.Mutex
	max     int
	used    int
	seq     uint64
	queue   waiters
	silence time.Time
	timer   *time.Timer
}

// NewLimiter makes a Limiter of so many slots.
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

// Acquire waits for weight slots, or for as many as there are.
func (l *Limiter) Acquire(ctx context.Context, p Priority, weight int) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.seq++
	w := &waiter{priority: p, seq: l.seq, want: max(weight, 1), ready: make(chan struct{})}
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
		// The slot was granted in the same moment.
		l.used -= w.got
		l.grant()
		return nil, ctx.Err()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.used -= w.got
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

// grant hands slots to the head of the queue. The head is never overtaken,
// even where a later one would fit: a batch would starve behind single
// requests otherwise.
func (l *Limiter) grant() {
	for len(l.queue) > 0 {
		if wait := time.Until(l.silence); wait > 0 {
			if l.timer == nil {
				l.timer = time.AfterFunc(wait, func() {
					l.mu.Lock()
					defer l.mu.Unlock()
					l.timer = nil
					l.grant()
				})
			}
			return
		}
		head := l.queue[0]
		want := min(head.want, l.max)
		if l.used+want > l.max {
			return
		}
		heap.Pop(&l.queue)
		head.got = want
		l.used += want
		close(head.ready)
	}
}

type waiter struct {
	priority  Priority
	seq       uint64
	want, got int
	index     int
	ready     chan struct{}
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
