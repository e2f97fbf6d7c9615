package graph_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

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
		if f.ID == "1" {
			continue // what had left before it heard that it is complete
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
	m := w.message(a, 5, inbox)
	w.fake.setContent(m.ID, &mime.Content{Text: strings.Repeat("long ", 200_000)}) // fills what lies between
	slow := w.socket()
	slow.subscribe("1", `after: "`+start+`"`, "message { text subject preview }")
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
