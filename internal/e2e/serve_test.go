package e2e

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/postern-mail/postern/internal/freeport"
)

// settings are a configuration file as YAML has it.
type settings map[string]any

// section gives a part of the settings, by its path.
func (s settings) section(path ...string) settings {
	for _, name := range path {
		next, ok := s[name].(settings)
		if !ok {
			next = settings{}
			s[name] = next
		}
		s = next
	}
	return s
}

// settings reads the demo's configuration, for a second gateway: with a data
// folder and a port of its own. It is given the first provider alone: two
// gateways would share the other's Pub/Sub subscription, and each get half.
func (d *demo) settings(dir string) settings {
	d.t.Helper()
	raw, err := os.ReadFile(d.info.Config)
	if err != nil {
		d.t.Fatal(err)
	}
	s := settings{}
	if err := yaml.Unmarshal(raw, &s); err != nil {
		d.t.Fatal(err)
	}
	delete(s.section("providers"), "gmail")
	addr := freeAddress(d.t)
	s["data_dir"], s["public_url"] = filepath.Join(dir, "data"), "http://"+addr
	s.section("http")["listen"] = addr
	s["imap"], s["smtp"] = freeDoor(d.t), freeDoor(d.t)
	return s
}

// freeAddress gives a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// freeDoor gives the settings of a door for mail programs on a free port, which
// takes passwords in the clear.
func freeDoor(t *testing.T) settings {
	t.Helper()
	return settings{"listen": freeAddress(t), "cleartext": true}
}

func (s settings) write(t *testing.T, dir string) string {
	t.Helper()
	raw, err := yaml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "postern.yaml")
	if err := os.WriteFile(name, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// running is a program whose output is read.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *lines
	done  chan struct{}
	err   error
}

// start runs a program until the test ends.
func start(t *testing.T, name string, args ...string) *running {
	t.Helper()
	p := &running{t: t, cmd: exec.Command(name, args...), lines: &lines{more: make(chan struct{})}, done: make(chan struct{})}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s := bufio.NewScanner(r)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			p.lines.add(s.Text(), false)
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	go func() {
		p.err = p.cmd.Wait()
		_ = w.Close()
		<-read
		p.lines.add("", true)
		close(p.done)
	}()
	t.Cleanup(func() { p.stop() })
	return p
}

// stop asks the program to end, as the system does, and gives how it ended.
func (p *running) stop() error {
	p.t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt) // it may be gone already
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		p.t.Errorf("%s did not stop\n%s", p.cmd.Path, p.lines)
	}
	return p.err
}

// serve runs a gateway of its own on the demo's sandbox and gives it as
// something to query, once it is ready.
func (d *demo) serve(t *testing.T, dir string, s settings) (*demo, *running) {
	t.Helper()
	cfg, base := s.write(t, dir), baseOf(s)
	name := d.gateway
	if name == "" {
		name = program("postern")
	}
	p := start(t, name, "-c", cfg, "serve")
	g := &demo{t: t, cmd: p.cmd, dir: dir, lines: p.lines, done: p.done, info: d.info, gateway: d.gateway}
	g.eventually("the gateway is ready", func() bool {
		select {
		case <-p.done:
			t.Fatalf("the gateway ended: %v\n%s", p.err, p.lines)
		default:
		}
		resp, err := http.Get(base + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	key, err := os.ReadFile(filepath.Join(s["data_dir"].(string), "admin.key"))
	if err != nil {
		t.Fatal(err)
	}
	g.info.GraphQL, g.info.APIKey, g.info.Config = base+"/graphql", strings.TrimSpace(string(key)), cfg
	return g, p
}
