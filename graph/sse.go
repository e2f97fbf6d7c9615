package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/99designs/gqlgen/graphql"
)

// writeTimeout is how long a client of a stream may take for one message. One
// that takes longer is cut off, and can go on from its last cursor.
const writeTimeout = 10 * time.Second

// serveEvents answers an operation as a stream of server-sent events: `next` for
// every result, then `complete` (graphql-sse, distinct connections mode).
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request, op *graphql.OperationContext) {
	ctx, cancel := s.streaming(r.Context())
	defer cancel()
	end := &endOfStream{}
	ctx = context.WithValue(ctx, endOfStreamKey{}, end)

	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // some proxies hold streams back otherwise
	w.WriteHeader(http.StatusOK)
	out := &eventWriter{w: w, rc: http.NewResponseController(w)}
	// The server's deadline for reading a request would end the stream: its body is
	// read, and what comes now is only the client's leaving.
	_ = out.rc.SetReadDeadline(time.Time{})
	if out.write(":\n\n") != nil {
		return
	}

	// The operation's own context ends with the last answer, which shall still be
	// sent; ctx ends with the request.
	respond, within := s.exec.DispatchOperation(ctx, op)
	results := make(chan *graphql.Response)
	go func() {
		defer close(results)
		for resp := respond(within); resp != nil; resp = respond(within) {
			// The next answer is written over this one's bytes.
			resp.Data = slices.Clone(resp.Data)
			select {
			case results <- resp:
			case <-ctx.Done():
				return
			}
		}
	}()
	// The goroutine ends before the request does: it uses what is the request's.
	defer func() {
		cancel()
		for range results {
			continue // until it is closed
		}
	}()

	alive := time.NewTicker(s.opts.KeepAlive)
	defer alive.Stop()
	for {
		select {
		case resp, ok := <-results:
			if !ok {
				if len(end.errs) > 0 {
					_ = out.next(&graphql.Response{Errors: end.errs})
				}
				if s.closing.Err() == nil {
					_ = out.write("event: complete\ndata:\n\n")
				}
				return
			}
			if out.next(resp) != nil {
				return
			}
			alive.Reset(s.opts.KeepAlive)
		case <-alive.C:
			if out.write(":\n\n") != nil {
				return
			}
		}
	}
}

type eventWriter struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (e *eventWriter) next(resp *graphql.Response) error {
	b, err := json.Marshal(resp)
	if err != nil {
		return err
	}
	return e.write("event: next\ndata: " + string(b) + "\n\n")
}

func (e *eventWriter) write(s string) error {
	// Not every writer has deadlines (tests); those of net/http do.
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := e.w.Write([]byte(s)); err != nil {
		return err
	}
	return e.rc.Flush()
}
