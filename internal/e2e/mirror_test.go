package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/event"
)

// placed is what the sandbox and the mirror must agree on of a message.
type placed struct {
	Mailboxes []string
	Keywords  []string
}

// truth asks the sandbox what an address's mailbox truly holds, in the same
// ids.
func (d *demo) truth(address string) map[string]placed {
	d.t.Helper()
	var list []struct {
		ID                  string
		Mailboxes, Keywords []string
	}
	d.control("GET", "/control/users/"+address+"/messages", "", &list)
	out := map[string]placed{}
	for _, m := range list {
		slices.Sort(m.Keywords)
		for i, id := range m.Mailboxes {
			m.Mailboxes[i] = event.HashID("f", d.account(address), id)
		}
		slices.Sort(m.Mailboxes)
		out[m.ID] = placed{m.Mailboxes, m.Keywords}
	}
	return out
}

// mirror asks the gateway. Messages are named by the provider's ids,
// mailboxes by ours.
func (d *demo) mirror(address string) map[string]placed {
	d.t.Helper()
	out := map[string]placed{}
	after := any(nil)
	for {
		var got struct {
			Account struct {
				Messages struct {
					Edges []struct {
						Node struct {
							ProviderID string
							Keywords   []string
							Mailboxes  []struct{ ID string }
						}
					}
					PageInfo struct {
						EndCursor   string
						HasNextPage bool
					}
				}
			}
		}
		d.query(`query($id: ID!, $after: String) { account(id: $id) { messages(first: 200, after: $after) {
			edges { node { providerId keywords mailboxes { id } } } pageInfo { endCursor hasNextPage } } } }`,
			map[string]any{"id": d.account(address), "after": after}, &got)
		for _, e := range got.Account.Messages.Edges {
			p := placed{Keywords: e.Node.Keywords}
			for _, m := range e.Node.Mailboxes {
				p.Mailboxes = append(p.Mailboxes, m.ID)
			}
			slices.Sort(p.Mailboxes)
			slices.Sort(p.Keywords)
			out[e.Node.ProviderID] = p
		}
		if !got.Account.Messages.PageInfo.HasNextPage {
			return out
		}
		after = got.Account.Messages.PageInfo.EndCursor
	}
}

// inStep waits until the mirror equals the sandbox.
func (d *demo) inStep(address string) {
	d.t.Helper()
	d.eventually("the mirror of "+address+" equals the sandbox", func() bool {
		truth, mirror := d.truth(address), d.mirror(address)
		for _, m := range []map[string]placed{truth, mirror} {
			for id, p := range m {
				if len(p.Keywords) == 0 {
					p.Keywords = nil
					m[id] = p
				}
			}
		}
		d.lastDiff = cmp.Diff(truth, mirror)
		return d.lastDiff == ""
	})
}

// silently changes ada's mailbox without a notification: one message arrives,
// one goes for good.
func (d *demo) silently(subject string) {
	d.t.Helper()
	before := d.truth(ada)
	d.control("POST", "/control/users/"+ada+"/messages?notify=false", letter(ada, subject), nil)
	for id, p := range before {
		if !slices.Contains(p.Keywords, "$draft") {
			d.control("DELETE", "/control/users/"+ada+"/messages/"+id, "", nil)
			break
		}
	}
}

// TestLostPush: whatever happens to the push channel, what changed meanwhile
// is found, and the next change is pushed again. The poll of a healthy channel
// is ten minutes, so it is not what finds it.
func TestLostPush(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	for _, event := range []string{"subscriptionRemoved", "missed", "reauthorizationRequired"} {
		t.Run(event, func(t *testing.T) {
			subject := "during " + event
			d.silently(subject)
			d.control("POST", "/control/users/"+ada+"/lifecycle", `{"event":"`+event+`"}`, nil)
			d.inStep(ada)
			if _, ok := d.subjects(d.account(ada))[subject]; !ok {
				t.Errorf("%q was not found", subject)
			}
			d.eventually("the push channel is there", func() bool {
				var got struct {
					Account struct{ Watch struct{ State string } }
				}
				d.query(`query($id: ID!) { account(id: $id) { watch { state } } }`, map[string]any{"id": d.account(ada)}, &got)
				return got.Account.Watch.State == "PUSH"
			})
			d.deliver(ada, "after "+event)
			if _, err := d.lines.wait(d.ctx(), func(s string) bool { return strings.Contains(s, "after "+event) }); err != nil {
				t.Errorf("after %s nothing is pushed any more: %v", event, err)
			}
		})
	}
	t.Run("expired cursor", func(t *testing.T) {
		d.silently("during forget-cursors")
		d.control("POST", "/control/users/"+ada+"/forget-cursors", "", nil)
		d.deliver(ada, "after forget-cursors")
		d.inStep(ada)
	})
}
