//go:build unix

package pluginhost

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func TestStartAndStop(t *testing.T) {
	r, p := runFake(t, Options{})
	// The call waits for the start, and opens its account.
	m, err := mailbox(t.Context(), p, "a1")
	if err != nil || m.ID != "g1" {
		t.Fatalf("mailboxes: %v, %v", m, err)
	}
	s := r.status(t, "one")
	if s.State != StateRunning || s.Version != "1.2.3" || s.Plugin != "fake" || filepath.Base(s.Path) != Prefix+"fake" || strconv.Itoa(s.Pid) != m.Name {
		t.Errorf("status: %+v, plugin's pid %s", s, m.Name)
	}
	info, err := r.Info("one")
	if err != nil || info.Name != "fake" || !info.HoldsKeyword("configured") { // what it says of itself with its settings
		t.Errorf("info: %v, %v", info, err)
	}
	// A call may be served before the core is told of the start.
	eventually(t, "the core is told of the start", func() bool { return r.core.starts() > 0 })
	if n := r.core.starts(); n != 1 {
		t.Errorf("started %d times", n)
	}
	if _, err := mailbox(t.Context(), p, "unknown"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("an account that the core does not know: %v", err)
	}
	r.stop()
	if !gone(s.Pid) {
		t.Error("the plugin lives on")
	}
	if _, err := mailbox(t.Context(), p, "a1"); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("after the stop: %v", err)
	}
	if s := r.status(t, "one"); s.State != StateStopped || s.Pid != 0 {
		t.Errorf("status after the stop: %+v", s)
	}
	if log := r.logs.String(); strings.Contains(log, "s3cret-marker") || strings.Contains(log, "g1") {
		t.Error("a secret is in the log")
	}
}

func TestUnknownInstance(t *testing.T) {
	r, p := runFake(t, Options{})
	if _, err := r.Provider("two"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("provider: %v", err)
	}
	if _, err := r.Info("two"); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("info: %v", err)
	}
	if _, err := p.Configure(t.Context(), &provider.ConfigureRequest{}); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("configure: %v", err)
	}
	if err := p.Session(t.Context(), nil); mail.KindOf(err) != mail.KindInvalid {
		t.Errorf("session: %v", err)
	}
}

func TestMisconfigured(t *testing.T) {
	dir := pluginDir(t, "fake", "future", "junk", "mute")
	if err := os.WriteFile(filepath.Join(dir, Prefix+"text"), []byte("not a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum, err := Sum(filepath.Join(dir, Prefix+"fake"))
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Repeat("ab", 32)
	tests := map[string]struct {
		cfg   Instance
		words []string
	}{
		"version":  {Instance{Plugin: "future"}, []string{"another version", "Plugin version: 2", "(1)"}},
		"sum":      {Instance{Plugin: "fake", Settings: goodSettings, SHA256: other}, []string{sum, other}},
		"missing":  {Instance{Plugin: "fake"}, []string{`"client_secret" is missing`}},
		"unknown":  {Instance{Plugin: "fake", Settings: map[string]string{"client_secret": "s3cret-marker", "colour": "s3cret-marker"}}, []string{`"colour" is unknown`, "knows client_secret"}},
		"refused":  {Instance{Plugin: "fake", Settings: map[string]string{"client_secret": "x", "refuse": "R1"}}, []string{"R1"}},
		"no-file":  {Instance{Plugin: "absent"}, []string{"postern-provider-absent", dir}},
		"bad-name": {Instance{Plugin: "../fake"}, []string{"no plugin name"}},
		"no-code":  {Instance{Plugin: "text"}, []string{"exec format error"}},
	}
	instances := map[string]Instance{}
	for name, tt := range tests {
		instances[name] = tt.cfg
	}
	r := run(t, Options{Dirs: []string{dir}, Instances: instances})
	for name, tt := range tests {
		eventually(t, name+" is misconfigured", func() bool { return r.status(t, name).State == StateMisconfigured })
		s := r.status(t, name)
		for _, w := range tt.words {
			if !strings.Contains(s.LastError.Error(), w) {
				t.Errorf("%s: %q does not say %q", name, s.LastError, w)
			}
		}
		if strings.Contains(s.LastError.Error(), "s3cret-marker") {
			t.Errorf("%s: the error tells a secret", name)
		}
		if s.Restarts != 0 || s.Pid != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		p, err := r.Provider(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mailbox(t.Context(), p, "a1"); mail.KindOf(err) != mail.KindMisconfigured {
			t.Errorf("%s: a call: %v", name, err)
		}
	}
	// Mended by the operator, each starts.
	for name := range instances {
		instances[name] = Instance{Plugin: "fake", Settings: goodSettings, SHA256: strings.ToUpper(sum)}
	}
	if err := r.Reload(t.Context(), instances); err != nil {
		t.Fatal(err)
	}
	for name := range instances {
		eventually(t, name+" runs", func() bool { return r.status(t, name).State == StateRunning })
	}
}

func TestNoPlugin(t *testing.T) {
	dir := pluginDir(t, "junk", "mute")
	for name, tt := range map[string]struct {
		words   string
		timeout time.Duration
	}{
		"junk": {"usage: junk", time.Minute}, // ends by itself
		"mute": {"timeout", 200 * time.Millisecond},
	} {
		proc, err := Launch(t.Context(), LaunchOptions{Path: filepath.Join(dir, Prefix+name), Timeout: tt.timeout})
		if err == nil {
			proc.Stop()
		}
		if mail.KindOf(err) != mail.KindUnavailable || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReload(t *testing.T) {
	r, p := runFake(t, Options{})
	pid := tells(t, p, "pid")[0]
	with := func(settings map[string]string) map[string]Instance {
		settings["client_secret"] = "x"
		return map[string]Instance{"one": {Plugin: "fake", Settings: settings}}
	}
	if err := r.Reload(t.Context(), with(map[string]string{"label": "new"})); err != nil {
		t.Fatal(err)
	}
	if got := tells(t, p, "label")[0]; got != "new" {
		t.Errorf("label is %q", got)
	}
	err := r.Reload(t.Context(), with(map[string]string{"label": "worse", "refuse": "R2"}))
	if mail.KindOf(err) != mail.KindMisconfigured || !strings.Contains(err.Error(), "provider one") {
		t.Errorf("refused settings: %v", err)
	}
	if got := tells(t, p, "label")[0]; got != "new" {
		t.Errorf("label is %q after a refusal", got)
	}
	if now := tells(t, p, "pid")[0]; now != pid {
		t.Error("settings alone took a new process")
	}
	// A pin takes one; and a second instance comes, and the first goes.
	sum, err := Sum(r.status(t, "one").Path)
	if err != nil {
		t.Fatal(err)
	}
	both := with(map[string]string{})
	both["one"] = Instance{Plugin: "fake", Settings: goodSettings, SHA256: sum}
	both["two"] = Instance{Plugin: "fake", Settings: goodSettings}
	if err := r.Reload(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	if now := tells(t, p, "pid")[0]; now == pid {
		t.Error("a new pin took no new process")
	}
	two, err := r.Provider("two")
	if err != nil {
		t.Fatal(err)
	}
	tells(t, two, "pid")
	last := r.status(t, "one").Pid
	delete(both, "one")
	if err := r.Reload(t.Context(), both); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the removed instance is gone", func() bool { return gone(last) })
	if _, err := mailbox(t.Context(), p, "a1"); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("a call to a removed instance: %v", err)
	}
	if err := r.Reload(t.Context(), map[string]Instance{"No Name": {}}); mail.KindOf(err) != mail.KindMisconfigured {
		t.Errorf("a bad name: %v", err)
	}
}

// TestForgottenAccount: a plugin that does not know an account gets it again,
// and the call comes once more, whatever its verb.
func TestForgottenAccount(t *testing.T) {
	_, p := runFake(t, Options{})
	if _, err := mailbox(t.Context(), p, "a1"); err != nil {
		t.Fatal(err)
	}
	tells(t, p, "forget")
	if m, err := mailbox(t.Context(), p, "a1"); err != nil || m.Total != 2 {
		t.Errorf("mailboxes: %v, %v", m, err)
	}
	tells(t, p, "forget")
	raw := strings.Repeat("x", 3*provider.ChunkSize)
	resp, err := p.Append(t.Context(), &provider.AppendRequest{Call: provider.Call{Account: "a1"}, Size: int64(len(raw))}, strings.NewReader(raw))
	if err != nil || resp.Message.Size != int64(len(raw)) {
		t.Errorf("append: %v, %v", resp, err)
	}
	// A reader that cannot go back gives the error up.
	tells(t, p, "forget")
	_, err = p.Append(t.Context(), &provider.AppendRequest{Call: provider.Call{Account: "a1"}, Size: int64(len(raw))}, struct{ *bytes.Buffer }{bytes.NewBufferString(raw)})
	if !provider.NotOpen(err) {
		t.Errorf("append of a pipe: %v", err)
	}
}

func TestIdleAccountsAreClosed(t *testing.T) {
	var mu sync.Mutex
	now := time.Unix(1_700_000_000, 0)
	_, p := runFake(t, Options{IdleClose: 50 * time.Millisecond, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	if _, err := mailbox(t.Context(), p, "a1"); err != nil {
		t.Fatal(err)
	}
	if got := tells(t, p, "accounts"); !slices.Equal(got, []string{"a1"}) {
		t.Errorf("open: %v", got)
	}
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	eventually(t, "the account is closed", func() bool { return len(tells(t, p, "accounts")) == 0 })
	if m, err := mailbox(t.Context(), p, "a1"); err != nil || m.Total != 2 {
		t.Errorf("opened again: %v, %v", m, err)
	}
}

func TestSessionReachesTheSink(t *testing.T) {
	r, p := runFake(t, Options{})
	if _, err := mailbox(t.Context(), p, "a1"); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"save", "refused", "hint"} {
		tells(t, p, what)
	}
	want := []string{"one: save g2 of a1", "one: refused a1: grant_expired", "one: hint changed a1"}
	if diff := cmp.Diff(want, r.core.told); diff != "" {
		t.Error(diff)
	}
	r.core.mu.Lock()
	r.core.fail = mail.Errorf(mail.KindOverQuota, "store grant", "disk full")
	r.core.grant = "g3"
	r.core.mu.Unlock()
	if _, err := p.Search(t.Context(), &provider.SearchRequest{Text: "save"}); mail.KindOf(err) != mail.KindOverQuota {
		t.Errorf("a grant that could not be stored: %v", err)
	}
	// After a refusal the newest grant is handed over.
	if m, err := mailbox(t.Context(), p, "a1"); err != nil || m.ID != "g3" {
		t.Errorf("mailboxes: %v, %v", m, err)
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("POSTERN_MASTER_KEY", "master-marker")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "master-marker")
	t.Setenv("HTTPS_PROXY", "http://proxy.example:3128")
	t.Setenv("SSL_CERT_FILE", "/etc/ca.pem")
	_, p := runFake(t, Options{})
	env := tells(t, p, "env")
	for _, kv := range env {
		if strings.Contains(kv, "master-marker") {
			t.Errorf("the plugin sees %s", kv)
		}
	}
	for _, want := range []string{"HTTPS_PROXY=http://proxy.example:3128", "SSL_CERT_FILE=/etc/ca.pem", "PATH=" + os.Getenv("PATH")} {
		if !slices.Contains(env, want) {
			t.Errorf("the plugin does not see %s", want)
		}
	}
}

func TestPluginLogs(t *testing.T) {
	r, p := runFake(t, Options{})
	tells(t, p, "log")
	r.stop()
	log := r.logs.String()
	for _, want := range []string{
		`level=INFO msg="token refreshed" instance=one`, `level=ERROR msg="odd answer" instance=one`, `level=DEBUG msg="very small"`,
		`level=WARN msg="plugin warns of its settings" instance=one`, "status=500",
		`level=DEBUG msg="provider call" instance=one verb=search`,
	} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log", want)
		}
	}
	if t.Failed() {
		t.Log(log)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	r, p := runFake(t, Options{Registerer: reg})
	tells(t, p, "pid")
	if _, err := p.Search(t.Context(), &provider.SearchRequest{Text: "throttled"}); mail.RetryAfter(err) != time.Hour {
		t.Errorf("throttled: %v", err)
	}
	if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a restart", func() bool { return r.core.starts() == 2 })
	want := `
# HELP postern_plugin_restarts_total Times that an instance's plugin process died or failed to start, and was started again.
# TYPE postern_plugin_restarts_total counter
postern_plugin_restarts_total{instance="one"} 1
# HELP postern_plugin_up 1 while an instance's plugin process serves calls.
# TYPE postern_plugin_up gauge
postern_plugin_up{instance="one"} 1
# HELP postern_provider_requests_total Calls to provider instances by verb and kind of error; ok for none.
# TYPE postern_provider_requests_total counter
postern_provider_requests_total{instance="one",kind="ok",verb="search"} 1
postern_provider_requests_total{instance="one",kind="throttled",verb="search"} 1
# HELP postern_provider_throttled_total Calls that ended because the provider's quota was spent.
# TYPE postern_provider_throttled_total counter
postern_provider_throttled_total{instance="one"} 1
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "postern_plugin_restarts_total", "postern_plugin_up",
		"postern_provider_requests_total", "postern_provider_throttled_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(reg, "postern_provider_request_seconds"); err != nil || n != 1 {
		t.Errorf("%d histograms, %v", n, err)
	}
	if _, err := New(Options{Registerer: reg}); err == nil {
		t.Error("a second host on the same registry")
	}
}
