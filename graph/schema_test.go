package graph_test

import (
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/internal/journal"
	"github.com/postern-mail/postern/store"
)

func loadSchema(t *testing.T) *ast.Schema {
	t.Helper()
	text, err := os.ReadFile("../schema.graphqls")
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: "schema.graphqls", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// TestEverythingIsDescribed asks the running server, as a client's tools would.
func TestEverythingIsDescribed(t *testing.T) {
	w := newWorld(t)
	a := w.ask(`{ __schema { types {
		name description
		fields(includeDeprecated: true) { name description args { name description } }
		inputFields { name description }
		enumValues(includeDeprecated: true) { name description }
	} } }`).ok()
	checked := 0
	check := func(what string, v any) {
		checked++
		if text, _ := v.(map[string]any)["description"].(string); !strings.HasSuffix(text, ".") {
			t.Errorf("%s is described as %q", what, text)
		}
	}
	for _, v := range a.get("__schema.types").([]any) {
		typ := v.(map[string]any)
		name := typ["name"].(string)
		if strings.HasPrefix(name, "__") {
			continue
		}
		switch name {
		case "ID", "Int", "Float", "String", "Boolean":
			continue
		}
		check(name, v)
		for _, list := range []string{"fields", "inputFields", "enumValues"} {
			members, _ := typ[list].([]any)
			for _, m := range members {
				member := name + "." + m.(map[string]any)["name"].(string)
				check(member, m)
				args, _ := m.(map[string]any)["args"].([]any)
				for _, arg := range args {
					check(member+"("+arg.(map[string]any)["name"].(string)+")", arg)
				}
			}
		}
	}
	if checked < 400 {
		t.Errorf("only %d descriptions were looked at", checked)
	}
}

// selection selects every field under a type, down to a depth, and gives needed
// arguments from the table.
func selection(schema *ast.Schema, def *ast.Definition, depth int, args map[string]string) string {
	var b strings.Builder
	for _, f := range def.Fields {
		if strings.HasPrefix(f.Name, "__") {
			continue
		}
		t := schema.Types[f.Type.Name()]
		field := f.Name + args[def.Name+"."+f.Name]
		switch {
		case t.Kind != ast.Object:
			b.WriteString(field + " ")
		case depth > 0:
			if inner := selection(schema, t, depth-1, args); inner != "" {
				b.WriteString(field + " { " + inner + "} ")
			}
		}
	}
	return b.String()
}

// seen notes which fields of which types had a value.
func seen(schema *ast.Schema, def *ast.Definition, v any, into map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			seen(schema, def, e, into)
		}
	case map[string]any:
		for _, f := range def.Fields {
			if value := v[f.Name]; value != nil {
				into[def.Name+"."+f.Name] = true
				seen(schema, schema.Types[f.Type.Name()], value, into)
			}
		}
	}
}

// TestEveryFieldHasAValue fills a store with one of everything and asks for every
// field of every type.
func TestEveryFieldHasAValue(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.MaxComplexity = 1e9 })
	a := w.account("ann@example.com")
	top := w.mailbox(a, "Projects", "", nil)
	inbox := w.mailbox(a, "Inbox", "inbox", top)
	m := w.message(a, 1, inbox)
	w.message(a, 2, inbox)

	ep := &service.Endpoint{ID: "ep-1", URL: "https://example.com/hook", Description: "ours", Events: []event.Type{event.Ping},
		AccountIDs: []string{a.ID}, State: service.EndpointFailing, StateReason: "503", Payload: service.PayloadFull, Attempts: 6, CreatedAt: epoch0,
		Signature: service.SignatureEd25519, KeysURL: "https://example.com/keys", InFlight: 4, PerSecond: 2.5, OnExhausted: service.ExhaustionHalt, HeaderNames: []string{"X-Tenant"}, ClientCertificate: "PEM",
		OAuth:  &service.EndpointOAuth{TokenURL: "https://example.com/token", ClientID: "postern", Scopes: []string{"hooks"}},
		Keys:   []service.EndpointKey{{ID: "key_1", Kind: service.SignatureEd25519, PublicKey: "whpk_x", CreatedAt: epoch0, ExpiresAt: epoch0}},
		Health: service.EndpointHealth{FailingSince: epoch0, Failures: 2, LastSuccessAt: epoch0, PausedUntil: epoch0}}
	w.fake.endpoints = []*service.Endpoint{ep}
	w.fake.passwords[a.ID] = []*store.AppPassword{{ID: "p-1", Name: "mutt", Scopes: []string{"imap"}, HideCaps: []string{"BINARY"}, CreatedAt: epoch0, LastUsedAt: epoch0}}
	sub := &store.Submission{ID: "sub-1", Account: a.ID, State: store.SubmissionFailed, Subject: "Out", Recipients: []string{"x@example.com"},
		MessageID: "out@example.com", SentProviderID: "msg-001", Error: "forbidden: refused", Attempts: 1, SendAt: epoch0, CreatedAt: epoch0, DoneAt: epoch0}
	var pending, dead *store.Delivery
	w.update(func(tx store.Tx, b *journal.Batch) error {
		everything := &event.Event{Type: event.MessageUpdated, Account: a.ID, Message: m.ID, Mailbox: inbox.ID, Submission: sub.ID, Endpoint: ep.ID,
			AddedKeywords: []string{"x"}, RemovedKeywords: []string{"y"}, AddedMailboxes: []string{inbox.ID}, RemovedMailboxes: []string{top.ID}, Reason: "why",
			Percent: 70, DeadLetters: 10, Provider: "work"}
		if _, err := b.Add(everything); err != nil {
			return err
		}
		if err := tx.PutSubmission(sub); err != nil {
			return err
		}
		if err := tx.PutEndpoint(&store.Endpoint{ID: ep.ID, CreatedAt: epoch0}); err != nil {
			return err
		}
		pending = w.fake.delivery(ep.ID, everything)
		if err := tx.Enqueue(pending); err != nil {
			return err
		}
		other := &event.Event{Type: event.AccountSynced, Account: a.ID}
		if _, err := b.Add(other); err != nil {
			return err
		}
		if _, err := b.Add(&event.Event{Type: event.EndpointFailing, Endpoint: ep.ID}); err != nil { // 0 percent is told
			return err
		}
		dead = w.fake.delivery(ep.ID, other)
		dead.Lane = "elsewhere"
		if err := tx.Enqueue(dead); err != nil {
			return err
		}
		dead.State, dead.DoneAt, dead.Attempts, dead.LastStatus, dead.LastError, dead.Replays = store.DeliveryDead, epoch0, 1, 503, "unavailable", 1
		dead.Replay = "r1"
		job := &store.Job{ID: "r1", State: store.JobFailed, Source: store.JobJournal, Endpoint: ep.ID, Account: a.ID, Type: string(event.Ping),
			Since: epoch0, Until: epoch0, States: []store.DeliveryState{store.DeliveryDead}, To: ep.ID, PerSecond: 5, CreatedAt: epoch0, DoneAt: epoch0,
			Counted: true, Matched: 3, Done: 2, Skipped: 1, Reason: "why"}
		if err := tx.PutJob(job); err != nil {
			return err
		}
		if err := tx.Settle(dead); err != nil {
			return err
		}
		return tx.PutAttempt(&store.Attempt{Delivery: dead.ID, Number: 1, At: epoch0, Duration: 12 * time.Millisecond, Status: 503, Error: "unavailable",
			Answer: []byte("no\xff"), Peer: "127.0.0.1:443", Class: "5xx", Header: []string{"Server: x"}, Keys: []string{"key_1"},
			DNS: time.Millisecond, Connect: 2 * time.Millisecond, TLS: 3 * time.Millisecond, FirstByte: 1500 * time.Microsecond})
	})

	schema := loadSchema(t)
	args := map[string]string{"Account.search": `(query: "Subject", first: 1)`}
	found := map[string]bool{}
	for root, arg := range map[string]string{
		"viewer": "", "providers": "", "accounts": "(first: 1)", "events": "(first: 20)", "endpoints": "", "deliveries": "(first: 5)",
		"account": `(id: "` + a.ID + `")`, "mailbox": `(id: "` + inbox.ID + `")`, "message": `(id: "` + m.ID + `")`,
		"thread": `(id: "` + m.Thread + `")`, "endpoint": `(id: "ep-1")`, "delivery": `(id: "` + dead.ID + `")`, "submission": `(id: "sub-1")`,
		"replayJob": `(id: "r1")`, "replayJobs": "(first: 5)",
	} {
		def := schema.Types[schema.Query.Fields.ForName(root).Type.Name()]
		depth := 3
		if root == "events" {
			depth = 4 // edges, node, snapshot, from
		}
		answer := w.ask("{ " + root + arg + " { " + selection(schema, def, depth, args) + "} }").ok()
		seen(schema, schema.Query, answer.Data, found)
	}
	// Only mutations give these; TestMutations looks at them.
	exceptions := map[string]bool{"ConnectLink": true, "EndpointWithSecret": true, "AppPasswordWithSecret": true, "RedeliverPayload": true, "UpdateMessagesPayload": true, "MessageResult": true, "MessageError": true}
	var missing []string
	for name, def := range schema.Types {
		if def.Kind != ast.Object || strings.HasPrefix(name, "__") || exceptions[name] || def == schema.Mutation || def == schema.Subscription {
			continue
		}
		for _, f := range def.Fields {
			if !strings.HasPrefix(f.Name, "__") && !found[name+"."+f.Name] {
				missing = append(missing, name+"."+f.Name)
			}
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("no value was seen of %s", strings.Join(missing, ", "))
	}
}
