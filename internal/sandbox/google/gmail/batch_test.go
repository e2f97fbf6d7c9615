package gmail

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
)

// batchBody is a batch of request texts; each is known by its number.
func batchBody(requests ...string) []byte {
	var b strings.Builder
	for i, r := range requests {
		fmt.Fprintf(&b, "--frontier\r\nContent-Type: application/http\r\nContent-ID: <item-%d>\r\n\r\n%s\r\n", i+1, strings.ReplaceAll(r, "\n", "\r\n"))
	}
	b.WriteString("--frontier--\r\n")
	return []byte(b.String())
}

var batchHeader = http.Header{"Content-Type": {"multipart/mixed; boundary=frontier"}}

type batchAnswer struct {
	id     string
	status int
	body   string
}

// batch sends requests together and reads the answers, in the order in which
// they come.
func (d *desk) batch(header http.Header, requests ...string) []batchAnswer {
	d.Helper()
	resp, body := d.do("POST", "/batch/gmail/v1", header, batchBody(requests...))
	if resp.StatusCode != 200 {
		d.Fatalf("%d %s", resp.StatusCode, body)
	}
	_, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		d.Fatal(err)
	}
	var out []batchAnswer
	r := multipart.NewReader(strings.NewReader(body), params["boundary"])
	for {
		p, err := r.NextPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			d.Fatal(err)
		}
		if ct := p.Header.Get("Content-Type"); ct != "application/http" {
			d.Errorf("content type %q", ct)
		}
		inner, err := http.ReadResponse(bufio.NewReader(p), nil)
		if err != nil {
			d.Fatal(err)
		}
		b, err := io.ReadAll(inner.Body)
		if err != nil {
			d.Fatal(err)
		}
		out = append(out, batchAnswer{p.Header.Get("Content-ID"), inner.StatusCode, string(b)})
	}
}

func (d *desk) byID(answers []batchAnswer) map[string]batchAnswer {
	m := map[string]batchAnswer{}
	for _, a := range answers {
		m[a.id] = a
	}
	return m
}

func TestBatch(t *testing.T) {
	d := newDesk(t, Settings{})
	id, err := d.server.Deliver(t.Context(), alan, cloud.Delivery{Raw: []byte(letterTo)})
	if err != nil {
		t.Fatal(err)
	}
	answers := d.batch(batchHeader,
		"GET /gmail/v1/users/me/messages/"+id+"?format=minimal&fields=id HTTP/1.1\nAccept: application/json\n\n",
		"GET /gmail/v1/users/me/messages/0123456789abcdef HTTP/1.1\n\n",
		"POST /gmail/v1/users/me/messages/"+id+"/modify HTTP/1.1\nContent-Type: application/json\nContent-Length: 27\n\n{\"addLabelIds\":[\"STARRED\"]}",
		"DELETE /gmail/v1/users/me/messages/"+id,
		"GET /gmail/v1/users/me/profile HTTP/1.1\nAuthorization: Bearer grace\n\n",
		"GET /gmail/v1/users/me/profile HTTP/1.1\nAuthorization: Bearer nobody\n\n",
		"POST /upload/gmail/v1/users/me/messages/send HTTP/1.1\nContent-Type: message/rfc822\n\nTo: grace@gmail.example\n",
		"GET /batch HTTP/1.1\n\n",
	)
	if len(answers) != 8 || answers[0].id != "<response-item-8>" {
		t.Errorf("%d answers, the first %s: they come in the order asked", len(answers), answers[0].id)
	}
	byID := d.byID(answers)
	for n, want := range map[int]batchAnswer{
		1: {status: 200, body: `{"id":"` + id + `"}`}, 2: {status: 404, body: "notFound"}, 3: {status: 200, body: "STARRED"}, 4: {status: 204},
		5: {status: 200, body: grace}, 6: {status: 401, body: "authError"}, 7: {status: 400, body: "not supported in batch"}, 8: {status: 404},
	} {
		got := byID[fmt.Sprintf("<response-item-%d>", n)]
		if got.status != want.status || !strings.Contains(got.body, want.body) {
			t.Errorf("part %d: %d %s, want %d %s", n, got.status, got.body, want.status, want.body)
		}
	}
	r := d.counters.Report("google", alan)
	if r.Units["messages.get"] != 40 || r.Units["messages.modify"] != 5 || r.Units["messages.delete"] != 10 {
		t.Errorf("units %v", r.Units)
	}
}

// A batch's parts are in flight together.
func TestBatchTripsOverConcurrency(t *testing.T) {
	d := newDesk(t, Settings{BatchInOrder: true})
	var gets []string
	for range 12 {
		gets = append(gets, "GET /gmail/v1/users/me/profile HTTP/1.1\n\n")
	}
	for i, a := range d.batch(batchHeader, gets...) {
		want, body := 200, "emailAddress"
		if i >= 10 {
			want, body = 429, "Too many concurrent requests for user"
		}
		if a.status != want || !strings.Contains(a.body, body) || a.id != fmt.Sprintf("<response-item-%d>", i+1) {
			t.Errorf("part %d: %s %d %s", i, a.id, a.status, a.body)
		}
	}
	if got := d.counters.Report("google", alan); got.Refusals[limitConcurrency] != 2 || got.UnitsSpent != 10 {
		t.Errorf("%+v", got)
	}
	if answers := d.batch(batchHeader, gets[:10]...); answers[9].status != 200 {
		t.Error("the batch before has not left")
	}
}

func TestBatchRefusals(t *testing.T) {
	d := newDesk(t, Settings{})
	many := make([]string, maxBatchParts+1)
	for i := range many {
		many[i] = "GET /gmail/v1/users/me/profile HTTP/1.1\n\n"
	}
	part := func(s string) []byte { return []byte("--frontier\r\n" + s + "\r\n--frontier--\r\n") }
	for _, c := range []struct {
		header http.Header
		body   []byte
		want   string
	}{
		{http.Header{"Content-Type": {"application/json"}}, []byte("{}"), "not multipart/mixed"},
		{http.Header{}, nil, "not multipart/mixed"},
		{batchHeader, nil, "0 items"},
		{batchHeader, []byte("--frontier--\r\n"), "0 items"},
		{batchHeader, []byte("--frontier\r\nContent-Type: application/http\r\n\r\nGET /x"), "item 1"},
		{batchHeader, part("Content-Type: text/plain\r\n\r\nGET /x HTTP/1.1\r\n"), "content type"},
		{batchHeader, part("Content-Type: application/http\r\n\r\n"), "no request line"},
		{batchHeader, part("Content-Type: application/http\r\n\r\nGET\r\n"), "malformed request line"},
		{batchHeader, part("Content-Type: application/http\r\n\r\nGET http://elsewhere.example/x HTTP/1.1\r\n"), "malformed request line"},
		{batchHeader, part("Content-Type: application/http\r\n\r\nGET /x HTTP/1.1\r\nno header\r\n\r\n"), "malformed header"},
		{batchHeader, batchBody(many...), "must not contain more than 100 calls"},
	} {
		resp, body := d.do("POST", "/batch", c.header, c.body)
		d.is(resp, body, 400, c.want)
	}
	resp, body := d.do("GET", "/batch", nil, nil)
	d.is(resp, body, 404, "")
	if n := len(d.batch(batchHeader, many[:maxBatchParts]...)); n != maxBatchParts {
		t.Errorf("%d answers of %d", n, maxBatchParts)
	}
}
