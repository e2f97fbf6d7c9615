package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/event"
)

// neverSeen lists the fields that are not seen holding something, each with
// the reason. A field that is seen all the same must not stand here.
var neverSeen = map[string]string{
	"Identity.replyTo": "the sandbox's users have answers sent to where they write from",
}

// walkLetter has everything that a message's fields can tell.
const walkLetter = "From: Eve Adams <eve@fabrikam.example>\r\n" +
	"Sender: The Office <office@fabrikam.example>\r\n" +
	"To: Ada Lovelace <ada@contoso.example>\r\n" +
	"Cc: Grace Hopper <grace@contoso.example>\r\n" +
	"Reply-To: Answers <answers@fabrikam.example>\r\n" +
	"Subject: Re: the long walk\r\n" +
	"Message-ID: <walk-2@fabrikam.example>\r\n" +
	"In-Reply-To: <walk-1@fabrikam.example>\r\n" +
	"References: <walk-0@fabrikam.example> <walk-1@fabrikam.example>\r\n" +
	"Importance: high\r\n" +
	"Date: Fri, 02 Jan 2026 10:00:00 +0000\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=outer\r\n\r\n" +
	"--outer\r\nContent-Type: multipart/related; boundary=inner\r\n\r\n" +
	"--inner\r\nContent-Type: multipart/alternative; boundary=text\r\n\r\n" +
	"--text\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nA walk along the river.\r\n" +
	"--text\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>A walk along the river. <img src=\"cid:map\"></p>\r\n--text--\r\n" +
	"--inner\r\nContent-Type: image/gif; name=map.gif\r\nContent-ID: <map>\r\nContent-Disposition: inline; filename=map.gif\r\n" +
	"Content-Transfer-Encoding: base64\r\n\r\nR0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=\r\n--inner--\r\n" +
	"--outer\r\nContent-Type: application/pdf; name=route.pdf\r\nContent-Disposition: attachment; filename=route.pdf\r\n\r\n%PDF-1.4 none\r\n--outer--\r\n"

// walk is one walk through the schema.
type walk struct {
	*demo
	schema *schema
	seen   map[string]bool
	hooks  *receiver
	// ids of what was made for the walk
	ada, carol, dave, erin string
	message, draft         string
	parent, child          string
	sent, failed, later    string
	gone, slow, endpointOK string
}

// ask runs a query with the fragments it uses, and notes what it saw.
func (w *walk) ask(query string, vars map[string]any) (data map[string]any) {
	w.t.Helper()
	if errs := w.try(w.schema.complete(query), vars, &data); len(errs) > 0 {
		w.t.Fatalf("%s\n%v", query, errs)
	}
	note(w.seen, data)
	return data
}

// at follows a path of names into an answer.
func at(data any, path ...string) any {
	for _, name := range path {
		m, _ := data.(map[string]any)
		data = m[name]
	}
	return data
}

// TestSchemaWalk asks for every field of every type, on the demo's mail and
// some more, until each was seen to hold something.
func TestSchemaWalk(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	w := &walk{demo: d, schema: d.introspect(), seen: map[string]bool{}, ada: d.account(ada)}
	told := d.subscribe(w.schema.complete(`subscription { events { ...Event } }`))
	w.connectOthers()
	w.makeMail()
	w.send()
	w.makeEndpoints()
	w.readAccounts()
	w.readMessages()
	w.spoil()
	w.readJournal()
	w.readDeliveries()
	select {
	case raw, ok := <-told:
		var data map[string]any
		if !ok || json.Unmarshal(raw, &data) != nil {
			t.Fatalf("the subscription told %s, %v", raw, ok)
		}
		// A subscription has one field, so it cannot be asked for its type.
		data["__typename"] = w.schema.subscription
		note(w.seen, data)
	case <-d.ctx().Done():
		t.Fatal("the subscription told nothing")
	}
	w.judge()
}

// connectOthers connects users who will be spoilt later.
func (w *walk) connectOthers() {
	w.ask(`mutation($in: BeginConnectInput!) { __typename beginConnect(input: $in) { ...ConnectLink } }`,
		map[string]any{"in": map[string]any{"provider": "outlook"}})
	w.carol = w.connect("carol@contoso.example", map[string]any{"externalId": "customer 3"})
	w.dave = w.connect("dave@contoso.example", nil)
	w.erin = w.connect("erin@contoso.example", nil)
}

// makeMail makes what listings, messages and events shall show.
func (w *walk) makeMail() {
	w.control("POST", "/control/users/"+ada+"/messages?keywords=project", walkLetter, nil)
	w.eventually("the letter is there", func() bool {
		w.message = w.subjects(w.ada)["Re: the long walk"]
		return w.message != ""
	})
	data := w.ask(`mutation($in: CreateMailboxInput!) { __typename createMailbox(input: $in) { ...Mailbox } }`,
		map[string]any{"in": map[string]any{"account": w.ada, "name": "Walks"}})
	w.parent = at(data, "createMailbox", "id").(string)
	data = w.ask(`mutation($in: CreateMailboxInput!) { __typename createMailbox(input: $in) { ...Mailbox } }`,
		map[string]any{"in": map[string]any{"account": w.ada, "name": "Long ones", "parent": w.parent}})
	w.child = at(data, "createMailbox", "id").(string)
	w.ask(`mutation($ids: [ID!]!) { __typename updateMessages(ids: $ids, addKeywords: ["$flagged"], removeKeywords: ["project"]) {
		...UpdateMessagesPayload results { ...MessageResult error { ...MessageError } } } }`, map[string]any{"ids": []string{w.message}})
	w.ask(`mutation($ids: [ID!]!, $to: ID!) { __typename moveMessages(ids: $ids, to: $to) { ...UpdateMessagesPayload results { ...MessageResult } } }`,
		map[string]any{"ids": []string{w.message}, "to": w.child})
	data = w.ask(`mutation($in: SaveDraftInput!) { __typename saveDraft(input: $in) { ...Message } }`, map[string]any{"in": map[string]any{
		"account": w.ada, "to": []string{grace}, "bcc": []string{"Secret <secret@fabrikam.example>"}, "subject": "a draft of a walk", "text": "soon"}})
	w.draft = at(data, "saveDraft", "id").(string)
	// A message that goes for good: its event keeps what was known of it.
	data = w.ask(`mutation($ids: [ID!]!, $to: ID!) { __typename copyMessages(ids: $ids, to: $to) { ...UpdateMessagesPayload results { id message { id size text } error { ...MessageError } } } }`,
		map[string]any{"ids": []string{w.message}, "to": w.parent})
	for _, r := range at(data, "copyMessages", "results").([]any) {
		copied, ok := at(r, "message", "id").(string)
		if !ok {
			w.t.Fatalf("the letter was not copied: %v", r)
		}
		w.ask(`mutation($ids: [ID!]!) { __typename deleteMessages(ids: $ids, permanently: true) { ...UpdateMessagesPayload results { ...MessageResult } } }`,
			map[string]any{"ids": []string{copied}})
	}
}

// send makes submissions that end in different ways.
func (w *walk) send() {
	submit := func(in map[string]any) string {
		in["account"], in["subject"], in["text"] = w.ada, "about the walk", "See you."
		data := w.ask(`mutation($in: SubmitMessageInput!) { __typename submitMessage(input: $in) { ...Submission } }`, map[string]any{"in": in})
		return at(data, "submitMessage", "id").(string)
	}
	w.sent = submit(map[string]any{"to": []string{grace}})
	w.failed = submit(map[string]any{"to": []string{grace}, "from": "boss@contoso.example"})
	w.later = submit(map[string]any{"to": []string{grace}, "sendAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
	for id, want := range map[string]string{w.sent: "SENT", w.failed: "FAILED", w.later: "SCHEDULED"} {
		w.eventually("submission "+want, func() bool {
			data := w.ask(`query($id: ID!) { __typename submission(id: $id) { ...Submission account { ...Account } } }`, map[string]any{"id": id})
			return at(data, "submission", "state") == want && (want != "SENT" || at(data, "submission", "message") != nil)
		})
	}
}

// makeEndpoints makes one endpoint that takes what it gets, one that is gone
// and one that asks for patience.
func (w *walk) makeEndpoints() {
	w.hooks = w.receive(func(rw http.ResponseWriter, h *hook) {
		switch h.Path {
		case "/gone":
			http.Error(rw, "there is nobody here", http.StatusGone)
		case "/slow":
			rw.Header().Set("Retry-After", "3600")
			http.Error(rw, "not now", http.StatusServiceUnavailable)
		default:
			fmt.Fprint(rw, "thank you")
		}
	})
	create := func(in map[string]any) string {
		data := w.ask(`mutation($in: CreateEndpointInput!) { __typename createEndpoint(input: $in) { ...EndpointWithSecret endpoint { ...Endpoint } } }`, map[string]any{"in": in})
		return at(data, "createEndpoint", "endpoint", "id").(string)
	}
	w.endpointOK = create(map[string]any{"url": w.hooks.URL + "/ok", "description": "of the walk", "accounts": []string{w.ada}})
	w.gone = create(map[string]any{"url": w.hooks.URL + "/gone", "events": []string{"PING"}})
	w.slow = create(map[string]any{"url": w.hooks.URL + "/slow"})
	for _, id := range []string{w.endpointOK, w.gone, w.slow} {
		w.ask(`mutation($id: ID!) { __typename sendTestEvent(id: $id) { ...Delivery } }`, map[string]any{"id": id})
	}
	w.deliver(ada, "after the walk")
	w.hooks.wait("of the delivered mail", 1, func(h *hook) bool { return h.Path == "/ok" && h.Body.Type == "message.created" })
	w.ask(`mutation($f: DeliveryFilter) { __typename redeliver(filter: $f) { ...RedeliverPayload job { ...ReplayJob } } }`,
		map[string]any{"f": map[string]any{"endpoint": w.endpointOK, "state": "DELIVERED"}})
	w.makeElaborateEndpoints(create)
	w.replay(create(map[string]any{"url": w.hooks.URL + "/doomed"}))
}

// replay makes replays that end in different ways.
func (w *walk) replay(doomed string) {
	for range 20 {
		w.ask(`mutation($id: ID!) { __typename sendTestEvent(id: $id) { ...Delivery } }`, map[string]any{"id": w.endpointOK})
	}
	start := func(in map[string]any) string {
		data := w.ask(`mutation($in: ReplayInput!) { __typename replay(input: $in) { ...ReplayJob } }`, map[string]any{"in": in})
		return at(data, "replay", "id").(string)
	}
	state := func(id string) any {
		return at(w.ask(`query($id: ID!) { __typename replayJob(id: $id) { ...ReplayJob } }`, map[string]any{"id": id}), "replayJob", "state")
	}
	since := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	journal := start(map[string]any{"source": "JOURNAL", "endpoint": w.endpointOK, "account": w.ada, "type": "MESSAGE_CREATED", "since": since})
	w.eventually("the journal is replayed", func() bool { return state(journal) == "DONE" })
	failing := start(map[string]any{"endpoint": w.endpointOK, "states": []string{"PENDING", "DELIVERED"}, "to": doomed, "perSecond": 1})
	w.ask(`mutation($id: ID!) { __typename deleteEndpoint(id: $id) }`, map[string]any{"id": doomed})
	w.eventually("a replay to an endpoint that is gone has failed", func() bool { return state(failing) == "FAILED" })
	cancelled := start(map[string]any{"endpoint": w.endpointOK, "states": []string{"DELIVERED"}, "perSecond": 1})
	w.ask(`mutation($id: ID!) { __typename cancelReplay(id: $id) { ...ReplayJob } }`, map[string]any{"id": cancelled})
	w.ask(`{ __typename replayJobs(first: 2) { ...ReplayJobConnection pageInfo { ...PageInfo } edges { ...ReplayJobEdge node { ...ReplayJob } } } }`, nil)
}

// spoil ends dave's grant, makes the provider too busy for carol, and refuses
// the application when erin's token is to be renewed.
func (w *walk) spoil() {
	w.control("POST", "/control/users/dave@contoso.example/revoke", "", nil)
	w.try(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": w.dave}, nil)
	w.eventually("the grant of dave has expired", func() bool {
		data := w.ask(`query($id: ID!) { __typename account(id: $id) { __typename state stateReason } }`, map[string]any{"id": w.dave})
		return at(data, "account", "state") == "GRANT_EXPIRED"
	})

	w.deliver("carol@contoso.example", "too much")
	id := ""
	w.eventually("carol has mail", func() bool { id = w.subjects(w.carol)["too much"]; return id != "" })
	w.control("PUT", "/control/faults", `{"cloud":"microsoft","user":"carol@contoso.example","match":"PATCH","status":429,"retry_after":50}`, nil)
	w.ask(`mutation($ids: [ID!]!) { __typename updateMessages(ids: $ids, addKeywords: ["$seen"]) { results { ...MessageResult error { ...MessageError } } } }`,
		map[string]any{"ids": []string{id}})
	w.control("DELETE", "/control/faults", "", nil)

	w.control("POST", "/control/users/erin@contoso.example/block", `{"code":7000222}`, nil)
	w.control("POST", "/control/users/erin@contoso.example/expire-tokens", "", nil)
	w.try(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": w.erin}, nil)
	w.eventually("the provider is misconfigured", func() bool {
		data := w.ask(`{ __typename providers { ...Provider } }`, nil)
		return slices.ContainsFunc(at(data, "providers").([]any), func(p any) bool {
			return at(p, "id") == "outlook" && at(p, "state") == "MISCONFIGURED"
		})
	})
}

func (w *walk) readAccounts() {
	data := w.ask(`mutation($in: CreateAppPasswordInput!) { __typename createAppPassword(input: $in) { ...AppPasswordWithSecret appPassword { ...AppPassword } } }`,
		map[string]any{"in": map[string]any{"account": w.ada, "name": "mutt", "hideCapabilities": []string{"BINARY"}}})
	program, err := dialMail(openDoors(w.t, w.demo).imap, ada, at(data, "createAppPassword", "password").(string))
	if err != nil {
		w.t.Fatal(err)
	}
	program.close()
	w.ask(`{ __typename viewer { ...Viewer } accounts(first: 10) { ...AccountConnection totalCount pageInfo { ...PageInfo } edges { ...AccountEdge node { ...Account
		progress { ...Progress } identities { ...Identity } appPasswords { ...AppPassword } watch { ...Watch } mailboxes { ...Mailbox } threads(first: 2) { ...ThreadConnection edges { ...ThreadEdge node { ...Thread } } } } } } }`, nil)
	w.ask(`query($id: ID!) { __typename account(id: $id) { ...Account
		messages(first: 2) { ...MessageConnection edges { ...MessageEdge } }
		search(first: 2, query: "walk") { ...MessageConnection edges { ...MessageEdge } } } }`, map[string]any{"id": w.ada})
	w.ask(`query($id: ID!) { __typename mailbox(id: $id) { ...Mailbox parent { ...Mailbox } messages(first: 2) { ...MessageConnection } } }`, map[string]any{"id": w.child})
}

func (w *walk) readMessages() {
	for _, id := range []string{w.message, w.draft} {
		data := w.ask(`query($id: ID!) { __typename message(id: $id) { ...Message thread { ...Thread } headers { ...Header } attachments { ...Attachment }
			from { ...Address } bcc { ...Address } } }`, map[string]any{"id": id})
		w.ask(`query($id: ID!) { __typename thread(id: $id) { ...Thread messages(first: 2) { ...MessageConnection } } }`,
			map[string]any{"id": at(data, "message", "thread", "id")})
	}
	w.ask(`query($id: ID!) { __typename message(id: $id) { ...Message } }`, map[string]any{"id": w.message}) // its size is known now
}

func (w *walk) readJournal() {
	after := any(nil)
	for {
		data := w.ask(`query($after: String) { __typename events(first: 500, after: $after) { ...EventConnection pageInfo { ...PageInfo }
			edges { ...EventEdge node { ...Event snapshot { ...EventSnapshot } } } } }`, map[string]any{"after": after})
		if at(data, "events", "pageInfo", "hasNextPage") != true {
			return
		}
		after = at(data, "events", "pageInfo", "endCursor")
	}
}

func (w *walk) readDeliveries() {
	w.eventually("an endpoint is disabled, another waits", func() bool {
		data := w.ask(`query($id: ID!, $slow: ID!) { __typename endpoints { ...Endpoint health { ...EndpointHealth } } endpoint(id: $id) { ...Endpoint } slow: endpoint(id: $slow) { health { pausedUntil } } }`,
			map[string]any{"id": w.gone, "slow": w.slow})
		return at(data, "endpoint", "state") == "DISABLED" && at(data, "slow", "health", "pausedUntil") != nil
	})
	for _, endpoint := range []string{w.endpointOK, w.gone, w.slow} {
		data := w.ask(`query($f: DeliveryFilter) { __typename deliveries(first: 50, filter: $f) { ...DeliveryConnection edges { ...DeliveryEdge node { ...Delivery attempts { ...Attempt } } } } }`,
			map[string]any{"f": map[string]any{"endpoint": endpoint}})
		for _, e := range at(data, "deliveries", "edges").([]any) {
			w.ask(`query($id: ID!) { __typename delivery(id: $id) { ...Delivery } }`, map[string]any{"id": at(e, "node", "id")})
		}
	}
}

// judge compares what was seen with what there is.
func (w *walk) judge() {
	fields, exceptions := 0, maps.Clone(neverSeen)
	for _, name := range w.schema.objects() {
		for _, f := range w.schema.types[name].Fields {
			fields++
			field := name + "." + f.Name
			why, excepted := exceptions[field]
			delete(exceptions, field)
			switch {
			case w.seen[field] && excepted:
				w.t.Errorf("%s was seen, and stands among the exceptions", field)
			case !w.seen[field] && !excepted:
				w.t.Errorf("%s was never seen to hold anything", field)
			case excepted:
				w.t.Logf("exception: %s: %s", field, why)
			}
		}
	}
	for field := range exceptions {
		w.t.Errorf("the exception %s is no field of the schema", field)
	}
	if told, known := len(w.schema.types["EventType"].EnumValues), len(event.Types()); told != known {
		w.t.Errorf("the schema knows %d types of event, the journal %d", told, known)
	}
	w.t.Logf("%d fields of %d types, %d exceptions\n%s", fields, len(w.schema.objects()), len(neverSeen),
		strings.Join(slices.Collect(slices.Values(w.schema.objects())), " "))
}
