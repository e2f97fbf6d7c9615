package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestExampleEqualsDefaults(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "postern.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// Over an empty Config: a setting that the example leaves out shows.
	var c Config
	if err := Parse(raw, &c); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Default(), &c); d != "" {
		t.Errorf("postern.example.yaml differs from the defaults (-default +example):\n%s", d)
	}
	for _, p := range Paths() {
		parts := strings.Split(p, ".")
		if !strings.Contains(string(raw), parts[len(parts)-1]+":") {
			t.Errorf("the example does not name %s", p)
		}
	}
}

func TestLoadOrder(t *testing.T) {
	name := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(name, []byte("http: {listen: 1.1.1.1:1}\nsync: {poll: 1m}\nwebhooks: {allow: [10.0.0.0/8]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"POSTERN_HTTP_LISTEN=2.2.2.2:2", "POSTERN_SYNC_WORKERS=3", "POSTERN_MASTER_KEY=secret", "PATH=/bin"}
	c, err := Load(name, env, []string{"http.listen=3.3.3.3:3", "providers.a-b.plugin=x", "providers.a-b.settings.k=v=w"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.HTTP.Listen, want.Sync.Poll, want.Sync.Workers = "3.3.3.3:3", time.Minute, 3
	want.Webhooks.Allow = []string{"10.0.0.0/8"}
	want.Providers = map[string]Provider{"a-b": {Plugin: "x", Settings: map[string]string{"k": "v=w"}}}
	if d := cmp.Diff(want, c); d != "" {
		t.Error(d)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	for set, want := range map[string]string{
		"nonsense=1":               `no setting "nonsense"`,
		"http.listen=x":            "http.listen",
		"http.tls_cert=x":          "http.tls_cert",
		"http.max_body=x":          "no whole number",
		"imap.listen=x":            "imap.listen",
		"smtp.listen_tls=1587":     "smtp.listen_tls",
		"smtp.listen=:65536":       "smtp.listen",
		"http.listen=:-1":          "http.listen",
		"imap.expunge=keep":        "imap.expunge",
		"imap.idle_timeout=5m":     "imap.idle_timeout",
		"imap.max_per_account=0":   "imap.max_per_account",
		"smtp.max_per_account=0":   "smtp.max_per_account",
		"smtp.from=anybody":        "smtp.from",
		"smtp.wait=10m":            "smtp.wait",
		"tls.cert=x":               "tls.cert",
		"tls.names=a b":            "tls.names",
		"sync.poll=soon":           "no duration",
		"sync.workers=0":           "sync.workers",
		"webhooks.timeout=1h":      "webhooks.timeout",
		"webhooks.allow=10/8":      "webhooks.allow",
		"public_url=ftp://x":       "public_url",
		"disk.min_free=-1":         "disk.min_free",
		"log.level=loud":           "log.level",
		"providers.x.plugin=../x":  "providers.x.plugin",
		"providers.x.nonsense=1":   "no setting providers.x.nonsense",
		"telemetry.sample_ratio=2": "telemetry.sample_ratio",
		"providers.UP.plugin=x":    "providers.UP",
	} {
		if _, err := Load("", nil, []string{set}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: %v, want %q", set, err, want)
		}
	}
	name := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(name, []byte("htp: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name, nil, nil); err == nil || !strings.Contains(err.Error(), "htp") {
		t.Errorf("unknown section: %v", err)
	}
}

// TestDoors: each may be shut, and takes passwords without TLS on this machine
// alone.
func TestDoors(t *testing.T) {
	for _, c := range []struct {
		sets []string
		ok   bool
	}{
		{[]string{"imap.listen=", "smtp.listen="}, true},
		{[]string{"imap.listen=", "imap.listen_tls=0.0.0.0:993", "imap.cleartext=true"}, true}, // nothing is in the clear
		{[]string{"imap.cleartext=true", "smtp.cleartext=true"}, true},
		{[]string{"imap.cleartext=true", "imap.listen=[::1]:143"}, true},
		{[]string{"imap.cleartext=true", "imap.listen=localhost:143"}, true},
		{[]string{"imap.cleartext=true", "imap.listen=0.0.0.0:143"}, false},
		{[]string{"smtp.cleartext=true", "smtp.listen=:587"}, false},
		{[]string{"smtp.cleartext=true", "smtp.listen=mail.example.com:587"}, false},
		{[]string{"tls.names=mail.example.com,*.example.com,192.0.2.1,2001:db8::1,box"}, true},
		{[]string{"tls.names=-x.example.com"}, false},
	} {
		if _, err := Load("", nil, c.sets); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.sets, err)
		}
	}
}

// TestDoorsApart: no two doors have one address, in whatever words it is
// written, and both settings are named.
func TestDoorsApart(t *testing.T) {
	for _, c := range []struct {
		sets []string
		with string // the setting that is named beside smtp.listen; empty is none
	}{
		{[]string{"smtp.listen=127.0.0.1:1143"}, "imap.listen"},
		{[]string{"smtp.listen=127.0.0.1:8080"}, "http.listen"},
		{[]string{"smtp.listen=0.0.0.0:1143"}, "imap.listen"},
		{[]string{"smtp.listen=:1143"}, "imap.listen"},
		{[]string{"smtp.listen=[::]:1143"}, "imap.listen"},
		{[]string{"smtp.listen=LOCALHOST.:1143"}, "imap.listen"},
		{[]string{"smtp.listen=[::ffff:127.0.0.1]:1143"}, "imap.listen"},
		{[]string{"imap.listen=:1143", "smtp.listen=[::1]:1143"}, "imap.listen"},
		{[]string{"imap.listen=0.0.0.0:1143", "smtp.listen=[::]:1143"}, "imap.listen"},
		{[]string{"imap.listen=Mail.example.com:1143", "smtp.listen=mail.example.com:1143"}, "imap.listen"},
		{[]string{"imap.listen_tls=:993", "smtp.listen=:imaps"}, "imap.listen_tls"},
		{[]string{"smtp.listen_tls=:1587"}, "smtp.listen_tls"},
		{[]string{"smtp.listen=127.0.0.2:1143"}, ""},
		{[]string{"smtp.listen=[::1]:1143"}, ""},
		{[]string{"imap.listen=", "smtp.listen=:1143"}, ""},
		{[]string{"http.listen=127.0.0.1:0", "imap.listen=127.0.0.1:0", "smtp.listen=:0", "smtp.listen_tls=:0"}, ""},
	} {
		_, err := Load("", nil, c.sets)
		if text := fmt.Sprint(err); (err != nil) != (c.with != "") || err != nil && !(strings.Contains(text, "smtp.listen") && strings.Contains(text, c.with) && strings.Contains(text, "one address")) {
			t.Errorf("%v: %v", c.sets, err)
		}
	}
}

// TestWithoutPublicURL: links and redirects lead to this machine, and nobody can
// notify us.
func TestWithoutPublicURL(t *testing.T) {
	for _, c := range []struct {
		sets   []string
		public string
		pushes bool
	}{
		{nil, "http://localhost:8080", false},
		{[]string{"http.listen=127.0.0.1:9000"}, "http://localhost:9000", false},
		{[]string{"http.tls_cert=x", "http.tls_key=y"}, "https://localhost:8080", false},
		{[]string{"public_url=https://mail.example.com"}, "https://mail.example.com", true},
	} {
		cfg, err := Load("", nil, append(c.sets, "providers.x.plugin=x", "providers.x.push=true", "providers.y.plugin=x"))
		if err != nil {
			t.Fatal(err)
		}
		if got := cfg.Public().String(); got != c.public || cfg.Pushes("x") != c.pushes || cfg.Pushes("y") || cfg.Pushes("z") {
			t.Errorf("%v: %s, pushes %v %v %v", c.sets, got, cfg.Pushes("x"), cfg.Pushes("y"), cfg.Pushes("z"))
		}
	}
}

func TestResolve(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("from file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return "from env", name == "HERE" }
	got, err := Provider{Settings: map[string]string{"a": "plain", "b": "env:HERE", "c": "file:" + file}}.Resolve(env)
	want := map[string]string{"a": "plain", "b": "from env", "c": "from file"}
	if err != nil || cmp.Diff(want, got) != "" {
		t.Error(err, cmp.Diff(want, got))
	}
	if _, err := (Provider{Settings: map[string]string{"a": "env:GONE"}}).Resolve(env); err == nil || !strings.Contains(err.Error(), "GONE") {
		t.Errorf("missing variable: %v", err)
	}
}
