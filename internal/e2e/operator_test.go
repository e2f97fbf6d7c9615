package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// own runs a gateway of its own beside the demo's, with these settings, and
// lets the sandbox's application return to it.
func (d *demo) own(t *testing.T, change func(dir string, s settings)) (g *demo, p *running, s settings) {
	t.Helper()
	dir := t.TempDir()
	s = d.settings(dir)
	s.section("sync")["poll"] = "1s"
	s.section("sync")["poll_listened"] = "1s"
	change(dir, s)
	app := s.section("providers", "outlook", "settings")
	secret := app["client_secret"].(string)
	if file, ok := strings.CutPrefix(secret, "file:"); ok {
		secret = readFile(t, file)
	}
	d.redirect(app["client_id"].(string), secret, baseOf(s)+"/oauth/outlook/callback")
	g, p = d.serve(t, dir, s)
	return g, p, s
}

// baseOf is where a gateway with these settings is reached by people.
func baseOf(s settings) string {
	if public, ok := s["public_url"].(string); ok && public != "" {
		return public
	}
	_, port, _ := strings.Cut(s.section("http")["listen"].(string), ":")
	return "http://localhost:" + port
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// reload writes changed settings and has the gateway read them.
func (d *demo) reload(s settings) {
	d.t.Helper()
	s.write(d.t, filepath.Dir(d.info.Config))
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		d.t.Fatal(err)
	}
}

// join connects a user that the sandbox has already.
func (d *demo) join(address string) (account string) {
	d.t.Helper()
	back := d.decide(d.browser(), d.link(nil), address, "approve")
	if back.Get("status") != "connected" {
		d.t.Fatalf("%s was not connected: %v", address, back)
	}
	account = back.Get("account")
	d.eventually(address+" is in step", func() bool { return d.state(account) == "READY" })
	return account
}

// fetch reads a path of the gateway.
func (d *demo) fetch(path string) (status int, body string) {
	d.t.Helper()
	resp, err := http.Get(strings.TrimSuffix(d.info.GraphQL, "/graphql") + path)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric adds up the samples of a metric whose line has every part.
func (d *demo) metric(name string, parts ...string) (sum float64) {
	d.t.Helper()
	_, body := d.fetch("/metrics")
	for line := range strings.Lines(body) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if base, _, _ := strings.Cut(series, "{"); !ok || base != name {
			continue
		}
		wanted := true
		for _, part := range parts {
			wanted = wanted && strings.Contains(series, part)
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && wanted {
			sum += v
		}
	}
	return sum
}

// told counts the events of a type in the journal.
func (d *demo) told(kind string) int {
	d.t.Helper()
	var got struct {
		Events struct{ Edges []struct{ Cursor string } }
	}
	d.query(`query($t: [EventType!]) { events(types: $t, first: 200) { edges { cursor } } }`, map[string]any{"t": []string{kind}}, &got)
	return len(got.Events.Edges)
}

// contains reports whether a text has every part.
func contains(text string, parts ...string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// TestDemoWithoutMail: a folder that holds no mail is said to hold none.
func TestDemoWithoutMail(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	d := launchDemo(t, filepath.Join(t.TempDir(), "demo"), "--mail", empty)
	<-d.done
	if out := d.lines.String(); d.err == nil || !contains(out, empty, "there is no message in it") {
		t.Errorf("the demo ended with %v\n%s", d.err, out)
	}
}
