package imapd

import (
	"errors"
	"io"
	"sync"
	"time"
)

const (
	aheadRoom  = 16 << 10 // how much may wait to be used
	aheadPiece = 4 << 10  // how much is read at once
)

var (
	errTimeout = errors.New("the client said nothing for too long")
	errEnding  = errors.New("the connection is to end")
)

// ahead reads a connection ahead of its use, into a bounded buffer. That is how
// a client that leaves is noticed while its command still runs.
type ahead struct {
	idle  func() error  // before the reader has to wait
	limit time.Duration // for the reader to wait

	mu     sync.Mutex
	buf    []byte
	err    error
	ending bool
	bytes  chan struct{} // buf, err or ending changed
	room   chan struct{} // buf was emptied
}

func newAhead() *ahead {
	return &ahead{bytes: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fill reads from until that fails, and then calls gone with the error.
func (a *ahead) fill(from io.Reader, gone func(err error)) {
	piece := make([]byte, aheadPiece)
	for {
		n, err := from.Read(piece)
		a.mu.Lock()
		a.buf = append(a.buf, piece[:n]...)
		a.err = err
		full := len(a.buf) >= aheadRoom
		a.mu.Unlock()
		signal(a.bytes)
		if err != nil {
			gone(err)
			return
		}
		for full {
			<-a.room
			a.mu.Lock()
			full = len(a.buf) >= aheadRoom
			ending := a.ending
			a.mu.Unlock()
			if ending {
				return
			}
		}
	}
}

// end makes the reader stop as soon as it would have to wait.
func (a *ahead) end() {
	a.mu.Lock()
	a.ending = true
	a.mu.Unlock()
	signal(a.bytes)
	signal(a.room)
}

// Read waits for bytes for as long as limit says.
func (a *ahead) Read(p []byte) (int, error) {
	var timer *time.Timer
	for {
		a.mu.Lock()
		if len(a.buf) > 0 {
			n := copy(p, a.buf)
			if n == len(a.buf) {
				a.buf = a.buf[:0]
				if cap(a.buf) > aheadPiece {
					a.buf = nil
				}
			} else {
				a.buf = a.buf[n:]
			}
			a.mu.Unlock()
			signal(a.room)
			return n, nil
		}
		err := a.err
		if err == nil && a.ending {
			err = errEnding
		}
		a.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if timer == nil {
			if a.idle != nil {
				if err := a.idle(); err != nil {
					return 0, err
				}
			}
			timer = time.NewTimer(a.limit)
			defer timer.Stop()
		}
		select {
		case <-a.bytes:
		case <-timer.C:
			return 0, errTimeout
		}
	}
}
