package provider

import "sync"

// Turns hands the sink of a Fetch to goroutines that read several messages at
// once: one at a time, and to nobody any more once one has failed. Its zero value
// is ready.
type Turns struct {
	mu  sync.Mutex
	err error
}

// Take calls use while nobody else's runs and returns its error. After the first
// error it calls nothing and returns that one.
func (t *Turns) Take(use func() error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = use()
	}
	return t.err
}
