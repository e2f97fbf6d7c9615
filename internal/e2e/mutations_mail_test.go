package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mailbox gives ada's mailbox of a role.
func (c *changes) mailbox(role string) string {
	c.t.Helper()
	var got struct {
		Account struct{ Mailboxes []struct{ ID, Role string } }
	}
	c.query(`query($id: ID!) { account(id: $id) { mailboxes { id role } } }`, map[string]any{"id": c.ada}, &got)
	for _, m := range got.Account.Mailboxes {
		if m.Role == role {
			return m.ID
		}
	}
	c.t.Fatalf("there is no mailbox of role %s", role)
	return ""
}

// in says in which of our mailboxes the sandbox has one of ada's messages.
func (c *changes) in(providerID string) []string {
	c.t.Helper()
	return c.truth(ada)[providerID].Mailboxes
}

// results runs a mutation on messages. Each must have worked.
func (c *changes) results(mutation string, vars map[string]any) []told {
	c.t.Helper()
	var got map[string]struct {
		Results []struct {
			Message *told
			Error   *struct{ Code, Message string }
		}
	}
	c.query(mutation, vars, &got)
	var out []told
	for _, payload := range got {
		for _, r := range payload.Results {
			if r.Error != nil {
				c.t.Fatalf("%s: %s: %s", mutation, r.Error.Code, r.Error.Message)
			}
			var m told
			if r.Message != nil {
				m = *r.Message
			}
			out = append(out, m)
		}
	}
	return out
}

func (c *changes) updateMessages(t *testing.T) {
	m := c.arrive("to be changed")
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["$seen", "$flagged", "Blue"]) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}})
	if got := c.truth(ada)[m.ProviderID].Keywords; !slices.Equal(got, []string{"$flagged", "$seen", "blue"}) {
		t.Errorf("the sandbox has keywords %q", got)
	}
	c.results(`mutation($ids: [ID!]!) { updateMessages(ids: $ids, addKeywords: ["red"], removeKeywords: ["$flagged", "blue"]) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}})
	if got := c.truth(ada)[m.ProviderID].Keywords; !slices.Equal(got, []string{"$seen", "red"}) {
		t.Errorf("the sandbox has keywords %q", got)
	}
	// A message here is in one mailbox: adding one and removing the other moves.
	archive := c.mailbox("ARCHIVE")
	c.results(`mutation($ids: [ID!]!, $to: [ID!], $from: [ID!]) { updateMessages(ids: $ids, addToMailboxes: $to, removeFromMailboxes: $from) { results { error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}, "to": []string{archive}, "from": []string{c.mailbox("INBOX")}})
	if got := c.in(m.ProviderID); !slices.Equal(got, []string{archive}) {
		t.Errorf("the sandbox has it in %q, want %s", got, archive)
	}
}

func (c *changes) moveMessages(t *testing.T) {
	one, two, to := c.arrive("to be moved"), c.arrive("to be moved too"), c.mailbox("ARCHIVE")
	got := c.results(`mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { message {`+toldFields+`} error { code message } } } }`,
		map[string]any{"ids": []string{one.ID, two.ID}, "to": to})
	for i, m := range []told{one, two} {
		if in := c.in(m.ProviderID); !slices.Equal(in, []string{to}) {
			t.Errorf("the sandbox has %q in %q", m.Subject, in)
		}
		if got[i].ID != m.ID || len(got[i].Mailboxes) != 1 || got[i].Mailboxes[0].ID != to {
			t.Errorf("the answer is %+v", got[i])
		}
	}
}

func (c *changes) copyMessages(t *testing.T) {
	m, to := c.arrive("to be copied"), c.mailbox("ARCHIVE")
	got := c.results(`mutation($ids: [ID!]!, $to: ID!) { copyMessages(ids: $ids, to: $to) { results { message {`+toldFields+`} error { code message } } } }`,
		map[string]any{"ids": []string{m.ID}, "to": to})
	if copied := got[0]; copied.ID == m.ID || copied.Subject != m.Subject || !slices.Equal(c.in(copied.ProviderID), []string{to}) {
		t.Errorf("the copy is %+v, in the sandbox in %q", copied, c.in(copied.ProviderID))
	}
	if in := c.in(m.ProviderID); !slices.Equal(in, []string{c.mailbox("INBOX")}) {
		t.Errorf("the original is in %q", in)
	}
}

func (c *changes) deleteMessages(t *testing.T) {
	m, trash := c.arrive("to be deleted"), c.mailbox("TRASH")
	c.results(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids) { results { message { id } error { code message } } } }`, map[string]any{"ids": []string{m.ID}})
	if in := c.in(m.ProviderID); !slices.Equal(in, []string{trash}) {
		t.Errorf("the sandbox has it in %q, want the trash", in)
	}
	c.results(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids, permanently: true) { results { error { code message } } } }`, map[string]any{"ids": []string{m.ID}})
	if _, there := c.holds(ada)[m.ProviderID]; there {
		t.Error("the sandbox still has it")
	}
	var got struct{ Message *told }
	if c.query(`query($id: ID!) { message(id: $id) { id } }`, map[string]any{"id": m.ID}, &got); got.Message != nil {
		t.Error("GraphQL still has it")
	}
}

// putAt has the sandbox deliver a message by a mailbox's path, and says in
// which of our mailboxes it then is.
func (c *changes) putAt(path string) []string {
	c.t.Helper()
	return c.in(c.put(path))
}

func (c *changes) put(path string) (providerID string) {
	c.t.Helper()
	var made struct{ ID string }
	c.control("POST", "/control/users/"+ada+"/messages?mailbox="+strings.NewReplacer("/", "%2F", " ", "%20").Replace(path), letter(ada, "put at "+path), &made)
	return made.ID
}

func (c *changes) create(name, parent string) (id string) {
	c.t.Helper()
	in := map[string]any{"account": c.ada, "name": name}
	if parent != "" {
		in["parent"] = parent
	}
	var got struct{ CreateMailbox struct{ ID string } }
	c.query(`mutation($in: CreateMailboxInput!) { createMailbox(input: $in) { id } }`, map[string]any{"in": in}, &got)
	return got.CreateMailbox.ID
}

func (c *changes) createMailbox(t *testing.T) {
	top := c.create("Created", "")
	below := c.create("Below", top)
	for path, want := range map[string]string{"Created": top, "Created/Below": below} {
		if in := c.putAt(path); !slices.Equal(in, []string{want}) {
			t.Errorf("%s is %q at the sandbox, want %s", path, in, want)
		}
	}
}

func (c *changes) renameMailbox(t *testing.T) {
	a, b := c.create("Old name", ""), c.create("New parent", "")
	var got struct {
		RenameMailbox struct{ ID, Path string }
	}
	rename := `mutation($in: RenameMailboxInput!) { renameMailbox(input: $in) { id path } }`
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "name": "New name"}}, &got)
	if in := c.putAt("New name"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "New name" {
		t.Errorf("renamed: %+v, at the sandbox %q", got, in)
	}
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "parent": b}}, &got)
	if in := c.putAt("New parent/New name"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "New parent/New name" {
		t.Errorf("moved: %+v, at the sandbox %q", got, in)
	}
	c.query(rename, map[string]any{"in": map[string]any{"id": a, "parent": nil, "name": "At the top"}}, &got)
	if in := c.putAt("At the top"); !slices.Equal(in, []string{a}) || got.RenameMailbox.Path != "At the top" {
		t.Errorf("back at the top: %+v, at the sandbox %q", got, in)
	}
}

func (c *changes) deleteMailbox(t *testing.T) {
	id := c.create("Short lived", "")
	message := c.put("Short lived")
	if in := c.in(message); !slices.Equal(in, []string{id}) {
		t.Fatalf("the sandbox has it as %q", in)
	}
	c.query(`mutation($id: ID!) { deleteMailbox(id: $id) }`, map[string]any{"id": id}, nil)
	// The provider keeps a deleted folder, with what is in it, in the trash. Its
	// old place is free.
	if again := c.putAt("Short lived"); slices.Equal(again, []string{id}) {
		t.Error("the sandbox still has the mailbox in its place")
	}
	c.eventually("the mirror knows the new place of what was in it", func() bool {
		truth, mirror := c.truth(ada)[message], c.mirror(ada)[message]
		c.lastDiff = fmt.Sprintf("at the sandbox %+v, in the mirror %+v", truth, mirror)
		return slices.Equal(truth.Mailboxes, mirror.Mailboxes)
	})
}
