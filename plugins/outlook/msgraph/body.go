package msgraph

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// errStalled is the end of an answer that went silent.
var errStalled = errors.New("the answer stopped in its middle")

// slotBody is an answer's body. It gives the slot at Graph back when it is
// closed, and ends where nothing comes for a while: a slot that waits for ever
// is a mailbox that is not read any more.
type slotBody struct {
	body    io.ReadCloser
	stall   time.Duration
	timer   *time.Timer
	whole   *time.Timer
	stalled atomic.Bool
	end     func()
}

// newSlotBody calls end once, when the body is closed or has stalled.
func newSlotBody(body io.ReadCloser, stall time.Duration, end func()) *slotBody {
	b := &slotBody{body: body, stall: stall, end: sync.OnceFunc(end)}
	b.timer = time.AfterFunc(stall, b.give)
	return b
}

func (b *slotBody) give() {
	b.stalled.Store(true)
	b.end()
}

// within bounds the time for all of it, for answers of which nothing is of use
// before the last byte.
func (b *slotBody) within(d time.Duration) { b.whole = time.AfterFunc(d, b.give) }

func (b *slotBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	b.timer.Stop() // the reader may take its time
	if err != nil && err != io.EOF && b.stalled.Load() {
		err = errStalled
	}
	return n, err
}

func (b *slotBody) Close() error {
	b.timer.Stop()
	if b.whole != nil {
		b.whole.Stop()
	}
	err := b.body.Close()
	b.end()
	return err
}
