package mailbox

import (
	"context"
	"sync"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// flights are the fetches that outlive the call that began them, because
// others wait for the same. They end with Run.
type flights struct {
	mu      sync.Mutex
	next    int
	cancels map[int]context.CancelFunc
	ended   bool
	running sync.WaitGroup
}

// add keeps one. landed must be called when it is over.
func (f *flights) add(cancel context.CancelFunc) (landed func(), err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return nil, mail.Errorf(mail.KindUnavailable, "fetch raw message", "the gateway is stopping")
	}
	if f.cancels == nil {
		f.cancels = map[int]context.CancelFunc{}
	}
	id := f.next
	f.next++
	f.cancels[id] = cancel
	f.running.Add(1)
	return func() {
		f.mu.Lock()
		delete(f.cancels, id)
		f.mu.Unlock()
		f.running.Done()
	}, nil
}

// end cancels those that are under way and waits for them; no other begins.
func (f *flights) end() {
	f.mu.Lock()
	f.ended = true
	for _, cancel := range f.cancels {
		cancel()
	}
	f.mu.Unlock()
	f.running.Wait()
}
