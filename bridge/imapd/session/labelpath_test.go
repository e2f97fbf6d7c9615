package session

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

func TestLabelsWithoutParentsAreBelowHollowNames(t *testing.T) {
	labels := boxes("role:inbox - Inbox", "t1 - Projects/Travel", "t2 - Projects/2026/Q1", "a1 - A", "b1 a1 B/C", "e1 - x//y", "e2 - /x", "e3 - x/",
		"in - inbox/Later", "c1 - Case/=2F", "d1 - Twice", "d2 d1 One", "d3 - Twice/One")
	for _, m := range labels {
		m.Kind = mail.KindLabel
	}
	tree := newTree(slices.Clone(labels), []string{"Projects"})
	var names, hollow []string
	for _, n := range tree.nodes {
		if n.mailbox == nil {
			hollow = append(hollow, n.name)
			continue
		}
		names = append(names, n.name)
		if got := tree.byName[n.name]; got != n {
			t.Errorf("%s leads to another mailbox", n.name)
		}
	}
	slices.Sort(names)
	slices.Sort(hollow)
	want := []string{"=2Fx", "A", "A/B/C", "Case/=3D2F", "INBOX", "INBOX/Later", "Projects/2026/Q1", "Projects/Travel", "Twice", "Twice/One", "Twice/One=~d3", "x=2F", "x=2F=2Fy"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("names (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"A/B", "Case", "Projects", "Projects/2026"}, hollow); d != "" {
		t.Errorf("names without a mailbox (-want +got):\n%s", d)
	}
	for _, name := range hollow {
		if _, err := tree.find(name); mail.KindOf(err) != mail.KindNotFound {
			t.Errorf("%s can be opened: %v", name, err)
		}
	}
}

func TestLabelPaths(t *testing.T) {
	w := newWorld(t, memory.Options{Kind: mail.KindLabel})
	_, err := w.cloud.AddMailbox(ann, "", "Projects/Travel")
	w.must(err)
	w.sync()
	w.run()
	ctx := t.Context()
	c := w.client()
	p := ListRequest{Patterns: []string{"P*"}}
	c.lists(p, `
(\HasChildren \NonExistent \Noselect) Projects
(\HasNoChildren) Projects/Travel`)
	c.lists(ListRequest{Patterns: []string{"P%"}, ReturnStatus: &StatusItems{Messages: true}}, `(\HasChildren \NonExistent \Noselect) Projects`)
	c.lists(ListRequest{Patterns: []string{"P*"}, SelectSpecialUse: true}, "")
	c.lists(ListRequest{Patterns: []string{"P*"}, SelectSubscribed: true}, `(\HasNoChildren \Subscribed) Projects/Travel`)
	c.lists(ListRequest{Patterns: []string{"P%"}, SelectSubscribed: true, SelectRecursiveMatch: true}, `(\HasChildren \NonExistent \Noselect) Projects CHILDINFO`)
	c.lists(ListRequest{Patterns: []string{"P%"}, LSUB: true}, `(\HasChildren \Noselect) Projects`)
	c.lists(ListRequest{Patterns: []string{"P*"}, LSUB: true}, `(\HasNoChildren) Projects/Travel`)
	for _, err := range []error{c.s.Delete(ctx, "Projects"), c.s.Rename(ctx, "Projects", "Work"), c.s.Subscribe(ctx, "Projects")} {
		code(t, err, "NONEXISTENT")
	}
	_, err = c.s.Select(ctx, "Projects", false)
	code(t, err, "NONEXISTENT")
	c.open("Projects/Travel")

	// What is made beside it is a label beside it; nobody asked for "Projects".
	w.must(c.s.Create(ctx, "Projects/New/Deep"))
	w.must(c.s.Rename(ctx, "Projects/Travel", "Projects/Trips"))
	c.lists(p, `
(\HasChildren \NonExistent \Noselect) Projects
(\HasChildren) Projects/New
(\HasNoChildren) Projects/New/Deep
(\HasNoChildren) Projects/Trips`)
	var told []string
	w.must(w.store.View(ctx, func(tx store.Tx) error {
		list, err := tx.MailboxesOf(account)
		for _, m := range list {
			if m.Role == "" {
				told = append(told, m.Name)
			}
		}
		return err
	}))
	slices.Sort(told)
	if d := cmp.Diff([]string{"Deep", "Projects/New", "Projects/Trips"}, told); d != "" {
		t.Errorf("labels at the provider (-want +got):\n%s", d)
	}
	code(t, c.s.Create(ctx, "Projects/Trips"), "ALREADYEXISTS")
	// A level with a delimiter in it would be listed under another name.
	code(t, c.s.Create(ctx, "Projects=2FTrips"), "CANNOT")
	code(t, c.s.Create(ctx, "Projects/a=2F=2Fb"), "CANNOT")
	w.must(c.s.Create(ctx, "a=2F=2Fb"))
	c.open("a=2F=2Fb")
	code(t, c.s.Rename(ctx, "Projects/Trips", "Other=2FTrips"), "CANNOT")

	// Made real, it has below it what was there.
	w.must(c.s.Create(ctx, "Projects"))
	c.lists(ListRequest{Patterns: []string{"P%"}}, `(\HasChildren) Projects`)
	code(t, c.s.Delete(ctx, "Projects"), "HASCHILDREN")
	c.open("Projects/Trips")
	for _, name := range []string{"Projects/New/Deep", "Projects/New", "Projects/Trips", "Projects"} {
		w.must(c.s.Delete(ctx, name))
	}
	c.lists(p, "")
}
