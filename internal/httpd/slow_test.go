package httpd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestReaderThatStandsStill: a reader of bytes that takes nothing is cut off,
// and lets go of what it held.
func TestReaderThatStandsStill(t *testing.T) {
	ended := make(chan error, 1)
	o := newDoor().options()
	o.Blobs = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		piece := bytes.Repeat([]byte("x"), 1<<20)
		for {
			// More than any buffer on the way holds.
			if _, err := w.Write(piece); err != nil {
				ended <- err
				return
			}
		}
	})
	srv := httptest.NewServer((&server{Options: o, bodyTimeout: time.Minute, progressTimeout: 50 * time.Millisecond}).handler())
	defer srv.Close()
	still, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer still.Close()
	fmt.Fprint(still, "GET /blobs/raw/m1 HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case err := <-ended:
		if netErr, ok := err.(net.Error); !ok || !netErr.Timeout() {
			t.Errorf("the write ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("a reader that takes nothing is served for ever")
	}
}

// TestSpareConnections: a connection by which nothing has come does not hold up
// a stop, and is no request that was cut off.
func TestSpareConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, Handler(newDoor().options()), 3*time.Second) }()
	spare, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer spare.Close()
	// Connections are taken in order: after this one the spare one is known.
	resp, err := http.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("stopping ended with %v", err)
	}
}

// deadlines notes what is set and written.
type deadlines struct {
	httptest.ResponseRecorder
	set    []time.Time
	writes []int
}

func (d *deadlines) SetWriteDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

func (d *deadlines) Write(p []byte) (int, error) {
	d.writes = append(d.writes, len(p))
	return d.ResponseRecorder.Write(p)
}

// TestProgress: every piece has a deadline of its own, and what comes next on
// the connection has none of it.
func TestProgress(t *testing.T) {
	d := &deadlines{ResponseRecorder: *httptest.NewRecorder()}
	long := bytes.Repeat([]byte("y"), 3*maxWrite+1)
	progress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, whole := w.(io.ReaderFrom); whole {
			t.Error("a file could be written at once")
		}
		if n, err := w.Write(long); n != len(long) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}), time.Hour).ServeHTTP(d, httptest.NewRequest("GET", "/", nil))
	if len(d.writes) != 4 || len(d.set) != 5 || !d.set[4].IsZero() || time.Until(d.set[3]) < 59*time.Minute || !d.Flushed {
		t.Errorf("writes %v, deadlines %v, flushed %v", d.writes, d.set, d.Flushed)
	}
	if !bytes.Equal(d.Body.Bytes(), long) {
		t.Error("the bytes are others")
	}
}
