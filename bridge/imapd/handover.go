package imapd

import (
	"net"
	"sync"
)

// handover is the listener that the library accepts connections of: those that
// have logged in.
type handover struct {
	conns  chan net.Conn
	open   chan struct{} // closed at the first Accept
	opened sync.Once
	closed chan struct{}
	once   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), open: make(chan struct{}), closed: make(chan struct{})}
}

// give hands a connection over; false after Close.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

func (h *handover) Accept() (net.Conn, error) {
	h.opened.Do(func() { close(h.open) })
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return &net.TCPAddr{} }
