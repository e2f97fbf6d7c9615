package graph

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// loadWait is how long a loader waits for further keys of the same answer.
	loadWait = 200 * time.Microsecond
	// loadMax is how many keys one fetch takes, so that a read transaction stays
	// short.
	loadMax = 200
)

// loader reads records by key for one answer: keys that are asked for at about
// the same time are fetched together, and none twice.
type loader[V any] struct {
	ctx   context.Context
	fetch func(ctx context.Context, keys []string) (map[string]V, error)

	mu      sync.Mutex
	known   map[string]*loaded[V]
	pending *batch[V]
}

type loaded[V any] struct {
	done  chan struct{}
	value V
	err   error
}

type batch[V any] struct {
	keys  []string
	slots []*loaded[V]
}

func newLoader[V any](ctx context.Context, fetch func(ctx context.Context, keys []string) (map[string]V, error)) *loader[V] {
	return &loader[V]{ctx: ctx, fetch: fetch, known: map[string]*loaded[V]{}}
}

// load gives the record of a key, the zero value where there is none.
func (l *loader[V]) load(ctx context.Context, key string) (V, error) {
	l.mu.Lock()
	slot, ok := l.known[key]
	if !ok {
		slot = &loaded[V]{done: make(chan struct{})}
		l.known[key] = slot
		if l.pending == nil {
			b := &batch[V]{}
			l.pending = b
			time.AfterFunc(loadWait, func() { l.flush(b) })
		}
		b := l.pending
		b.keys, b.slots = append(b.keys, key), append(b.slots, slot)
		if len(b.keys) >= loadMax {
			l.pending = nil
			go l.run(b)
		}
	}
	l.mu.Unlock()
	select {
	case <-slot.done:
		return slot.value, slot.err
	case <-ctx.Done():
		var zero V
		return zero, ctx.Err()
	}
}

// prime tells a record that was read on another way.
func (l *loader[V]) prime(key string, value V) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.known[key]; ok {
		return
	}
	slot := &loaded[V]{done: make(chan struct{}), value: value}
	close(slot.done)
	l.known[key] = slot
}

// reset forgets what is known; whoever waits still gets it.
func (l *loader[V]) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = map[string]*loaded[V]{}
}

// flush runs a batch when its time is up, unless it was full before.
func (l *loader[V]) flush(b *batch[V]) {
	l.mu.Lock()
	due := l.pending == b
	if due {
		l.pending = nil
	}
	l.mu.Unlock()
	if due {
		l.run(b)
	}
}

func (l *loader[V]) run(b *batch[V]) {
	values, err := guarded(func() (map[string]V, error) { return l.fetch(l.ctx, b.keys) })
	for i, slot := range b.slots {
		slot.value, slot.err = values[b.keys[i]], err
		close(slot.done)
	}
}

// guarded turns a panic into an error: outside gqlgen's own goroutines nobody
// else would.
func guarded[T any](fn func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return fn()
}
