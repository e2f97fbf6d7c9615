package graph_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/graph"
	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func fetch(t *testing.T, method, url string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

// urls asks for the raw URL and the first attachment's.
func urls(w *world, id string) (raw, attachment string) {
	r := w.ask(`query($id: ID!) { message(id: $id) { raw attachments { url } } }`, "id", id).ok()
	return r.str("message.raw"), r.str("message.attachments.0.url")
}

func TestBlobs(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	m := w.message(a, 1, w.mailbox(a, "Inbox", "inbox", nil))
	raw, attachment := urls(w, m.ID)
	whole := "Subject: x\r\n\r\nraw of " + m.ID

	resp, body := fetch(t, "GET", raw)
	if resp.StatusCode != 200 || body != whole || resp.Header.Get("Content-Type") != "message/rfc822" ||
		resp.Header.Get("Content-Disposition") != `attachment; filename="`+m.ID+`.eml"; filename*=UTF-8''`+m.ID+`.eml` ||
		!strings.HasPrefix(resp.Header.Get("Content-Security-Policy"), "sandbox") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	resp, body = fetch(t, "HEAD", raw)
	if resp.StatusCode != 200 || body != "" || resp.ContentLength != int64(len(whole)) {
		t.Errorf("HEAD: %d %q %d", resp.StatusCode, body, resp.ContentLength)
	}
	for header, want := range map[string]string{"bytes=0-6": whole[:7], "bytes=-5": whole[len(whole)-5:], "bytes=9-": whole[9:]} {
		resp, body = fetch(t, "GET", raw, "Range", header)
		if resp.StatusCode != 206 || body != want {
			t.Errorf("%s: %d %q", header, resp.StatusCode, body)
		}
	}
	if resp, _ = fetch(t, "GET", raw, "Range", "bytes=9999-"); resp.StatusCode != 416 {
		t.Errorf("range behind the end: %d", resp.StatusCode)
	}
	resp, body = fetch(t, "GET", attachment)
	if resp.StatusCode != 200 || body != "bytes of part 2" || resp.Header.Get("Content-Type") != "application/pdf" || !strings.Contains(resp.Header.Get("Content-Disposition"), `"report.pdf"`) {
		t.Errorf("%d %q %v", resp.StatusCode, body, resp.Header)
	}
	if resp, _ = fetch(t, "POST", raw); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d", resp.StatusCode)
	}
	w.fake.mu.Lock()
	defer w.fake.mu.Unlock()
	if w.fake.open != 0 {
		t.Errorf("%d readers are still open", w.fake.open)
	}
}

func TestForgedLinks(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	inbox := w.mailbox(a, "Inbox", "inbox", nil)
	m, other := w.message(a, 1, inbox), w.message(a, 2, inbox)
	raw, attachment := urls(w, m.ID)
	for name, url := range map[string]string{
		"unsigned":         strings.Split(raw, "?")[0],
		"other message":    strings.Replace(raw, m.ID, other.ID, 1),
		"other kind":       strings.Replace(raw, "/raw/", "/attachment/", 1),
		"part moved":       strings.Replace(attachment, "/2?", "?", 1),
		"other part":       strings.Replace(attachment, "/2?", "/1.2?", 1),
		"longer":           strings.Replace(raw, "exp=1", "exp=2", 1),
		"shorter mac":      raw[:len(raw)-1],
		"empty mac":        raw[:strings.Index(raw, "&sig=")+5],
		"nothing":          w.http.URL + "/blobs/",
		"deeper":           strings.Replace(raw, "?", "/x?", 1),
		"no number of end": strings.Replace(raw, "exp=", "exp=x", 1),
	} {
		resp, body := fetch(t, "GET", url)
		if resp.StatusCode != 403 || !strings.Contains(body, `"FORBIDDEN"`) {
			t.Errorf("%s: %d %s", name, resp.StatusCode, body)
		}
	}
	if n := w.fake.count("Raw") + w.fake.count("Attachment"); n != 0 {
		t.Errorf("%d forged links reached the bytes", n)
	}
	w.advance(9 * time.Minute)
	if resp, _ := fetch(t, "GET", raw); resp.StatusCode != 200 {
		t.Errorf("after 9 minutes: %d", resp.StatusCode)
	}
	w.advance(2 * time.Minute)
	if resp, body := fetch(t, "GET", raw); resp.StatusCode != 403 || !strings.Contains(body, "expired") {
		t.Errorf("after 11 minutes: %d %s", resp.StatusCode, body)
	}
}

func TestBlobsThatCannotBeHad(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	m := w.message(a, 1, w.mailbox(a, "Inbox", "inbox", nil))
	raw, _ := urls(w, m.ID)
	for kind, status := range map[mail.Kind]int{mail.KindNotFound: 404, mail.KindThrottled: 429, mail.KindGrantExpired: 503, mail.KindUnavailable: 503, mail.KindInternal: 500, mail.KindTooLarge: 413} {
		w.fake.failing("Raw", &mail.Error{Kind: kind, RetryAfter: 3 * time.Second})
		resp, body := fetch(t, "GET", raw)
		if resp.StatusCode != status || resp.Header.Get("Content-Disposition") != "" || !strings.Contains(body, `"code"`) {
			t.Errorf("%s: %d %s", kind, resp.StatusCode, body)
		}
		if kind == mail.KindThrottled && resp.Header.Get("Retry-After") != "3" {
			t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
		}
	}
	w.fake.failing("Raw", nil)
	delete(w.fake.contents, m.ID)
	if resp, _ := fetch(t, "GET", raw); resp.StatusCode != 404 {
		t.Errorf("gone: %d", resp.StatusCode)
	}
}

// TestFileNames: what a sender calls a file reaches no header unchecked.
func TestFileNames(t *testing.T) {
	w := newWorld(t)
	a := w.account("ann@example.com")
	m := w.message(a, 1, w.mailbox(a, "Inbox", "inbox", nil))
	for name, want := range map[string]string{
		"a b.txt":                      `filename="a b.txt"; filename*=UTF-8''a%20b.txt`,
		"../../etc/passwd":             `filename="_.._etc_passwd"; filename*=UTF-8''_.._etc_passwd`,
		"x\"; evil=\"1\r\nSet: y.html": `filename="x_; evil=_1__Set_ y.html"; filename*=UTF-8''x_%3B%20evil%3D_1__Set_%20y.html`,
		"Müller.pdf":                   `filename="M_ller.pdf"; filename*=UTF-8''M%C3%BCller.pdf`,
		"exe\u202etxt.scr":             `filename="exe_txt.scr"; filename*=UTF-8''exe_txt.scr`,
		"":                             `filename="attachment"; filename*=UTF-8''attachment`,
		"...":                          `filename="attachment"; filename*=UTF-8''attachment`,
		"100%.txt":                     `filename="100_.txt"; filename*=UTF-8''100%25.txt`,
		"bad\xff.txt":                  `filename="bad_.txt"; filename*=UTF-8''bad_.txt`,
	} {
		w.fake.contents[m.ID].Attachments = []mime.Attachment{{ID: "1/2 x", Name: name, Type: "text/html\r\nX: y"}}
		_, attachment := urls(w, m.ID)
		resp, _ := fetch(t, "GET", attachment)
		if got := resp.Header.Get("Content-Disposition"); got != "attachment; "+want || resp.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%q: %d %s, %s", name, resp.StatusCode, got, resp.Header.Get("Content-Type"))
		}
	}
}

func TestKeyOfBlobs(t *testing.T) {
	if _, err := graph.New(nil, nil, graph.Services{}, graph.Options{BlobKey: []byte("short")}); err == nil {
		t.Error("a short key was taken")
	}
	same := make([]byte, 32)
	one, two := newWorld(t, func(o *graph.Options) { o.BlobKey = same }), newWorld(t, func(o *graph.Options) { o.BlobKey = same })
	a := one.account("ann@example.com")
	m := one.message(a, 1, one.mailbox(a, "Inbox", "inbox", nil))
	two.fake.contents[m.ID] = &mime.Content{}
	raw, _ := urls(one, m.ID)
	if resp, _ := fetch(t, "GET", strings.Replace(raw, one.http.URL, two.http.URL, 1)); resp.StatusCode != 200 {
		t.Error(fmt.Sprint("with the same key: ", resp.StatusCode))
	}
}
