package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	randv2 "math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stall is how long nothing at all may move before a run is given up. How long
// everything takes depends on the machine.
const stall = 3 * time.Minute

// soak is a gateway on a sandbox, with everything between them in the test's
// hands: the providers' answers go through proxies, webhooks end at sink,
// subscribers come through cutters.
type soak struct {
	*demo
	plan  plan
	began time.Time
	sink  *sink
	subs  []*subscriber
	hist  *history
	load  *load
	mail  mailPrograms
	cfg   string
	base  string

	mu      sync.Mutex
	gateway *process
	plugins []int // the process ids of the gateway's plugins

	sandbox   *process
	providers []*soakProvider
	secret    string
	journal   journal
	killed    map[string]int // kills by point
	internal  atomic.Int64   // answers INTERNAL
}

// process is a program of the soak's; its output goes to a file.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{}
	err  error
}

// launch starts a program that ends with the test, however that ends.
func launch(log, name string, args ...string) (*process, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p := &process{cmd: exec.Command(name, args...), log: log, done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if _, err := p.cmd.StdinPipe(); err != nil { // closed by Wait, or by our end
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		t.Errorf("%s did not stop", p.cmd.Path)
	}
}

// tail is the end of what the process printed.
func (p *process) tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-6000):])
}

const alan = "alan@contoso.example"

func newSoak(t *testing.T, p plan) *soak {
	t.Helper()
	dir := t.TempDir()
	if keep := os.Getenv("SOAK_DIR"); keep != "" { // what is left can be looked at
		dir = filepath.Join(keep, strings.ReplaceAll(t.Name(), "/", "-"))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s := &soak{plan: p, began: time.Now(), demo: &demo{t: t, dir: dir}, killed: map[string]int{}, hist: newHistory()}
	again := "make test"
	if os.Getenv("SOAK") != "" {
		again = "make soak"
	}
	t.Logf("to repeat: SEED=%d %s", p.seed, again)
	s.startSandbox()
	s.sink = newSink(t)
	s.configure()
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.gateway.stop(t)
		if t.Failed() {
			t.Logf("end of the gateway's log:\n%s", s.gateway.tail())
			t.Logf("end of the sandbox's log:\n%s", s.sandbox.tail())
		}
	})
	key, err := os.ReadFile(filepath.Join(dir, "data", "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	s.info.GraphQL, s.info.APIKey, s.info.Config = s.base+"/graphql", strings.TrimSpace(string(key)), s.cfg
	s.secret = s.hook()
	s.subscribe()
	for _, address := range []string{ada, grace, alan} {
		s.connect(address)
	}
	s.openMailPrograms()
	return s
}

// startSandbox starts the providers with empty mailboxes, and what stands
// between them and their plugins.
func (s *soak) startSandbox() {
	s.t.Helper()
	ready, ca := filepath.Join(s.dir, "sandbox.json"), filepath.Join(s.dir, "sandbox-ca.pem")
	var err error
	s.sandbox, err = launch(filepath.Join(s.dir, "sandbox.log"), program("postern-sandbox"), "--ports", "free",
		"--no-seed", "--user", "nobody@contoso.example", "--seed", strconv.FormatUint(s.plan.seed>>1, 10), "--ca-out", ca, "--ready-file", ready,
		"--allow-http-notifications", "--google-units", soakUnits, "--parent-pipe", "--log-level", "warn")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { s.sandbox.stop(s.t) })
	var state struct{ Providers []*soakProvider }
	s.eventually("the sandbox is ready", func() bool {
		b, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(b, &s.info.Sandbox) == nil && json.Unmarshal(b, &state) == nil
	})
	sandboxCA, err := os.ReadFile(ca)
	if err != nil {
		s.t.Fatal(err)
	}
	s.providers = state.Providers
	s.interpose(sandboxCA)
}

func (s *soak) configure() {
	s.t.Helper()
	addr := freeAddress(s.t)
	s.base = "http://" + addr
	imap, smtp := freeDoor(s.t), freeDoor(s.t)
	s.mail.imap, s.mail.smtp = imap["listen"].(string), smtp["listen"].(string)
	var key [32]byte
	_, _ = rand.Read(key[:])
	keyFile := filepath.Join(s.dir, "master.key")
	if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	c := settings{
		"public_url": s.base, "data_dir": filepath.Join(s.dir, "data"),
		"master_key": settings{"file": keyFile},
		"http":       settings{"listen": addr},
		"imap":       imap,
		"smtp":       smtp,
		"log":        settings{"level": "debug"},
		"plugins":    settings{"dir": bin},
		// A notification that was lost shall not be missed for ten minutes.
		"sync":      settings{"poll_watched": "4s", "poll": "3s", "poll_listened": "4s"},
		"webhooks":  settings{"allow": []string{"127.0.0.0/8"}, "allow_http": true},
		"disk":      settings{"min_free": 0},
		"providers": s.register(),
	}
	s.cfg = c.write(s.t, s.dir)
}

// start starts the gateway, and waits until it and its plugin are ready.
func (s *soak) start() error {
	p, err := launch(filepath.Join(s.dir, "gateway.log"), program("postern"), "-c", s.cfg, "serve", "--parent-pipe")
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.gateway = p
	s.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for {
		select {
		case <-p.done:
			return fmt.Errorf("the gateway ended: %w\n%s", p.err, p.tail())
		case <-late:
			return errors.New("the gateway did not become ready")
		case <-tick.C:
		}
		resp, err := http.Get(s.base + "/readyz")
		if err != nil {
			continue
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			break
		}
	}
	return s.findPlugins()
}

// findPlugins asks the gateway for the processes that must not outlive it.
func (s *soak) findPlugins() error {
	out, err := exec.Command(program("postern"), "-c", s.cfg, "plugins", "list", "--json").Output()
	var got struct{ Instances []struct{ PID int } }
	if err == nil {
		err = json.Unmarshal(out, &got)
	}
	s.plugins = nil
	for _, i := range got.Instances {
		if i.PID > 1 {
			s.plugins = append(s.plugins, i.PID)
		}
	}
	if err != nil || len(s.plugins) != len(s.providers) {
		return fmt.Errorf("list the plugins: %w %s", err, out)
	}
	return nil
}

// kill kills the gateway; when it returns the gateway is dead.
func (s *soak) kill() {
	_ = s.gateway.cmd.Process.Kill()
	<-s.gateway.done
}

// again starts a gateway that is dead, and sees to it that the plugins of the
// former one are gone.
func (s *soak) again() error {
	former := s.plugins
	if err := s.start(); err != nil {
		return err
	}
	late := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(former, alive) {
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("a plugin of %v has outlived its gateway", former)
		}
	}
	return nil
}

// connect makes a user whose mailbox holds something already, and connects it.
func (s *soak) connect(address string) {
	s.t.Helper()
	p := s.at(address)
	s.control("POST", "/control/users", fmt.Sprintf(`{"cloud":%q,"address":%q,"name":"Some One"}`, p.Cloud, address), nil)
	rng := randv2.New(randv2.NewPCG(s.plan.seed, uint64(len(s.info.Accounts))))
	for range 5 {
		if err := s.deliverTo(context.Background(), rng, address); err != nil {
			s.t.Fatal(err)
		}
	}
	browser := s.browser()
	_, at, _ := s.visit(browser, s.link(map[string]any{"provider": p.Name}), nil)
	_, at, _ = s.visit(browser, at.String(), url.Values{"user": {address}, "decision": {"approve"}})
	back := at.Query()
	if back.Get("status") != "connected" {
		s.t.Fatalf("%s was not connected: %v", address, back)
	}
	s.info.Accounts = append(s.info.Accounts, struct{ ID, Address, Provider string }{back.Get("account"), address, p.Name})
	s.eventually(address+" is in step", func() bool { return s.state(back.Get("account")) == "READY" })
}

// hook makes the ordered endpoint that wants everything.
func (s *soak) hook() string {
	s.t.Helper()
	_, secret := s.demo.endpoint(map[string]any{"url": s.sink.srv.URL, "events": soakTypes, "ordered": true, "backfill": true})
	return secret
}

// gql asks the gateway until it answers: one that is being restarted does not.
// What was asked may so be done more than once.
func (s *soak) gql(ctx context.Context, query string, vars map[string]any, data any) ([]gqlError, error) {
	for {
		within, cancel := context.WithTimeout(ctx, 2*time.Minute)
		errs, err := s.ask(within, query, vars, data)
		cancel()
		for _, e := range errs {
			if e.Extensions.Code == "INTERNAL" {
				s.internal.Add(1)
				s.t.Errorf("an internal error: %+v", e)
			}
		}
		if err == nil {
			return errs, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		}
	}
}

// controlTry is control for goroutines, which must not end the test.
func (s *demo) controlTry(ctx context.Context, method, path, body string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.info.Sandbox.Control+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return &statusError{resp.StatusCode, fmt.Sprintf("%s %s: %s %s", method, path, resp.Status, bytes.TrimSpace(b))}
	}
	if out != nil {
		return json.Unmarshal(b, out)
	}
	return nil
}

type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string { return e.text }
