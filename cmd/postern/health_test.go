package main

import (
	"bytes"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/freeport"
)

// TestHealth: the command says what the gateway says of itself, by its exit
// code and in words.
func TestHealth(t *testing.T) {
	serve := func(start func(*httptest.Server), status int, body string) string {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/healthz" {
				_, _ = w.Write([]byte(`{"status":"ok"}`))
				return
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}))
		start(srv)
		t.Cleanup(srv.Close)
		return srv.Listener.Addr().String()
	}
	plain := serve((*httptest.Server).Start, 503, `{"status":"not ready","reasons":["disk: 1 bytes are free","store: broken"]}`)
	var own []byte
	ready := serve(func(srv *httptest.Server) {
		srv.StartTLS()
		own = srv.Certificate().Raw
	}, 200, `{"status":"ready"}`)
	other := serve((*httptest.Server).Start, 200, "<html>")
	nobody, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(plain)
	cert := func(name string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, c := range []struct {
		name, listen string
		args         []string
		code         int
		want         string
	}{
		{"alive", plain, nil, 0, "ok"},
		{"on all addresses", "0.0.0.0:" + port, nil, 0, "ok"},
		{"not ready", plain, []string{"--ready"}, 1, "not ready: disk: 1 bytes are free; store: broken"},
		{"ready by TLS", ready, []string{"--ready", "--set", "http.tls_cert=" + cert("own.pem", own), "--set", "http.tls_key=x"}, 0, "ready"},
		{"no certificate", ready, []string{"--set", "http.tls_cert=" + cert("bad.pem", []byte("bad")), "--set", "http.tls_key=x"}, 2, "http.tls_cert"},
		{"another program", other, []string{"--ready"}, 1, "is no gateway"},
		{"nobody", nobody, nil, 1, "does not answer"},
	} {
		var out bytes.Buffer
		code := run(append([]string{"health", "--set", "http.listen=" + c.listen}, c.args...), strings.NewReader(""), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: exit code %d, said %q", c.name, code, out.String())
		}
	}
	if at := askedAt(config.HTTP{Listen: "[::]:80"}); at != "[::1]:80" {
		t.Errorf("a door on all addresses is asked at %s", at)
	}
}
