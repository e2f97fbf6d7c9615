package graph_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"github.com/postern-mail/postern/graph"
)

// patience is how long a test waits for something that should come at once.
const patience = 10 * time.Second

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

type conn struct {
	t testing.TB
	*websocket.Conn
}

func (w *world) dial(header http.Header, protocols ...string) (*websocket.Conn, *http.Response, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, resp, err := websocket.Dial(ctx, strings.Replace(w.http.URL, "http", "ws", 1)+"/graphql", &websocket.DialOptions{Subprotocols: protocols, HTTPHeader: header})
	if err == nil {
		w.t.Cleanup(func() { _ = c.CloseNow() })
	}
	return c, resp, err
}

// socket connects and presents the key in the payload of connection_init.
func (w *world) socket() *conn {
	w.t.Helper()
	c, _, err := w.dial(nil, "graphql-transport-ws")
	if err != nil {
		w.t.Fatal(err)
	}
	s := &conn{w.t, c}
	s.send(frame{Type: "connection_init", Payload: json.RawMessage(`{"authorization": "Bearer ` + key + `"}`)})
	if f := s.next(); f.Type != "connection_ack" {
		w.t.Fatalf("got %+v", f)
	}
	return s
}

func (c *conn) send(f frame) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := wsjson.Write(ctx, c.Conn, f); err != nil {
		c.t.Fatal(err)
	}
}

// read gives the next frame that is no ping, and answers pings.
func (c *conn) read() (f frame, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		f = frame{}
		if err := wsjson.Read(ctx, c.Conn, &f); err != nil {
			return f, err
		}
		if f.Type != "ping" {
			return f, nil
		}
		if err := wsjson.Write(ctx, c.Conn, frame{Type: "pong"}); err != nil {
			return f, err
		}
	}
}

func (c *conn) next() frame {
	c.t.Helper()
	f, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return f
}

func (c *conn) subscribe(id, args, fields string) {
	c.t.Helper()
	if args != "" {
		args = "(" + args + ")"
	}
	payload, _ := json.Marshal(map[string]string{"query": "subscription { events" + args + " { cursor sequence " + fields + " } }"})
	c.send(frame{ID: id, Type: "subscribe", Payload: payload})
}

// event reads a frame that must carry an event.
func (c *conn) event() (cursor string, fields map[string]any) {
	c.t.Helper()
	f := c.next()
	var p struct {
		Data   struct{ Events map[string]any }
		Errors []any
	}
	if err := json.Unmarshal(f.Payload, &p); err != nil || f.Type != "next" || len(p.Errors) > 0 {
		c.t.Fatalf("got %s %s", f.Type, f.Payload)
	}
	cursor, _ = p.Data.Events["cursor"].(string)
	return cursor, p.Data.Events
}

// told reads the code of a frame that must carry an error, at once or in place of
// an event.
func (c *conn) told() (code string, extensions map[string]any) {
	c.t.Helper()
	f := c.next()
	type problem struct{ Extensions map[string]any }
	var list []problem
	if f.Type == "error" {
		if err := json.Unmarshal(f.Payload, &list); err != nil {
			c.t.Fatal(err)
		}
	} else {
		var p struct{ Errors []problem }
		if err := json.Unmarshal(f.Payload, &p); err != nil {
			c.t.Fatal(err)
		}
		list = p.Errors
	}
	if len(list) == 0 {
		c.t.Fatalf("got %s %s", f.Type, f.Payload)
	}
	code, _ = list[0].Extensions["code"].(string)
	return code, list[0].Extensions
}

// newest is the cursor at the journal's end.
func (w *world) newest() string {
	w.t.Helper()
	for after := any(nil); ; {
		r := w.ask(`query($after: String) { events(first: 500, after: $after) { pageInfo { hasNextPage endCursor } } }`, "after", after).ok()
		if after = r.get("events.pageInfo.endCursor"); r.get("events.pageInfo.hasNextPage") == false {
			return after.(string)
		}
	}
}

func TestSocketKeys(t *testing.T) {
	w := newWorld(t)
	hasty := newWorld(t, func(o *graph.Options) { o.InitTimeout = 50 * time.Millisecond }) // for who never says a word
	// A key in the header; then connection_init needs none.
	c, _, err := w.dial(http.Header{"Authorization": {"Bearer " + key}}, "graphql-transport-ws")
	if err != nil {
		t.Fatal(err)
	}
	s := &conn{t, c}
	s.send(frame{Type: "connection_init"})
	if f := s.next(); f.Type != "connection_ack" {
		t.Fatalf("%+v", f)
	}
	s.send(frame{ID: "q", Type: "subscribe", Payload: json.RawMessage(`{"query": "{ viewer { name } }"}`)})
	if f := s.next(); string(f.Payload) != `{"data":{"viewer":{"name":"the tests"}}}` {
		t.Errorf("%s", f.Payload)
	}
	_ = s.next() // complete
	s.send(frame{ID: "r", Type: "subscribe", Payload: json.RawMessage(`{"query": "{ nothing }"}`)})
	if code, _ := s.told(); code != "BAD_INPUT" {
		t.Error(code)
	}
	// The error ends the operation: no complete follows. Its id can be used
	// again, and then ends as every other.
	s.send(frame{ID: "r", Type: "subscribe", Payload: json.RawMessage(`{"query": "{ viewer { name } }"}`)})
	for _, want := range []string{"next", "complete"} {
		if f := s.next(); f.Type != want || f.ID != "r" {
			t.Errorf("after an error came %+v, want %s", f, want)
		}
	}

	_, resp, err := w.dial(http.Header{"Authorization": {"Bearer wrong"}}, "graphql-transport-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong key in the header: %v", err)
	}
	_, resp, err = w.dial(http.Header{"Authorization": {"Bearer " + key}}, "graphql-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another protocol: %v", err)
	}
	for name, test := range map[string]struct {
		w     *world
		first *frame
		code  websocket.StatusCode
	}{
		"no key":          {w, &frame{Type: "connection_init"}, 4401},
		"wrong key":       {w, &frame{Type: "connection_init", Payload: json.RawMessage(`{"Authorization": "Bearer wrong"}`)}, 4401},
		"nothing":         {hasty, nil, 4408},
		"subscribe first": {w, &frame{ID: "1", Type: "subscribe", Payload: json.RawMessage(`{"query": "{ viewer { id } }"}`)}, 4400},
	} {
		c, _, err := test.w.dial(nil, "graphql-transport-ws")
		if err != nil {
			t.Fatal(err)
		}
		s := &conn{t, c}
		if test.first != nil {
			s.send(*test.first)
		}
		f, err := s.read()
		if got := websocket.CloseStatus(err); got != test.code {
			t.Errorf("%s: closed with %d (%v), frame %+v", name, got, err, f)
		}
	}
}
