package settings_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/settings"
)

func TestValues(t *testing.T) {
	known := []provider.Setting{{Name: "a", Default: "1"}, {Name: "b", Default: "2"}, {Name: "c"}}
	got, err := settings.Values(known, map[string]string{"a": " 3 ", "b": " "})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": "3", "b": "2", "c": ""}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := settings.Values(known, map[string]string{"colour": "red"}); err == nil {
		t.Error("an unknown setting was taken")
	}
}

func TestNumbersAndChoices(t *testing.T) {
	var got int64
	number := settings.Number{Name: "n", Min: 1, Max: 10, Set: func(v int64) { got = v }}
	if err := settings.ReadNumbers(map[string]string{"n": "10"}, number); err != nil || got != 10 {
		t.Errorf("%d, %v", got, err)
	}
	for _, bad := range []string{"", "0", "11", "1.5", "ten"} {
		if err := settings.ReadNumbers(map[string]string{"n": bad}, number); err == nil {
			t.Errorf("%q was taken for a number", bad)
		}
		if err := settings.OneOf(map[string]string{"n": bad}, "n", "1", "2"); err == nil {
			t.Errorf("%q was taken for a choice", bad)
		}
	}
	if err := settings.OneOf(map[string]string{"n": "2"}, "n", "1", "2"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, settings.List("a, b c,")); diff != "" {
		t.Error(diff)
	}
}

func TestConnectionsTrustTheFileAndFollowNobody(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	get := func(file string) (*http.Response, error) {
		t.Helper()
		transport, err := settings.Transport(map[string]string{settings.CAFile: file})
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		return settings.Client(transport, 0).Get(srv.URL)
	}
	resp, err := get(ca)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusFound {
		t.Errorf("status %d: a redirect was followed", resp.StatusCode)
	}
	if resp, err := get(""); err == nil {
		_ = resp.Body.Close()
		t.Error("a stranger's certificate was trusted")
	}
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{empty, filepath.Join(dir, "none.pem")} {
		if _, err := settings.Transport(map[string]string{settings.CAFile: file}); err == nil {
			t.Errorf("%s was taken", filepath.Base(file))
		}
	}
}
