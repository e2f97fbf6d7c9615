package httpd

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyTimeout is how long a request's body may take to come. A handler that
// knows who asks may set another (http.ResponseController.SetReadDeadline).
const bodyTimeout = 30 * time.Second

// limitBody gives a body its time. The server's own ReadTimeout would do for
// short requests, but it also ends streams, which are answered long after
// their body was read.
func limitBody(w http.ResponseWriter, r *http.Request, limit time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	rc := http.NewResponseController(w)
	if err := rc.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return // a recorder in a test: there is no connection
	}
	r.Body = &timedBody{ReadCloser: r.Body, done: sync.OnceFunc(func() { _ = rc.SetReadDeadline(time.Time{}) })}
}

// timedBody ends its deadline when it has been read: what is read from the
// connection after that is whether it is still there.
type timedBody struct {
	io.ReadCloser
	done func()
}

func (b *timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.done()
	}
	return n, err
}
