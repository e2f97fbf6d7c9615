package e2e

import (
	"testing"
)

// message says that a webhook tells of a new message of a subject.
func messageHook(subject string) func(*hook) bool {
	return func(h *hook) bool { return h.Body.Type == "message.created" && h.Body.Data.Envelope.Subject == subject }
}

func isPing(h *hook) bool { return h.Body.Type == "ping" }

func (c *changes) createEndpoint(t *testing.T) {
	c.verifiedEndpoints(t)
	r := c.receive(nil)
	thinID, secret := c.endpoint(map[string]any{"url": r.URL + "/thin", "events": []string{"MESSAGE_CREATED"}, "accounts": []string{c.ada}})
	fullID, fullSecret := c.endpoint(map[string]any{"url": r.URL + "/full", "payload": "FULL", "ordered": false})
	c.deliver(grace, "not for the thin one")
	c.deliver(ada, "for both")
	thin := r.wait("thin", 1, func(h *hook) bool { return h.Path == "/thin" && messageHook("for both")(h) })
	full := r.wait("full", 1, func(h *hook) bool { return h.Path == "/full" && messageHook("for both")(h) })
	r.wait("full, other account", 1, func(h *hook) bool { return h.Path == "/full" && messageHook("not for the thin one")(h) })
	if !thin.verified(t, secret) || !full.verified(t, fullSecret) || thin.verified(t, fullSecret) {
		t.Error("signatures do not verify with the secrets, or with any")
	}
	if thin.Body.ID == "" || thin.Body.ID != full.Body.ID || thin.Body.Account.Address != ada {
		t.Errorf("thin and full tell %+v and %+v", thin.Body, full.Body)
	}
	if n := r.count(func(h *hook) bool { return h.Path == "/thin" && h.Body.Account.Address != ada }); n != 0 {
		t.Errorf("%d webhooks told of an account that was not asked for", n)
	}
	for _, id := range []string{thinID, fullID} { // the full one would have bytes brought ahead
		c.query(`mutation($id: ID!) { deleteEndpoint(id: $id) }`, map[string]any{"id": id}, nil)
	}
}

func (c *changes) updateEndpoint(t *testing.T) {
	r := c.receive(nil)
	id, _ := c.endpoint(map[string]any{"url": r.URL + "/before"})
	update := func(in map[string]any) (state string) {
		t.Helper()
		in["id"] = id
		var got struct{ UpdateEndpoint struct{ State string } }
		c.query(`mutation($in: UpdateEndpointInput!) { updateEndpoint(input: $in) { state } }`, map[string]any{"in": in}, &got)
		return got.UpdateEndpoint.State
	}
	update(map[string]any{"url": r.URL + "/after"})
	c.deliver(ada, "after the change")
	if h := r.wait("after the change", 1, messageHook("after the change")); h.Path != "/after" {
		t.Errorf("it came to %s", h.Path)
	}
	if state := update(map[string]any{"enabled": false}); state != "DISABLED" {
		t.Errorf("the endpoint is %s", state)
	}
	c.arrive("while it is disabled")
	if state := update(map[string]any{"enabled": true}); state != "ACTIVE" {
		t.Errorf("the endpoint is %s", state)
	}
	r.wait("what it was owed", 1, messageHook("while it is disabled"))
	update(map[string]any{"events": []string{"MESSAGE_UPDATED"}})
	m := c.arrive("not asked for any more")
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["$flagged"]) { results { error { code } } } }`, map[string]any{"ids": []string{m.ID}})
	r.wait("the update", 1, func(h *hook) bool { return h.Body.Type == "message.updated" && h.Body.Data.Message == m.ID })
	if r.count(messageHook("not asked for any more")) != 0 {
		t.Error("it got an event of a type that it does not want any more")
	}
}

func (c *changes) rotateEndpointSecret(t *testing.T) {
	r := c.receive(nil)
	id, before := c.endpoint(map[string]any{"url": r.URL})
	var got struct{ RotateEndpointSecret struct{ Secret string } }
	c.query(`mutation($id: ID!) { rotateEndpointSecret(id: $id) { secret } }`, map[string]any{"id": id}, &got)
	after := got.RotateEndpointSecret.Secret
	c.ping(id)
	if h := r.wait("ping", 1, isPing); after == before || !h.verified(t, before) || !h.verified(t, after) {
		t.Error("the request is not signed with both secrets")
	}
}

func (c *changes) ping(id string) (delivery string) {
	c.t.Helper()
	var got struct{ SendTestEvent struct{ ID string } }
	c.query(`mutation($id: ID!) { sendTestEvent(id: $id) { id } }`, map[string]any{"id": id}, &got)
	return got.SendTestEvent.ID
}

func (c *changes) sendTestEvent(t *testing.T) {
	r := c.receive(nil)
	id, secret := c.endpoint(map[string]any{"url": r.URL})
	c.ping(id)
	if h := r.wait("ping", 1, isPing); !h.verified(t, secret) || h.Body.Data.Endpoint != id {
		t.Errorf("the ping is %+v", h.Body)
	}
}

func (c *changes) redeliver(t *testing.T) {
	r := c.receive(nil)
	id, secret := c.endpoint(map[string]any{"url": r.URL})
	delivery := c.ping(id)
	first := r.wait("ping", 1, isPing)
	delivered := func() bool {
		var got struct{ Delivery struct{ State string } }
		c.query(`query($id: ID!) { delivery(id: $id) { state } }`, map[string]any{"id": delivery}, &got)
		return got.Delivery.State == "DELIVERED"
	}
	c.eventually("it is noted", delivered)
	for n, vars := range []map[string]any{{"ids": []string{delivery}}, {"filter": map[string]any{"endpoint": id, "state": "DELIVERED", "type": "PING"}}} {
		var got struct{ Redeliver struct{ Count int } }
		c.query(`mutation($ids: [ID!], $filter: DeliveryFilter) { redeliver(ids: $ids, filter: $filter) { count } }`, vars, &got)
		again := r.wait("the ping once more", n+2, isPing)
		if got.Redeliver.Count != 1 || again.Body.ID != first.Body.ID || string(again.Raw) != string(first.Raw) || !again.verified(t, secret) {
			t.Errorf("%d were put back; the ping came as %s, then as %s", got.Redeliver.Count, first.Raw, again.Raw)
		}
		c.eventually("it is noted", delivered)
	}
}

func (c *changes) deleteEndpoint(t *testing.T) {
	r := c.receive(nil)
	id, _ := c.endpoint(map[string]any{"url": r.URL + "/deleted"})
	c.endpoint(map[string]any{"url": r.URL + "/stays"})
	c.query(`mutation($id: ID!) { deleteEndpoint(id: $id) }`, map[string]any{"id": id}, nil)
	c.deliver(ada, "for the one that stays")
	r.wait("the one that stays", 1, messageHook("for the one that stays"))
	if n := r.count(func(h *hook) bool { return h.Path == "/deleted" }); n != 0 {
		t.Errorf("the deleted endpoint got %d webhooks", n)
	}
}
