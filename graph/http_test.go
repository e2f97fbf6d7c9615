package graph_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

const viewer = `{"query": "{ viewer { id name } }"}`

func TestKeys(t *testing.T) {
	w := newWorld(t)
	for header, status := range map[string]int{
		"Bearer " + key: 200, "bearer  " + key + " ": 200, "": 401, "Bearer": 401, "Bearer ": 401, "Bearer wrong": 401, "Basic " + key: 401, key: 401,
	} {
		r := w.post(viewer, "Authorization", header)
		if r.status != status {
			t.Errorf("%q: %d", header, r.status)
		}
		if status == 401 && (r.code() != "UNAUTHENTICATED" || r.header.Get("WWW-Authenticate") != "Bearer" || r.Data != nil) {
			t.Errorf("%q: %+v", header, r)
		}
	}
	if r := w.post(viewer).ok(); r.str("viewer.name") != "the tests" {
		t.Error(r.Data)
	}
	w.fake.failing("Authenticate", &mail.Error{Kind: mail.KindUnavailable})
	if r := w.post(viewer).refused("UNAVAILABLE"); r.status != 503 {
		t.Error(r.status)
	}
}

func TestForms(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.MaxBody = 2000 })
	for _, c := range []struct {
		name, body, mediaType string
		status                int
		code                  string
	}{
		{"charset", viewer, "application/json; charset=utf-8", 200, ""},
		{"no type", viewer, "", 415, "BAD_INPUT"},
		{"form", "query=x", "application/x-www-form-urlencoded", 415, "BAD_INPUT"},
		{"no JSON", "{ viewer { id } }", "application/json", 400, "BAD_INPUT"},
		{"two values", viewer + viewer, "application/json", 400, "BAD_INPUT"},
		{"list", "[" + viewer + "]", "application/json", 400, "BAD_INPUT"},
		{"too large", `{"query": "` + strings.Repeat(" ", 2000) + `"}`, "application/json", 413, "TOO_LARGE"},
		{"no multipart", viewer, "multipart/form-data; boundary=x", 400, "BAD_INPUT"},
		{"subscription", `{"query": "subscription { events { id } }"}`, "application/json", 406, "BAD_INPUT"},
	} {
		r := w.post(c.body, "Content-Type", c.mediaType)
		if r.status != c.status || r.code() != c.code {
			t.Errorf("%s: %d %q %+v", c.name, r.status, r.code(), r.Errors)
		}
	}
	r, _ := http.NewRequest(http.MethodPut, w.http.URL+"/graphql", strings.NewReader(viewer))
	r.Header.Set("Authorization", "Bearer "+key)
	if a := w.do(r).refused("BAD_INPUT"); a.status != 405 {
		t.Error(a.status)
	}
}

func (w *world) getQuery(values ...string) *answer {
	w.t.Helper()
	q := url.Values{}
	for i := 0; i < len(values); i += 2 {
		q.Set(values[i], values[i+1])
	}
	r, err := http.NewRequest(http.MethodGet, w.http.URL+"/graphql?"+q.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	return w.do(r)
}

func TestGet(t *testing.T) {
	w := newWorld(t)
	w.getQuery("query", "query($n: Int) { accounts(first: $n) { edges { cursor } } }", "variables", `{"n": 3}`).ok()
	w.getQuery("query", "{ viewer { id } }", "variables", "[").refused("BAD_INPUT")
	if r := w.getQuery("query", `mutation { deleteEndpoint(id: "ep-1") }`).refused("BAD_INPUT"); r.status != 405 || w.fake.count("DeleteEndpoint") > 0 {
		t.Error(r.status)
	}
}

func TestPersistedQueries(t *testing.T) {
	w := newWorld(t)
	const query = "{ viewer { name } }"
	sum := sha256.Sum256([]byte(query))
	hash := fmt.Sprintf(`{"persistedQuery": {"version": 1, "sha256Hash": %q}}`, hex.EncodeToString(sum[:]))
	if r := w.getQuery("extensions", hash).refused("PERSISTED_QUERY_NOT_FOUND"); r.status != 200 || r.Errors[0].Message != "PersistedQueryNotFound" {
		t.Errorf("%d %+v", r.status, r.Errors)
	}
	w.post(`{"query": "` + query + `", "extensions": ` + hash + `}`).ok()
	if r := w.getQuery("extensions", hash).ok(); r.str("viewer.name") != "the tests" {
		t.Error(r.Data)
	}
	w.post(`{"query": "{ viewer { id } }", "extensions": ` + hash + `}`).refused("BAD_INPUT")

	// A very long query is answered and not kept.
	long := query + strings.Repeat(" ", 20_000)
	sum = sha256.Sum256([]byte(long))
	hash = fmt.Sprintf(`{"persistedQuery": {"version": 1, "sha256Hash": %q}}`, hex.EncodeToString(sum[:]))
	w.post(`{"query": "` + long + `", "extensions": ` + hash + `}`).ok()
	w.getQuery("extensions", hash).refused("PERSISTED_QUERY_NOT_FOUND")
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.MaxDepth, o.MaxComplexity = 6, 1000 })
	w.ask(`{ accounts { edges { node { mailboxes { parent { name } } } } } }`).refused("TOO_LARGE") // 50 * 10 * ...
	w.ask(`{ account(id: "x") { mailboxes { parent { parent { parent { name } } } } } }`).ok()
	w.ask(`{ account(id: "x") { mailboxes { parent { parent { parent { parent { name } } } } } } }`).refused("TOO_LARGE")
	w.ask(`fragment F on Mailbox { parent { parent { parent { parent { name } } } } } { account(id: "x") { mailboxes { ... on Mailbox { ...F } } } }`).refused("TOO_LARGE")
	w.ask(`query($n: Int) { account(id: "x") { messages(first: $n) { edges { node { subject } } } } }`, "n", 300).ok()
	w.ask(`query($n: Int) { account(id: "x") { messages(first: $n) { edges { node { subject } } } } }`, "n", 400).refused("TOO_LARGE")
	w.ask(`{ account(id: "x") { messages(first: 50) { edges { node { text } } } } }`).ok()
	w.ask(`{ account(id: "x") { messages(first: 100) { edges { node { text } } } } }`).refused("TOO_LARGE")
	if r := w.ask("{ " + strings.Repeat("viewer { id } ", 6000) + "}").refused("BAD_INPUT"); !strings.Contains(r.Errors[0].Message, "token") {
		t.Error(r.Errors)
	}
	// What clients' tools ask is answered within the limits.
	w.ask(`{ __schema { types { fields { type { ofType { ofType { ofType { ofType { ofType { ofType { ofType { name } } } } } } } } } } } }`).ok()
}

func TestTimeout(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.Timeout = 2 * time.Second })
	a := w.account("ann@example.com")
	m := w.message(a, 1, w.mailbox(a, "Inbox", "inbox", nil))
	w.fake.hold = true
	r := w.ask(`query($id: ID!) { message(id: $id) { subject text } }`, "id", m.ID).refused("UNAVAILABLE")
	if r.str("message.subject") != "Subject 001" {
		t.Error(r.Data)
	}
}

func (w *world) multipart(operations, places string, files map[string]string, order ...string) *answer {
	w.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	_ = m.WriteField("operations", operations)
	_ = m.WriteField("map", places)
	for _, name := range order {
		part, err := m.CreateFormFile(name, name+".bin")
		if err != nil {
			w.t.Fatal(err)
		}
		_, _ = part.Write([]byte(files[name]))
	}
	_ = m.Close()
	return w.post(b.String(), "Content-Type", m.FormDataContentType())
}

// TestUpload sends attachments as files: a small one, one that does not stay in
// memory, and one that is too large.
func TestUpload(t *testing.T) {
	w := newWorld(t, func(o *graph.Options) { o.MaxUpload = 3 << 20 })
	a := w.account("ann@example.com")
	ops, _ := json.Marshal(map[string]any{
		"query": `mutation($in: SubmitMessageInput!) { submitMessage(input: $in) { id } }`,
		"variables": map[string]any{"in": map[string]any{"account": a.ID, "to": []string{"x@example.com"}, "text": "t",
			"attachments": []any{map[string]any{"name": "f.bin", "content": nil}}}},
	})
	const place = `{"0": ["variables.in.attachments.0.content"]}`
	for _, size := range []int{5, 1 << 20, 2<<20 + 1} {
		content := strings.Repeat("x", size)
		w.multipart(string(ops), place, map[string]string{"0": content}, "0").ok()
		if string(w.fake.sent) != content || w.fake.submitted.Message.Attachments[0].Size != int64(size) || w.fake.submitted.Message.Attachments[0].Type != "application/octet-stream" {
			t.Errorf("%d bytes arrived of %d", len(w.fake.sent), size)
		}
	}
	if r := w.multipart(string(ops), place, map[string]string{"0": strings.Repeat("x", 4<<20)}, "0").refused("TOO_LARGE"); r.status != 413 {
		t.Error(r.status)
	}
	for name, bad := range map[string]string{
		"elsewhere": `{"0": ["variables.in.attachments.1.content"]}`, "taken": `{"0": ["variables.in.text"]}`, "into a text": `{"0": ["variables.in.text.x"]}`,
		"two places": `{"0": ["variables.in.attachments.0.content", "variables.x"]}`, "missing file": `{"0": ["variables.in.attachments.0.content"], "1": ["variables.y"]}`,
		"no map": `[]`, "nowhere": `{"0": []}`, "empty": `{"0": [""]}`,
	} {
		if r := w.multipart(string(ops), bad, map[string]string{"0": "x"}, "0"); r.code() != "BAD_INPUT" {
			t.Errorf("%s: %q", name, r.code())
		}
	}
}

func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.post(viewer).ok()
	w.ask("{ nothing }").refused("BAD_INPUT")
	w.ask(`mutation { syncAccount(id: "x") { id } }`).refused("NOT_FOUND")
	families, err := w.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]uint64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == "postern_graphql_seconds" {
				got[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	if fmt.Sprint(got) != "map[mutation not_found:1 query ok:1 refused bad_input:1]" {
		t.Error(got)
	}
	if problems, err := testutil.GatherAndLint(w.metrics); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
