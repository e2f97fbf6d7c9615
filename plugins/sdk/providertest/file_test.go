package providertest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"html"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

// served is a memory cloud behind HTTPS: a control API and a sign-in page, as
// a world file wants them.
func served(t *testing.T, whole *memory.Provider) *httptest.Server {
	t.Helper()
	w := whole.Cloud().World(ann, bob, cat)
	mux := http.NewServeMux()
	handle := func(pattern string, do func(ctx context.Context, r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			out, err := do(r.Context(), r)
			if err != nil {
				http.Error(rw, err.Error(), http.StatusBadRequest)
				return
			}
			if err := json.NewEncoder(rw).Encode(out); err != nil {
				t.Errorf("answer %s: %v", pattern, err)
			}
		})
	}
	handle("POST /users/{address}/messages", func(ctx context.Context, r *http.Request) (any, error) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		return nil, w.Deliver(ctx, r.PathValue("address"), r.URL.Query().Get("mailbox"), raw)
	})
	handle("GET /users/{address}/messages", func(ctx context.Context, r *http.Request) (any, error) {
		list, err := w.Truth(ctx, r.PathValue("address"))
		return map[string]any{"messages": list}, err
	})
	handle("DELETE /users/{address}/messages/{id}", func(ctx context.Context, r *http.Request) (any, error) {
		return nil, w.Remove(ctx, r.PathValue("address"), r.PathValue("id"))
	})
	handle("PATCH /users/{address}/messages/{id}", func(ctx context.Context, r *http.Request) (any, error) {
		var change struct {
			Mailbox  string  `json:"mailbox"`
			Keywords *string `json:"keywords"`
		}
		if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
			return nil, err
		}
		if change.Keywords != nil {
			return nil, w.SetKeywords(ctx, r.PathValue("address"), r.PathValue("id"), strings.FieldsFunc(*change.Keywords, func(r rune) bool { return r == ',' }))
		}
		return nil, w.Move(ctx, r.PathValue("address"), r.PathValue("id"), change.Mailbox)
	})
	for verb, act := range map[string]func(context.Context, string) error{
		"forget-cursors": w.ForgetCursors, "expire": w.ExpireTokens, "revoke": w.Revoke,
	} {
		handle("POST /users/{address}/"+verb, func(ctx context.Context, r *http.Request) (any, error) {
			return nil, act(ctx, r.PathValue("address"))
		})
	}
	handle("GET /counters", func(ctx context.Context, _ *http.Request) (any, error) {
		n, err := w.TokenRequests(ctx)
		return map[string]any{"tokens": map[string]any{"refresh": map[string]int{"ok": n}}}, err
	})
	end := func(context.Context) error { return nil }
	handle("PUT /faults", func(ctx context.Context, r *http.Request) (any, error) {
		var f struct {
			Address string
			Fault   providertest.Fault
		}
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			return nil, err
		}
		var err error
		end, err = w.Fault(ctx, f.Address, f.Fault)
		return nil, err
	})
	handle("DELETE /faults", func(ctx context.Context, _ *http.Request) (any, error) { return nil, end(ctx) })

	// Two pages: who signs in, then what is allowed; a cookie joins them.
	mux.HandleFunc("GET /authorize", func(rw http.ResponseWriter, r *http.Request) {
		http.SetCookie(rw, &http.Cookie{Name: "began", Value: "yes", Path: "/"})
		fmt.Fprintf(rw, `<form action="consent?%s" method="post">
			<input type="radio" name="user" value="%s" checked><input type="radio" name="user" value="%s">
			<input name="note" value=""><select name="lang"><option value="de"><option value="en" selected></select>
			<input type="hidden" name="flow" value="1"><button>Next</button></form>`, html.EscapeString(r.URL.RawQuery), bob, ann)
	})
	mux.HandleFunc("POST /consent", func(rw http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("began"); err != nil || c.Value != "yes" {
			http.Error(rw, "no cookie", http.StatusForbidden)
			return
		}
		if r.PostFormValue("lang") != "en" || r.PostFormValue("flow") != "1" || r.PostFormValue("note") != "for "+ann {
			http.Error(rw, "the form came back otherwise", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(rw, `<style>p{}</style><p>Allow?</p><form action="decide?%s" method="POST">
			<input type="hidden" name="user" value="%s">
			<button name="decision" value="deny">No</button><button name="decision" value="approve">Yes</button></form>`,
			html.EscapeString(r.URL.RawQuery), html.EscapeString(r.PostFormValue("user")))
	})
	mux.HandleFunc("POST /decide", func(rw http.ResponseWriter, r *http.Request) {
		back, err := whole.Cloud().Authorize(r.URL.String(), r.PostFormValue("user"), r.PostFormValue("decision") == "approve")
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(rw, r, r.URL.Query().Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	// An administrator's page, and what makes it needed.
	leave := func(context.Context) error { return nil }
	handle("PUT /approval", func(ctx context.Context, _ *http.Request) (_ any, err error) {
		leave, err = w.RequireApproval(ctx)
		return nil, err
	})
	handle("DELETE /approval", func(ctx context.Context, _ *http.Request) (any, error) { return nil, leave(ctx) })
	mux.HandleFunc("GET /approve", func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(rw, `<form action="approve?%s" method="POST"><button name="decision" value="deny">No</button>
			<button name="decision" value="approve">Yes</button></form>`, html.EscapeString(r.URL.RawQuery))
	})
	mux.HandleFunc("POST /approve", func(rw http.ResponseWriter, r *http.Request) {
		back, err := w.Approve(r.Context(), r.URL.String(), r.PostFormValue("decision") == "approve")
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		http.Redirect(rw, r, r.URL.Query().Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // TestUntrusted breaks handshakes
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// worldFile writes a world file for a server, and its certificate beside it.
func worldFile(t *testing.T, server *httptest.Server) string {
	t.Helper()
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	write(t, filepath.Join(dir, "ca.pem"), string(ca))
	t.Setenv("PROVIDERTEST_PAGE", "4")
	text := strings.ReplaceAll(`
settings:
  page_size: "{env.PROVIDERTEST_PAGE}"
bad_settings:
  - page_size: "{dir}"
redirect_url: http://localhost:8080/oauth/memory/callback
address: ann@example.com
recipients: [bob@example.com, cat@example.com]
ca_file: ca.pem
connect: {form: {button: approve, fields: {note: "for {address}"}}}
deny: {form: {button: "no", fields: {note: "for {address}"}}}
deliver: {post: "BASE/users/{address}/messages?mailbox={mailbox}"}
set_keywords: {patch: "BASE/users/{address}/messages/{id}", body: '{"keywords": "{keywords}"}'}
move: {patch: "BASE/users/{address}/messages/{id}", body: '{"mailbox": "{mailbox}"}', header: {X-Who: "{address}"}}
remove: {delete: "BASE/users/{address}/messages/{id}"}
truth: {get: "BASE/users/{address}/messages", result: messages}
forget_cursors: {post: "BASE/users/{address}/forget-cursors"}
expire_tokens: {post: "BASE/users/{address}/expire"}
revoke: {post: "BASE/users/{address}/revoke"}
token_requests: {get: BASE/counters, result: tokens.refresh}
approval:
  start: {put: BASE/approval}
  end: {delete: BASE/approval}
  approve: {form: {button: approve}}
  refuse: {form: {button: deny}}
faults:
  throttled:
    start: {put: BASE/faults, body: '{"address": "{address}", "fault": "throttled"}'}
    end: {delete: BASE/faults}
  unavailable:
    start: {put: BASE/faults, body: '{"address": "{address}", "fault": "unavailable"}'}
    end: {delete: BASE/faults}
  lost_answer:
    start: {put: BASE/faults, body: '{"address": "{address}", "fault": "lost_answer"}'}
    end: {delete: BASE/faults}
notifications: {}
`, "BASE", server.URL)
	return write(t, filepath.Join(dir, "world.yaml"), text)
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestWorldFile runs the whole suite through a world file: the cloud is known
// by its URLs and its certificate alone.
func TestWorldFile(t *testing.T) {
	whole := memory.New(memory.Options{})
	server := served(t, whole)
	w, err := providertest.LoadWorld(worldFile(t, server))
	if err != nil {
		t.Fatal(err)
	}
	p := &bent{Provider: whole}
	p.begin = func(ctx context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
		resp, err := whole.BeginConnect(ctx, req)
		if err == nil {
			resp.URL = strings.Replace(resp.URL, "http://memory.invalid", server.URL, 1)
		}
		return resp, err
	}
	p.finish = func(ctx context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
		resp, err := whole.FinishConnect(ctx, req)
		var e *mail.Error
		if errors.As(err, &e) {
			e.Link = strings.Replace(e.Link, "http://memory.invalid", server.URL, 1)
		}
		return resp, err
	}
	var pushTo string
	p.configure = func(ctx context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
		pushTo = req.NotificationURL
		return whole.Configure(ctx, req)
	}
	// The cloud posts to the notification URL, as clouds do.
	whole.Cloud().OnNotify(func(n *provider.NotifyRequest) *provider.NotifyResponse {
		resp, err := http.Post(pushTo+n.Path, "application/json", strings.NewReader(string(n.Body)))
		if err != nil {
			return nil // the session is over
		}
		defer resp.Body.Close()
		return &provider.NotifyResponse{Status: resp.StatusCode}
	})
	var out strings.Builder
	report := providertest.RunSuite(t.Context(), p, w, &out)
	if !report.OK() {
		t.Errorf("the report is not OK: %v\n%s", report.Err, out.String())
	}
	for _, r := range report.Results {
		if r.Status == providertest.Skipped && r.Name != "configure/missing" && r.Name != "account/unsupported" {
			t.Errorf("%s was skipped: %s", r.Name, r.Reason)
		}
	}
}

// TestWorldFileCommands: hooks that are commands get their arguments as they
// are, and messages on standard input.
func TestWorldFileCommands(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the test's command is a shell script")
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hook.sh"), `#!/bin/sh
case "$1" in
deliver) cat > delivered; printf '%s|%s' "$2" "$3" > arguments ;;
truth) echo '[{"id":"m1","mailboxes":["inbox"],"size":3,"sha256":"abc"}]' ;;
connect) echo "http://localhost:8080/oauth/providertest/callback?code=1&state=2" ;;
revoke) echo "no such user" >&2; exit 3 ;;
esac
`)
	if err := os.Chmod(filepath.Join(dir, "hook.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	w, err := providertest.LoadWorld(write(t, filepath.Join(dir, "world.yaml"), `
address: ann@example.com
connect: {command: [./hook.sh, connect, "{url}"]}
deliver: {command: [./hook.sh, deliver, "{address}", "$(touch owned) {mailbox}"]}
truth: {command: [./hook.sh, truth]}
revoke: {command: [./hook.sh, revoke]}
`))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := w.Deliver(ctx, ann, "; touch owned", []byte("Subject: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"delivered": "Subject: x\r\n\r\n", "arguments": ann + "|$(touch owned) ; touch owned"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "owned")); err == nil {
		t.Error("a shell ran what was an argument")
	}
	if list, err := w.Truth(ctx, ann); err != nil || len(list) != 1 || list[0].ProviderID != "m1" {
		t.Errorf("truth: %+v, %v", list, err)
	}
	if back, err := w.Connect(ctx, "https://example.com/authorize"); err != nil || back.Get("code") != "1" || back.Get("state") != "2" {
		t.Errorf("connect: %v, %v", back, err)
	}
	if err := w.Revoke(ctx, ann); err == nil || !strings.Contains(err.Error(), "no such user") {
		t.Errorf("revoke: %v, want what the command said", err)
	}
}

// TestWorldFileMistakes: a mistake in the file is told before anything runs.
func TestWorldFileMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no address":          {"settings: {}", "address is missing"},
		"an unknown key":      {"address: a@b\ndelivery: {}", "field delivery not found"},
		"two ways at once":    {"address: a@b\ntruth: {get: x, post: y}", "truth: exactly one of"},
		"no way":              {"address: a@b\nrevoke: {body: x}", "revoke: exactly one of"},
		"a form elsewhere":    {"address: a@b\nrevoke: {form: {button: x}}", "only connect and deny"},
		"a form, no button":   {"address: a@b\nconnect: {form: {}}", "button is missing"},
		"an unknown fault":    {"address: a@b\nfaults: {fire: {start: {get: x}, end: {get: x}}}", `"fire" is not known`},
		"half an approval":    {"address: a@b\napproval: {start: {get: x}, end: {get: x}}", "approve and refuse"},
		"a fault without end": {"address: a@b\nfaults: {throttled: {start: {get: x}}}", "start and end"},
		"no authority":        {"address: a@b\nca_file: nowhere.pem", "ca_file"},
		"an unknown value":    {"address: a@b\nsettings: {x: \"{adress}\"}", "{adress} is not known"},
	} {
		_, err := providertest.LoadWorld(write(t, filepath.Join(t.TempDir(), "world.yaml"), c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
	if _, err := providertest.LoadWorld(filepath.Join(t.TempDir(), "none.yaml")); err == nil {
		t.Error("a file that is not there was read")
	}
}

// TestUntrusted: without the certificate authority nothing is reached.
func TestUntrusted(t *testing.T) {
	server := served(t, memory.New(memory.Options{}))
	path := worldFile(t, server)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(text), "ca_file: ca.pem", "", 1))
	w, err := providertest.LoadWorld(path)
	if err != nil {
		t.Fatal(err)
	}
	var unknown *tls.CertificateVerificationError
	if _, err := w.Truth(t.Context(), ann); !errors.As(err, &unknown) {
		t.Errorf("truth without the authority: %v, want a certificate error", err)
	}
}

// TestFormPost: a sign-in that comes back by a form of its own.
func TestFormPost(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, `<body onload="submit()"><form method="post" action="http://localhost:8080/oauth/providertest/callback">
			<input type="hidden" name="code" value="c&amp;d"><input type="hidden" name="state" value="s"><button>Continue</button></form>`)
	})
	mux.HandleFunc("GET /lost", func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, `<p>We are having trouble signing you in.</p>`)
	})
	mux.HandleFunc("GET /round", func(rw http.ResponseWriter, r *http.Request) { http.Redirect(rw, r, "/round", http.StatusFound) })
	server := httptest.NewServer(mux)
	defer server.Close()
	w, err := providertest.LoadWorld(write(t, filepath.Join(t.TempDir(), "world.yaml"), "address: ann@example.com\nconnect: {form: {button: approve}}"))
	if err != nil {
		t.Fatal(err)
	}
	back, err := w.Connect(t.Context(), server.URL+"/authorize")
	if want := (url.Values{"code": {"c&d"}, "state": {"s"}}); err != nil || back.Encode() != want.Encode() {
		t.Errorf("connect: %v, %v, want %v", back, err, want)
	}
	for path, want := range map[string]string{"/lost": "trouble signing you in", "/round": "not back at the redirect url", "/none": "404"} {
		if _, err := w.Connect(t.Context(), server.URL+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("connect at %s: %v, want %q in it", path, err, want)
		}
	}
	if _, err := w.Deny(t.Context(), server.URL); !errors.Is(err, providertest.ErrNoHook) {
		t.Errorf("deny: %v, want ErrNoHook", err)
	}
	if err := w.SetKeywords(t.Context(), ann, "m1", []string{mail.Seen}); !errors.Is(err, providertest.ErrNoHook) {
		t.Errorf("set keywords: %v, want ErrNoHook", err)
	}
}

// TestManual: the example of the package's doc is a world file.
func TestManual(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var example strings.Builder
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok && (example.Len() > 0 || code == "settings:\n") {
			example.WriteString(code)
		} else if example.Len() > 0 {
			break
		}
	}
	t.Setenv("CLIENT_ID", "c1")
	path := worldFile(t, served(t, memory.New(memory.Options{}))) // beside its ca.pem
	write(t, path, example.String())
	w, err := providertest.LoadWorld(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, example.String())
	}
	if got := w.Settings(); got["client_id"] != "c1" || got["ca_file"] != filepath.Join(filepath.Dir(path), "ca.pem") {
		t.Errorf("settings: %v", got)
	}
	if len(w.Recipients()) != 2 || w.Address() == "" || len(w.BadSettings()) != 1 || w.BadSettings()[0]["client_id"] != "c1" {
		t.Errorf("the world is %+v", w)
	}
}
