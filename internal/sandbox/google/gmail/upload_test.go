package gmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	api "google.golang.org/api/gmail/v1"
	"google.golang.org/api/googleapi"

	"github.com/postern-mail/postern/internal/sandbox/front"
)

const sendUpload = "/upload/gmail/v1/users/me/messages/send"

func related(parts ...string) []byte {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--line\r\n" + p + "\r\n")
	}
	b.WriteString("--line--\r\n")
	return []byte(b.String())
}

func TestUploadForms(t *testing.T) {
	jsonPart := "Content-Type: application/json; charset=UTF-8\r\n\r\n{}"
	for _, c := range []struct {
		name, query, contentType string
		body                     []byte
		status                   int
		want                     string
	}{
		{"media", "?uploadType=media", "message/rfc822", []byte(letterTo), 200, "SENT"},
		{"media, not said", "", "message/rfc822", []byte(letterTo), 200, "SENT"},
		{"raw protocol", "?upload_protocol=raw", "message/rfc822", []byte(letterTo), 200, "SENT"},
		{"media of another type", "?uploadType=media", "text/plain", []byte(letterTo), 400, "Media type 'text/plain' is not supported"},
		{"multipart", "?uploadType=multipart", "multipart/related; boundary=line", related(jsonPart, "Content-Type: message/rfc822\r\n\r\n"+letterTo), 200, "SENT"},
		{"multipart, not said", "", "multipart/related; boundary=line", related(jsonPart, "Content-Type: message/rfc822\r\n\r\n"+letterTo), 200, "SENT"},
		{"multipart in base64", "?uploadType=multipart", "multipart/related; boundary=line",
			related(jsonPart, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"+base64.StdEncoding.EncodeToString([]byte(letterTo))), 200, "SENT"},
		{"multipart in bad base64", "?uploadType=multipart", "multipart/related; boundary=line",
			related(jsonPart, "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%"), 400, "Malformed multipart body."},
		{"multipart without JSON", "?uploadType=multipart", "multipart/related; boundary=line", related("Content-Type: message/rfc822\r\n\r\n" + letterTo), 400, "Malformed multipart body."},
		{"multipart without message", "?uploadType=multipart", "multipart/related; boundary=line", related(jsonPart), 400, "Malformed multipart body."},
		{"multipart of three", "?uploadType=multipart", "multipart/related; boundary=line", related(jsonPart, "Content-Type: message/rfc822\r\n\r\n"+letterTo, jsonPart), 400, "Malformed multipart body."},
		{"multipart with a text", "?uploadType=multipart", "multipart/related; boundary=line", related(jsonPart, "Content-Type: text/plain\r\n\r\nx"), 400, "Media type 'text/plain' is not supported"},
		{"multipart that is mixed", "?uploadType=multipart", "multipart/mixed; boundary=line", related(jsonPart), 400, "Malformed multipart body."},
		{"bad JSON", "?uploadType=multipart", "multipart/related; boundary=line", related("Content-Type: application/json\r\n\r\n{", "Content-Type: message/rfc822\r\n\r\n"+letterTo), 400, "Invalid JSON payload received"},
		{"unknown", "?uploadType=carrier-pigeon", "message/rfc822", []byte(letterTo), 400, "Invalid upload type"},
		{"two messages", "?uploadType=multipart", "multipart/related; boundary=line", related("Content-Type: application/json\r\n\r\n{\"raw\":\"eA\"}", "Content-Type: message/rfc822\r\n\r\n"+letterTo), 400, "cannot both be given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Settings{})
			resp, body := d.do("POST", sendUpload+c.query, http.Header{"Content-Type": {c.contentType}}, c.body)
			d.T = t
			d.is(resp, body, c.status, c.want)
			if want := map[bool]int{true: 1}[c.status == 200]; d.sent() != want {
				t.Errorf("%d sent, want %d", d.sent(), want)
			}
		})
	}
	d := newDesk(t, Settings{})
	resp, body := d.do("POST", "/upload/gmail/v1/users/me/labels", http.Header{"Content-Type": {"message/rfc822"}}, nil)
	d.is(resp, body, 404, "")
	resp, body = d.do("POST", sendUpload, http.Header{"Content-Type": {"message/rfc822"}}, bytes.Repeat([]byte("x"), maxSend+1))
	d.is(resp, body, 413, "uploadTooLarge")
}

// open begins a resumable upload and gives its address.
func (d *desk) open(path string, header http.Header) string {
	d.Helper()
	resp, body := d.do("POST", path+"?uploadType=resumable", header, []byte(`{}`))
	d.is(resp, body, 200, "")
	loc := resp.Header.Get("Location")
	if !strings.HasPrefix(loc, d.url+path) || !strings.Contains(loc, "upload_id=") || resp.Header.Get("X-GUploader-UploadID") == "" {
		d.Fatalf("location %q", loc)
	}
	return loc
}

func contentRangeHeader(s string) http.Header { return http.Header{"Content-Range": {s}} }

// TestResumable reads as what goes over the wire.
func TestResumable(t *testing.T) {
	for _, path := range []string{sendUpload, "/resumable" + sendUpload} {
		d := newDesk(t, Settings{})
		raw := append([]byte(letterTo), bytes.Repeat([]byte("line\r\n"), 100_000)...) // 600 KB
		const k = 256 << 10
		loc := d.open(path, http.Header{"X-Upload-Content-Type": {"message/rfc822"}, "X-Upload-Content-Length": {fmt.Sprint(len(raw))}})
		state := func(want string) {
			t.Helper()
			resp, body := d.do("PUT", loc, contentRangeHeader("bytes */*"), nil)
			if d.is(resp, body, 308, ""); resp.Header.Get("Range") != want {
				t.Errorf("has %q, want %q", resp.Header.Get("Range"), want)
			}
		}
		state("")
		resp, body := d.do("POST", loc, http.Header{"Content-Range": {fmt.Sprintf("bytes 0-%d/*", k-1)}, "X-Guploader-No-308": {"yes"}}, raw[:k])
		if d.is(resp, body, 200, ""); resp.Header.Get("X-Http-Status-Code-Override") != "308" || resp.Header.Get("Range") != fmt.Sprintf("bytes=0-%d", k-1) {
			t.Errorf("%v", resp.Header)
		}
		state(fmt.Sprintf("bytes=0-%d", k-1))
		for _, bad := range []struct {
			header, want string
			body         []byte
		}{
			{fmt.Sprintf("bytes %d-%d/*", 2*k, 2*k+9), "exceeds already uploaded size", raw[:10]},
			{fmt.Sprintf("bytes %d-%d/*", k, 2*k-1), "There were 5 byte(s) in the request body", raw[:5]},
			{fmt.Sprintf("bytes %d-%d/*", k, k+9), "multiple of 262144", raw[k : k+10]},
			{fmt.Sprintf("bytes %d-%d/7", k, 2*k-1), "contradicts", raw[:k]},
			{"bytes 9-1/*", "Failed to parse Content-Range header.", nil},
			{"lines 1-2/3", "Failed to parse Content-Range header.", nil},
		} {
			resp, body := d.do("PUT", loc, contentRangeHeader(bad.header), bad.body)
			d.is(resp, body, 400, bad.want)
		}
		// What overlaps is not taken twice.
		resp, body = d.do("PUT", loc, contentRangeHeader(fmt.Sprintf("bytes 0-%d/%d", 2*k-1, len(raw))), raw[:2*k])
		d.is(resp, body, 308, "")
		last := contentRangeHeader(fmt.Sprintf("bytes %d-%d/%d", 2*k, len(raw)-1, len(raw)))
		resp, first := d.do("PUT", loc, last, raw[2*k:])
		d.is(resp, first, 200, `"labelIds":["SENT"]`)
		// Whoever lost the answer asks again; nothing is sent again.
		for _, h := range []http.Header{last, contentRangeHeader("bytes */*")} {
			if resp, again := d.do("PUT", loc, h, raw[2*k:]); resp.StatusCode != 200 || again != first {
				t.Errorf("again: %d %s, was %s", resp.StatusCode, again, first)
			}
		}
		if d.sent() != 1 || !bytes.HasSuffix(d.mail[0], raw[len(raw)-600_000:]) || bytes.Count(d.mail[0], []byte("Subject: Plans")) != 1 {
			t.Errorf("%d sent, or a piece twice", d.sent())
		}
		if u := d.counters.Report("google", alan).UnitsSpent; u != 100 {
			t.Errorf("%d units", u)
		}
	}
}

func TestResumableAtOnce(t *testing.T) {
	d := newDesk(t, Settings{})
	resp, body := d.do("PUT", d.open(sendUpload, nil), nil, []byte(letterTo))
	d.is(resp, body, 200, "SENT")
	// All is there, but its length was not known: an empty end.
	raw := append([]byte(letterTo), bytes.Repeat([]byte("x"), 256<<10-len(letterTo))...)
	loc := d.open(sendUpload, nil)
	resp, body = d.do("POST", loc, contentRangeHeader(fmt.Sprintf("bytes 0-%d/*", len(raw)-1)), raw)
	d.is(resp, body, 308, "")
	resp, body = d.do("POST", loc, contentRangeHeader(fmt.Sprintf("bytes */%d", len(raw))), nil)
	d.is(resp, body, 200, "SENT")
}

func TestResumableRefusals(t *testing.T) {
	d := newDesk(t, Settings{})
	start := func(header http.Header, body string) (*http.Response, string) {
		return d.do("POST", sendUpload+"?uploadType=resumable", header, []byte(body))
	}
	resp, body := start(http.Header{"X-Upload-Content-Type": {"image/png"}}, "{}")
	d.is(resp, body, 400, "Media type 'image/png' is not supported")
	resp, body = start(http.Header{"X-Upload-Content-Length": {fmt.Sprint(maxSend + 1)}}, "{}")
	d.is(resp, body, 413, "uploadTooLarge")
	resp, body = start(http.Header{"X-Upload-Content-Length": {"long"}}, "{}")
	d.is(resp, body, 400, "Invalid X-Upload-Content-Length")
	resp, body = start(nil, "{")
	d.is(resp, body, 400, "Invalid JSON payload")
	resp, body = start(http.Header{"Authorization": {"Bearer nobody"}}, "{}")
	d.is(resp, body, 401, "authError")

	loc := d.open(sendUpload, nil)
	resp, body = d.do("PUT", loc, http.Header{"Authorization": {"Bearer nobody"}}, nil)
	d.is(resp, body, 401, "authError")
	resp, body = d.do("GET", loc, nil, nil)
	d.is(resp, body, 405, "")
	resp, body = d.do("PUT", loc, contentRangeHeader(fmt.Sprintf("bytes 0-1/%d", maxSend+1)), []byte("xy"))
	d.is(resp, body, 413, "uploadTooLarge")
	resp, body = d.do("PUT", loc, nil, []byte(letterTo))
	d.is(resp, body, 404, "Not Found") // it ended with the refusal

	loc = d.open(sendUpload, nil)
	resp, body = d.do("DELETE", loc, nil, nil)
	d.is(resp, body, 499, "")
	resp, body = d.do("PUT", loc, nil, []byte(letterTo))
	d.is(resp, body, 404, "")

	loc = d.open(sendUpload, nil)
	d.clock.advance(8 * 24 * time.Hour)
	resp, body = d.do("PUT", loc, nil, []byte(letterTo))
	d.is(resp, body, 404, "")

	loc = d.open(sendUpload, nil)
	resp, body = d.do("PUT", loc, nil, []byte("Subject: nobody\r\n\r\nx"))
	d.is(resp, body, 400, "Recipient address required")
	if d.sent() != 0 {
		t.Errorf("%d sent", d.sent())
	}
}

// A last piece whose answer is lost: the client sends it again, and is told what
// happened the first time.
func TestALostAnswerSendsNothingTwice(t *testing.T) {
	d := newDesk(t, Settings{})
	requests := 0
	d.spoil = func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		if requests++; requests != 3 { // the session, a piece, the last piece
			next.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(front.Hold(), r)
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	raw := append([]byte(letterTo), bytes.Repeat([]byte("line\r\n"), 60_000)...)
	m, err := d.api.Users.Messages.Send("me", nil).Media(bytes.NewReader(raw), googleapi.ContentType("message/rfc822"), googleapi.ChunkSize(256<<10)).Do()
	if err != nil {
		t.Fatal(err)
	}
	if requests != 4 || d.sent() != 1 || d.raw(d.api, m.Id) == "" {
		t.Errorf("%d requests, %d sent", requests, d.sent())
	}
}

// A refusal that passes leaves the session open.
func TestARefusedEndIsTriedAgain(t *testing.T) {
	d := newDesk(t, Settings{Quota: Quota{Sends: 1}})
	if _, err := d.api.Users.Messages.Send("me", &api.Message{Raw: b64(letterTo)}).Do(); err != nil {
		t.Fatal(err)
	}
	loc := d.open(sendUpload, nil)
	resp, body := d.do("PUT", loc, nil, []byte(letterTo))
	d.is(resp, body, 429, "Mail sending")
	d.clock.advance(25 * time.Hour)
	resp, body = d.do("PUT", loc, contentRangeHeader(fmt.Sprintf("bytes */%d", len(letterTo))), nil)
	d.is(resp, body, 200, "SENT")
	if d.sent() != 2 {
		t.Errorf("%d sent", d.sent())
	}
}

// What had arrived of a piece when the connection broke is not asked for again.
func TestACutPieceIsResumed(t *testing.T) {
	d := newDesk(t, Settings{})
	raw := append([]byte(letterTo), bytes.Repeat([]byte("line\r\n"), 100_000)...)
	loc := d.open(sendUpload, nil)
	u, err := url.Parse(loc)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", u.RequestURI(), u.Host, len(raw), raw[:300_000]); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 503 ")) {
		t.Errorf("%.100s %v", answer, err)
	}
	_ = conn.Close()
	resp, body := d.do("PUT", loc, contentRangeHeader("bytes */*"), nil)
	if d.is(resp, body, 308, ""); resp.Header.Get("Range") != "bytes=0-262143" {
		t.Errorf("has %q", resp.Header.Get("Range"))
	}
	resp, body = d.do("PUT", loc, contentRangeHeader(fmt.Sprintf("bytes 262144-%d/%d", len(raw)-1, len(raw))), raw[262144:])
	d.is(resp, body, 200, "SENT")
	if d.sent() != 1 || !bytes.HasSuffix(d.mail[0], raw[400_000:]) || bytes.Count(d.mail[0], []byte("line\r\n")) != 100_000 {
		t.Errorf("%d sent, not whole", d.sent())
	}
}
