package check_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/freeport"
	"github.com/postern-mail/postern/plugins/sdk/check"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestRedirect(t *testing.T) {
	for uri, want := range map[string]provider.CheckOutcome{
		"https://mail.example.com/oauth/x/callback":   provider.CheckPassed,
		"http://localhost:8080/oauth/x/callback":      provider.CheckPassed,
		"https://localhost:8443/oauth/x/callback":     provider.CheckPassed,
		"http://127.0.0.1:8080/oauth/x/callback":      provider.CheckPassed,
		"https://mail.example.com/oauth/x/callback?a": provider.CheckFailed,
		"http://mail.example.com/oauth/x/callback":    provider.CheckFailed,
		"https://192.0.2.7/oauth/x/callback":          provider.CheckFailed,
		"https://u:p@mail.example.com/oauth/x":        provider.CheckFailed,
		"https://mail.example.com/oauth/x/callback#a": provider.CheckFailed,
		"/oauth/x/callback":                           provider.CheckFailed,
		"":                                            provider.CheckFailed,
	} {
		var run check.Run
		run.Redirect(uri, "Anybody")
		if len(run.Results) != 1 || run.Results[0].Outcome != want || (want == provider.CheckFailed) != (run.Results[0].Remedy != "") {
			t.Errorf("%q: %+v, want %s", uri, run.Results, want)
		}
	}
}

// TestGet: what does not answer is said in words, and no word holds the query.
func TestGet(t *testing.T) {
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.Error(w, "lost", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte("hello"))
	}))
	defer good.Close()
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	defer tls.Close()
	nobody, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + nobody
	client := &http.Client{}
	defer client.CloseIdleConnections()
	var run check.Run
	if body, ok := run.Get(t.Context(), "service", client, good.URL+"/?key=swordfish", "look"); !ok || string(body) != "hello" || len(run.Results) != 0 {
		t.Errorf("a good answer: %q %v %+v", body, ok, run.Results)
	}
	for address, want := range map[string]string{
		good.URL + "/x?key=swordfish": "status 404", closed + "/?key=swordfish": "no connection",
		tls.URL + "/?key=swordfish": "not trusted", "http://name.invalid/?key=swordfish": "name", "http://[/": "cannot be used",
	} {
		run = check.Run{}
		if _, ok := run.Get(t.Context(), "service", client, address, "look at the setting"); ok || len(run.Results) != 1 {
			t.Errorf("%s: %v, %+v", address, ok, run.Results)
			continue
		}
		r := run.Results[0]
		if r.Outcome != provider.CheckFailed || !strings.Contains(r.Detail, want) || strings.Contains(r.Detail, "swordfish") || r.Remedy != "look at the setting" {
			t.Errorf("%s: %+v, want %q", address, r, want)
		}
	}
}

// TestGuarded: an API is known by its refusing who has no token.
func TestGuarded(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/me" || r.Header.Get("Authorization") != "" {
			http.NotFound(w, r)
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer api.Close()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for address, want := range map[string]provider.CheckOutcome{
		api.URL + "/me": provider.CheckPassed, api.URL + "/other": provider.CheckFailed, "http://127.0.0.1:1/me": provider.CheckFailed, "://": provider.CheckFailed,
	} {
		var run check.Run
		run.Guarded(t.Context(), "API", client, address, "", "look at the setting")
		if len(run.Results) != 1 || run.Results[0].Outcome != want {
			t.Errorf("%s: %+v, want %s", address, run.Results, want)
		}
	}
}

func TestExplain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if got := check.Explain(&url.Error{Op: "Get", URL: "https://x/?key=swordfish", Err: ctx.Err()}); got != "no answer in time" {
		t.Errorf("a timeout: %s", got)
	}
	var run check.Run
	run.Unknown("two\nlines", "one\r\ntwo", "")
	if got := run.Results[0].Detail; got != "one two" {
		t.Errorf("lines: %q", got)
	}
}
