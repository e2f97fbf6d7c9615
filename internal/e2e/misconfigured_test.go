package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// secrets sets what the sandbox's application may present.
func (d *demo) secrets(client string, secrets ...map[string]any) {
	d.t.Helper()
	var apps []map[string]any
	d.control("GET", "/control/apps", "", &apps)
	for _, a := range apps {
		if a["client_id"] != client {
			continue
		}
		a["secrets"] = secrets
		body, err := json.Marshal(a)
		if err != nil {
			d.t.Fatal(err)
		}
		d.control("POST", "/control/apps", string(body), nil)
		return
	}
	d.t.Fatalf("the sandbox has no application %s", client)
}

// providerState is where the provider stands, and why.
func (d *demo) providerState() (state, reason string) {
	d.t.Helper()
	var got struct {
		Providers []struct{ ID, State, StateReason string }
	}
	d.query(`{ providers { id state stateReason } }`, nil, &got)
	for _, p := range got.Providers {
		if p.ID == "outlook" {
			return p.State, p.StateReason
		}
	}
	d.t.Fatalf("the provider is not among %v", got.Providers)
	return "", ""
}

// TestSecretExpires: a client secret that expires under a running gateway is
// its provider's state and one event, whatever storm of requests meets it,
// also over a restart. No account's grant is said to have expired. A new secret
// and SIGHUP heal every account, and nobody connects again.
func TestSecretExpires(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	var secretFile, client, secret string
	g, p, s := d.own(t, func(dir string, s settings) {
		app := s.section("providers", "outlook", "settings")
		client, secret = app["client_id"].(string), app["client_secret"].(string)
		secretFile = filepath.Join(dir, "secret")
		if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		app["client_secret"] = "file:" + secretFile
	})
	addresses := []string{ada, grace}
	for _, name := range []string{"hedy", "joan", "mary"} {
		address := name + "@contoso.example"
		d.control("POST", "/control/users", fmt.Sprintf(`{"cloud":"microsoft","address":%q,"name":%q}`, address, name), nil)
		addresses = append(addresses, address)
	}
	accounts := map[string]string{}
	for _, address := range addresses {
		accounts[address] = g.join(address)
	}
	r := g.receive(nil)
	g.endpoint(map[string]any{"url": r.URL, "events": []string{"PROVIDER_MISCONFIGURED", "PROVIDER_RECOVERED", "ACCOUNT_GRANT_EXPIRED", "ACCOUNT_RECOVERED"}})
	if state, reason := g.providerState(); state != "READY" || reason != "" {
		t.Fatalf("the provider is %s: %s", state, reason)
	}

	d.secrets(client, map[string]any{"value": secret, "expires": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)},
		map[string]any{"value": "the new one"})
	for _, address := range addresses {
		d.control("POST", "/control/users/"+address+"/expire-tokens", "", nil)
	}
	storm(t, g, accounts)
	misconfigured := func() {
		t.Helper()
		g.eventually("the provider is misconfigured", func() bool { state, _ := g.providerState(); return state == "MISCONFIGURED" })
		if _, reason := g.providerState(); !strings.Contains(reason, "AADSTS7000222") || !strings.Contains(reason, "client secret") {
			t.Errorf("the reason does not name the code: %q", reason)
		}
		if n := g.told("PROVIDER_MISCONFIGURED"); n != 1 {
			t.Errorf("provider.misconfigured was told %d times", n)
		}
		if g.metric("postern_provider_misconfigured") != 1 {
			t.Error("the metric does not show it")
		}
		for address, account := range accounts {
			if state := g.state(account); state != "READY" {
				t.Errorf("%s is %s", address, state)
			}
		}
	}
	misconfigured()
	if status, body := g.fetch("/readyz"); status != http.StatusOK || !strings.Contains(body, "warnings") || !strings.Contains(body, "AADSTS7000222") {
		t.Errorf("/readyz answers %d: %s", status, body)
	}
	var told struct{ Account struct{ StateReason string } }
	if g.query(`query($a: ID!) { account(id: $a) { stateReason } }`, map[string]any{"a": accounts[ada]}, &told); !strings.Contains(told.Account.StateReason, "AADSTS7000222") {
		t.Errorf("the account says %q", told.Account.StateReason)
	}
	if g.metric("postern_grants_refused_total", `kind="misconfigured"`) < 1 {
		t.Error("postern_grants_refused_total did not move")
	}
	r.wait("one webhook tells it", 1, func(h *hook) bool { return h.Body.Type == "provider.misconfigured" })

	// A restart knows it still, and tells nothing again.
	if err := p.stop(); err != nil {
		t.Errorf("the gateway ended with %v\n%s", err, p.lines)
	}
	g, _ = d.serve(t, filepath.Dir(secretFile), s)
	storm(t, g, accounts)
	misconfigured()

	if strings.Contains(g.lines.String(), "has not started yet") {
		t.Errorf("what was due did not wait for the plugin:\n%s", g.lines)
	}

	// Another wrong one changes nothing.
	if err := os.WriteFile(secretFile, []byte("guessed"), 0o600); err != nil {
		t.Fatal(err)
	}
	g.reload(s)
	g.eventually("the reason is the new one", func() bool { _, reason := g.providerState(); return strings.Contains(reason, "AADSTS7000215") })
	if n := g.told("PROVIDER_MISCONFIGURED"); n != 1 {
		t.Errorf("one fault was told %d times", n)
	}

	if err := os.WriteFile(secretFile, []byte("the new one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, address := range addresses {
		d.deliver(address, "after the repair of "+address)
	}
	g.reload(s)
	g.eventually("the provider is ready", func() bool { state, reason := g.providerState(); return state == "READY" && reason == "" })
	for address, account := range accounts {
		g.eventually(address+" is synced", func() bool { return g.subjects(account)["after the repair of "+address] != "" })
		if state := g.state(account); state != "READY" {
			t.Errorf("%s is %s", address, state)
		}
	}
	if g.metric("postern_provider_misconfigured") != 0 {
		t.Error("the metric still shows it")
	}
	// What is left to be said is that this is a sandbox, and no real mail.
	if status, body := g.fetch("/readyz"); status != http.StatusOK || strings.Contains(body, "misconfigured") || !strings.Contains(body, "authority, graph_url") {
		t.Errorf("/readyz answers %d: %s", status, body)
	}
	for _, kind := range []string{"ACCOUNT_GRANT_EXPIRED", "ACCOUNT_RECOVERED"} {
		if n := g.told(kind); n != 0 {
			t.Errorf("%s was told %d times", kind, n)
		}
	}
	r.wait("one webhook tells the end", 1, func(h *hook) bool { return h.Body.Type == "provider.recovered" })
	if n := r.count(func(h *hook) bool { return !strings.HasPrefix(h.Body.Type, "provider.") }); n != 0 {
		t.Errorf("%d webhooks tell something else", n)
	}
	// The next fault is another one.
	d.secrets(client, map[string]any{"value": "yet another"})
	d.control("POST", "/control/users/"+ada+"/expire-tokens", "", nil)
	g.try(`mutation($a: ID!) { syncAccount(id: $a) { id } }`, map[string]any{"a": accounts[ada]}, nil)
	g.eventually("a second fault is told", func() bool { return g.told("PROVIDER_MISCONFIGURED") == 2 })
}

// storm asks for every account at once, by several callers each. What they get
// is that the settings are wrong.
func storm(t *testing.T, g *demo, accounts map[string]string) {
	t.Helper()
	var group sync.WaitGroup
	ctx := g.ctx()
	for address, account := range accounts {
		for i := range 10 {
			group.Go(func() {
				query := `mutation($a: ID!) { syncAccount(id: $a) { id } }`
				if i%2 == 0 {
					query = `query($a: ID!) { account(id: $a) { search(query: "x") { edges { cursor } } } }`
				}
				errs, err := g.ask(ctx, query, map[string]any{"a": account}, nil)
				if err != nil || len(errs) != 1 || errs[0].Extensions.Code != "MISCONFIGURED" {
					t.Errorf("%s: %v, errors %v, want MISCONFIGURED", address, err, errs)
				}
			})
		}
	}
	group.Wait()
}
