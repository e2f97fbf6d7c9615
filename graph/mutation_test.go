package graph_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

func TestConnectAndAccount(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	r := w.ask(`mutation { beginConnect(input: {provider: "outpost", redirectUrl: "https://app/back", externalId: "e1", loginHint: "ann", expectedAddress: "ann@example.com"}) { url expiresAt } }`).ok()
	if r.str("beginConnect.url") != "http://localhost:8080/connect/abc" || r.str("beginConnect.expiresAt") != "2026-03-04T12:10:00Z" {
		t.Error(r.Data)
	}
	want := service.ConnectInput{Provider: "outpost", ReturnURL: "https://app/back", ExternalID: "e1", LoginHint: "ann", ExpectedAddress: "ann@example.com"}
	if diff := cmp.Diff(want, w.fake.connect); diff != "" {
		t.Error(diff)
	}
	r = w.ask(`mutation($id: ID!) { updateAccount(input: {id: $id, mirror: FULL, paused: true}) { mirror paused externalId } }`, "id", a.ID).ok()
	if diff := cmp.Diff(map[string]any{"mirror": "FULL", "paused": true, "externalId": "ext-ann@example.com"}, r.get("updateAccount")); diff != "" {
		t.Error(diff)
	}
	w.ask(`mutation { updateAccount(input: {id: "x", paused: true}) { id } }`).refused("NOT_FOUND")
	if r := w.ask(`mutation($id: ID!) { syncAccount(id: $id) { address } }`, "id", a.ID).ok(); r.str("syncAccount.address") != "ann@example.com" {
		t.Error(r.Data)
	}
	r = w.ask(`mutation($id: ID!) { disconnectAccount(id: $id) }`, "id", a.ID).ok()
	if r.str("disconnectAccount") != a.ID || w.fake.revoked != [2]bool{true, false} {
		t.Error(r.Data, w.fake.revoked)
	}
	if r := w.ask(`query($id: ID!) { account(id: $id) { id } }`, "id", a.ID).ok(); r.get("account") != nil {
		t.Error("the account is still there")
	}
}

func TestMailboxMutations(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	top := w.mailbox(a, "Projects", "", nil)
	r := w.ask(`mutation($a: ID!, $p: ID) { createMailbox(input: {account: $a, name: "2026", parent: $p}) { id path kind } }`, "a", a.ID, "p", top.ID).ok()
	id := r.str("createMailbox.id")
	if r.str("createMailbox.path") != "Projects/2026" || r.str("createMailbox.kind") != "FOLDER" {
		t.Error(r.Data)
	}
	if r = w.ask(`mutation($id: ID!) { renameMailbox(input: {id: $id, name: "2027"}) { path } }`, "id", id).ok(); r.str("renameMailbox.path") != "Projects/2027" {
		t.Error(r.Data)
	}
	if w.fake.renamed.parent != nil {
		t.Error("a parent that was left out was given")
	}
	if r = w.ask(`mutation($id: ID!) { renameMailbox(input: {id: $id, parent: null}) { path } }`, "id", id).ok(); r.str("renameMailbox.path") != "2027" {
		t.Error(r.Data)
	}
	if r = w.ask(`mutation($id: ID!) { deleteMailbox(id: $id) }`, "id", id).ok(); r.str("deleteMailbox") != id {
		t.Error(r.Data)
	}
	if r = w.ask(`query($id: ID!) { mailbox(id: $id) { id } }`, "id", id).ok(); r.get("mailbox") != nil {
		t.Error("the mailbox is still there")
	}
}

func TestMessageMutations(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox, other := w.mailbox(a, "Inbox", "inbox", nil), w.mailbox(a, "Other", "", nil)
	one, two, bad := w.message(a, 1, inbox), w.message(a, 2, inbox), w.message(a, 3, inbox)
	w.fake.failing(bad.ID, &mail.Error{Kind: mail.KindThrottled, RetryAfter: 30 * time.Second})

	// Every id as given, twice where it was given twice, in its order.
	r := w.ask(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["$Answered", "blue"], removeKeywords: ["$SEEN"]) {
		results { id message { keywords } error { code retryAfter } } } }`, "ids", []string{two.ID, bad.ID, "gone", one.ID, two.ID}).ok()
	if diff := cmp.Diff([]string{two.ID, bad.ID, "gone", one.ID, two.ID}, r.each("updateMessages.results", "id")); diff != "" {
		t.Error(diff)
	}
	keywords := []any{"$answered", "$flagged", "blue", "mine"}
	want := []any{
		map[string]any{"id": two.ID, "message": map[string]any{"keywords": keywords}, "error": nil},
		map[string]any{"id": bad.ID, "message": nil, "error": map[string]any{"code": "THROTTLED", "retryAfter": num("30")}},
		map[string]any{"id": "gone", "message": nil, "error": map[string]any{"code": "NOT_FOUND", "retryAfter": nil}},
		map[string]any{"id": one.ID, "message": map[string]any{"keywords": keywords}, "error": nil},
		map[string]any{"id": two.ID, "message": map[string]any{"keywords": keywords}, "error": nil},
	}
	if diff := cmp.Diff(want, r.get("updateMessages.results")); diff != "" {
		t.Error(diff)
	}

	names := func(r *answer, name string) string {
		return strings.Join(r.each(name+".results.0.message.mailboxes", "name"), " ")
	}
	r = w.ask(`mutation($id: ID!, $to: ID!) { moveMessages(ids: [$id], to: $to) { results { message { id mailboxes { name } } } } }`, "id", one.ID, "to", other.ID).ok()
	if names(r, "moveMessages") != "Other" || r.str("moveMessages.results.0.message.id") != one.ID {
		t.Error(r.Data)
	}
	r = w.ask(`mutation($id: ID!, $to: ID!) { copyMessages(ids: [$id], to: $to) { results { id message { id mailboxes { name } } } } }`, "id", one.ID, "to", inbox.ID).ok()
	if names(r, "copyMessages") != "Inbox" || r.str("copyMessages.results.0.message.id") == one.ID || r.str("copyMessages.results.0.id") != one.ID {
		t.Error(r.Data)
	}
	// Fields of one mutation run one after the other, and each shows what it did.
	r = w.ask(`mutation($id: ID!, $to: ID!) {
		a: updateMessages(ids: [$id], addToMailboxes: [$to]) { results { message { account { mailboxes { name total } } } } }
		b: deleteMessages(ids: [$id], permanently: true) { results { message { id } error { code } } }
		c: syncAccount(id: "`+a.ID+`") { mailboxes { name total } }
	}`, "id", two.ID, "to", other.ID).ok()
	if r.get("b.results.0.message") != nil || r.get("b.results.0.error") != nil {
		t.Error(r.Data)
	}
	if before, after := fmt.Sprint(r.get("a.results.0.message.account.mailboxes")), fmt.Sprint(r.get("c.mailboxes")); before == after {
		t.Errorf("the counts did not change: %s", before)
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	w.ask(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids) { results { id } } }`, "ids", many).refused("BAD_INPUT")
	if r := w.ask(`mutation { deleteMessages(ids: []) { results { id } } }`).ok(); len(r.each("deleteMessages.results", "id")) != 0 {
		t.Error(r.Data)
	}
}

func TestSubmissionAndDrafts(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	w.mailbox(a, "Drafts", "drafts", nil)
	content := base64.StdEncoding.EncodeToString([]byte("attached bytes"))
	r := w.ask(`mutation($a: ID!, $content: Bytes!) { submitMessage(input: {
		account: $a, from: "Ann <ann@example.com>", to: ["bob@example.com", {name: "Zoë", email: "zoe@example.com"}], cc: "c@example.com",
		subject: "Hi", text: "t", html: "<p>h", attachments: [{name: "a.txt", content: $content, contentId: "<x@y>"}],
		reply: "m1", sendAt: "2026-03-05T10:00:00+02:00", idempotencyKey: "k1"
	}) { id state recipients sendAt account { address } } }`, "a", a.ID, "content", content).ok()
	want := map[string]any{"id": "sub-1", "state": "SCHEDULED", "recipients": []any{"bob@example.com", "zoe@example.com"}, "sendAt": "2026-03-05T08:00:00Z",
		"account": map[string]any{"address": "ann@example.com"}}
	if diff := cmp.Diff(want, r.get("submitMessage")); diff != "" {
		t.Error(diff)
	}
	in := w.fake.submitted
	if string(w.fake.sent) != "attached bytes" || in.IdempotencyKey != "k1" || in.Message.Reply != "m1" || in.Message.From.Name != "Ann" ||
		in.Message.To[1] != (mail.Address{Name: "Zoë", Email: "zoe@example.com"}) || len(in.Message.Cc) != 1 || in.Message.Attachments[0].ContentID != "x@y" {
		t.Errorf("submitted %+v with %q", in, w.fake.sent)
	}
	if r := w.ask(`mutation { cancelSubmission(id: "sub-1") { state doneAt } }`).ok(); r.str("cancelSubmission.state") != "CANCELLED" {
		t.Error(r.Data)
	}
	w.ask(`mutation { cancelSubmission(id: "sub-2") { state } }`).refused("NOT_FOUND")
	w.ask(`mutation { submitMessage(input: {account: "nobody", to: ["a@b.c"], text: "x"}) { id } }`).refused("NOT_FOUND")

	raw := base64.RawURLEncoding.EncodeToString([]byte("Subject: raw?>\r\n\r\nbody"))
	r = w.ask(`mutation($a: ID!, $raw: Bytes) { saveDraft(input: {account: $a, replaces: "old", raw: $raw}) { id keywords } }`, "a", a.ID, "raw", raw).ok()
	if string(w.fake.sent) != "Subject: raw?>\r\n\r\nbody" || fmt.Sprint(r.get("saveDraft.keywords")) != "[$draft]" {
		t.Errorf("%q %v", w.fake.sent, r.Data)
	}
	id := r.str("saveDraft.id")
	if r := w.ask(`mutation($id: ID!) { deleteDraft(id: $id) }`, "id", id).ok(); r.str("deleteDraft") != id {
		t.Error(r.Data)
	}
	w.ask(`mutation($id: ID!) { deleteDraft(id: $id) }`, "id", id).refused("NOT_FOUND")
}

func TestEndpointMutations(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	r := w.ask(`mutation($a: ID!) {
		all: createEndpoint(input: {url: "https://example.com/1"}) { secret endpoint { id events accounts { id } state ordered payload backfill } }
		some: createEndpoint(input: {url: "https://example.com/2", events: [MESSAGE_CREATED], accounts: [$a], description: "d", ordered: false, payload: FULL, backfill: true, attempts: 6}) {
			endpoint { id events accounts { address } description ordered payload backfill attempts } }
	}`, "a", a.ID).ok()
	if r.str("all.secret") != "whsec_new" || len(r.get("all.endpoint.events").([]any)) != len(event.Types()) || r.get("all.endpoint.accounts") != nil ||
		r.get("all.endpoint.ordered") != true || r.str("all.endpoint.payload") != "THIN" {
		t.Error(r.Data)
	}
	want := map[string]any{"id": "ep-2", "events": []any{"MESSAGE_CREATED"}, "accounts": []any{map[string]any{"address": "ann@example.com"}},
		"description": "d", "ordered": false, "payload": "FULL", "backfill": true, "attempts": num("6")}
	if diff := cmp.Diff(want, r.get("some.endpoint")); diff != "" {
		t.Error(diff)
	}
	w.ask(`mutation { createEndpoint(input: {url: "https://example.com", accounts: ["nobody"]}) { secret } }`).refused("NOT_FOUND")

	w.ask(`mutation { updateEndpoint(input: {id: "ep-2", url: "https://example.com/3", events: null, accounts: [], enabled: false}) { url } }`).ok()
	ch := w.fake.changed
	if ch.Events == nil || *ch.Events != nil || ch.Accounts == nil || *ch.Accounts == nil || len(*ch.Accounts) != 0 || ch.Enabled == nil || *ch.Enabled || ch.Payload != nil {
		t.Errorf("%+v", ch)
	}
	w.fake.endpoints[1].AccountIDs = []string{"gone"}
	if r := w.ask(`mutation { updateEndpoint(input: {id: "ep-2", accounts: ["gone"]}) { accounts { id } accountIds } }`).ok(); r.get("updateEndpoint.accountIds") == nil || r.get("updateEndpoint.accounts") == nil {
		t.Errorf("an endpoint that is limited to an account that is gone does not say so: %s", r.Data)
	}
	w.ask(`mutation { updateEndpoint(input: {id: "ep-2", accounts: ["gone", "nobody"]}) { url } }`).refused("NOT_FOUND")
	w.ask(`mutation { updateEndpoint(input: {id: "ep-2", payload: THIN}) { url } }`).ok()
	if ch := w.fake.changed; ch.Events != nil || ch.Accounts != nil || ch.URL != nil || *ch.Payload != service.PayloadThin {
		t.Errorf("%+v", ch)
	}
	w.ask(`mutation { updateEndpoint(input: {id: "ep-9", url: "https://x"}) { url } }`).refused("NOT_FOUND")
	if r := w.ask(`mutation { rotateEndpointSecret(id: "ep-2") { secret endpoint { id } } }`).ok(); r.str("rotateEndpointSecret.secret") != "whsec_rotated" {
		t.Error(r.Data)
	}
	w.ask(`mutation { rotateEndpointSecret(id: "ep-9") { secret } }`).refused("NOT_FOUND")
	r = w.ask(`mutation { rotateEndpointSecret(id: "ep-2", signature: ED25519, overlapSeconds: 0) { secret } }`).ok()
	if r.get("rotateEndpointSecret.secret") != nil || w.fake.rotation.Signature != service.SignatureEd25519 || w.fake.rotation.Overlap == nil || *w.fake.rotation.Overlap != 0 {
		t.Errorf("%s, %+v", r.Data, w.fake.rotation)
	}
	w.ask(`mutation { rotateEndpointSecret(id: "ep-2", overlapSeconds: -2147483648) { secret } }`).ok()
	if *w.fake.rotation.Overlap >= 0 {
		t.Errorf("an overlap below zero became %s", *w.fake.rotation.Overlap)
	}
	r = w.ask(`mutation { expireEndpointKey(id: "ep-2", key: "key_1") { keys { id kind publicKey } } }`).ok()
	if diff := cmp.Diff([]any{map[string]any{"id": "key_2", "kind": "ED25519", "publicKey": "whpk_x"}}, r.get("expireEndpointKey.keys")); diff != "" {
		t.Error(diff)
	}
	w.ask(`mutation { updateEndpoint(input: {id: "ep-2", headers: [], onExhausted: HALT, inFlight: 3, perSecond: 1.5, clientCertificate: "", clientKey: "", signature: ED25519, oauth: {tokenUrl: "https://example.com/token", clientId: "postern", clientSecret: "s", scopes: ["a"]}}) { id } }`).ok()
	if c := w.fake.changed; c.OAuth == nil || c.OAuth.ClientSecret != "s" || c.OAuth.TokenURL != "https://example.com/token" || c.OAuth.ClientID != "postern" || len(c.OAuth.Scopes) != 1 || c.Headers == nil || len(*c.Headers) != 0 || *c.InFlight != 3 || *c.OnExhausted != service.ExhaustionHalt || *c.PerSecond != 1.5 || *c.ClientKey != "" || *c.Signature != service.SignatureEd25519 {
		t.Errorf("%+v", c)
	}
	w.ask(`mutation { updateEndpoint(input: {id: "ep-2", attempts: 2}) { id } }`).ok()
	if c := w.fake.changed; c.OAuth != nil || c.Headers != nil || c.InFlight != nil || c.Signature != nil {
		t.Errorf("what was left out is changed: %+v", c)
	}
	r = w.ask(`mutation { createEndpoint(input: {url: "https://example.com/4", signature: ED25519, verify: true, headers: [{name: "X-Tenant", value: "7"}]}) { endpoint { id signature headerNames } } }`).ok()
	if c := w.fake.created; !c.Verify || c.Signature != service.SignatureEd25519 || len(c.Headers) != 1 || c.Headers[0].Value != "7" {
		t.Errorf("%+v", c)
	}
	w.ask(`mutation { deleteEndpoint(id: "` + r.str("createEndpoint.endpoint.id") + `") }`).ok()

	r = w.ask(`mutation { sendTestEvent(id: "ep-2") { id state type event { type endpoint { url } } endpoint { id } accountId account { id } nextAt attempts { number } } }`).ok()
	if r.str("sendTestEvent.type") != "PING" || r.str("sendTestEvent.event.endpoint.url") != "https://example.com/3" || r.get("sendTestEvent.accountId") != nil || r.str("sendTestEvent.nextAt") == "" {
		t.Error(r.Data)
	}
	delivery := r.str("sendTestEvent.id")
	pending := `{ deliveries(filter: {endpoint: "ep-2"}) { edges { node { state nextAt } } } }`
	if r := w.ask(pending).ok(); r.each("deliveries.edges", "node.nextAt")[0] == "<nil>" {
		t.Error(r.Data)
	}
	e, err := w.fake.find("ep-2")
	if err != nil {
		t.Fatal(err)
	}
	was := e.State
	e.State = service.EndpointDisabled
	if r := w.ask(pending).ok(); r.each("deliveries.edges", "node.nextAt")[0] != "<nil>" {
		t.Errorf("a disabled endpoint is tried at a time: %v", r.Data)
	}
	e.State = was
	for filter, n := range map[string]int{`{endpoint: "ep-2"}`: 1, `{endpoint: "ep-1"}`: 0, `{type: PING, state: PENDING}`: 1, `{state: DEAD}`: 0, `{since: "2026-03-04T12:00:00Z"}`: 1, `{until: "2026-03-04T12:00:00Z"}`: 0} {
		if r := w.ask(`{ deliveries(filter: ` + filter + `) { edges { node { id } } } }`).ok(); len(r.each("deliveries.edges", "node.id")) != n {
			t.Errorf("%s: %v", filter, r.Data)
		}
	}
	if r := w.ask(`mutation($ids: [ID!]) { redeliver(ids: $ids) { count } }`, "ids", []string{delivery}).ok(); r.num("redeliver.count") != 1 {
		t.Error(r.Data)
	}
	w.ask(`mutation { redeliver(filter: {endpoint: "ep-2"}) { count } }`).ok()
	if in := w.fake.replay; in.Filter.State != store.DeliveryDead || in.Filter.Endpoint != "ep-2" || !in.Wait || in.DryRun || in.Source != store.JobDeliveries {
		t.Errorf("%+v", in)
	}
	w.replays(t)
	w.ask(`mutation { sendTestEvent(id: "ep-2", type: MESSAGE_CREATED) { id } }`).ok()
	if w.fake.tested != event.MessageCreated {
		t.Errorf("a test of type %s", w.fake.tested)
	}
	if r := w.ask(`mutation { deleteEndpoint(id: "ep-1") }`).ok(); r.str("deleteEndpoint") != "ep-1" {
		t.Error(r.Data)
	}
	if r := w.ask(`{ endpoints { id } }`).ok(); fmt.Sprint(r.each("endpoints", "id")) != "[ep-2]" {
		t.Error(r.Data)
	}
	w.fake.failing("DeleteEndpoint", errors.New("x"))
	if r := w.ask(`mutation { deleteEndpoint(id: "ep-2") }`).refused("INTERNAL"); r.Data != nil {
		t.Error("an id was given although it failed")
	}
}

func TestDeliveryPages(t *testing.T) {
	w := newWorld(t)
	w.ask(`mutation { createEndpoint(input: {url: "https://example.com/1"}) { secret } }`).ok()
	var want []string
	for range 5 {
		w.advance(time.Second)
		want = append([]string{w.ask(`mutation { sendTestEvent(id: "ep-1") { id } }`).ok().str("sendTestEvent.id")}, want...)
	}
	var got []string
	for after := any(nil); ; {
		r := w.ask(`query($after: String) { deliveries(first: 2, after: $after) { edges { node { id } } pageInfo { hasNextPage endCursor } } }`, "after", after).ok()
		got = append(got, r.each("deliveries.edges", "node.id")...)
		if after = r.get("deliveries.pageInfo.endCursor"); r.get("deliveries.pageInfo.hasNextPage") != true {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// replays asks for replays in every way, lists them and cancels one.
func (w *world) replays(t *testing.T) {
	t.Helper()
	r := w.ask(`mutation { redeliver(filter: {type: PING, state: DELIVERED}, to: "ep-2", perSecond: 9, dryRun: true) { count job { id matched } } }`).ok()
	if in := w.fake.replay; in.Filter.State != store.DeliveryDelivered || in.Filter.Type != "ping" || in.To != "ep-2" || in.PerSecond != 9 || !in.DryRun || in.Wait {
		t.Errorf("%+v", in)
	}
	if r.num("redeliver.count") != 7 || r.num("redeliver.job.matched") != 7 {
		t.Error(r.Data)
	}
	for _, bad := range []string{
		`redeliver(ids: ["x"], to: "ep-2") { count }`, `redeliver(ids: ["x"], dryRun: true) { count }`,
		`redeliver(filter: {}, perSecond: 0) { count }`, `replay(input: {perSecond: -1}) { id }`,
	} {
		w.ask("mutation { " + bad + " }").refused("BAD_INPUT")
	}
	r = w.ask(`mutation { replay(input: {source: JOURNAL, endpoint: "ep-2", account: "a", type: MESSAGE_CREATED, states: [PENDING, DEAD],
		since: "2026-01-01T00:00:00Z", until: "2026-02-01T00:00:00Z", perSecond: 3}) { id state source matched } }`).ok()
	in := w.fake.replay
	if in.Source != store.JobJournal || in.Filter.Account != "a" || in.Filter.Type != "message.created" || len(in.States) != 2 ||
		in.Filter.Since.Month() != time.January || in.Filter.Until.Month() != time.February || in.PerSecond != 3 || in.DryRun || in.Wait {
		t.Errorf("%+v", in)
	}
	if r.str("replay.state") != "RUNNING" || r.str("replay.source") != "JOURNAL" {
		t.Error(r.Data)
	}
	if r := w.ask(`{ replayJobs { edges { node { id } } } replayJob(id: "r1") { id state } none: replayJob(id: "r2") { id } }`).ok(); fmt.Sprint(r.each("replayJobs.edges", "node.id")) != "[r1]" || r.str("replayJob.state") != "RUNNING" {
		t.Error(r.Data)
	}
	if r := w.ask(`mutation { cancelReplay(id: "r1") { state doneAt } }`).ok(); r.str("cancelReplay.state") != "CANCELLED" {
		t.Error(r.Data)
	}
	w.ask(`mutation { cancelReplay(id: "r2") { id } }`).refused("NOT_FOUND")
}
