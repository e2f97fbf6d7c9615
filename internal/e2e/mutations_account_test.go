package e2e

import (
	"fmt"
	"testing"
)

const newcomer = "nell@contoso.example"

func (c *changes) beginConnect(t *testing.T) {
	r := c.receive(nil)
	c.endpoint(map[string]any{"url": r.URL, "events": []string{"ACCOUNT_CONNECTED", "ACCOUNT_SYNCED"}})
	id := c.connect(newcomer, map[string]any{"externalId": "customer 7", "expectedAddress": newcomer})
	if h := r.wait("account.synced", 1, func(h *hook) bool { return h.Body.Type == "account.synced" }); h.Body.Account.ID != id || h.Body.Account.ExternalID != "customer 7" {
		t.Errorf("the webhook tells of %+v", h.Body.Account)
	}
	if n := c.counted(newcomer, "POST", "/subscriptions"); n == 0 {
		c.eventually("the sandbox was asked to push", func() bool { return c.counted(newcomer, "POST", "/subscriptions") > 0 })
	}
	// Connecting again keeps the account.
	back := c.decide(c.browser(), c.link(nil), newcomer, "approve")
	if back.Get("status") != "connected" || back.Get("account") != id {
		t.Errorf("connected again: %v, want account %s", back, id)
	}
}

// newcomerID finds the account that beginConnect has made.
func (c *changes) newcomerID() string {
	c.t.Helper()
	var got struct {
		Accounts struct {
			Edges []struct{ Node struct{ ID string } }
		}
	}
	c.query(`query($a: String) { accounts(filter: {address: $a}) { edges { node { id } } } }`, map[string]any{"a": newcomer}, &got)
	if len(got.Accounts.Edges) != 1 {
		c.t.Fatalf("%d accounts of %s", len(got.Accounts.Edges), newcomer)
	}
	return got.Accounts.Edges[0].Node.ID
}

func (c *changes) syncAccount(t *testing.T) {
	id := c.newcomerID()
	c.control("POST", "/control/users/"+newcomer+"/messages?notify=false", letter(newcomer, "unannounced"), nil)
	before := c.counted(newcomer, "GET", "/me/mailFolders")
	c.query(`mutation($id: ID!) { syncAccount(id: $id) { id lastSyncAt } }`, map[string]any{"id": id}, nil)
	if _, there := c.subjects(id)["unannounced"]; !there {
		t.Error("the sync did not bring what had arrived")
	}
	if after := c.counted(newcomer, "GET", "/me/mailFolders"); after <= before {
		t.Errorf("the sandbox was not asked: %d requests before, %d after", before, after)
	}
}

func (c *changes) updateAccount(t *testing.T) {
	id := c.newcomerID()
	update := func(in map[string]any) (state, mirror, externalID string) {
		t.Helper()
		in["id"] = id
		var got struct {
			UpdateAccount struct{ State, Mirror, ExternalID string }
		}
		c.query(`mutation($in: UpdateAccountInput!) { updateAccount(input: $in) { state mirror externalId } }`, map[string]any{"in": in}, &got)
		return got.UpdateAccount.State, got.UpdateAccount.Mirror, got.UpdateAccount.ExternalID
	}
	const raw = "/me/messages/{id}/$value"
	before := c.counted(newcomer, "GET", raw)
	if _, mirror, ext := update(map[string]any{"mirror": "FULL", "externalId": "customer 8"}); mirror != "FULL" || ext != "customer 8" {
		t.Errorf("the account's mirror is %s, its id outside %s", mirror, ext)
	}
	c.eventually("the bytes are brought ahead", func() bool { return c.counted(newcomer, "GET", raw) > before })

	if state, _, _ := update(map[string]any{"paused": true}); state != "PAUSED" {
		t.Errorf("the account is %s", state)
	}
	// A round that was under way may end; this waits for it. Then another
	// account's mail comes by while this one stands.
	c.query(`mutation($id: ID!) { syncAccount(id: $id) { id } }`, map[string]any{"id": id}, nil)
	c.deliver(newcomer, "while paused")
	c.arrive("while the newcomer is paused")
	if _, there := c.subjects(id)["while paused"]; there {
		t.Error("a paused account was synced")
	}
	if state, _, _ := update(map[string]any{"paused": false}); state != "READY" {
		t.Errorf("the account is %s", state)
	}
	c.eventually("what came meanwhile is there", func() bool { _, there := c.subjects(id)["while paused"]; return there })
}

func (c *changes) disconnectAccount(t *testing.T) {
	r := c.receive(nil)
	c.endpoint(map[string]any{"url": r.URL, "events": []string{"ACCOUNT_DISCONNECTED"}})
	id := c.newcomerID()
	c.query(`mutation($id: ID!) { disconnectAccount(id: $id) }`, map[string]any{"id": id}, nil)
	if h := r.wait("account.disconnected", 1, func(h *hook) bool { return h.Body.Type == "account.disconnected" }); h.Body.Account.Address != newcomer {
		t.Errorf("the webhook tells of %+v", h.Body.Account)
	}
	if state := c.state(id); state != "" {
		t.Errorf("the account is still there: %s", state)
	}
	if n := c.counted(newcomer, "DELETE", "/subscriptions/{id}"); n == 0 {
		t.Error("the push channel was not ended")
	}
	// From now on the sandbox hears nothing of it, whatever happens there.
	quiet := func() (n int64) {
		var report struct {
			Requests []struct{ Count int64 }
		}
		c.control("GET", "/control/counters?user="+newcomer, "", &report)
		for _, r := range report.Requests {
			n += r.Count
		}
		return n
	}
	before := quiet()
	c.deliver(newcomer, "nobody listens")
	c.arrive(fmt.Sprintf("after %s has gone", newcomer))
	if after := quiet(); after != before {
		t.Errorf("the sandbox had %d more requests for an account that is gone", after-before)
	}
}
