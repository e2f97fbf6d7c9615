package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shape is what bad input must leave as it was.
type shape struct {
	Truth     map[string]placed
	Mailboxes int
	Endpoints int
	Accounts  []string
	Sent      int64
}

func (d *demo) shape() (s shape) {
	d.t.Helper()
	s.Truth = d.truth(ada)
	var got struct {
		Account struct {
			Mailboxes []struct{ ID string }
		}
		Endpoints []struct{ ID string }
		Accounts  struct {
			Edges []struct{ Node struct{ ID, State string } }
		}
	}
	d.query(`query($id: ID!) { account(id: $id) { mailboxes { id } } endpoints { id } accounts { edges { node { id state } } } }`,
		map[string]any{"id": d.account(ada)}, &got)
	s.Mailboxes, s.Endpoints = len(got.Account.Mailboxes), len(got.Endpoints)
	for _, e := range got.Accounts.Edges {
		s.Accounts = append(s.Accounts, e.Node.ID+" "+e.Node.State)
	}
	var counters struct {
		Sent int64 `json:"messages_sent"`
	}
	d.control("GET", "/control/counters", "", &counters)
	s.Sent = counters.Sent
	return s
}

// long is longer than anything that is asked for.
var long = strings.Repeat("long ", 4000)

// TestBadInput gives the gateway what it must refuse: each with a code, at
// once, and with nothing half done.
func TestBadInput(t *testing.T) {
	d := startDemo(t)
	w := &bad{demo: d, ada: d.account(ada), grace: d.account(grace)}
	w.message = (&changes{demo: d, ada: w.ada}).arrive("as it was").ID
	before := d.shape()
	for _, part := range []struct {
		name string
		run  func(*bad, *testing.T)
	}{
		{"queries", (*bad).queries}, {"bodies", (*bad).bodies}, {"ids", (*bad).ids}, {"values", (*bad).values},
		{"cursors", (*bad).cursors}, {"endpoints", (*bad).endpoints}, {"connecting", (*bad).connecting},
		{"notifications", (*bad).notifications}, {"blobs", (*bad).blobs}, {"expired links", (*bad).expiredLinks},
	} {
		t.Run(part.name, func(t *testing.T) {
			d.t = t
			defer func() { d.t = w.t }()
			part.run(w, t)
		})
	}
	if diff := cmp.Diff(before, d.shape()); diff != "" {
		t.Errorf("bad input left something behind:\n%s", diff)
	}
	d.deliver(ada, "after all that")
	if _, err := d.lines.wait(d.ctx(), func(s string) bool {
		return strings.Contains(s, "webhook  verified  message.created") && strings.Contains(s, "after all that")
	}); err != nil {
		t.Errorf("mail is not told any more: %v", err)
	}
}

type bad struct {
	*demo
	ada, grace, message string
}

// refused runs an operation that must end with one error of a code.
func (w *bad) refused(code, query string, vars map[string]any) {
	w.t.Helper()
	errs := w.try(query, vars, nil)
	if len(errs) != 1 || errs[0].Extensions.Code != code || errs[0].Message == "" {
		w.t.Errorf("%.200s %.200v\nis answered by %+v, want %s", query, vars, errs, code)
	}
}

func (w *bad) queries(t *testing.T) {
	deep := "{ account(id: \"x\") " + strings.Repeat("{ mailboxes { account ", 8) + "{ id }" + strings.Repeat("} }", 8) + " }"
	for query, code := range map[string]string{
		`{ viewer { id secret } }`:                   "BAD_INPUT",
		`{ nothing }`:                                "BAD_INPUT",
		`{ account(id: "x", deleted: true) { id } }`: "BAD_INPUT",
		`mutation { createMailbox(input: {account: "x", name: "y", color: "red"}) { id } }`: "BAD_INPUT",
		`{ account { id } }`: "BAD_INPUT",
		`{ events(types: [MESSAGE_LOST]) { edges { cursor } } }`: "BAD_INPUT",
		`{ accounts(first: "many") { edges { cursor } } }`:       "BAD_INPUT",
		`{ accounts(first: 0) { edges { cursor } } }`:            "BAD_INPUT",
		`{ accounts(first: 501) { edges { cursor } } }`:          "BAD_INPUT",
		`{ accounts(first: -1) { edges { cursor } } }`:           "BAD_INPUT",
		`{ viewer { id }`:                "BAD_INPUT",
		``:                               "BAD_INPUT",
		`subscription { events { id } }`: "BAD_INPUT",
		`query A { viewer { id } } query B { viewer { id } }`: "BAD_INPUT",
		deep: "TOO_LARGE",
		`{ accounts(first: 500) { edges { node { messages(first: 500) { edges { node { id text } } } } } } }`: "TOO_LARGE",
	} {
		w.refused(code, query, nil)
	}
}

func (w *bad) bodies(t *testing.T) {
	for body, want := range map[string]struct {
		status int
		code   string
	}{
		``:                       {http.StatusBadRequest, "BAD_INPUT"},
		`hello`:                  {http.StatusBadRequest, "BAD_INPUT"},
		`[]`:                     {http.StatusBadRequest, "BAD_INPUT"},
		`{"query": 7}`:           {http.StatusBadRequest, "BAD_INPUT"},
		`{"query":"{a}"}{"b":1}`: {http.StatusBadRequest, "BAD_INPUT"},
		`{"query":"{ viewer { id } }","variables":"` + strings.Repeat("x", 41<<20) + `"}`: {http.StatusRequestEntityTooLarge, "TOO_LARGE"},
	} {
		status, errs := w.post(w.info.APIKey, []byte(body))
		if status != want.status || len(errs) != 1 || errs[0].Extensions.Code != want.code {
			t.Errorf("%.60q is answered by %d %+v, want %v", body, status, errs, want)
		}
	}
	for _, key := range []string{"", "psk_", strings.Repeat("k", 5000), w.info.APIKey + "x", "key with spaces"} {
		if status, errs := w.post(key, []byte(`{"query":"{ viewer { id } }"}`)); status != http.StatusUnauthorized || len(errs) != 1 || errs[0].Extensions.Code != "UNAUTHENTICATED" {
			t.Errorf("key %.20q is answered by %d %+v", key, status, errs)
		}
	}
	resp := w.raw("POST", "/graphql", "text/plain", "{ viewer { id } }")
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text is answered by %s", resp.Status)
	}
	if resp := w.raw("DELETE", "/graphql", "application/json", ""); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("DELETE is answered by %s", resp.Status)
	}
}

// values gives fields what they cannot hold.
func (w *bad) values(t *testing.T) {
	type vars = map[string]any
	mailbox := `mutation($v: String!, $a: ID!) { createMailbox(input: {account: $a, name: $v}) { id } }`
	for _, name := range []string{"", "  ", "a\r\nb", "a\x00b", long} {
		w.refused("BAD_INPUT", mailbox, vars{"v": name, "a": w.ada})
	}
	keyword := `mutation($v: String!, $m: ID!) { updateMessages(ids: [$m], addKeywords: [$v]) { results { error { code } } } }`
	for _, k := range []string{"", "two words", "(", "ümlaut", "a\r\nb", strings.Repeat("k", 256)} {
		w.refused("BAD_INPUT", keyword, vars{"v": k, "m": w.message})
	}
	w.refused("BAD_INPUT", `mutation($m: ID!) { updateMessages(ids: [$m]) { results { id } } }`, vars{"m": w.message})
	w.refused("BAD_INPUT", `mutation($m: ID!) { updateMessages(ids: [$m], addKeywords: ["x"], removeKeywords: ["x"]) { results { id } } }`, vars{"m": w.message})
	submit := `mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`
	for name, in := range map[string]vars{
		"nobody":             {"text": "x"},
		"no address":         {"to": []string{"nobody"}},
		"injected":           {"to": []string{"a@b.example\r\nBcc: c@d.example"}},
		"injected name":      {"to": []vars{{"name": "a\r\nBcc: c@d.example", "email": "a@b.example"}}},
		"odd address":        {"to": []vars{{"mail": "a@b.example"}}},
		"two-line subject":   {"to": []string{"a@b.example"}, "subject": "a\r\nX: y"},
		"bad base64":         {"raw": "!!!"},
		"empty raw":          {"raw": ""},
		"raw and text":       {"raw": "eA==", "text": "x"},
		"raw without head":   {"raw": "eA=="},
		"bad time":           {"to": []string{"a@b.example"}, "sendAt": "tomorrow"},
		"two-line file":      {"to": []string{"a@b.example"}, "attachments": []vars{{"name": "a\r\nb", "content": "eA=="}}},
		"answer and forward": {"to": []string{"a@b.example"}, "reply": w.message, "forward": w.message},
		"unknown field":      {"to": []string{"a@b.example"}, "priority": "high"},
	} {
		in["account"] = w.ada
		if errs := w.try(submit, vars{"in": in}, nil); len(errs) != 1 || errs[0].Extensions.Code != "BAD_INPUT" {
			t.Errorf("%s is answered by %+v", name, errs)
		}
	}
	w.refused("BAD_INPUT", `mutation { redeliver { count } }`, nil)
	w.refused("BAD_INPUT", `mutation { redeliver(ids: ["x"], filter: {state: DEAD}) { count } }`, nil)
	w.refused("BAD_INPUT", `mutation($id: ID!) { updateAccount(input: {id: $id, mirror: EVERYTHING}) { id } }`, vars{"id": w.ada})
	w.refused("BAD_INPUT", `query($id: ID!) { account(id: $id) { search(query: " ") { edges { cursor } } } }`, vars{"id": w.ada})
}

func (w *bad) endpoints(t *testing.T) {
	create := `mutation($u: String!) { createEndpoint(input: {url: $u}) { secret } }`
	id := w.info.Webhook.Endpoint
	for _, u := range []string{
		"", "nonsense", "/relative", "ftp://example.com/", "javascript:alert(1)", "mailto:a@b.example",
		"https://user:hunter2@example.com/", "https://hunter2@example.com/", "https://example.com/#here", "https:///path", "https://example.com:99999/",
		"http://10.0.0.1/", "http://192.168.1.1/", "http://172.16.0.1/", "http://169.254.169.254/latest/meta-data/", "http://0.0.0.0/", "http://100.64.0.1/",
		"https://[fd00::1]/", "https://[fe80::1]/", "https://[::ffff:10.0.0.1]/", "https://[::]/", "http://0x0a000001/", "http://10.1/", "http://127.0.0.1:25/",
		"https://exa mple.com/", "https://example.com/" + strings.Repeat("x", 3000),
	} {
		w.refused("BAD_INPUT", create, map[string]any{"u": u})
		w.refused("BAD_INPUT", `mutation($id: ID!, $u: String!) { updateEndpoint(input: {id: $id, url: $u}) { id } }`, map[string]any{"id": id, "u": u})
		for _, e := range w.try(create, map[string]any{"u": u}, nil) {
			if strings.Contains(e.Message, "hunter2") {
				t.Errorf("the error repeats the password: %s", e.Message)
			}
		}
	}
	for _, in := range []map[string]any{
		{"attempts": -1}, {"attempts": 1000}, {"description": long}, {"events": []string{"MESSAGE_LOST"}}, {"payload": "HUGE"}, {"secret": "mine"},
	} {
		in["url"] = "https://example.com/"
		w.refused("BAD_INPUT", `mutation($in: CreateEndpointInput!) { createEndpoint(input: $in) { secret } }`, map[string]any{"in": in})
	}
}
