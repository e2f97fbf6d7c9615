package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// door is everything behind one handler: one provider, accounts that take
// hints, a handler that panics.
type door struct {
	provider.Provider
	*owners
	log     bytes.Buffer
	asked   *provider.NotifyRequest
	answer  *provider.NotifyResponse
	err     error
	reasons []string
	// warnings are those of a gateway that is ready.
	warnings []string
	hints    []string
}

func (d *door) lookUp(instance string) (provider.Provider, error) {
	if instance != "example" {
		return nil, errors.New("no such provider")
	}
	return d, nil
}

func (d *door) Notify(_ context.Context, req *provider.NotifyRequest) (*provider.NotifyResponse, error) {
	d.asked = req
	return d.answer, d.err
}

func (d *door) Hint(_ context.Context, instance string, h *provider.Hint) {
	d.hints = append(d.hints, instance+" "+h.Account)
}

type lookUp func(string) (provider.Provider, error)

func (l lookUp) Provider(instance string) (provider.Provider, error) { return l(instance) }

func (d *door) options() Options {
	return Options{Log: slog.New(slog.NewTextHandler(&d.log, nil)), Accounts: d, Providers: lookUp(d.lookUp), Version: "v1",
		Ready: func(context.Context) []string { return d.reasons }, Warnings: func(context.Context) []string { return d.warnings },
		Metrics: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret-of-mine") })}
}

func (d *door) do(method, target, body string) *http.Response {
	w := httptest.NewRecorder()
	Handler(d.options()).ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	return w.Result()
}

func newDoor() *door {
	return &door{owners: &owners{}, answer: &provider.NotifyResponse{}}
}

func TestNotify(t *testing.T) {
	d := newDoor()
	d.answer = &provider.NotifyResponse{Status: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: []byte("token"),
		Hints: []provider.Hint{{Account: "a1"}, {Account: "a2"}}}
	resp := d.do("POST", "/notify/example/life?validationToken=x", "hello")
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 200 || string(body) != "token" || resp.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("answered %d %q %v", resp.StatusCode, body, resp.Header)
	}
	if a := d.asked; a.Method != "POST" || a.Path != "/life" || a.Query != "validationToken=x" || string(a.Body) != "hello" {
		t.Errorf("the plugin was asked %+v", a)
	}
	if !slices.Equal(d.hints, []string{"example a1", "example a2"}) {
		t.Errorf("hints: %v", d.hints)
	}
	d.answer = &provider.NotifyResponse{}
	if resp := d.do("POST", "/notify/example", ""); resp.StatusCode != http.StatusAccepted {
		t.Errorf("without a status: %d", resp.StatusCode)
	}
}

func TestNotifyRefused(t *testing.T) {
	d := newDoor()
	if resp := d.do("POST", "/notify/nobody", "x"); resp.StatusCode != 404 {
		t.Errorf("an unknown provider: %d", resp.StatusCode)
	}
	if resp := d.do("POST", "/notify/example", strings.Repeat("x", maxNotification)); resp.StatusCode != http.StatusAccepted {
		t.Errorf("the largest notification: %d", resp.StatusCode)
	}
	d.asked = nil
	if resp := d.do("POST", "/notify/example", strings.Repeat("x", maxNotification+1)); resp.StatusCode != 413 || d.asked != nil {
		t.Errorf("a larger one: %d, asked %v", resp.StatusCode, d.asked != nil)
	}
	for kind, want := range map[mail.Kind]int{
		mail.KindForbidden: 403, mail.KindUnauthorized: 401, mail.KindInvalid: 400, mail.KindThrottled: 429,
		mail.KindUnavailable: 503, mail.KindInternal: 503, mail.KindNotFound: 404,
	} {
		d.err = mail.Errorf(kind, "notify", "words of the plugin")
		resp := d.do("POST", "/notify/example", "x")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || strings.Contains(string(body), "words") || len(d.hints) != 0 {
			t.Errorf("%s: %d %q, hints %v", kind, resp.StatusCode, body, d.hints)
		}
	}
}

func TestHealth(t *testing.T) {
	d := newDoor()
	for _, c := range []struct {
		path    string
		reasons []string
		status  int
		want    string
	}{
		{"/healthz", []string{"store: closed"}, 200, `"version":"v1"`},
		{"/readyz", nil, 200, `"ready"`},
		{"/readyz", []string{"store: closed"}, 503, `"reasons":["store: closed"]`},
		{"/readyz", nil, 200, `"warnings":["provider x is misconfigured"]`},
		{"/readyz", []string{"store: closed"}, 503, `"warnings":["provider x is misconfigured"]`},
	} {
		d.warnings = nil
		if strings.Contains(c.want, "warnings") {
			d.warnings = []string{"provider x is misconfigured"}
		}
		d.reasons = c.reasons
		resp := d.do("GET", c.path, "")
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.want) || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", c.path, resp.StatusCode, body)
		}
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	d := newDoor()
	for _, target := range []string{"/", "/connect/x", "/oauth/example/callback", "/healthz", "/nothing", "/metrics"} {
		h := d.do("GET", target, "").Header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s: %v", target, h)
		}
	}
	if h := d.do("GET", "/", "").Header; !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("a page without a policy: %v", h)
	}
	resp := d.do("GET", "/metrics", "")
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 500 || strings.Contains(string(body), "secret-of-mine") || !strings.Contains(d.log.String(), "request panicked") {
		t.Errorf("a panic is answered by %d %q", resp.StatusCode, body)
	}
}

// TestLookingOpensNothing: HEAD, and whoever wants a page, look at a link.
func TestLookingOpensNothing(t *testing.T) {
	d := newDoor()
	if resp := d.do("HEAD", "/connect/x", ""); resp.StatusCode != 200 || d.browser != "" || len(resp.Cookies()) != 0 {
		t.Errorf("HEAD: %d, opened %v", resp.StatusCode, d.browser != "")
	}
}

// TestSlowBodies: a body that does not come ends its request; a stream that is
// answered for long after its body was read goes on.
func TestSlowBodies(t *testing.T) {
	const limit = 50 * time.Millisecond
	stream := make(chan error, 1)
	s := &server{Options: newDoor().options(), bodyTimeout: limit}
	mux := http.NewServeMux()
	mux.HandleFunc("/notify/{provider}", s.notify)
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
			stream <- r.Context().Err()
		case <-time.After(4 * limit):
			stream <- nil
		}
	})
	srv := httptest.NewServer(s.guard(mux))
	defer srv.Close()
	slow, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "POST /notify/example HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")
	_ = slow.SetReadDeadline(time.Now().Add(time.Minute))
	answer, err := io.ReadAll(slow) // until the server closes
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("a slow body: %q %v", answer, err)
	}
	resp, err := http.Post(srv.URL+"/stream", "text/plain", strings.NewReader("whole"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-stream; err != nil {
		t.Errorf("the stream was ended: %v", err)
	}
}
