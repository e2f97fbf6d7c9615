package fidelity

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/sandbox"
)

const (
	ada      = "ada@contoso.example"
	callback = "http://localhost:8080/oauth/outlook/callback"
)

// contracts finds a file of ../shared/contracts beside the module root; false
// when there is none.
func contracts(t *testing.T, name string) (string, bool) {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	p := filepath.Join(dir, "..", "shared", "contracts", name)
	_, err = os.Stat(p)
	return p, err == nil
}

// A world is a sandbox with one user signed in.
type world struct {
	*testing.T
	sb    *sandbox.Sandbox
	http  *http.Client
	token string
	spec  *spec // nil where there is no description
	user  string
	hook  string
	n     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	sb, err := sandbox.Start(context.Background(), sandbox.Options{NoSeed: true, AllowHTTPNotifications: true})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{T: t, sb: sb, http: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: sb.TLS(), ForceAttemptHTTP2: true, DisableCompression: true},
		CheckRedirect: noRedirects,
	}}
	t.Cleanup(func() {
		w.http.CloseIdleConnections()
		if err := sb.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	endpoint := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(rw, r.URL.Query().Get("validationToken"))
	}))
	t.Cleanup(endpoint.Close)
	w.hook = endpoint.URL
	st := sb.State()
	app := application{st.Authority + "/oauth2/v2.0/authorize", st.Authority + "/oauth2/v2.0/token", st.ClientID, st.ClientSecret, callback}
	w.token = app.signIn(t, w.http, ada, "openid offline_access Mail.ReadWrite Mail.Send User.Read MailboxSettings.ReadWrite")
	w.user = w.call("GET", "/me", nil).text("id")
	w.spec = loadSpec(t)
	return w
}

// A reply is a response with its body read and unpacked.
type reply struct {
	*world
	req    *http.Request
	sent   []byte
	status int
	header http.Header
	body   []byte
	json   any
	proto  int
}

type obj = map[string]any

// call makes a request below /v1.0, or to a whole address. The body is JSON, or
// text where it is a string.
func (w *world) call(method, path string, body any, headers ...string) *reply {
	w.Helper()
	var b []byte
	ctype := ""
	switch body := body.(type) {
	case nil:
	case string:
		b, ctype = []byte(body), "text/plain"
	default:
		var err error
		if b, err = json.Marshal(body); err != nil {
			w.Fatal(err)
		}
		ctype = "application/json"
	}
	if !strings.HasPrefix(path, "http") {
		path = w.sb.State().Graph + path
	}
	req, err := http.NewRequestWithContext(w.Context(), method, strings.ReplaceAll(path, " ", "%20"), bytes.NewReader(b))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	if ctype != "" {
		req.Header.Set("Content-Type", ctype)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := &reply{world: w, req: req, sent: b, status: resp.StatusCode, header: resp.Header, proto: resp.ProtoMajor}
	var in io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if in, err = gzip.NewReader(in); err != nil {
			w.Fatal(err)
		}
	}
	if r.body, err = io.ReadAll(in); err != nil {
		w.Fatal(err)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(r.body, &r.json); err != nil {
			w.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return r
}

// is checks the status.
func (r *reply) is(status int) *reply {
	r.Helper()
	if r.status != status {
		r.Fatalf("%s %s: %d, want %d: %s", r.req.Method, r.req.URL, r.status, status, r.body)
	}
	return r
}

func (r *reply) at(path ...any) any {
	v := r.json
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

func (r *reply) text(path ...any) string {
	s, _ := r.at(path...).(string)
	return s
}

// unique is a name that nothing else has.
func (w *world) unique(prefix string) string {
	w.n++
	return fmt.Sprintf("%s %d", prefix, w.n)
}

// deliver brings a message with an attachment from outside into a folder, by
// the control API, and gives its id.
func (w *world) deliver(folder string) string {
	w.Helper()
	raw := "From: Grace <grace@contoso.example>\r\nTo: " + ada + "\r\nSubject: " + w.unique("delivered") + "\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" +
		url.PathEscape(w.unique("m")) + "@contoso.example>\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hello</p>\r\n--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1,2\r\n--b--\r\n"
	address := w.sb.ControlURL() + "/control/users/" + ada + "/messages?mailbox=" + url.QueryEscape(folder)
	return w.call("POST", address, raw).is(201).text("id")
}

// draft is a message that can be sent and edited, with an attachment.
func (w *world) draft(folder string) string {
	w.Helper()
	path := "/me/messages"
	if folder != "" {
		path = "/me/mailFolders/" + folder + "/messages"
	}
	return w.call("POST", path, obj{
		"subject": w.unique("draft"), "body": obj{"contentType": "text", "content": "text"}, "toRecipients": []obj{{"emailAddress": obj{"address": ada}}},
		"attachments": []obj{{"@odata.type": "#microsoft.graph.fileAttachment", "name": "a.txt", "contentType": "text/plain", "contentBytes": "eA=="}},
	}, "Prefer", `IdType="ImmutableId"`).is(201).text("id")
}

func (w *world) folder(parent string) string {
	w.Helper()
	path := "/me/mailFolders"
	if parent != "" {
		path += "/" + parent + "/childFolders"
	}
	return w.call("POST", path, obj{"displayName": w.unique("folder")}).is(201).text("id")
}

func (w *world) attachment(message string) string {
	w.Helper()
	return w.call("GET", "/me/messages/"+message+"/attachments?$select=id", nil).is(200).text("value", 0, "id")
}
