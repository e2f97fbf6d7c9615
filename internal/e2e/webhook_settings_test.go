package e2e

import (
	"strings"
	"testing"
)

// lastAttempt gives the class and the error of an endpoint's newest attempt.
func (d *demo) lastAttempt(endpoint string) (class, err string) {
	d.t.Helper()
	var got struct {
		Deliveries struct {
			Edges []struct {
				Node struct {
					Attempts []struct{ Class, Error string }
				}
			}
		}
	}
	d.query(`query($f: DeliveryFilter) { deliveries(first: 1, filter: $f) { edges { node { attempts { class error } } } } }`,
		map[string]any{"f": map[string]any{"endpoint": endpoint}}, &got)
	for _, e := range got.Deliveries.Edges {
		for _, a := range e.Node.Attempts {
			class, err = a.Class, a.Error
		}
	}
	return class, err
}

// TestReloadNarrowsWebhooks: after SIGHUP nothing is sent any more to where the
// settings do not allow it, by a kept connection neither.
func TestReloadNarrowsWebhooks(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	g, _, s := d.own(t, func(_ string, s settings) {
		s.section("webhooks")["allow"], s.section("webhooks")["allow_http"] = []string{"127.0.0.0/8"}, true
	})
	r := g.receive(nil)
	id, _ := g.endpoint(map[string]any{"url": r.URL, "events": []string{"PING"}})
	test := func() { g.query(`mutation($id: ID!) { sendTestEvent(id: $id) { id } }`, map[string]any{"id": id}, nil) }
	test()
	r.wait("a ping that is allowed", 1, isPing)

	s.section("webhooks")["allow"] = []string{}
	g.reload(s)
	g.eventually("endpoints at loopback are refused", func() bool {
		errs := g.try(`mutation($in: CreateEndpointInput!) { createEndpoint(input: $in) { secret } }`, map[string]any{"in": map[string]any{"url": r.URL, "events": []string{"PING"}}}, nil)
		return len(errs) == 1 && errs[0].Extensions.Code == "BAD_INPUT" && strings.Contains(errs[0].Message, "127.0.0.1") &&
			strings.Contains(errs[0].Message, "loopback") && strings.Contains(errs[0].Message, "webhooks.allow")
	})
	test()
	g.eventually("the attempt says what was refused, by which rule, and what permits it", func() bool {
		class, err := g.lastAttempt(id)
		return class == "guard" && strings.Contains(err, "127.0.0.1") && strings.Contains(err, "loopback") && strings.Contains(err, "webhooks.allow")
	})
	if n := r.count(isPing); n != 1 {
		t.Errorf("the receiver got %d pings, one of them was allowed", n)
	}
}

// TestProxyOfWebhooksIsDown: readiness and a metric say so, and no attempt is
// charged for it.
func TestProxyOfWebhooksIsDown(t *testing.T) {
	t.Parallel()
	nobody := freeAddress(t)
	d := startDemo(t)
	g, _, _ := d.own(t, func(_ string, s settings) {
		s.section("webhooks")["proxy"], s.section("webhooks")["allow_http"] = "http://"+nobody, true
	})
	id, _ := g.endpoint(map[string]any{"url": "http://hooks.example/", "events": []string{"PING"}, "attempts": 1})
	g.query(`mutation($id: ID!) { sendTestEvent(id: $id) { id } }`, map[string]any{"id": id}, nil)
	g.eventually("/readyz tells of the proxy", func() bool {
		_, body := g.fetch("/readyz")
		return strings.Contains(body, "webhooks.proxy")
	})
	g.eventually("the metric has moved", func() bool { return g.metric("postern_delivery_attempts_total", `class="proxy"`) > 0 })
	var got struct {
		Deliveries struct {
			Edges []struct {
				Node struct {
					State        string
					AttemptCount int
				}
			}
		}
	}
	g.query(`query($f: DeliveryFilter) { deliveries(first: 1, filter: $f) { edges { node { state attemptCount } } } }`, map[string]any{"f": map[string]any{"endpoint": id}}, &got)
	if len(got.Deliveries.Edges) != 1 || got.Deliveries.Edges[0].Node.State != "PENDING" || got.Deliveries.Edges[0].Node.AttemptCount != 0 {
		t.Errorf("%+v", got)
	}
}
