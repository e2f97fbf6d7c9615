package e2e

import (
	"slices"
	"strings"
	"testing"
)

// changes carries out mutations and looks at their effect from outside: in the
// sandbox's control API, or at a receiver of webhooks.
type changes struct {
	*demo
	ada, grace string
	// programID and program are an app password.
	programID, program string
}

// held is a message as the control API tells it.
type held struct {
	ID                  string
	Mailboxes, Keywords []string
	SHA256              string
}

// holds lists what a sandbox user's mailbox truly holds, by id.
func (d *demo) holds(address string) map[string]held {
	d.t.Helper()
	var list []held
	d.control("GET", "/control/users/"+address+"/messages", "", &list)
	out := map[string]held{}
	for _, m := range list {
		out[m.ID] = m
	}
	return out
}

// counted sums the sandbox's requests of a user.
func (d *demo) counted(user, method, path string) (n int64) {
	d.t.Helper()
	var report struct {
		Requests []struct {
			Method, Path string
			Count        int64
		}
	}
	d.control("GET", "/control/counters?user="+user, "", &report)
	for _, r := range report.Requests {
		if r.Method == method && strings.EqualFold(r.Path, path) {
			n += r.Count
		}
	}
	return n
}

// told is a message as GraphQL gives it.
type told struct {
	ID, ProviderID, Raw, Subject string
	Mailboxes                    []struct{ ID, Name string }
	Keywords                     []string
}

const toldFields = " id providerId raw subject keywords mailboxes { id name } "

// arrive delivers a message to ada and gives it once the mirror has it.
func (c *changes) arrive(subject string) (m told) {
	c.t.Helper()
	c.deliver(ada, subject)
	c.eventually(subject+" is there", func() bool {
		id := c.subjects(c.ada)[subject]
		if id == "" {
			return false
		}
		m = c.message(id)
		return true
	})
	return m
}

func (c *changes) message(id string) told {
	c.t.Helper()
	var got struct{ Message told }
	c.query(`query($id: ID!) { message(id: $id) {`+toldFields+`} }`, map[string]any{"id": id}, &got)
	return got.Message
}

// TestEveryMutation carries out every mutation of the schema and sees its
// effect outside of the gateway. A mutation that is not named here fails it.
func TestEveryMutation(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	c := &changes{demo: d, ada: d.account(ada), grace: d.account(grace)}
	cases := []struct {
		name string
		run  func(*changes, *testing.T)
	}{
		{"updateMessages", (*changes).updateMessages},
		{"moveMessages", (*changes).moveMessages},
		{"copyMessages", (*changes).copyMessages},
		{"deleteMessages", (*changes).deleteMessages},
		{"createMailbox", (*changes).createMailbox},
		{"renameMailbox", (*changes).renameMailbox},
		{"deleteMailbox", (*changes).deleteMailbox},
		{"saveDraft", (*changes).saveDraft},
		{"deleteDraft", (*changes).deleteDraft},
		{"submitMessage", (*changes).submitMessage},
		{"cancelSubmission", (*changes).cancelSubmission},
		{"createEndpoint", (*changes).createEndpoint},
		{"updateEndpoint", (*changes).updateEndpoint},
		{"rotateEndpointSecret", (*changes).rotateEndpointSecret},
		{"expireEndpointKey", (*changes).expireEndpointKey},
		{"sendTestEvent", (*changes).sendTestEvent},
		{"redeliver", (*changes).redeliver},
		{"replay", (*changes).replay},
		{"cancelReplay", (*changes).cancelReplay},
		{"deleteEndpoint", (*changes).deleteEndpoint},
		{"beginConnect", (*changes).beginConnect},
		{"syncAccount", (*changes).syncAccount},
		{"updateAccount", (*changes).updateAccount},
		{"createAppPassword", (*changes).createAppPassword},
		{"revokeAppPassword", (*changes).revokeAppPassword},
		{"disconnectAccount", (*changes).disconnectAccount},
	}
	s := d.introspect()
	var known []string
	for _, f := range s.types[s.mutation].Fields {
		known = append(known, f.Name)
	}
	for _, m := range cases {
		t.Run(m.name, func(t *testing.T) {
			if !slices.Contains(known, m.name) {
				t.Errorf("the schema has no mutation %s", m.name)
			}
			outer := d.t
			d.t = t
			defer func() { d.t = outer }()
			m.run(c, t)
		})
		known = slices.DeleteFunc(known, func(name string) bool { return name == m.name })
	}
	for _, name := range known {
		t.Errorf("mutation %s is not carried out here", name)
	}
}
