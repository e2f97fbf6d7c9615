package front_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/front"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

var alan = cloud.User{ID: "1", Address: "alan@x.example"}

type world struct {
	t        *testing.T
	f        *front.Front
	server   *httptest.Server
	executed atomic.Int64
}

// newWorld is a small cloud: a list at /list, and a batch of two of them.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t}
	w.f = &front.Front{
		Cloud: "small", Log: slog.New(slog.DiscardHandler), Counters: &traffic.Counters{}, Faults: traffic.NewFaults(1),
		Refuse: func(rw http.ResponseWriter, _ *http.Request, f traffic.Fault) bool {
			if f.Status != 0 {
				rw.WriteHeader(f.Status)
			}
			return f.Status != 0
		},
		Dialect: front.Dialect{
			Lists: []string{"value"}, Date: "date", BadDate: "never",
			Link: func(doc map[string]json.RawMessage, _ *http.Request, way traffic.Body) {
				doc["next"], _ = json.Marshal(way)
			},
			Cycle: func(list []map[string]any, i int) { list[i]["parent"] = list[(i+1)%len(list)]["id"] },
		},
	}
	list := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		w.executed.Add(1)
		_, _ = io.WriteString(rw, `{"value":[{"id":"a","date":"today","n":1},{"id":"b","date":"today","n":2}]}`)
	})
	known := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			front.ExchangeOf(r.Context()).User = alan
			next.ServeHTTP(rw, r)
		})
	}
	item := w.f.Counted(w.f.Spoiled(list))
	batch := w.f.Batch(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for range 2 {
			inner := r.Clone(r.Context())
			inner.URL.Path = "/item"
			item.ServeHTTP(rw, inner)
		}
	}))
	mux := http.NewServeMux()
	mux.Handle("/list", w.f.Spoiled(list))
	mux.Handle("/batch", batch)
	w.server = httptest.NewServer(w.f.Counted(known(mux)))
	t.Cleanup(w.server.Close)
	return w
}

func (w *world) post(path string) (int, string, error) {
	resp, err := w.server.Client().Post(w.server.URL+path, "", nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

func (w *world) fault(f traffic.Fault) {
	w.t.Helper()
	w.f.Faults.Clear()
	w.f.Counters.Reset()
	w.executed.Store(0)
	if err := w.f.Faults.Put(f); err != nil {
		w.t.Fatal(err)
	}
}

// TestSpoiled: a refusal is not executed, a cut is; both are counted as the
// client saw them, under its user.
func TestSpoiled(t *testing.T) {
	w := newWorld(t)
	w.fault(traffic.Fault{Match: "list", Status: 503, Times: 1})
	if code, _, err := w.post("/list"); code != 503 || err != nil || w.executed.Load() != 0 {
		t.Errorf("refused: %d %v, executed %d", code, err, w.executed.Load())
	}
	if code, _, err := w.post("/list"); code != 200 || err != nil {
		t.Errorf("after it: %d %v", code, err)
	}
	if r := w.f.Counters.Report("small", alan.Address); r.Faults["list"] != 1 || len(r.Requests) != 2 {
		t.Errorf("counted %+v", r)
	}
	w.fault(traffic.Fault{Match: "list", CutAfter: true})
	if code, text, err := w.post("/list"); err == nil || w.executed.Load() != 1 {
		t.Errorf("cut: %d %q, executed %d", code, text, w.executed.Load())
	}
	if r := w.f.Counters.Report("small", alan.Address); len(r.Requests) != 1 || r.Requests[0].Status != 0 {
		t.Errorf("counted %+v", r)
	}
	w.fault(traffic.Fault{User: "other@x.example", Match: "list", Status: 500})
	if code, _, _ := w.post("/list"); code != 200 {
		t.Errorf("another's fault: %d", code)
	}
}

// TestBatch: items are counted one by one; one that is cut cuts the batch,
// which is executed to its end.
func TestBatch(t *testing.T) {
	w := newWorld(t)
	if code, text, err := w.post("/batch"); code != 200 || err != nil || strings.Count(text, `"value"`) != 2 {
		t.Fatalf("batch: %d %q %v", code, text, err)
	}
	if r := w.f.Counters.Report("small", alan.Address); len(r.Requests) != 2 {
		t.Errorf("counted %+v", r)
	}
	w.fault(traffic.Fault{Match: "POST", CutAfter: true, Times: 1})
	if code, text, err := w.post("/batch"); err == nil || w.executed.Load() != 2 {
		t.Errorf("cut: %d %q, executed %d", code, text, w.executed.Load())
	}
}

// TestRubbish: each way spoils what it says.
func TestRubbish(t *testing.T) {
	w := newWorld(t)
	for way, want := range map[traffic.Body]string{
		traffic.BodyTruncated: `{"value":[{"id":"a","date":"today","`, traffic.BodyEmpty: "{}", traffic.BodyHTML: "<!DOCTYPE html>",
		traffic.BodyLoop: `"next":"loop"`, traffic.BodyForeign: `"next":"foreign"`, traffic.BodyDates: `"date":"never","id":"b"`,
		traffic.BodyDoubled: `{"date":"today","id":"b","n":2},{"date":"today","id":"a","n":1}`, traffic.BodyNegative: `"n":-1099511627776`,
		traffic.BodyCycleOfFolders: `"parent":"b"`, traffic.BodyLongID: `"id":"AAAAAAAA`, traffic.BodyGarbage: "\xff{\x00]",
	} {
		w.fault(traffic.Fault{Match: "list", Body: way})
		if _, text, err := w.post("/list"); err != nil || !strings.Contains(text, want) || w.executed.Load() != 1 {
			t.Errorf("%s: %v %.200q, executed %d", way, err, text, w.executed.Load())
		}
	}
	w.server.Client().Transport = &http.Transport{MaxResponseHeaderBytes: 1 << 20}
	w.fault(traffic.Fault{Match: "list", Body: traffic.BodyHeaders})
	if _, _, err := w.post("/list"); err == nil {
		t.Error("a client took megabytes of header")
	}
}

// TestServeEnds: requests under way are let finish, idle connections are not
// waited for, and a broken listener is an error.
func TestServeEnds(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	inside, done := make(chan struct{}), make(chan error, 1)
	h := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		close(inside)
		<-ctx.Done()
		_, _ = io.WriteString(rw, "finished")
	})
	go func() { done <- front.Serve(ctx, l, nil, h, slog.New(slog.DiscardHandler)) }()
	answers := make(chan string, 1)
	go func() {
		resp, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answers <- err.Error()
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		answers <- string(text)
	}()
	<-inside
	cancel()
	if got := <-answers; got != "finished" {
		t.Errorf("the request under way got %q", got)
	}
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	if err := front.Serve(t.Context(), l, nil, h, slog.New(slog.DiscardHandler)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed listener: %v", err)
	}
}

// TestDefaults: nothing that was given is replaced.
func TestDefaults(t *testing.T) {
	var now func() time.Time
	var log *slog.Logger
	var counters *traffic.Counters
	mine := traffic.NewFaults(7)
	faults := mine
	front.Defaults(&now, &log, &counters, &faults)
	if now == nil || log == nil || counters == nil || faults != mine {
		t.Error("a default is missing, or too much")
	}
}

// TestErrorLog: what clients do to a server is no error, a panic of ours is.
func TestErrorLog(t *testing.T) {
	var b strings.Builder
	l := front.ErrorLog(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelInfo})))
	l.Print("http: TLS handshake error from 127.0.0.1:1: EOF")
	if b.Len() > 0 {
		t.Errorf("logged: %s", b.String())
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("beside itself") }))
	srv.Config.ErrorLog = l
	srv.Start()
	if resp, err := http.Get(srv.URL); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %s", resp.Status)
	}
	srv.Close()
	if !strings.Contains(b.String(), "level=ERROR") || !strings.Contains(b.String(), "beside itself") {
		t.Errorf("logged: %s", b.String())
	}
}
