package graph_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/graph"
)

// stream reads server-sent events.
type stream struct {
	t testing.TB
	r *bufio.Reader
}

func (w *world) events(query string) *stream {
	w.t.Helper()
	b, _ := json.Marshal(map[string]string{"query": query})
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.http.URL+"/graphql", strings.NewReader(string(b)))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	r.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		w.t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &stream{w.t, bufio.NewReader(resp.Body)}
}

// read gives the next event's kind and data; empty at the end.
func (s *stream) read() (kind, data string) {
	s.t.Helper()
	for {
		line, err := s.r.ReadString('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", ""
		}
		if err != nil {
			s.t.Fatal(err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" && kind != "":
			return kind, data
		case strings.HasPrefix(line, "event: "):
			kind = line[7:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		}
	}
}

func (s *stream) next() map[string]any {
	s.t.Helper()
	kind, data := s.read()
	var p struct {
		Data struct{ Events map[string]any }
	}
	if err := json.Unmarshal([]byte(data), &p); err != nil || kind != "next" || p.Data.Events == nil {
		s.t.Fatalf("%s %s", kind, data)
	}
	return p.Data.Events
}

func TestServerSentEvents(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.KeepAlive = 5 * time.Millisecond })
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	s := w.events(`subscription { events(after: "` + w.newest() + `", backfill: true) { type cursor message { subject } } }`)
	w.message(a, 0, inbox)
	e := s.next()
	if e["type"] != "MESSAGE_CREATED" || e["message"].(map[string]any)["subject"] != "Subject 000" {
		t.Error(e)
	}
	w.message(a, 1, inbox)
	resumed := w.events(`subscription { events(after: "` + e["cursor"].(string) + `", backfill: true) { message { subject } } }`)
	if e := resumed.next(); e["message"].(map[string]any)["subject"] != "Subject 001" {
		t.Error(e)
	}
	// A comment shows that the stream lives.
	if line, err := s.r.ReadString('\n'); err != nil || (line != ":\n" && !strings.HasPrefix(line, "event: next")) {
		t.Errorf("%q %v", line, err)
	}
	// A query over the same transport: one result, then the end.
	q := w.events(`{ viewer { name } }`)
	if kind, data := q.read(); kind != "next" || data != `{"data":{"viewer":{"name":"the tests"}}}` {
		t.Errorf("%s %s", kind, data)
	}
	if kind, _ := q.read(); kind != "complete" {
		t.Error(kind)
	}
	bad := w.events(`subscription { events(accounts: ["nobody"]) { type } }`)
	if kind, data := bad.read(); kind != "next" || !strings.Contains(data, `"NOT_FOUND"`) {
		t.Errorf("%s %s", kind, data)
	}
	w.post(`{"query": "{ nothing }"}`, "Accept", "text/event-stream").refused("BAD_INPUT")
	if r := w.post(viewer, "Accept", "text/event-stream", "Authorization", ""); r.status != 401 {
		t.Error(r.status)
	}
}

// TestStreamTellsEachEventOnce: many events that lie ready come each once and
// in order, however fast the next one is made while one is written.
func TestStreamTellsEachEventOnce(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	start, inbox := w.newest(), w.mailbox(a, "Inbox", "inbox", nil)
	const total = 400
	for n := range total {
		w.message(a, 10+n, inbox)
	}
	s := w.events(`subscription { events(types: [MESSAGE_CREATED], after: "` + start + `") { sequence message { subject } } }`)
	for n := range total {
		if e, want := s.next(), float64(n+3); e["sequence"] != want { // after ACCOUNT_CONNECTED and MAILBOX_CREATED
			t.Fatalf("event %d has sequence %v, want %v", n, e["sequence"], want)
		}
	}
}
