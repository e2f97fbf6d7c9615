//go:build unix

package pluginhost

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// The test binary is also the plugins of its tests, named by what they do, and
// the host that is killed.
const envTestHost = "PLUGINHOST_TEST_HOST"

func TestMain(m *testing.M) {
	cookie := provider.Handshake()
	if os.Getenv(cookie.MagicCookieKey) == cookie.MagicCookieValue {
		beAPlugin(strings.TrimPrefix(filepath.Base(os.Args[0]), Prefix))
		return
	}
	if dir := os.Getenv(envTestHost); dir != "" {
		beAHost(dir)
		return
	}
	os.Exit(m.Run())
}

func beAPlugin(name string) {
	switch name {
	case "future": // speaks a version that no host knows yet
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig:  provider.Handshake(),
			VersionedPlugins: map[int]plugin.PluginSet{2: {provider.PluginName: futurePlugin{}}},
			GRPCServer:       plugin.DefaultGRPCServer,
		})
	case "junk": // is no plugin at all
		fmt.Println("usage: junk [FLAGS]")
	case "mute": // never says a word
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "dying": // cannot start
		fmt.Fprintln(os.Stderr, "panic: no room")
		os.Exit(2)
	default:
		provider.Serve(newFake())
	}
}

type futurePlugin struct{ plugin.NetRPCUnsupportedPlugin }

func (futurePlugin) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }
func (futurePlugin) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

// beAHost runs a host until it is killed, and says its plugin's pid.
func beAHost(dir string) {
	h, err := New(Options{Dirs: []string{dir}, Instances: map[string]Instance{"one": {Plugin: "fake", Settings: goodSettings}}})
	if err != nil {
		panic(err)
	}
	go func() {
		p, err := h.Provider("one")
		if err != nil {
			panic(err)
		}
		if _, err := p.Describe(context.Background()); err != nil {
			panic(err)
		}
		fmt.Println(h.Status()[0].Pid)
		// A call that pays no heed to its end must not keep the plugin.
		_, _ = p.Search(context.Background(), &provider.SearchRequest{Text: "deaf"})
	}()
	if err := h.Run(context.Background()); err != nil {
		panic(err)
	}
}

var goodSettings = map[string]string{"client_secret": "s3cret-marker"}

// fake is a provider that does what the text of a search tells it to.
type fake struct {
	provider.Unsupported
	mu       sync.Mutex
	open     map[string]string // account: grant
	opens    int
	settings map[string]string
	host     provider.Host
	hosted   chan struct{}
	once     sync.Once
}

func newFake() *fake { return &fake{open: map[string]string{}, hosted: make(chan struct{})} }

func (f *fake) Describe(context.Context) (*provider.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info := &provider.Info{Name: "fake", Version: "1.2.3", Scope: mail.ScopeAccount, Settings: []provider.Setting{
		{Name: "client_secret", Required: true, Secret: true}, {Name: "refuse"}, {Name: "label"},
	}}
	if f.settings != nil {
		info.Keywords = []string{"configured"}
	}
	return info, nil
}

func (f *fake) Configure(_ context.Context, r *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	if why := r.Settings["refuse"]; why != "" {
		return nil, &mail.Error{Kind: mail.KindMisconfigured, Op: "configure", Code: why, Message: "refused"}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settings = r.Settings
	return &provider.ConfigureResponse{Warnings: []string{"instance " + r.Instance}}, nil
}

func (f *fake) Session(ctx context.Context, h provider.Host) error {
	f.mu.Lock()
	f.host = h
	f.mu.Unlock()
	f.once.Do(func() { close(f.hosted) })
	<-ctx.Done()
	return nil
}

func (f *fake) Open(_ context.Context, r *provider.OpenRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[r.Account] = string(r.Grant)
	f.opens++
	return nil
}

func (f *fake) Close(_ context.Context, r *provider.CloseRequest) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.open, r.Account)
	return nil
}

// Mailboxes answers one mailbox: named by the process, with the grant as its
// id and the number of openings as its total.
func (f *fake) Mailboxes(_ context.Context, r *provider.MailboxesRequest) (*provider.MailboxesResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	grant, ok := f.open[r.Account]
	if !ok {
		return nil, provider.ErrNotOpen
	}
	return &provider.MailboxesResponse{Mailboxes: []mail.Mailbox{{ID: grant, Name: strconv.Itoa(os.Getpid()), Total: int64(f.opens)}}}, nil
}

func (f *fake) Enumerate(ctx context.Context, _ *provider.EnumerateRequest, each func(*provider.EnumerateBatch) error) error {
	if err := each(&provider.EnumerateBatch{}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fake) Changes(context.Context, *provider.ChangesRequest, func(*mail.Batch) error) error {
	return nil
}

func (f *fake) Fetch(_ context.Context, r *provider.FetchRequest, sink provider.FetchSink) error {
	for _, id := range r.IDs {
		if err := sink.Message(&mail.Message{ProviderID: id, Subject: strconv.Itoa(os.Getpid())}); err != nil {
			return err
		}
	}
	return nil
}

func (f *fake) Append(_ context.Context, r *provider.AppendRequest, raw io.Reader) (*provider.AppendResponse, error) {
	f.mu.Lock()
	_, ok := f.open[r.Account]
	f.mu.Unlock()
	if !ok {
		return nil, provider.ErrNotOpen
	}
	h := sha256.New()
	n, err := io.Copy(h, raw)
	if err != nil {
		return nil, err
	}
	return &provider.AppendResponse{Message: mail.Message{ProviderID: hex.EncodeToString(h.Sum(nil)), Size: n}}, nil
}

func (f *fake) Send(context.Context, *provider.SendRequest) (*provider.SendResponse, error) {
	die()
	return nil, errors.New("still alive")
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func (f *fake) Search(ctx context.Context, r *provider.SearchRequest) (*provider.SearchResponse, error) {
	<-f.hosted
	f.mu.Lock()
	host := f.host
	f.mu.Unlock()
	switch r.Text {
	case "pid":
		return &provider.SearchResponse{IDs: []string{strconv.Itoa(os.Getpid())}}, nil
	case "env":
		return &provider.SearchResponse{IDs: os.Environ()}, nil
	case "label":
		f.mu.Lock()
		defer f.mu.Unlock()
		return &provider.SearchResponse{IDs: []string{f.settings["label"]}}, nil
	case "accounts":
		f.mu.Lock()
		defer f.mu.Unlock()
		var ids []string
		for id := range f.open {
			ids = append(ids, id)
		}
		return &provider.SearchResponse{IDs: ids}, nil
	case "forget":
		f.mu.Lock()
		defer f.mu.Unlock()
		clear(f.open)
	case "deaf":
		select {}
	case "log":
		slog.Info("token refreshed", "account", "a1")
		slog.Error("odd answer", "status", 500)
		slog.Debug("very small")
	case "save":
		return &provider.SearchResponse{}, host.SaveGrant(ctx, "a1", []byte("g2"))
	case "refused":
		return &provider.SearchResponse{}, host.GrantRefused(ctx, "a1", &mail.Error{Kind: mail.KindGrantExpired, Code: "E7"})
	case "hint":
		return &provider.SearchResponse{}, host.Hint(ctx, &provider.Hint{Kind: provider.HintChanged, Account: "a1"})
	case "throttled":
		return nil, &mail.Error{Kind: mail.KindThrottled, RetryAfter: time.Hour}
	}
	return &provider.SearchResponse{}, nil
}

// ------------------------------------------------------------- what tests use

// pluginDir makes a folder with plugins of the names given.
func pluginDir(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		to := filepath.Join(dir, Prefix+name)
		if os.Link(self, to) != nil { // another file system
			data, err := os.ReadFile(self)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// eventually waits for a state that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// gone reports whether a process has ended; one that nobody has reaped yet
// has.
func gone(pid int) bool {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(stat), ") ")
	return ok && strings.HasPrefix(rest, "Z")
}

// firstLine reads one line of a child's output.
func firstLine(r io.Reader) (string, error) {
	line, err := bufio.NewReader(r).ReadString('\n')
	return strings.TrimSpace(line), err
}
