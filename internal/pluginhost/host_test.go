//go:build unix

package pluginhost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// core is the sink and the grants of a host under test.
type core struct {
	mu      sync.Mutex
	grant   string
	told    []string
	started int
	fail    error
}

func (c *core) tell(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf(format, args...))
	return c.fail
}

func (c *core) SaveGrant(_ context.Context, instance, account string, grant []byte) error {
	return c.tell("%s: save %s of %s", instance, grant, account)
}
func (c *core) GrantRefused(_ context.Context, instance, account string, reason error) error {
	return c.tell("%s: refused %s: %s", instance, account, mail.KindOf(reason))
}
func (c *core) Hint(_ context.Context, instance string, h *provider.Hint) error {
	return c.tell("%s: hint %s %s", instance, h.Kind, h.Account)
}
func (c *core) Started(string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started++
}
func (c *core) OpenRequest(_ context.Context, account string) (*provider.OpenRequest, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if account == "unknown" {
		return nil, mail.Errorf(mail.KindNotFound, "open account", "no such account")
	}
	return &provider.OpenRequest{Account: account, Grant: []byte(c.grant)}, nil
}
func (c *core) starts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.started
}

// running is a host that runs until the test ends.
type running struct {
	*Host
	core *core
	stop func()
	logs *bytes.Buffer
}

func run(t *testing.T, o Options) *running {
	t.Helper()
	r := &running{core: &core{grant: "g1"}, logs: &bytes.Buffer{}}
	o.Sink, o.Grants = r.core, r.core
	o.Log = slog.New(slog.NewTextHandler(&lockedWriter{w: r.logs}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.RestartMin == 0 {
		o.RestartMin = time.Millisecond
	}
	var err error
	if r.Host, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// fakeHost runs one instance "one" of the fake plugin.
func runFake(t *testing.T, o Options) (*running, provider.Provider) {
	t.Helper()
	o.Dirs = []string{pluginDir(t, "fake")}
	if o.Instances == nil {
		o.Instances = map[string]Instance{"one": {Plugin: "fake", Settings: goodSettings}}
	}
	r := run(t, o)
	p, err := r.Provider("one")
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func (r *running) status(t *testing.T, name string) InstanceStatus {
	t.Helper()
	for _, s := range r.Status() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no status of %s", name)
	return InstanceStatus{}
}

// tells runs a command of the fake plugin.
func tells(t *testing.T, p provider.Provider, command string) []string {
	t.Helper()
	resp, err := p.Search(t.Context(), &provider.SearchRequest{Text: command})
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return resp.IDs
}

func mailbox(ctx context.Context, p provider.Provider, account string) (mail.Mailbox, error) {
	resp, err := p.Mailboxes(ctx, &provider.MailboxesRequest{Call: provider.Call{Account: account}})
	if err != nil {
		return mail.Mailbox{}, err
	}
	return resp.Mailboxes[0], nil
}

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
	if err != nil || info.Name != "fake" {
		t.Errorf("info: %v, %v", info, err)
	}
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

// TestKilledInMidCall: callers notice nothing where the verb may be repeated,
// and are told where it may not.
func TestKilledInMidCall(t *testing.T) {
	r, p := runFake(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	first, err := mailbox(ctx, p, "a0")
	if err != nil {
		t.Fatal(err)
	}
	// Readers that go on all the while, each seeing the change of process.
	var readers sync.WaitGroup
	for n := range 8 {
		readers.Go(func() {
			for {
				m, err := mailbox(ctx, p, fmt.Sprint("a", n))
				if err != nil {
					t.Errorf("reader %d: %v", n, err)
					return
				}
				if m.Name != first.Name {
					return
				}
			}
		})
	}
	_, err = p.Send(ctx, &provider.SendRequest{Call: provider.Call{Account: "a0"}}) // dies of it
	if mail.KindOf(err) != mail.KindOutcomeUnknown {
		t.Errorf("send: %v", err)
	}
	readers.Wait()
	m, err := mailbox(ctx, p, "a0")
	if err != nil || m.ID != "g1" || m.Name == first.Name {
		t.Errorf("after the restart: %v, %v", m, err)
	}
	if s := r.status(t, "one"); s.Restarts != 1 || s.State != StateRunning || s.LastError == nil || !strings.Contains(s.LastError.Error(), "killed") {
		t.Errorf("status: %+v", s)
	}
	if n := r.core.starts(); n != 2 {
		t.Errorf("started %d times", n)
	}
}

// TestStreamKilled: a stream that has told something is not told again.
func TestStreamKilled(t *testing.T) {
	r, p := runFake(t, Options{})
	batches := 0
	err := p.Enumerate(t.Context(), &provider.EnumerateRequest{Call: provider.Call{Account: "a1"}}, func(*provider.EnumerateBatch) error {
		batches++
		return syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL)
	})
	if batches != 1 || mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("%d batches, %v", batches, err)
	}
}

// TestHungPlugin: one that no longer answers is replaced, and its calls come
// to the next.
func TestHungPlugin(t *testing.T) {
	r, p := runFake(t, Options{HealthInterval: 250 * time.Millisecond})
	before := tells(t, p, "pid")
	if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// The signal may come a moment late.
	eventually(t, "another process answers", func() bool { return tells(t, p, "pid")[0] != before[0] })
	if s := r.status(t, "one"); s.Restarts == 0 || !strings.Contains(s.LastError.Error(), "check plugin") {
		t.Errorf("status: %+v", s)
	}
}

// TestDyingPlugin: backoff, not a loop; calls are told within their deadline.
func TestDyingPlugin(t *testing.T) {
	r := run(t, Options{
		Dirs:      []string{pluginDir(t, "dying")},
		Instances: map[string]Instance{"one": {Plugin: "dying"}},
	})
	p, err := r.Provider("one")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "two restarts", func() bool { return r.status(t, "one").Restarts >= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := mailbox(ctx, p, "a1"); mail.KindOf(err) != mail.KindUnavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("mailboxes: %v", err)
	}
	if _, err := r.Info("one"); mail.KindOf(err) != mail.KindUnavailable {
		t.Errorf("info: %v", err)
	}
}

// TestRestartPauses: they double, and start over after a healthy while.
func TestRestartPauses(t *testing.T) {
	tests := map[time.Duration][]string{
		time.Hour:       {"in=1ms", "in=2ms", "in=4ms"},
		time.Nanosecond: {"in=1ms", "in=1ms", "in=1ms"},
	}
	for healthy, want := range tests {
		r, p := runFake(t, Options{HealthyAfter: healthy})
		for n := range want {
			eventually(t, "a start", func() bool { return r.core.starts() == n+1 })
			if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the last start", func() bool { return r.core.starts() == len(want)+1 })
		tells(t, p, "pid")
		r.stop()
		got := regexp.MustCompile(`msg="plugin will be restarted".* (in=\S+)`).FindAllStringSubmatch(r.logs.String(), -1)
		for n := range want {
			if len(got) != len(want) || got[n][1] != want[n] {
				t.Fatalf("healthy after %s: %q, want %q", healthy, got, want)
			}
		}
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
	for name, words := range map[string]string{"junk": "usage: junk", "mute": "timeout"} {
		proc, err := Launch(t.Context(), LaunchOptions{Path: filepath.Join(dir, Prefix+name), Timeout: 200 * time.Millisecond})
		if err == nil {
			proc.Stop()
		}
		if mail.KindOf(err) != mail.KindUnavailable || !strings.Contains(err.Error(), words) {
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

// TestKilledHost: SIGKILL leaves a host no time for anything, and yet no
// plugin lives on, not even one that is stuck in a call.
func TestKilledHost(t *testing.T) {
	dir := pluginDir(t, "fake")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.Command(self)
	host.Env = append(os.Environ(), envTestHost+"="+dir)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := firstLine(out)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(line)
	if err != nil || gone(pid) {
		t.Fatalf("no plugin runs: %q, %v", line, err)
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	_ = host.Wait() // says that it was killed
	eventually(t, "the plugin is gone", func() bool { return gone(pid) })
	if took := time.Since(died); took > time.Second {
		t.Errorf("the plugin lived on for %s", took)
	}
}

// TestLifelines: each way of losing the host ends the plugin by itself.
func TestLifelines(t *testing.T) {
	path := filepath.Join(pluginDir(t, "fake"), Prefix+"fake")
	launch := func(t *testing.T) *Process {
		t.Helper()
		proc, err := Launch(t.Context(), LaunchOptions{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proc.Stop)
		return proc
	}
	t.Run("standard input", func(t *testing.T) {
		proc := launch(t)
		if err := proc.proc.lifeline.Close(); err != nil {
			t.Fatal(err)
		}
		<-proc.Done()
	})
	t.Run("session", func(t *testing.T) {
		proc := launch(t)
		host := &sessionHost{accounts: newAccounts(time.Now), opened: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- proc.Provider.Session(ctx, host) }()
		<-host.opened
		// A call that does not listen must not keep the process.
		stuck := make(chan error, 1)
		go func() {
			_, err := proc.Provider.Search(context.Background(), &provider.SearchRequest{Text: "deaf"})
			stuck <- err
		}()
		cancel()
		left := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("session: %v", err)
		}
		<-proc.Done()
		if took := time.Since(left); took > time.Second && !raceEnabled {
			t.Errorf("the plugin lived on for %s", took)
		}
		if err := <-stuck; mail.KindOf(err) != mail.KindUnavailable {
			t.Errorf("the stuck call: %v", err)
		}
	})
	t.Run("connection", func(t *testing.T) {
		proc := launch(t)
		host := &sessionHost{accounts: newAccounts(time.Now), opened: make(chan struct{})}
		ended := make(chan error, 1)
		go func() { ended <- proc.Provider.Session(t.Context(), host) }()
		<-host.opened
		if err := proc.conn.Close(); err != nil {
			t.Fatal(err)
		}
		<-proc.Done()
		<-ended
	})
}

// TestSocketsAreRemoved: neither a stopped nor a killed plugin leaves files.
func TestSocketsAreRemoved(t *testing.T) {
	tmp, err := os.MkdirTemp("", "ph")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(tmp) })
	r, p := runFake(t, Options{TempDir: tmp})
	tells(t, p, "pid")
	if err := syscall.Kill(r.status(t, "one").Pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a restart", func() bool { return r.core.starts() == 2 })
	r.stop()
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
}
