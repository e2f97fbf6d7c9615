package fidelity

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An exchange is one recorded request with its answer.
type exchange struct {
	method, path string
	header       http.Header
	body         string
	status       int
	answerHeader http.Header
	answer       string
}

// readTrace parses lines of "> " (sent) and "< " (received).
func readTrace(t *testing.T, name string) []*exchange {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var all []*exchange
	var x *exchange
	inBody := false
	for line := range strings.SplitSeq(strings.TrimRight(string(b), "\n"), "\n") {
		side, text := line[:min(1, len(line))], strings.TrimSuffix(line[min(2, len(line)):], "\r")
		switch {
		case side == ">" && strings.Contains(text, " HTTP/"):
			f := strings.Fields(text)
			x = &exchange{method: f[0], path: f[1], header: http.Header{}, answerHeader: http.Header{}}
			all, inBody = append(all, x), false
		case side == "<" && strings.HasPrefix(text, "HTTP/"):
			if x.status, err = strconv.Atoi(strings.Fields(text)[1]); err != nil {
				t.Fatalf("%s: %q", name, text)
			}
			inBody = false
		case !inBody && text == "":
			inBody = true
		case !inBody:
			k, v, _ := strings.Cut(text, ": ")
			if side == ">" {
				x.header.Set(k, v)
			} else {
				x.answerHeader.Set(k, v)
			}
		case side == ">":
			x.body += text + "\n"
		default:
			x.answer += text + "\n"
		}
	}
	return all
}

// TestFidelityTraces makes the recorded requests again, with the ids of the sandbox in
// place of the recorded ones.
func TestFidelityTraces(t *testing.T) {
	dir, ok := contracts(t, "graph-traces")
	if !ok {
		t.Skip("../shared is not present")
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatal("no traces", err)
	}
	w := newWorld(t)
	ids := &idMap{known: map[string]string{}}
	// Folder ids are learnt where they were: with the well-known names.
	first := func(n string) int {
		if filepath.Base(n) == "get-folder-id.txt" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(names, func(a, b string) int { return first(a) - first(b) })
	n := 0
	for _, name := range names {
		exchanges := readTrace(t, name)
		ids.prepare(w, exchanges)
		for _, x := range exchanges {
			n++
			t.Run(fmt.Sprintf("%s/%d", strings.TrimSuffix(filepath.Base(name), ".txt"), n), func(t *testing.T) { ids.replay(t, w, x) })
		}
	}
	if n < 20 {
		t.Errorf("%d exchanges replayed", n)
	}
}

// idMap knows the sandbox's ids for recorded ones.
type idMap struct{ known map[string]string }

var recordedID = regexp.MustCompile(`AQMk[A-Za-z0-9_=-]+`)

// prepare makes the messages that a recording had made before it began.
func (m *idMap) prepare(w *world, exchanges []*exchange) {
	for _, x := range exchanges {
		for _, id := range recordedID.FindAllString(x.path, -1) {
			if _, known := m.known[id]; !known {
				m.known[id] = w.call("POST", "/me/messages", obj{"subject": "Hello World", "body": obj{"content": nil},
					"toRecipients": []obj{{"emailAddress": obj{"address": "max@mustermann.de"}}}}).is(201).text("id")
			}
		}
	}
}

func (m *idMap) replay(t *testing.T, w *world, x *exchange) {
	path := recordedID.ReplaceAllStringFunc(x.path, func(id string) string { return m.known[id] })
	address := strings.TrimSuffix(w.sb.State().Graph, "/v1.0") + path
	var body any
	if x.body != "" {
		body = json.RawMessage(x.body)
	}
	var headers []string
	for k := range x.header {
		if k != "Content-Length" {
			headers = append(headers, k, x.header.Get(k))
		}
	}
	r := w.call(x.method, address, body, headers...)
	if r.proto != 2 {
		t.Errorf("HTTP/%d, recorded HTTP/2", r.proto)
	}
	if r.status != x.status {
		t.Fatalf("status %d, recorded %d: %s", r.status, x.status, r.body)
	}
	compareHeaders(t, r.header, x.answerHeader)
	switch {
	case strings.HasPrefix(x.answerHeader.Get("Content-Type"), "application/json"):
		var want any
		if err := json.Unmarshal([]byte(x.answer), &want); err != nil {
			t.Fatal(err)
		}
		compareShape(t, "$", r.json, want)
		m.learn(r.json, want)
	case x.answer != "":
		compareMIME(t, string(r.body), x.answer)
	case len(r.body) > 0:
		t.Errorf("a body where none was recorded: %s", r.body)
	}
}

// learn notes which id stands for which in two answers about one thing.
func (m *idMap) learn(got, want any) {
	w, _ := want.(map[string]any)
	g, _ := got.(map[string]any)
	id, recorded := w["id"].(string)
	if _, known := m.known[id]; recorded && !known && g["id"] != nil {
		m.known[id] = fmt.Sprint(g["id"])
	}
}

// notPromised are headers that come and go with the connection.
var notPromised = map[string]bool{"Vary": true, "Content-Length": true, "Transfer-Encoding": true}

func compareHeaders(t *testing.T, got, want http.Header) {
	t.Helper()
	for k := range want {
		if got.Get(k) == "" && !notPromised[textproto.CanonicalMIMEHeaderKey(k)] {
			t.Errorf("no %s header", k)
		}
	}
	for k := range got {
		if want.Get(k) == "" && !notPromised[k] {
			t.Errorf("header %s was not recorded", k)
		}
	}
	for _, k := range []string{"Content-Type", "Content-Encoding", "Cache-Control", "Strict-Transport-Security"} {
		if got.Get(k) != want.Get(k) {
			t.Errorf("%s %q, recorded %q", k, got.Get(k), want.Get(k))
		}
	}
	var g, x struct{ ServerInfo map[string]string }
	if json.Unmarshal([]byte(got.Get("x-ms-ags-diagnostic")), &g) != nil || json.Unmarshal([]byte(want.Get("x-ms-ags-diagnostic")), &x) != nil {
		t.Error("x-ms-ags-diagnostic is not JSON")
	}
	if a, b := slices.Sorted(maps.Keys(g.ServerInfo)), slices.Sorted(maps.Keys(x.ServerInfo)); !slices.Equal(a, b) {
		t.Errorf("diagnostic %v, recorded %v", a, b)
	}
}

// shapes are patterns that values under some keys must have in both.
var shapes = map[string]*regexp.Regexp{
	"@odata.etag":      regexp.MustCompile(`^W/"[A-Za-z0-9+/]{40}"$`),
	"changeKey":        regexp.MustCompile(`^[A-Za-z0-9+/]{40}$`),
	"@odata.deltaLink": regexp.MustCompile(`^https://[^/]+/v1\.0/me/mailFolders(\('[A-Za-z0-9_=-]+'\)/messages)?/delta\?\$deltatoken=[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$`),
	"@odata.context":   regexp.MustCompile(`^https://[^/]+/v1\.0/\$metadata#(Collection\((message|mailFolder)\)|users\('[^'@]+%40[^']+'\)/(messages|mailFolders(\(id\))?)/\$entity)$`),
	"conversationId":   regexp.MustCompile(`^AAQk|^AQQk`),
	"receivedDateTime": regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`),
}

// compareShape compares keys and types recursively. Every element of a list must
// have the shape of the first recorded one.
func compareShape(t *testing.T, at string, got, want any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s is %T, recorded an object", at, got)
			return
		}
		if a, b := slices.Sorted(maps.Keys(g)), slices.Sorted(maps.Keys(want)); !slices.Equal(a, b) {
			t.Errorf("%s has %v, recorded %v", at, a, b)
		}
		for k, v := range want {
			compareShape(t, at+"."+k, g[k], v)
			if p := shapes[k]; p != nil {
				if s, _ := g[k].(string); !p.MatchString(s) || !p.MatchString(fmt.Sprint(v)) {
					t.Errorf("%s.%s: %q or %q does not fit %v", at, k, s, v, p)
				}
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok {
			t.Errorf("%s is %T, recorded a list", at, got)
			return
		}
		if len(g) == 0 && len(want) > 0 {
			t.Errorf("%s is empty, recorded %d items", at, len(want))
		}
		for i, v := range g {
			if len(want) > 0 {
				compareShape(t, fmt.Sprintf("%s[%d]", at, i), v, want[0])
			}
		}
	default:
		if fmt.Sprintf("%T", got) != fmt.Sprintf("%T", want) {
			t.Errorf("%s is %T, recorded %T", at, got, want)
		}
	}
}

// compareMIME compares the names of a message's header fields.
func compareMIME(t *testing.T, got, want string) {
	t.Helper()
	names := func(s string) []string {
		head, _, _ := strings.Cut(strings.ReplaceAll(s, "\r\n", "\n"), "\n\n")
		var ns []string
		for line := range strings.SplitSeq(strings.TrimSpace(head), "\n") {
			if name, _, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
				ns = append(ns, strings.ToLower(name))
			}
		}
		slices.Sort(ns)
		return ns
	}
	if a, b := names(got), names(want); !slices.Equal(a, b) {
		t.Errorf("MIME fields %v, recorded %v", a, b)
	}
}
