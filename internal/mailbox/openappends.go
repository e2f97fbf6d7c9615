package mailbox

import (
	"sync"
	"time"
)

// openAppend is an append whose outcome is open: what bytes, and where to.
type openAppend struct{ account, mailbox, digest string }

// openAppends remembers appends of which nobody knows whether the provider has
// stored them. A mail program was told that, and tries again: then it goes by
// the operation of before, by which the provider finds what it has. It does not
// outlive the process.
type openAppends struct {
	mu sync.Mutex
	by map[openAppend]openOperation
}

type openOperation struct {
	id string
	at time.Time
}

// openKept and openAge bound it.
const (
	openKept = 1000
	openAge  = time.Hour
)

// open gives the operation of an append that is open, empty where none is.
func (o *openAppends) open(what openAppend, now time.Time) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	op, ok := o.by[what]
	if !ok || now.Sub(op.at).Abs() > openAge {
		return ""
	}
	return op.id
}

func (o *openAppends) doubt(what openAppend, operation string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = map[openAppend]openOperation{}
	}
	if len(o.by) >= openKept {
		for old, op := range o.by {
			if now.Sub(op.at).Abs() > openAge {
				delete(o.by, old)
			}
		}
		if len(o.by) >= openKept {
			return
		}
	}
	o.by[what] = openOperation{operation, now}
}

func (o *openAppends) settled(what openAppend) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.by, what)
}
