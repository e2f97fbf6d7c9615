package smtpd

import (
	"io"
	"sync"
	"time"
)

// dismissal puts out who may not be here any more, such as a program whose app
// password was revoked. It hears 421 (RFC 5321, 3.8), which may answer any
// command, and a message that comes in: whoever waits for input says it, at once,
// so that it never stands within another answer. What the library answers to the
// message that breaks off there is for nobody.
//
// Then nothing more is sent, and what comes still is read and dropped until the
// client has closed or the time for farewells is over: a connection that is closed
// while bytes of it are unread is reset, and who is in the midst of a message
// would not hear why.
type dismissal struct {
	mu        sync.Mutex
	barred    bool // may not be here
	dismissed bool // and was told
}

const lastWord = "421 4.7.0 The password was revoked, or its account disconnected"

// revoke ends what is waited for. It may be called at any time.
func (c *conn) revoke() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.barred = true
	_ = c.Conn.SetReadDeadline(time.Now())
}

func (c *conn) revoked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.barred
}

// dismiss says the last word, and takes it that it is heard. It is called where
// input is waited for.
func (c *conn) dismiss() error {
	if c.dismissed {
		return io.EOF
	}
	c.dismissed = true
	err := c.bye(lastWord)
	if half, ok := c.net.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil &&
		c.Conn.SetReadDeadline(time.Now().Add(c.times.farewell)) == nil {
		_, _ = io.Copy(io.Discard, c.in)
	}
	return err
}
