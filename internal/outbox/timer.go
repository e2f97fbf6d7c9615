package outbox

import (
	"container/heap"
	"time"
)

// Two clocks. What is stored and told carries the time of the wall
// (Options.Now). What waits in memory waits on the steady clock, which neither
// an operator nor NTP moves: a wall clock that jumps fires nothing early and
// holds nothing back. What is read from the store with a time of the wall is
// turned into a wait once, when it is read.

// steady is the clock of everything that waits in memory.
func (o *Outbox) steady() time.Time { return time.Now() }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// timer wakes a lane or an endpoint.
type timer struct {
	at    time.Time
	lane  *lane
	ep    *endpoint
	index int
}

// timers is a heap by time (container/heap).
type timers []*timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t timers) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].index, t[j].index = i, j
}

// Push is for container/heap.
func (t *timers) Push(x any) {
	e := x.(*timer)
	e.index = len(*t)
	*t = append(*t, e)
}

// Pop is for container/heap.
func (t *timers) Pop() any {
	old := *t
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*t = old[:len(old)-1]
	return e
}

func (o *Outbox) setTimer(t *timer) {
	heap.Push(&o.timers, t)
	if t.index == 0 {
		select {
		case o.kick <- struct{}{}:
		default:
		}
	}
}

func (o *Outbox) unsetTimer(t *timer) { heap.Remove(&o.timers, t.index) }
