package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// meter reads a gateway's /metrics again and again and notes which families
// have moved: a sample that is not what it was, or that was not there.
type meter struct {
	d      *demo
	listed map[string]bool
	last   map[string]float64
	moved  map[string]bool
}

// readmeMetrics are the metrics that README.md lists.
func readmeMetrics(t *testing.T) map[string]bool {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root(), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("\\| `(postern_[a-z_]+)` \\|").FindAllStringSubmatch(string(readme), -1) {
		listed[m[1]] = true
	}
	if len(listed) < 30 {
		t.Fatalf("README.md lists %d metrics", len(listed))
	}
	return listed
}

// look reads the metrics once. What is there at the first look is where it
// starts from.
func (m *meter) look() {
	_, body := m.d.fetch("/metrics")
	now := map[string]float64{}
	for line := range strings.Lines(body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil && strings.HasPrefix(series, "postern_") {
			now[series] = v
		}
	}
	if m.last != nil {
		for series, v := range now {
			if m.last[series] != v {
				family, _, _ := strings.Cut(series, "{")
				for _, suffix := range []string{"", "_count", "_sum", "_bucket"} {
					if base, ok := strings.CutSuffix(family, suffix); ok && m.listed[base] {
						m.moved[base] = true
					}
				}
			}
		}
	}
	m.last = now
}

// until waits until a family has moved, doing something again before each look
// where that takes more than once.
func (m *meter) until(family string, again func()) {
	m.d.t.Helper()
	m.d.eventually(family+" moves", func() bool {
		if !m.moved[family] && again != nil {
			again()
		}
		m.look()
		return m.moved[family]
	})
}

// movedElsewhere are metrics that nothing from outside can move, with the test
// that sees them move.
var movedElsewhere = map[string]string{
	// It counts updates that ran again because another one of their commit
	// failed after it had written something. Every update of ours checks before
	// it writes.
	"postern_store_reruns_total": "TestRerunsAreCounted in internal/gateway",
	// It takes a provider that tells of a message and does not give it.
	"postern_messages_unreadable": "TestAMessageThatCannotBeReadHoldsNothingUp in internal/mailbox",
	// It takes a mailbox that is read for longer than a turn of ten seconds.
	"postern_sync_turns_total": "TestALongSyncTakesManyTurns in internal/mailbox",
}

// TestEveryMetricMoves drives each metric that README.md lists and sees it
// move.
func TestEveryMetricMoves(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, _, s := d.own(t, func(_ string, s settings) { s.section("smtp")["max_connections"] = smtpConnections })
	m := &meter{d: g, listed: readmeMetrics(t), moved: map[string]bool{}}
	m.look()
	account := g.join(ada)
	sync := func(account string) {
		g.try(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": account}, nil)
	}
	d.moveDelivery(t, g, m, account)
	moveProvider(t, d, g, m, account, sync)
	movePrograms(t, d, g, m, s, account)
	movePlugin(t, g, m, s)

	// GraphQL: a stream that is open.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", g.info.GraphQL, strings.NewReader(`{"query":"subscription { events { cursor } }"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + g.info.APIKey, "Content-Type": "application/json", "Accept": "text/event-stream"} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	m.until("postern_graphql_subscriptions", nil)
	cancel()

	// The database's file grows in large steps.
	long := "https://example.com/?" + strings.Repeat("x", 400<<10)
	m.until("postern_store_bytes", func() {
		for range 10 {
			g.query(`mutation($x: String!) { beginConnect(input: {provider: "outlook", redirectUrl: $x}) { url } }`, map[string]any{"x": long}, nil)
		}
	})
	// The disk.
	folder := s["data_dir"].(string)
	m.until("postern_disk_free_bytes", func() {
		f, err := os.OpenFile(filepath.Join(folder, "filler"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err == nil {
			_, err = f.Write(bytes.Repeat([]byte("x"), 4<<20))
			err = errors.Join(err, f.Sync(), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, min := range []int64{1 << 60, 1} {
		s.section("disk")["min_free"] = min
		g.reload(s)
		g.eventually("pulling is held or not", func() bool { return g.metric("postern_sync_held") == map[bool]float64{true: 1}[min > 1] })
		m.look()
	}
	m.look()
	full := fullStore(t, d, m)
	for _, family := range slices.Sorted(maps.Keys(m.listed)) {
		if full != nil && family == "postern_store_commit_failures_total" {
			continue // said below
		}
		if m.moved[family] == (movedElsewhere[family] != "") {
			t.Errorf("%s is listed, and it has moved: %v; seen elsewhere: %q", family, m.moved[family], movedElsewhere[family])
		}
	}
	if full != nil {
		t.Skipf("only the full disk was not seen: %v", full)
	}
}

// moveDelivery makes deliveries that are made, that wait and that are given up,
// and a submission.
func (d *demo) moveDelivery(t *testing.T, g *demo, m *meter, account string) {
	var once sync.Once
	release := make(chan struct{})
	defer once.Do(func() { close(release) })
	slow := g.receive(func(w http.ResponseWriter, _ *hook) { <-release; w.WriteHeader(http.StatusNoContent) })
	broken := g.receive(func(w http.ResponseWriter, _ *hook) { w.WriteHeader(http.StatusInternalServerError) })
	g.endpoint(map[string]any{"url": slow.URL, "events": []string{"MESSAGE_CREATED"}})
	g.endpoint(map[string]any{"url": broken.URL, "events": []string{"MESSAGE_CREATED"}, "attempts": 1})
	g.endpoint(map[string]any{"url": broken.URL, "events": []string{"MESSAGE_CREATED"}})
	n := 0
	another := func() {
		n++
		d.deliver(ada, fmt.Sprint("measured ", n))
	}
	m.until("postern_sync_lag_seconds", another)
	for _, family := range []string{"postern_outbox_in_flight", "postern_outbox_pending", "postern_outbox_oldest_age_seconds", "postern_outbox_lanes_blocked", "postern_dead_letters"} {
		m.until(family, nil)
	}
	once.Do(func() { close(release) })
	m.until("postern_delivery_attempts_total", nil)
	m.until("postern_delivery_latency_seconds", nil)
	g.query(`mutation($a: ID!) { submitMessage(input: {account: $a, to: ["`+grace+`"], subject: "measured", text: "x"}) { id } }`, map[string]any{"a": account}, nil)
	m.until("postern_submissions_total", nil)
	m.until("postern_submission_seconds", nil)
	for _, id := range g.subjects(account) { // its bytes are kept
		if g.text(id) != "" {
			break
		}
	}
	m.until("postern_blob_bytes", nil)
}

// moveProvider has the provider renew, refuse, forget, fail and throttle.
func moveProvider(t *testing.T, d, g *demo, m *meter, account string, sync func(string)) {
	d.control("POST", "/control/users/"+ada+"/expire-tokens", "", nil)
	sync(account)
	m.until("postern_token_refreshes_total", nil)
	d.control("POST", "/control/users/"+ada+"/forget-cursors", "", nil)
	sync(account)
	m.until("postern_sync_comparisons_total", nil)

	connect := func(name string) (address, account string) {
		address = name + "@contoso.example"
		return address, g.connect(address, nil)
	}
	busy, busyAccount := connect("busy")
	d.fault(busy, map[string]any{"match": "GET /me/messages$", "status": 429, "retry_after": 50})
	g.try(`query($a: ID!) { account(id: $a) { search(query: "x") { edges { cursor } } } }`, map[string]any{"a": busyAccount}, nil)
	m.until("postern_provider_throttled_total", nil)
	d.noFaults()

	down, downAccount := connect("down")
	d.fault(down, map[string]any{"match": "GET /me/messages$", "status": 503})
	g.try(`query($a: ID!) { account(id: $a) { search(query: "x") { edges { cursor } } } }`, map[string]any{"a": downAccount}, nil)
	m.until("postern_provider_retries_total", nil)
	d.noFaults()

	gone, goneAccount := connect("gone")
	d.control("POST", "/control/users/"+gone+"/revoke", "", nil)
	sync(goneAccount)
	m.until("postern_grants_refused_total", nil)
	m.until("postern_sync_failures_total", nil)

	refused, refusedAccount := connect("refused")
	d.control("POST", "/control/users/"+refused+"/block", `{"code":7000222}`, nil)
	d.control("POST", "/control/users/"+refused+"/expire-tokens", "", nil)
	sync(refusedAccount)
	g.eventually("the provider is misconfigured", func() bool { return g.metric("postern_provider_misconfigured") == 1 })
	m.until("postern_provider_misconfigured", nil)
	d.control("POST", "/control/users/"+refused+"/block", `{"code":0}`, nil)
}

// movePlugin kills the plugin, and then has it be another file than the one
// that is pinned.
func movePlugin(t *testing.T, g *demo, m *meter, s settings) {
	g.kill(g.plugin())
	m.until("postern_plugin_restarts_total", nil)
	for _, sum := range []string{strings.Repeat("0", 64), ""} {
		s.section("providers", "outlook")["sha256"] = sum
		g.reload(s)
		g.eventually("the plugin is up or not", func() bool { return (g.metric("postern_plugin_up") == 1) == (sum == "") })
		m.look()
	}
	if !m.moved["postern_plugin_up"] {
		t.Error("postern_plugin_up did not move")
	}
}

// fullStore fills the disk under a gateway whose data lies on a small file
// system of its own: commits fail, which holds pulling whatever disk.min_free
// says, and go on by themselves when there is room again.
//
// It gives why there can be none, where the system gives no mount namespace.
func fullStore(t *testing.T, d *demo, m *meter) error {
	if out, err := exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", t.TempDir()).CombinedOutput(); err != nil {
		return fmt.Errorf("no mount namespace for a small file system: %w %s", err, out)
	}
	dir := t.TempDir()
	s := d.settings(dir)
	s.section("disk")["min_free"] = 0
	s.section("providers", "outlook")["push"] = false
	data := s["data_dir"].(string)
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := s.write(t, dir)
	p := start(t, "unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=24m,mode=0700 tmpfs "$1" && exec "$2" -c "$3" serve`,
		"sh", data, program("postern"), cfg)
	inside := func(name string) string {
		return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "root", data, name)
	}
	g := &demo{t: t, cmd: p.cmd, dir: dir, lines: p.lines, done: p.done, info: d.info}
	g.info.GraphQL, g.info.Config = s["public_url"].(string)+"/graphql", cfg
	g.eventually("the gateway is ready", func() bool {
		resp, err := http.Get(s["public_url"].(string) + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	g.info.APIKey = readFile(t, inside("admin.key"))
	small := &meter{d: g, listed: m.listed, moved: m.moved}
	small.look()

	fill := func() {
		f, err := os.OpenFile(inside("fill"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return // not even a name fits
		}
		for piece := make([]byte, 64<<10); err == nil; {
			_, err = f.Write(piece)
		}
		_ = f.Close()
	}
	write := func() []gqlError {
		return g.try(`mutation($x: String!) { beginConnect(input: {provider: "outlook", redirectUrl: "https://example.com/", externalId: $x}) { url } }`,
			map[string]any{"x": strings.Repeat("x", 200)}, nil)
	}
	var errs []gqlError
	g.eventually("the disk is full", func() bool {
		fill()
		for range 50 {
			if errs = write(); len(errs) > 0 {
				break
			}
		}
		return len(errs) > 0
	})
	small.until("postern_store_commit_failures_total", nil)
	small.until("postern_sync_held", nil)
	g.eventually("/readyz tells of the disk", func() bool {
		status, body := g.fetch("/readyz")
		return status == http.StatusServiceUnavailable && contains(body, "disk", "no room")
	})
	if err := os.Remove(inside("fill")); err != nil {
		t.Fatal(err)
	}
	g.eventually("it goes on by itself", func() bool {
		status, _ := g.fetch("/readyz")
		return status == http.StatusOK && g.metric("postern_sync_held") == 0
	})
	if errs := write(); len(errs) > 0 {
		t.Errorf("with room again: %v", errs)
	}
	select {
	case <-p.done:
		t.Errorf("the gateway ended: %v\n%s", p.err, p.lines)
	default:
	}
	return nil
}
