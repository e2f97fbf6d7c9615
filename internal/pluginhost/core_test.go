//go:build unix

package pluginhost

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

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
