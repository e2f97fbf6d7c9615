package e2e

import (
	"testing"
)

// watchState is how changes of an account come to be known.
func (d *demo) watchState(account string) (state, expires string) {
	d.t.Helper()
	var got struct {
		Account struct {
			Watch struct{ State, ExpiresAt string }
		}
	}
	d.query(`query($a: ID!) { account(id: $a) { watch { state expiresAt } } }`, map[string]any{"a": account}, &got)
	return got.Account.Watch.State, got.Account.Watch.ExpiresAt
}

// TestWithoutPublicURL: nobody can notify a gateway that has no public_url. Its
// accounts are connected by a loopback redirect and polled, say so, and nothing
// else is missing.
func TestWithoutPublicURL(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, p, s := d.own(t, func(_ string, s settings) { delete(s, "public_url") }) // push: true stays
	if out, err := postern(t, g.info.Config, "check-config"); err != nil || !contains(out, "public_url is not set", "polled") {
		t.Errorf("check-config: %v\n%s", err, out)
	}
	account := g.join(ada)
	r := g.receive(nil)
	_, secret := g.endpoint(map[string]any{"url": r.URL})
	polling := func() {
		t.Helper()
		if state, expires := g.watchState(account); state != "POLLING" || expires != "" {
			t.Errorf("account.watch says %s until %q, want POLLING", state, expires)
		}
	}
	polling()
	d.deliver(ada, "seen by polling")
	h := r.wait("the new message", 1, func(h *hook) bool { return h.Body.Data.Envelope.Subject == "seen by polling" })
	if !h.verified(t, secret) {
		t.Error("the webhook's signature is wrong")
	}
	g.query(`mutation($a: ID!) { submitMessage(input: {account: $a, to: ["`+grace+`"], subject: "from a polled account", text: "x"}) { id } }`,
		map[string]any{"a": account}, nil)
	r.wait("it is sent", 1, func(h *hook) bool { return h.Body.Type == "submission.sent" })
	r.wait("and is among what was sent", 1, func(h *hook) bool { return h.Body.Data.Envelope.Subject == "from a polled account" })
	polling()

	// With a public_url it has push; taken away again, what is left of that
	// ends.
	stop := func(p *running) {
		t.Helper()
		if err := p.stop(); err != nil {
			t.Errorf("the gateway ended with %v\n%s", err, p.lines)
		}
	}
	stop(p)
	s["public_url"] = "http://" + s.section("http")["listen"].(string)
	dir := t.TempDir()
	g, p = d.serve(t, dir, s)
	g.eventually("it has push", func() bool { state, _ := g.watchState(account); return state == "PUSH" })
	stop(p)
	delete(s, "public_url")
	g, _ = d.serve(t, dir, s)
	g.eventually("it is polled", func() bool { state, expires := g.watchState(account); return state == "POLLING" && expires == "" })
	d.deliver(ada, "seen by polling again")
	g.eventually("the new message", func() bool { return g.subjects(account)["seen by polling again"] != "" })
}

// TestProviderRemoved: accounts of a provider that the settings lose say so,
// and go on when it is back.
func TestProviderRemoved(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, _, s := d.own(t, func(string, settings) {})
	account := g.join(ada)
	all := s["providers"]
	s["providers"] = settings{}
	g.reload(s)
	why := func() (state, reason string) {
		var got struct {
			Account struct{ State, StateReason string }
		}
		g.query(`query($a: ID!) { account(id: $a) { state stateReason } }`, map[string]any{"a": account}, &got)
		return got.Account.State, got.Account.StateReason
	}
	g.eventually("the account says that its provider is gone", func() bool {
		state, reason := why()
		return state == "ERROR" && contains(reason, `"outlook"`)
	})
	if state, _ := g.watchState(account); state == "PUSH" {
		t.Error("it says that it has push")
	}
	d.deliver(ada, "meanwhile")
	s["providers"] = all
	g.reload(s)
	g.eventually("it is in step again", func() bool {
		state, reason := why()
		return state == "READY" && reason == "" && g.subjects(account)["meanwhile"] != ""
	})
}
