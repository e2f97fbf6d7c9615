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

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/store"
)

// patience is how long a test waits for something that should come at once.
const patience = 10 * time.Second

type frame struct {
	ID      string          `json:"id,omitempty"`
	Type    string          `json:"type"`
	Payload json.RawMessage `json:"payload,omitempty"`
}

type conn struct {
	t *testing.T
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

func TestSubscriptionTellsWhatHappens(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	c := w.socket()
	c.subscribe("1", `after: "`+w.newest()+`"`, "type account { address } message { subject mailboxes { name } } snapshot { subject } addedMailboxes { name } backfill")
	w.message(a, 0, inbox) // backfill: not asked for
	m := w.message(a, 5, inbox)
	_, got := c.event()
	box := []any{map[string]any{"name": "Inbox"}}
	want := map[string]any{"cursor": got["cursor"], "sequence": 4.0, "type": "MESSAGE_CREATED", "account": map[string]any{"address": "ann@example.com"},
		"message": map[string]any{"subject": "Subject 005", "mailboxes": box}, "snapshot": map[string]any{"subject": "Subject 005"}, "addedMailboxes": box, "backfill": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A message that is gone when its event is told: null, and the snapshot.
	w.update(func(tx store.Tx, b *journal.Batch) error {
		seq, err := b.Add(&event.Event{Type: event.MessageDeleted, Account: a.ID, Message: m.ID, Snapshot: &event.Snapshot{Subject: m.Subject}})
		if err != nil {
			return err
		}
		return tx.DeleteMessage(m.ID, seq)
	})
	if _, got = c.event(); got["type"] != "MESSAGE_DELETED" || got["message"] != nil || got["snapshot"].(map[string]any)["subject"] != "Subject 005" {
		t.Error(got)
	}
	if n := w.running(); n != 1 {
		t.Errorf("%v subscriptions counted", n)
	}
	c.send(frame{ID: "1", Type: "complete"})
	// The socket is open still.
	c.subscribe("2", `types: [PING], after: "`+got["cursor"].(string)+`"`, "type")
	w.update(func(_ store.Tx, b *journal.Batch) error {
		_, err := b.Add(&event.Event{Type: event.Ping, Endpoint: "ep-1"})
		return err
	})
	for {
		f := c.next()
		if f.ID == "1" && f.Type == "complete" {
			continue
		}
		if f.ID != "2" || f.Type != "next" {
			t.Fatalf("got %+v %s", f, f.Payload)
		}
		break
	}
}

// TestSubscriptionResumes: reading from every place gives exactly what follows,
// while more is written.
func TestSubscriptionResumes(t *testing.T) {
	w := newWorld(t)
	a, b := w.account("a@example.com"), w.account("b@example.com")
	start := w.newest()
	inA, inB := w.mailbox(a, "Inbox", "inbox", nil), w.mailbox(b, "Inbox", "inbox", nil)
	const total = 300 // more than one chunk of the journal
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range total {
			w.message(a, 10+n, inA)
			if n%10 == 0 {
				w.message(b, 10+n, inB)
			}
		}
	}()
	defer func() { <-done }()
	args := func(after string) string {
		return `types: [MESSAGE_CREATED], accounts: ["` + a.ID + `"], after: "` + after + `"`
	}
	var sequences []float64
	var cursors []string
	after := start
	for len(sequences) < total {
		c := w.socket() // break off and resume, again and again
		c.subscribe("1", args(after), "")
		for range min(70, total-len(sequences)) {
			cursor, e := c.event()
			sequences, cursors, after = append(sequences, e["sequence"].(float64)), append(cursors, cursor), cursor
		}
		_ = c.CloseNow()
	}
	for i, s := range sequences {
		if s != float64(i)+3 { // after ACCOUNT_CONNECTED and MAILBOX_CREATED
			t.Fatalf("event %d has sequence %v", i, s)
		}
	}
	<-done
	c := w.socket()
	c.subscribe("1", args(cursors[total/2]), "")
	if cursor, _ := c.event(); cursor != cursors[total/2+1] {
		t.Error("reading from the middle does not give what follows there")
	}
	// The query reads the same.
	var polled []string
	for at, more := start, true; more; {
		r := w.ask(`query($after: String) { events(first: 77, `+strings.Replace(args("x"), `"x"`, "$after", 1)+`) { edges { cursor } pageInfo { hasNextPage endCursor } } }`, "after", at).ok()
		polled = append(polled, r.each("events.edges", "cursor")...)
		at, more = r.str("events.pageInfo.endCursor"), r.get("events.pageInfo.hasNextPage") == true
	}
	if diff := cmp.Diff(cursors, polled); diff != "" {
		t.Error(diff)
	}
}

func TestEventsQuery(t *testing.T) {
	w := newWorld(t)
	if r := w.ask(`{ events { edges { cursor } pageInfo { hasNextPage endCursor } } }`).ok(); r.str("events.pageInfo.endCursor") == "" {
		t.Error("an empty journal gives no cursor to begin from")
	}
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	w.message(a, 0, inbox)
	w.message(a, 5, inbox)
	w.update(func(_ store.Tx, b *journal.Batch) error {
		_, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: a.ID, Internal: true})
		return err
	})
	types := func(args string) string {
		return strings.Join(w.ask(`{ events`+args+` { edges { node { type } } } }`).ok().each("events.edges", "node.type"), " ")
	}
	if s := types(""); s != "ACCOUNT_CONNECTED MAILBOX_CREATED MESSAGE_CREATED MESSAGE_CREATED" {
		t.Error(s)
	}
	if s := types("(backfill: false, types: [MESSAGE_CREATED, MAILBOX_CREATED])"); s != "MAILBOX_CREATED MESSAGE_CREATED" {
		t.Error(s)
	}
	// Where nothing matches the cursor moves on.
	r := w.ask(`{ events(types: [PING]) { edges { cursor } pageInfo { hasNextPage startCursor endCursor } } }`).ok()
	if end := r.str("events.pageInfo.endCursor"); end != w.newest() || r.get("events.pageInfo.startCursor") != nil {
		t.Error(r.Data)
	}
	w.ask(`{ events(accounts: ["nobody"]) { edges { cursor } } }`).refused("NOT_FOUND")
}

// TestExpiredCursors: of another epoch, older than the journal, and ahead of it.
func TestExpiredCursors(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	first := w.ask(`{ events(first: 1) { edges { cursor } } }`).ok().str("events.edges.0.cursor")
	w.advance(time.Hour)
	w.message(a, 5, inbox)
	w.message(a, 6, inbox)
	if err := w.store.Update(context.Background(), func(tx store.Tx) error {
		_, err := tx.TrimJournal(epoch0.Add(time.Minute), 100)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	parsed, err := event.ParseCursor(first)
	if err != nil {
		t.Fatal(err)
	}
	for name, cursor := range map[string]event.Cursor{
		"old": parsed, "of another epoch": {Epoch: parsed.Epoch + 1, Position: parsed.Position + 3}, "ahead": {Epoch: parsed.Epoch, Position: 1000},
	} {
		args := `after: "` + cursor.String() + `"`
		r := w.ask(`{ events(` + args + `) { edges { cursor } } }`).refused("CURSOR_EXPIRED")
		c := w.socket()
		c.subscribe("1", args, "")
		code, ext := c.told()
		if code != "CURSOR_EXPIRED" || ext["oldest"] != r.Errors[0].Extensions["oldest"] {
			t.Errorf("%s: %s %v", name, code, ext)
		}
		if f := c.next(); f.Type != "complete" {
			t.Errorf("%s: then %+v", name, f)
		}
		// And from the oldest one everything that is left can be read.
		c.subscribe("2", `types: [MESSAGE_CREATED], after: "`+ext["oldest"].(string)+`"`, "message { subject }")
		if _, e := c.event(); e["message"].(map[string]any)["subject"] != "Subject 005" {
			t.Errorf("%s: %v", name, e)
		}
	}
	c := w.socket()
	c.subscribe("1", `accounts: ["nobody"]`, "")
	if code, _ := c.told(); code != "NOT_FOUND" {
		t.Error(code)
	}
	_ = c.next() // complete
	c.subscribe("2", `after: "nonsense"`, "")
	if code, _ := c.told(); code != "BAD_INPUT" {
		t.Error(code)
	}
}

// TestStreamEndsWithItsError: a reader that has fallen behind the journal is told
// so in mid-stream, over both transports.
func TestStreamEndsWithItsError(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	start := w.newest()
	w.message(a, 5, inbox)
	c := w.socket()
	c.subscribe("1", `after: "`+start+`", types: [MESSAGE_CREATED]`, "")
	c.event()
	s := w.events(`subscription { events(after: "` + start + `", types: [MESSAGE_CREATED]) { cursor } }`)
	s.next()
	// Entries that no one is woken for, then gone: the readers' places are too old.
	w.advance(time.Hour)
	w.update(func(_ store.Tx, b *journal.Batch) error {
		_, err := b.Add(&event.Event{Type: event.Ping})
		return err
	})
	w.advance(time.Hour)
	w.update(func(tx store.Tx, b *journal.Batch) error {
		if _, err := tx.TrimJournal(epoch0.Add(90*time.Minute), 100); err != nil {
			return err
		}
		_, err := b.Add(&event.Event{Type: event.MessageCreated, Account: a.ID})
		return err
	})
	if code, _ := c.told(); code != "CURSOR_EXPIRED" {
		t.Error(code)
	}
	if kind, data := s.read(); kind != "next" || !strings.Contains(data, `"CURSOR_EXPIRED"`) {
		t.Errorf("%s %s", kind, data)
	}
	if kind, _ := s.read(); kind != "complete" {
		t.Error(kind)
	}
}

func TestSocketKeys(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.InitTimeout = 50 * time.Millisecond })
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

	_, resp, err := w.dial(http.Header{"Authorization": {"Bearer wrong"}}, "graphql-transport-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong key in the header: %v", err)
	}
	_, resp, err = w.dial(http.Header{"Authorization": {"Bearer " + key}}, "graphql-ws")
	if err == nil || resp == nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("another protocol: %v", err)
	}
	for name, test := range map[string]struct {
		first *frame
		code  websocket.StatusCode
	}{
		"no key":          {&frame{Type: "connection_init"}, 4401},
		"wrong key":       {&frame{Type: "connection_init", Payload: json.RawMessage(`{"Authorization": "Bearer wrong"}`)}, 4401},
		"nothing":         {nil, 4408},
		"subscribe first": {&frame{ID: "1", Type: "subscribe", Payload: json.RawMessage(`{"query": "{ viewer { id } }"}`)}, 4400},
	} {
		c, _, err := w.dial(nil, "graphql-transport-ws")
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

func TestTooManySubscriptions(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.MaxSubscriptions = 1 })
	start := w.newest()
	w.account("ann@example.com")
	args := `after: "` + start + `"`
	c := w.socket()
	c.subscribe("1", args, "type")
	c.event()
	c.subscribe("2", args, "")
	if code, ext := c.told(); code != "THROTTLED" || ext["retryAfter"] == nil {
		t.Errorf("%s %v", code, ext)
	}
	_ = c.next()
	c.send(frame{ID: "1", Type: "complete"})
	if f := c.next(); f.ID != "1" || f.Type != "complete" {
		t.Errorf("%+v", f)
	}
	// Its place is free as soon as its goroutine has ended.
	for deadline := time.Now().Add(patience); ; {
		c.subscribe("3", args, "type")
		f := c.next()
		if !strings.Contains(string(f.Payload), "THROTTLED") {
			if !strings.Contains(string(f.Payload), "ACCOUNT_CONNECTED") {
				t.Errorf("%s", f.Payload)
			}
			return
		}
		if _ = c.next(); time.Now().After(deadline) {
			t.Fatal("the place never became free")
		}
	}
}

// running is how many subscriptions the metrics count.
func (w *world) running() float64 {
	w.t.Helper()
	families, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "postern_graphql_subscriptions" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	w.t.Fatal("there is no gauge of subscriptions")
	return 0
}

// TestSlowClientsDelayNobody: one that does not read, beside one that does.
func TestSlowClientsDelayNobody(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	start := w.newest()
	slow := w.socket()
	slow.subscribe("1", `after: "`+start+`"`, "message { text subject preview }")
	m := w.message(a, 5, inbox)
	w.fake.contents[m.ID].Text = strings.Repeat("long ", 200_000) // fills what lies between
	fast := w.socket()
	fast.subscribe("1", `after: "`+start+`"`, "type")
	for range 50 {
		w.update(func(_ store.Tx, b *journal.Batch) error {
			_, err := b.Add(&event.Event{Type: event.MessageUpdated, Account: a.ID, Message: m.ID})
			return err
		})
	}
	for range 51 {
		fast.event()
	}
}

func TestShutdownEndsStreams(t *testing.T) {
	w := newWorld(t)
	start := w.newest()
	w.account("ann@example.com")
	c := w.socket()
	c.subscribe("1", `after: "`+start+`"`, "type")
	c.event()
	s := w.events(`subscription { events(after: "` + start + `") { type } }`)
	s.next()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	closed := make(chan error, 1)
	go func() {
		for {
			if _, err := c.read(); err != nil {
				closed <- err
				return
			}
		}
	}()
	if err := w.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the socket ended with %v", err)
	}
	if kind, _ := s.read(); kind != "" {
		t.Errorf("the stream said %q: it is not complete", kind)
	}
	if r := w.post(viewer).refused("UNAVAILABLE"); r.status != 503 {
		t.Error(r.status)
	}
	if n := w.running(); n != 0 {
		t.Errorf("%v subscriptions still run", n)
	}
}

// stream reads server-sent events.
type stream struct {
	t *testing.T
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
