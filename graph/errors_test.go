package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/graph/service"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

type jsonNumber = json.Number

func num(s string) json.Number { return json.Number(s) }

func grantExpired() error {
	return &mail.Error{Kind: mail.KindGrantExpired, Op: "fetch message", Message: "the owner must connect again", Code: "X50173"}
}

// TestErrorCodes gives every kind of error its code, once as an error of a field
// and once as one of a message's result.
func TestErrorCodes(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	m := w.message(a, 1, inbox)
	for kind, code := range map[mail.Kind]string{
		mail.KindThrottled: "THROTTLED", mail.KindUnavailable: "UNAVAILABLE", mail.KindUnauthorized: "UNAUTHENTICATED",
		mail.KindForbidden: "FORBIDDEN", mail.KindGrantExpired: "GRANT_EXPIRED", mail.KindMisconfigured: "MISCONFIGURED",
		mail.KindNotFound: "NOT_FOUND", mail.KindInvalid: "BAD_INPUT", mail.KindConflict: "CONFLICT",
		mail.KindCursorExpired: "CURSOR_EXPIRED", mail.KindTooLarge: "TOO_LARGE", mail.KindOverQuota: "OVER_QUOTA",
		mail.KindOutcomeUnknown: "OUTCOME_UNKNOWN", mail.KindInternal: "INTERNAL", "of tomorrow": "INTERNAL",
	} {
		err := fmt.Errorf("wrapped: %w", &mail.Error{Kind: kind, Op: "do it", Message: "words for people", Code: "P1", RetryAfter: 1500 * time.Millisecond, Err: errors.New("s3cret cause")})
		w.fake.failing("SyncAccount", err)
		w.fake.failing(m.ID, err)
		r := w.ask(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, "id", a.ID).refused(code)
		e := r.Errors[0]
		if fmt.Sprint(e.Path) != "[syncAccount]" {
			t.Errorf("path %v", e.Path)
		}
		if code == "INTERNAL" {
			id, _ := e.Extensions["id"].(string)
			if strings.Contains(e.Message, "words") || id == "" || !strings.Contains(w.log.String(), id) {
				t.Errorf("an error of ours is told as %q with id %q", e.Message, id)
			}
		} else if e.Message != "do it: words for people" || e.Extensions["retryAfter"] != num("2") || e.Extensions["providerCode"] != "P1" {
			t.Errorf("%s: %+v", kind, e)
		}
		if b, _ := json.Marshal(e); strings.Contains(string(b), "s3cret") {
			t.Errorf("the cause is told: %s", b)
		}
		r = w.ask(`mutation($id: ID!) { updateMessages(ids: [$id], addKeywords: ["x"]) { results { id message { id } error { code message retryAfter } } } }`, "id", m.ID).ok()
		if r.str("updateMessages.results.0.error.code") != code || r.get("updateMessages.results.0.message") != nil {
			t.Errorf("%s: result %v", kind, r.Data)
		}
	}
}

func TestErrorsWithoutAKind(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	sync := func() *answer { return w.ask(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, "id", a.ID) }
	w.fake.failing("SyncAccount", fmt.Errorf("read: %w", store.ErrNotFound))
	sync().refused("NOT_FOUND")
	w.fake.failing("SyncAccount", store.ErrClosed)
	sync().refused("UNAVAILABLE")
	w.fake.failing("SyncAccount", errors.New("disk s3cret"))
	if r := sync().refused("INTERNAL"); strings.Contains(r.Errors[0].Message, "s3cret") {
		t.Errorf("told: %+v", r.Errors)
	}
	if !strings.Contains(w.log.String(), "disk s3cret") {
		t.Error("the log does not know the error")
	}
}

// TestPanicIsInternal: in a resolver, and in a loader beside it.
func TestPanicIsInternal(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	w.fake.endpoints = []*service.Endpoint{nil}
	r := w.ask(`query($id: ID!) { account(id: $id) { address } endpoints { id } }`, "id", a.ID).refused("INTERNAL")
	if id, _ := r.Errors[0].Extensions["id"].(string); id == "" || !strings.Contains(w.log.String(), id) {
		t.Errorf("the log does not know %q", id)
	}
	w.ask(`mutation { createEndpoint(input: {url: "http://localhost"}) { secret } }`).ok()
	w.fake.endpoints = nil
	w.fake.panics = "SyncAccount"
	w.ask(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, "id", a.ID).refused("INTERNAL")
	w.ask(`query($id: ID!) { account(id: $id) { address } }`, "id", a.ID).ok()
}

// TestBadQueries are refused as the caller's, before anything runs.
func TestBadQueries(t *testing.T) {
	w := newWorld(t)
	for _, q := range []string{
		"", "{", "{ nothing }", "{ viewer }", "query($x: Int) { viewer { id } } query B { viewer { id } }",
		`{ accounts(first: "ten") { edges { cursor } } }`, `{ accounts(unknown: 1) { edges { cursor } } }`,
		`mutation { beginConnect(input: {provider: "x", surprise: 1}) { url } }`,
		`{ events(types: [NOTHING]) { edges { cursor } } }`, `{ deliveries(filter: {since: "yesterday"}) { edges { cursor } } }`,
		`mutation { submitMessage(input: {account: "x", to: ["not an address"]}) { id } }`,
		`mutation { submitMessage(input: {account: "x", to: [{email: "a@b.c", nick: "x"}]}) { id } }`,
		`mutation { submitMessage(input: {account: "x", to: [{name: "a\nBcc: x@y.z", email: "a@b.c"}]}) { id } }`,
		`mutation { submitMessage(input: {account: "x", subject: "a\nBcc: x@y.z"}) { id } }`,
		`mutation { submitMessage(input: {account: "x", reply: "a", forward: "b"}) { id } }`,
		`mutation { submitMessage(input: {account: "x", raw: "U3ViamVjdA==", text: "b"}) { id } }`,
		`mutation { submitMessage(input: {account: "x", raw: "***"}) { id } }`,
		`mutation { updateMessages(ids: ["x"], addKeywords: ["two words"]) { results { id } } }`,
		`mutation { createMailbox(input: {account: "x", name: " "}) { id } }`,
		`mutation { renameMailbox(input: {id: "x"}) { id } }`,
		`mutation { redeliver { count } }`, `mutation { redeliver(ids: ["x"], filter: {}) { count } }`,
	} {
		if r := w.ask(q); r.code() != "BAD_INPUT" {
			t.Errorf("%s\n  %d %q %+v", q, r.status, r.code(), r.Errors)
		}
	}
	for _, vars := range []string{`{"n": "x"}`, `{"n": 1.5}`, `{"n": 99999999999999999999}`, `{"n": []}`, `{"n": {}}`} {
		if r := w.post(`{"query": "query($n: Int) { accounts(first: $n) { edges { cursor } } }", "variables": ` + vars + `}`); r.code() != "BAD_INPUT" {
			t.Errorf("%s: %q %+v", vars, r.code(), r.Errors)
		}
	}
	if n := w.fake.count("Submit") + w.fake.count("UpdateMessages") + w.fake.count("CreateMailbox") + w.fake.count("Redeliver"); n > 0 {
		t.Errorf("%d calls went through", n)
	}
}
