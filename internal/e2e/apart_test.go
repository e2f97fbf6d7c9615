package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestApart: gateway, plugin, sandbox and receiver are processes of their own,
// and the plugin gets neither the gateway's environment nor its master key.
func TestApart(t *testing.T) {
	const mark = "POSTERN_E2E_MARK"
	t.Setenv(mark, "only for the gateway")
	d := startDemo(t)
	pids := map[string]int{"plugin": d.plugin(), "demo": d.cmd.Process.Pid}
	for name, pid := range d.info.Processes {
		pids[name] = pid
	}
	seen := map[int]string{}
	for _, name := range []string{"demo", "gateway", "plugin", "sandbox", "receiver"} {
		pid, ok := pids[name]
		if !ok || !alive(pid) {
			t.Errorf("%s: process %d does not run", name, pid)
		}
		if other := seen[pid]; other != "" {
			t.Errorf("%s and %s are one process", name, other)
		}
		seen[pid] = name
	}
	if runtime.GOOS != "linux" {
		t.Skip("what follows is read from /proc")
	}
	for name, want := range map[string]string{
		"gateway": "postern", "plugin": "postern-provider-outlook", "sandbox": "postern-sandbox", "receiver": "postern"} {
		exe, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pids[name]), "exe"))
		if err != nil || filepath.Base(exe) != want {
			t.Errorf("%s runs %s (%v), want %s", name, exe, err, want)
		}
	}
	if parent := stat(t, pids["plugin"], 3); parent != strconv.Itoa(pids["gateway"]) {
		t.Errorf("the plugin's parent is %s, want the gateway, %d", parent, pids["gateway"])
	}
	if env := environ(t, pids["gateway"]); !slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, mark+"=") }) {
		t.Error("the gateway has not the environment that the demo was started with")
	}
	for _, kv := range environ(t, pids["plugin"]) {
		name, _, _ := strings.Cut(kv, "=")
		if name == mark || strings.Contains(name, "MASTER") || strings.Contains(name, "API_KEY") {
			t.Errorf("the plugin has %s in its environment", name)
		}
	}
}

// stat gives a field of /proc/PID/stat by its number in proc(5).
func stat(t *testing.T, pid, field int) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	// The name, field 2, is in parentheses and may hold anything.
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.Fields(rest)[field-2]
}

func environ(t *testing.T, pid int) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
}

// TestCAFile: what the plugin knows of the sandbox is base URLs and a CA file.
// With them a gateway of its own connects; without the file connecting ends in
// a clear error, and nothing is connected.
func TestCAFile(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for _, tc := range []struct {
		name   string
		caFile bool
		want   string
	}{{"with", true, "connected"}, {"without", false, "error"}} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			s := d.settings(dir)
			plugin := s.section("providers", "outlook", "settings")
			known := []string{}
			for name := range plugin {
				known = append(known, name)
			}
			slices.Sort(known)
			if want := []string{"authority", "ca_file", "client_id", "client_secret", "graph_url"}; !slices.Equal(known, want) {
				t.Fatalf("the plugin is told %v, want %v", known, want)
			}
			if !tc.caFile {
				delete(plugin, "ca_file")
			}
			d.redirect(plugin["client_id"].(string), plugin["client_secret"].(string), s["public_url"].(string)+"/oauth/outlook/callback")
			g, p := d.serve(t, dir, s)
			back := g.decide(g.browser(), g.link(nil), ada, "approve")
			if back.Get("status") != tc.want || (back.Get("code") == "") != tc.caFile {
				t.Errorf("the owner came back with %v, want %s", back, tc.want)
			}
			var got struct {
				Accounts struct {
					Edges []struct{ Node struct{ Address string } }
				}
			}
			g.query(`{ accounts { edges { node { address } } } }`, nil, &got)
			if n := len(got.Accounts.Edges); (n == 1) != tc.caFile {
				t.Errorf("%d accounts are connected", n)
			}
			if tc.caFile {
				return
			}
			// The operator reads what it is.
			if _, err := p.lines.wait(d.ctx(), func(s string) bool {
				return strings.Contains(s, "account not connected") && strings.Contains(s, "certificate") && strings.Contains(s, "ca_file")
			}); err != nil {
				t.Errorf("the log does not tell of the certificate and its setting:\n%s", p.lines)
			}
			resp, err := http.Get(strings.Replace(g.info.GraphQL, "/graphql", "/readyz", 1))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the gateway answers %s after it", resp.Status)
			}
		})
	}
}

// redirect tells the sandbox where the app may send people back to, beside
// where it may already.
func (d *demo) redirect(client, secret, uri string) {
	d.t.Helper()
	var apps []struct {
		ClientID     string   `json:"client_id"`
		RedirectURIs []string `json:"redirect_uris"`
	}
	d.control("GET", "/control/apps", "", &apps)
	uris := []string{uri}
	for _, a := range apps {
		if a.ClientID == client {
			uris = append(uris, a.RedirectURIs...)
		}
	}
	body, err := json.Marshal(map[string]any{"client_id": client, "name": "Postern", "redirect_uris": uris,
		"secrets": []map[string]any{{"value": secret}}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.control("POST", "/control/apps", string(body), nil)
}
