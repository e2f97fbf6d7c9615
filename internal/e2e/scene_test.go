package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-mail/postern/internal/sandbox"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// scene is a gateway on a sandbox that runs in this process, where it can be set
// up as no flag of the program can. Its mailboxes are empty to begin with.
type scene struct {
	*demo
	world *sandbox.Sandbox
	cfg   settings
	run   *running
}

// newScene starts one with these providers, or with all where none is named.
// change may alter both sides before they start.
func newScene(t *testing.T, change func(*sandbox.Options, settings), names ...string) *scene {
	t.Helper()
	return newSceneWith(t, "", change, names...)
}

// newSceneWith starts one with a gateway that is not the usual program.
func newSceneWith(t *testing.T, gateway string, change func(*sandbox.Options, settings), names ...string) *scene {
	t.Helper()
	dir := t.TempDir()
	opts := sandbox.Options{NoSeed: true, CAFile: filepath.Join(dir, "ca.pem"), AllowHTTPNotifications: true}
	opts.GoogleSettings.Mail.NotifyEvery = -1
	addr := freeAddress(t)
	var key [32]byte
	_, _ = rand.Read(key[:])
	keyFile := filepath.Join(dir, "master.key")
	if err := os.WriteFile(keyFile, []byte(base64.StdEncoding.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings{
		"public_url": "http://" + addr, "data_dir": filepath.Join(dir, "data"), "master_key": settings{"file": keyFile},
		"http": settings{"listen": addr}, "imap": freeDoor(t), "smtp": freeDoor(t), "plugins": settings{"dir": bin}, "log": settings{"level": "debug"},
		"webhooks": settings{"allow": []string{"127.0.0.0/8"}, "allow_http": true}, "disk": settings{"min_free": 0},
	}
	if change != nil {
		change(&opts, cfg)
	}
	world, err := sandbox.Start(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &demo{t: t, dir: dir, gateway: gateway}
	st := world.State()
	d.info.Sandbox.Control, d.info.Sandbox.CAFile, d.info.Sandbox.Clouds = st.Control, st.CAFile, map[string]string{}
	for _, p := range st.Providers {
		if len(names) > 0 && !slices.Contains(names, p.Name) {
			continue
		}
		d.info.Sandbox.Clouds[p.Cloud] = p.URL
		its := settings{"plugin": p.Plugin, "push": p.Push, "settings": settings{}}
		for name, value := range p.Settings {
			its.section("settings")[name] = value
		}
		for name, text := range p.Files {
			file := filepath.Join(dir, p.Name+"-"+name)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			its.section("settings")[name] = file
		}
		// What the test has set already goes before.
		was := cfg.section("providers", p.Name)
		maps.Copy(its.section("settings"), was.section("settings"))
		delete(was, "settings")
		maps.Copy(its, was)
		cfg.section("providers")[p.Name] = its
		app := maps.Clone(p.App)
		app["name"], app["redirect_uris"] = "scene", []string{fmt.Sprintf("http://%s/oauth/%s/callback", addr, p.Name)}
		body, err := json.Marshal(app)
		if err != nil {
			t.Fatal(err)
		}
		d.control("POST", "/control/apps", string(body), nil)
	}
	s := &scene{demo: d, world: world, cfg: cfg}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", s.run.lines)
		}
	})
	return s
}

// start starts the gateway, also again.
func (s *scene) start() {
	s.t.Helper()
	var g *demo
	g, s.run = s.serve(s.t, s.dir, s.cfg)
	g.info.Accounts = s.info.Accounts
	s.demo = g
}

// halt ends the gateway at once, as a power cut would, and its plugins with it.
func (s *scene) halt() {
	s.t.Helper()
	_ = s.run.cmd.Process.Kill()
	<-s.run.done
}

// at gives the provider where an address lives.
func (s *scene) at(address string) string {
	for _, p := range s.world.State().Providers {
		if p.Cloud == sandbox.CloudOf(address) {
			return p.Name
		}
	}
	s.t.Fatalf("%s lives nowhere", address)
	return ""
}

// signIn plays an owner at the provider's page, who approves but for what form
// says otherwise, and gives what the owner comes back with.
func (s *scene) signIn(address string, form url.Values) url.Values {
	s.t.Helper()
	browser, answer := s.browser(), url.Values{"user": {address}, "decision": {"approve"}}
	maps.Copy(answer, form)
	_, at, _ := s.visit(browser, s.link(map[string]any{"provider": s.at(address), "loginHint": address}), nil)
	_, at, page := s.visit(browser, at.String(), answer)
	if !strings.HasPrefix(at.String(), returnURL) {
		s.t.Fatalf("the owner of %s is at %s\n%s", address, at.Redacted(), page)
	}
	return at.Query()
}

// enter connects an account and gives its id.
func (s *scene) enter(address string) string {
	s.t.Helper()
	back := s.signIn(address, nil)
	if back.Get("status") != "connected" {
		s.t.Fatalf("%s was not connected: %v", address, back)
	}
	id := back.Get("account")
	if !slices.ContainsFunc(s.info.Accounts, func(a struct{ ID, Address, Provider string }) bool { return a.ID == id }) {
		s.info.Accounts = append(s.info.Accounts, struct{ ID, Address, Provider string }{id, address, s.at(address)})
	}
	return id
}

// join connects an account and waits until it is in step.
func (s *scene) join(address string) string {
	s.t.Helper()
	id := s.enter(address)
	s.eventually(address+" is in step", func() bool { return s.state(id) == "READY" })
	return id
}

// counted is what the sandbox counted of an address.
func (s *scene) counted(address string) traffic.Report {
	return s.world.Counters().Report(sandbox.CloudOf(address), address)
}

// follower reads the events of an account as they are told.
type follower struct {
	d    *demo
	mu   sync.Mutex
	told []toldEvent
	more chan struct{}
}

// follow subscribes to an account's events from now on.
func (d *demo) follow(account string) *follower {
	d.t.Helper()
	body, err := json.Marshal(map[string]any{"query": `subscription($a: [ID!]) { events(accounts: $a) { ` + toldEventFields + ` } }`,
		"variables": map[string]any{"a": []string{account}}})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.info.GraphQL, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header = http.Header{"Authorization": {"Bearer " + d.info.APIKey}, "Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		d.t.Fatalf("subscribe: %v %v", resp, err)
	}
	f, ended := &follower{d: d, more: make(chan struct{})}, make(chan struct{})
	go func() {
		defer close(ended)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var r result
			if !ok || json.Unmarshal([]byte(data), &r) != nil || r.Data == nil {
				continue
			}
			f.mu.Lock()
			f.told = append(f.told, r.Data.Events)
			close(f.more)
			f.more = make(chan struct{})
			f.mu.Unlock()
		}
	}()
	d.t.Cleanup(func() {
		cancel()
		<-ended
	})
	return f
}

// until waits until enough says of all that was told that it suffices, and gives
// it.
func (f *follower) until(what string, enough func([]toldEvent) bool) []toldEvent {
	f.d.t.Helper()
	ctx := f.d.ctx()
	for {
		f.mu.Lock()
		told, more := slices.Clone(f.told), f.more
		f.mu.Unlock()
		if enough(told) {
			return told
		}
		select {
		case <-more:
		case <-ctx.Done():
			f.d.t.Fatalf("not told in time: %s; told %+v", what, told)
		}
	}
}

// events reads an account's events after a cursor, all of them where it is
// empty, and gives the cursor after them.
func (d *demo) events(account, after string) (told []toldEvent, end string) {
	d.t.Helper()
	for {
		vars := map[string]any{"a": []string{account}}
		if after != "" {
			vars["after"] = after
		}
		var got struct{ Events eventList }
		d.query(`query($a: [ID!], $after: String) { events(accounts: $a, after: $after, first: 200) { edges { node { `+toldEventFields+` } }
			pageInfo { endCursor hasNextPage } } }`, vars, &got)
		for _, e := range got.Events.Edges {
			told = append(told, e.Node)
		}
		if c := got.Events.PageInfo.EndCursor; c != "" {
			after = c
		}
		if !got.Events.PageInfo.HasNextPage {
			return told, after
		}
	}
}

// createdOf counts how often each subject was told as new.
func createdOf(told []toldEvent) map[string]int {
	out := map[string]int{}
	for _, e := range told {
		if e.Type == "MESSAGE_CREATED" && e.Snapshot != nil {
			out[e.Snapshot.Subject]++
		}
	}
	return out
}
