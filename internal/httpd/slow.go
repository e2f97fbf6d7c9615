package httpd

import (
	"net/http"
	"time"
)

// progressTimeout is how long one write of bytes may take: a reader that takes
// nothing for so long is cut off. What it has for the whole is not bounded, for
// a slow line may need hours for a large message.
const progressTimeout = 30 * time.Second

// maxWrite is how much one such write has at the most. The slowest reader that
// is still served takes that in progressTimeout.
const maxWrite = 64 << 10

// progress serves bytes to readers of any speed, but not to those who stand
// still: each holds a connection, an open blob and a goroutine.
func progress(next http.Handler, limit time.Duration) http.Handler {
	if next == nil {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		steady := &steadyWriter{ResponseWriter: w, rc: rc, limit: limit}
		next.ServeHTTP(steady, r)
		if steady.failed {
			return // the connection is no more
		}
		// What is left in buffers goes under the last deadline; the next request
		// of this connection has none of this one's.
		if steady.wrote {
			_ = rc.Flush()
		}
		_ = rc.SetWriteDeadline(time.Time{})
	})
}

// steadyWriter gives each write its own deadline. It hides io.ReaderFrom, by
// which a whole file would be one write.
type steadyWriter struct {
	http.ResponseWriter
	rc    *http.ResponseController
	limit time.Duration

	wrote, failed bool
}

func (s *steadyWriter) Write(p []byte) (written int, err error) {
	for {
		part := p[:min(len(p), maxWrite)]
		// An error means a recorder in a test: there is no connection.
		_ = s.rc.SetWriteDeadline(time.Now().Add(s.limit))
		n, err := s.ResponseWriter.Write(part)
		s.wrote, s.failed = true, err != nil
		written += n
		p = p[n:]
		if err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// Unwrap is for http.ResponseController.
func (s *steadyWriter) Unwrap() http.ResponseWriter { return s.ResponseWriter }
