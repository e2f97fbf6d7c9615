package event

import "sync"

// Bus wakes the readers of the journal in this process. It carries no events:
// a woken reader reads the journal from its own place, so that nothing is lost
// when it was slow, and a burst wakes it once.
type Bus struct {
	mu      sync.Mutex
	readers map[*Reader]struct{}
}

// Reader is woken when something was committed.
type Reader struct {
	// C has a value after every commit since it was last received from.
	C    chan struct{}
	want func(Event) bool
}

// Listen registers a reader; want, which may be nil, says for which events it
// is woken. Call Stop when done.
func (b *Bus) Listen(want func(Event) bool) *Reader {
	r := &Reader{C: make(chan struct{}, 1), want: want}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.readers == nil {
		b.readers = map[*Reader]struct{}{}
	}
	b.readers[r] = struct{}{}
	return r
}

// Stop forgets a reader.
func (b *Bus) Stop(r *Reader) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.readers, r)
}

// Publish wakes the readers that want one of the events. It never blocks.
func (b *Bus) Publish(events []Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for r := range b.readers {
		for i := range events {
			if r.want == nil || r.want(events[i]) {
				select {
				case r.C <- struct{}{}:
				default:
				}
				break
			}
		}
	}
}
