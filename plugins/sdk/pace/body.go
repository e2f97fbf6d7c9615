package pace

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// ErrStalled is the end of an answer that went silent.
var ErrStalled = errors.New("the answer stopped in its middle")

// Body is an answer's body. It gives the slot at the provider back when it is
// closed, and ends where nothing comes for a while: a slot that waits for ever
// is a mailbox that is not read any more.
type Body struct {
	body    io.ReadCloser
	stall   time.Duration
	timer   *time.Timer
	whole   *time.Timer
	stalled atomic.Bool
	end     func()
}

// NewBody calls end once, when the body is closed or has stalled.
func NewBody(body io.ReadCloser, stall time.Duration, end func()) *Body {
	b := &Body{body: body, stall: stall, end: sync.OnceFunc(end)}
	b.timer = time.AfterFunc(stall, b.give)
	return b
}

func (b *Body) give() {
	b.stalled.Store(true)
	b.end()
}

// Within bounds the time for all of it, for answers of which nothing is of use
// before the last byte.
func (b *Body) Within(d time.Duration) { b.whole = time.AfterFunc(d, b.give) }

// Read reads, as long as something comes.
func (b *Body) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall)
	n, err := b.body.Read(p)
	b.timer.Stop() // the reader may take its time
	if err != nil && err != io.EOF && b.stalled.Load() {
		err = ErrStalled
	}
	return n, err
}

// Close closes the body and gives the slot back.
func (b *Body) Close() error {
	b.timer.Stop()
	if b.whole != nil {
		b.whole.Stop()
	}
	err := b.body.Close()
	b.end()
	return err
}
