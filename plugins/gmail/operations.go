package gmail

import (
	"sync"
	"time"
)

// maxOperations is how many operations of an account are remembered.
const maxOperations = 10_000

// operation is what is known of an operation that stores a message.
type operation struct {
	// message is the id of what it made, draft that of the draft it is; empty
	// where no answer has come.
	message, draft string
	// since is the mailbox's history before its first attempt.
	since uint64
	// open is when its last attempt ended without an answer.
	open time.Time
}

// operations remembers what the operations of an account have made: Gmail has no
// place on a message to write that. What a process before this one has made is
// found by Message-ID, and told by its bytes.
type operations struct {
	mu    sync.Mutex
	by    map[string]operation
	of    map[string]string // operations by message
	order []string
}

func (o *operations) get(id string) (operation, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	op, ok := o.by[id]
	return op, ok && id != ""
}

// owner is the operation that made a message, empty where it is not known.
func (o *operations) owner(message string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.of[message]
}

func (o *operations) put(id string, op operation) {
	if id == "" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by, o.of = map[string]operation{}, map[string]string{}
	}
	if old, known := o.by[id]; known {
		delete(o.of, old.message)
	} else {
		o.order = append(o.order, id)
	}
	o.by[id] = op
	if op.message != "" {
		o.of[op.message] = id
	}
	if len(o.order) > maxOperations {
		oldest := o.order[0]
		o.order = o.order[1:]
		delete(o.of, o.by[oldest].message)
		delete(o.by, oldest)
	}
}
