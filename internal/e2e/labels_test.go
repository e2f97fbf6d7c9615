package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestLabelsAreMirrored follows an account whose mailboxes are labels: a message
// may be in several, one that is archived is in all mail alone, and one change
// feed tells of everything, also when its history was forgotten.
func TestLabelsAreMirrored(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	account := d.account(alanAtGmail)
	d.inStep(alanAtGmail)

	mailbox := func(role string) string {
		t.Helper()
		var got struct {
			Account struct{ Mailboxes []struct{ ID, Role string } }
		}
		d.query(`query($id: ID!) { account(id: $id) { mailboxes { id role } } }`, map[string]any{"id": account}, &got)
		for _, m := range got.Account.Mailboxes {
			if m.Role == role {
				return m.ID
			}
		}
		t.Fatalf("there is no mailbox of role %s", role)
		return ""
	}
	inbox, all := mailbox("INBOX"), mailbox("ALL")
	var made struct{ CreateMailbox struct{ ID string } }
	d.query(`mutation($a: ID!) { createMailbox(input: {account: $a, name: "Plans"}) { id } }`, map[string]any{"a": account}, &made)
	plans := made.CreateMailbox.ID

	d.deliver(alanAtGmail, "labelled")
	var id, providerID string
	d.eventually("the message is there", func() bool { id = d.subjects(account)["labelled"]; return id != "" })
	// where waits until both the provider and the mirror have the message in
	// these mailboxes.
	where := func(what string, want ...string) {
		t.Helper()
		slices.Sort(want)
		d.eventually(what, func() bool {
			truth, mirror := d.truth(alanAtGmail)[providerID], d.mirror(alanAtGmail)[providerID]
			return slices.Equal(truth.Mailboxes, want) && slices.Equal(mirror.Mailboxes, want)
		})
	}
	var got struct{ Message struct{ ProviderID string } }
	d.query(`query($id: ID!) { message(id: $id) { providerId } }`, map[string]any{"id": id}, &got)
	providerID = got.Message.ProviderID
	change := func(mutation string, vars map[string]any) {
		t.Helper()
		vars["ids"] = []string{id}
		var got map[string]struct {
			Results []struct {
				Error *struct{ Code, Message string }
			}
		}
		d.query(mutation, vars, &got)
		for name, m := range got {
			for _, r := range m.Results {
				if r.Error != nil {
					t.Fatalf("%s: %+v", name, *r.Error)
				}
			}
		}
	}
	where("it arrives in the inbox", inbox, all)
	change(`mutation($ids: [ID!]!, $to: [ID!]) { updateMessages(ids: $ids, addToMailboxes: $to) { results { error { code message } } } }`, map[string]any{"to": []string{plans}})
	where("it is in two mailboxes", inbox, plans, all)
	change(`mutation($ids: [ID!]!, $from: [ID!]) { updateMessages(ids: $ids, removeFromMailboxes: $from) { results { error { code message } } } }`, map[string]any{"from": []string{inbox, plans}})
	where("archived it is in all mail alone", all)
	change(`mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { error { code message } } } }`, map[string]any{"to": plans})
	where("moved it is in one mailbox", plans, all)
	change(`mutation($ids: [ID!]!) { deleteMessages(ids: $ids) { results { error { code message } } } }`, map[string]any{})
	where("deleted it is in the trash alone", mailbox("TRASH"))
	change(`mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { error { code message } } } }`, map[string]any{"to": inbox})
	where("and comes back with the label that it had kept", inbox, plans, all)
	d.inStep(alanAtGmail)

	// What others of the owner's programs do is found.
	d.control("PATCH", "/control/users/"+alanAtGmail+"/messages/"+providerID, `{"mailbox":"Plans","add_keywords":["$seen","$flagged"]}`, nil)
	where("moved elsewhere", plans, all)
	d.inStep(alanAtGmail)

	// The history is forgotten, and everything is compared.
	before := d.truth(alanAtGmail)
	d.control("POST", "/control/users/"+alanAtGmail+"/messages?notify=false", letter(alanAtGmail, "during"), nil)
	d.control("PATCH", "/control/users/"+alanAtGmail+"/messages/"+providerID, `{"mailbox":"archive","remove_keywords":["$seen"]}`, nil)
	for _, other := range slices.Sorted(maps.Keys(before)) {
		if other != providerID && !slices.Contains(before[other].Keywords, "$draft") {
			d.control("DELETE", "/control/users/"+alanAtGmail+"/messages/"+other, "", nil)
			break
		}
	}
	d.control("POST", "/control/users/"+alanAtGmail+"/forget-cursors", "", nil)
	d.deliver(alanAtGmail, "after")
	d.inStep(alanAtGmail)
	where("archived elsewhere", all)

	// A label goes, its messages stay.
	change(`mutation($ids: [ID!]!, $to: ID!) { moveMessages(ids: $ids, to: $to) { results { error { code message } } } }`, map[string]any{"to": plans})
	where("in a mailbox that will go", plans, all)
	d.query(`mutation($id: ID!) { deleteMailbox(id: $id) }`, map[string]any{"id": plans}, nil)
	where("its mailbox has gone", all)
	d.inStep(alanAtGmail)
	for _, line := range strings.Split(d.lines.String(), "\n") {
		if strings.Contains(line, "message.deleted") && strings.Contains(line, "labelled") {
			t.Errorf("a message that is there was told deleted: %s", line)
		}
	}
}
