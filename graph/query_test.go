package graph_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/store"
)

func TestMessageFields(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	top := w.mailbox(a, "Projects", "", nil)
	inbox := w.mailbox(a, "Inbox", "inbox", top)
	m := w.message(a, 1, inbox, top)
	got := w.ask(`query($id: ID!) { message(id: $id) {
		id providerId subject keywords size receivedAt importance messageId
		account { address provider state mirror watch { state } }
		thread { id subject count }
		mailboxes { name path role parent { name role } }
		text headers(name: "X-TWO") { name value } attachments { id name inline contentId size }
	} }`, "id", m.ID).ok().Data["message"]
	want := map[string]any{
		"id": m.ID, "providerId": "msg-001", "subject": "Subject 001", "keywords": []any{"$flagged", "$seen", "mine"}, "size": num("1001"),
		"receivedAt": "2026-03-04T12:01:00Z", "importance": "HIGH", "messageId": "msg-001@example.com",
		"account": map[string]any{"address": "ann@example.com", "provider": "outpost", "state": "READY", "mirror": "RECENT", "watch": map[string]any{"state": "PUSH"}},
		"thread":  map[string]any{"id": m.Thread, "subject": "Subject 001", "count": num("1")},
		"text":    "text of msg-001", "headers": []any{map[string]any{"name": "X-Two", "value": "1"}, map[string]any{"name": "x-two", "value": "2"}},
		"attachments": []any{
			map[string]any{"id": "2", "name": "report.pdf", "inline": false, "contentId": nil, "size": num("11")},
			map[string]any{"id": "1.2", "name": "logo.png", "inline": true, "contentId": "logo@x", "size": num("4")},
		},
	}
	byName := map[string]any{
		"Inbox":    map[string]any{"name": "Inbox", "path": "Projects/Inbox", "role": "INBOX", "parent": map[string]any{"name": "Projects", "role": nil}},
		"Projects": map[string]any{"name": "Projects", "path": "Projects", "role": nil, "parent": nil},
	}
	boxes := got.(map[string]any)["mailboxes"].([]any)
	delete(got.(map[string]any), "mailboxes")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(boxes) != 2 {
		t.Fatalf("%d mailboxes", len(boxes))
	}
	for _, b := range boxes {
		if diff := cmp.Diff(byName[b.(map[string]any)["name"].(string)], b); diff != "" {
			t.Error(diff)
		}
	}
}

func TestUnknownIsNull(t *testing.T) {
	w := newWorld(t)
	a := w.ask(`{ account(id: "x") { id } mailbox(id: "x") { id } message(id: "") { id } thread(id: "x") { id }
		endpoint(id: "x") { id } delivery(id: "x") { id } submission(id: "x") { id } }`).ok()
	for name, v := range a.Data {
		if v != nil {
			t.Errorf("%s is %v", name, v)
		}
	}
}

func TestWatchState(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	state := func() string {
		return w.ask(`query($id: ID!) { account(id: $id) { watch { state } } }`, "id", a.ID).ok().str("account.watch.state")
	}
	if s := state(); s != "PUSH" {
		t.Error(s)
	}
	w.advance(2 * time.Hour)
	if s := state(); s != "RENEWING" {
		t.Error(s)
	}
	a.Watch = store.Watch{}
	w.update(func(tx store.Tx, _ *journal.Batch) error { return tx.PutAccount(a) })
	if s := state(); s != "POLLING" {
		t.Error(s)
	}
}

// TestPagesHoldEachMessageOnce walks lists with several page sizes, forwards.
func TestPagesHoldEachMessageOnce(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	var want []string
	for n := range 11 {
		want = append([]string{w.message(a, n, inbox).ID}, want...)
	}
	for _, parent := range []string{`account(id: "` + a.ID + `")`, `mailbox(id: "` + inbox.ID + `")`} {
		for _, first := range []int{1, 3, 10, 11, 50} {
			var got []string
			after := any(nil)
			for page := 0; ; page++ {
				r := w.ask(`query($first: Int, $after: String) { x: `+parent+` { messages(first: $first, after: $after) {
					totalCount edges { cursor node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }`, "first", first, "after", after).ok()
				if r.num("x.messages.totalCount") != 11 {
					t.Errorf("totalCount %v", r.get("x.messages.totalCount"))
				}
				ids := r.each("x.messages.edges", "node.id")
				got = append(got, ids...)
				cursors := r.each("x.messages.edges", "cursor")
				if r.get("x.messages.pageInfo.startCursor") != cursors[0] || r.get("x.messages.pageInfo.endCursor") != cursors[len(cursors)-1] {
					t.Error("the page's cursors are not those of its ends")
				}
				if r.get("x.messages.pageInfo.hasPreviousPage") != (page > 0) {
					t.Errorf("hasPreviousPage on page %d", page)
				}
				if r.get("x.messages.pageInfo.hasNextPage") != true {
					break
				}
				if len(ids) != first {
					t.Errorf("page of %d has %d", first, len(ids))
				}
				after = r.get("x.messages.pageInfo.endCursor")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, first %d: %s", parent, first, diff)
			}
		}
	}
}

func TestMessageFilter(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox, other := w.mailbox(a, "Inbox", "inbox", nil), w.mailbox(a, "Other", "", nil)
	for n := range 10 {
		box := inbox
		if n >= 8 {
			box = other
		}
		w.message(a, n, box)
	}
	for filter, want := range map[string]string{
		`{inMailbox: "` + other.ID + `"}`:                                      "9 8",
		`{hasKeywords: ["RARE"]}`:                                              "8 4 0",
		`{hasKeywords: ["mine"], notKeywords: ["rare"], hasAttachments: true}`: "9 7 5 3 1",
		`{since: "2026-03-04T12:07:00Z"}`:                                      "9 8 7",
		`{until: "2026-03-04T12:02:00Z"}`:                                      "1 0",
		`{since: "2026-03-04T13:03:00+01:00", until: "2026-03-04T12:05:00Z"}`:  "4 3",
		`{from: "ANN 7"}`:                                                      "7",
		`{to: "cc@EXAMPLE"}`:                                                   "9 8 7 6 5 4 3 2 1 0",
		`{subject: "ject 003"}`:                                                "3",
		`{messageId: "<msg-005@example.com>"}`:                                 "5",
		`{subject: "none"}`:                                                    "",
		`{}`:                                                                   "9 8 7 6 5 4 3 2 1 0",
	} {
		for _, first := range []int{2, 100} {
			var got []string
			for after := any(nil); ; {
				r := w.ask(`query($id: ID!, $first: Int, $after: String) { account(id: $id) { messages(first: $first, after: $after, filter: `+filter+`) {
					totalCount edges { node { subject } } pageInfo { hasNextPage endCursor } } } }`, "id", a.ID, "first", first, "after", after).ok()
				for _, s := range r.each("account.messages.edges", "node.subject") {
					got = append(got, strings.TrimPrefix(s, "Subject 00"))
				}
				if after = r.get("account.messages.pageInfo.endCursor"); r.get("account.messages.pageInfo.hasNextPage") != true {
					break
				}
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s first %d: %q, want %q", filter, first, s, want)
			}
		}
	}
	w.ask(`query($id: ID!) { account(id: $id) { messages(filter: {inMailbox: "nowhere"}) { edges { cursor } } } }`, "id", a.ID).refused("NOT_FOUND")
}

// TestSparseFilterAnswersInSeveralPages: a page that looked at its share of
// messages ends, and the next goes on.
func TestSparseFilterAnswersInSeveralPages(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 5,300 messages")
	}
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	oldest := w.message(a, -1, inbox)
	for from := 0; from < 5300; from += 500 {
		w.update(func(tx store.Tx, _ *journal.Batch) error {
			for n := from; n < min(from+500, 5300); n++ {
				m := &store.Message{ID: event.HashID("m", a.ID, string(rune(n))), Account: a.ID, Thread: "t1", In: []string{inbox.ID}}
				m.ReceivedAt = epoch0.Add(time.Duration(n) * time.Second)
				if err := tx.PutMessage(m); err != nil {
					return err
				}
			}
			return nil
		})
	}
	q := `query($id: ID!, $after: String) { account(id: $id) { messages(after: $after, filter: {subject: "Subject"}) { edges { node { id } } pageInfo { hasNextPage endCursor } } } }`
	r := w.ask(q, "id", a.ID).ok()
	if len(r.each("account.messages.edges", "node.id")) != 0 || r.get("account.messages.pageInfo.hasNextPage") != true {
		t.Fatalf("first page: %v", r.Data)
	}
	r = w.ask(q, "id", a.ID, "after", r.str("account.messages.pageInfo.endCursor")).ok()
	if diff := cmp.Diff([]string{oldest.ID}, r.each("account.messages.edges", "node.id")); diff != "" || r.get("account.messages.pageInfo.hasNextPage") != false {
		t.Errorf("second page: %s %v", diff, r.Data)
	}
}

func TestThreads(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	for n := range 8 { // threads of 3, 3, 2
		w.message(a, n, inbox)
	}
	q := `query($id: ID!, $after: String) { account(id: $id) { threads(first: 2, after: $after) {
		edges { node { subject count messages(first: 2) { totalCount edges { node { subject } } pageInfo { hasNextPage endCursor } } } } pageInfo { hasNextPage endCursor } } } }`
	r := w.ask(q, "id", a.ID).ok()
	if diff := cmp.Diff([]string{"Subject 006", "Subject 003"}, r.each("account.threads.edges", "node.subject")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"Subject 003", "Subject 004"}, r.each("account.threads.edges.1.node.messages.edges", "node.subject")); diff != "" {
		t.Error(diff)
	}
	r = w.ask(q, "id", a.ID, "after", r.str("account.threads.pageInfo.endCursor")).ok()
	if diff := cmp.Diff([]string{"Subject 000"}, r.each("account.threads.edges", "node.subject")); diff != "" || r.get("account.threads.pageInfo.hasNextPage") != false {
		t.Errorf("%s %v", diff, r.Data)
	}
}

func TestSearchPages(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	for n := range 7 {
		w.message(a, n, inbox)
	}
	q := `query($id: ID!, $first: Int, $after: String) { account(id: $id) { search(query: "Subject", first: $first, after: $after) {
		edges { cursor node { subject } } pageInfo { hasNextPage endCursor } } } }`
	var got []string
	for after := any(nil); ; {
		r := w.ask(q, "id", a.ID, "first", 3, "after", after).ok()
		got = append(got, r.each("account.search.edges", "node.subject")...)
		if after = r.get("account.search.pageInfo.endCursor"); r.get("account.search.pageInfo.hasNextPage") != true {
			break
		}
	}
	want := []string{"Subject 006", "Subject 005", "Subject 004", "Subject 003", "Subject 002", "Subject 001", "Subject 000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Every edge's cursor is a place to go on from.
	r := w.ask(q, "id", a.ID, "first", 4).ok()
	r = w.ask(q, "id", a.ID, "first", 2, "after", r.str("account.search.edges.1.cursor")).ok()
	if diff := cmp.Diff(want[2:4], r.each("account.search.edges", "node.subject")); diff != "" {
		t.Error(diff)
	}
	r = w.ask(q, "id", a.ID, "first", 2, "after", r.str("account.search.pageInfo.endCursor")).ok()
	if diff := cmp.Diff(want[4:6], r.each("account.search.edges", "node.subject")); diff != "" {
		t.Error(diff)
	}
}

func TestAccountsPagesAndFilter(t *testing.T) {
	w := newWorld(t)
	var want []string
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		want = append(want, w.account(name+"@example.com").ID)
	}
	want = sorted(want)
	var got []string
	for after := any(nil); ; {
		r := w.ask(`query($after: String) { accounts(first: 2, after: $after) { totalCount edges { node { id } } pageInfo { hasNextPage endCursor } } }`, "after", after).ok()
		got = append(got, r.each("accounts.edges", "node.id")...)
		if r.num("accounts.totalCount") != 5 {
			t.Error(r.get("accounts.totalCount"))
		}
		if after = r.get("accounts.pageInfo.endCursor"); r.get("accounts.pageInfo.hasNextPage") != true {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for filter, count := range map[string]int{
		`{address: "B@example.com"}`: 1, `{externalId: "ext-c@example.com"}`: 1, `{provider: "outpost", states: [READY, ERROR]}`: 5, `{states: [PAUSED]}`: 0, `{provider: "x"}`: 0,
	} {
		r := w.ask(`{ accounts(filter: ` + filter + `) { totalCount edges { node { id } } } }`).ok()
		if r.num("accounts.totalCount") != count || len(r.each("accounts.edges", "node.id")) != count {
			t.Errorf("%s: %v", filter, r.Data)
		}
	}
}

func TestCursorsBelongToTheirList(t *testing.T) {
	w := newWorld(t)
	a, b := w.account("a@example.com"), w.account("b@example.com")
	inA, inB := w.mailbox(a, "Inbox", "inbox", nil), w.mailbox(b, "Inbox", "inbox", nil)
	w.message(a, 1, inA)
	w.message(b, 1, inB)
	page := func(id, args string) *answer {
		return w.ask(`query($id: ID!) { account(id: $id) { messages(`+args+`) { edges { cursor } } } }`, "id", id)
	}
	cursor := page(a.ID, "first: 1").ok().str("account.messages.edges.0.cursor")
	page(a.ID, `after: "`+cursor+`"`).ok()
	page(b.ID, `after: "`+cursor+`"`).refused("BAD_INPUT")
	page(a.ID, `after: "`+cursor[:len(cursor)-2]+`"`).refused("BAD_INPUT")
	page(a.ID, `after: "nonsense!"`).refused("BAD_INPUT")
	for _, first := range []string{"0", "-1", "501", "3000000000"} {
		page(a.ID, "first: "+first).refused("BAD_INPUT")
	}
	page(a.ID, "first: null").ok()
	w.ask(`{ accounts(first: 501) { edges { cursor } } }`).refused("BAD_INPUT")
	w.ask(`{ deliveries(after: "` + cursor + `") { edges { cursor } } }`).refused("BAD_INPUT")
	w.ask(`{ events(after: "` + cursor + `") { edges { cursor } } }`).refused("BAD_INPUT")
}

// TestPartsThatFailAreNull: the rest of the answer stands.
func TestPartsThatFailAreNull(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	m := w.message(a, 1, inbox)
	good := w.message(a, 2, inbox)
	w.fake.contents[good.ID] = &mime.Content{}
	w.fake.failing(m.ID, grantExpired())
	r := w.ask(`query($id: ID!) { account(id: $id) { messages { edges { node { subject text html } } } } }`, "id", a.ID)
	if diff := cmp.Diff([]string{"Subject 002", "Subject 001"}, r.each("account.messages.edges", "node.subject")); diff != "" {
		t.Error(diff)
	}
	if len(r.Errors) != 2 || r.code() != "GRANT_EXPIRED" {
		t.Errorf("%+v", r.Errors)
	}
	for _, e := range r.Errors {
		if e.Path[3].(jsonNumber).String() != "1" {
			t.Errorf("path %v", e.Path)
		}
	}
}
