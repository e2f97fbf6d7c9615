package graph_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-mail/postern/graph"
)

const benchQuery = `{"query": "query($id: ID!) { account(id: $id) { messages(first: 50) { edges { cursor node { id subject from { name email } to { name email } receivedAt keywords preview size hasAttachments thread { id } mailboxes { id name } } } pageInfo { hasNextPage endCursor } } } }", "variables": {"id": "ID"}}`

// BenchmarkList asks for a page of 50 messages, as a list of mail shows them.
// BenchmarkListFloor answers the same bytes without looking at anything: the
// difference is what GraphQL and the store cost.
func BenchmarkList(b *testing.B) {
	h, body, _ := benchList(b)
	benchmark(b, h, body)
}

func BenchmarkListFloor(b *testing.B) {
	_, body, answer := benchList(b)
	benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = w.Write(answer)
	}), body)
}

func benchList(b *testing.B) (h http.Handler, body string, answer []byte) {
	w := newWorld(b, func(o *graph.Options) { o.Log = nil })
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	for n := range 60 {
		w.message(a, n, inbox)
	}
	body = strings.Replace(benchQuery, "ID\"}", a.ID+"\"}", 1)
	h = w.server.Handler()
	return h, body, post(h, body)
}

func post(h http.Handler, body string) []byte {
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Body.Bytes()
}

func benchmark(b *testing.B, h http.Handler, body string) {
	if got := post(h, body); !bytes.Contains(got, []byte("Subject 059")) || bytes.Contains(got, []byte(`"errors"`)) {
		b.Fatalf("answer %s", got)
	}
	b.ReportAllocs()
	for b.Loop() {
		post(h, body)
	}
}
