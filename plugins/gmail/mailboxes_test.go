package gmail_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// tree lists the owner's mailboxes by their paths.
func (w *world) tree() map[string]mail.Mailbox {
	w.t.Helper()
	resp, err := w.p.Mailboxes(w.t.Context(), &provider.MailboxesRequest{Call: w.call()})
	if err != nil {
		w.t.Fatal(err)
	}
	paths, out := map[string]string{}, map[string]mail.Mailbox{}
	for _, m := range resp.Mailboxes {
		paths[m.ID] = m.Name
		if m.ParentID != "" {
			paths[m.ID] = paths[m.ParentID] + " > " + m.Name
		}
		out[paths[m.ID]] = m
	}
	return out
}

// own are the paths of what the owner made.
func (w *world) own() []string {
	w.t.Helper()
	tree := w.tree()
	maps.DeleteFunc(tree, func(_ string, m mail.Mailbox) bool { return len(m.ID) < 6 || m.ID[:6] != "Label_" })
	return slices.Sorted(maps.Keys(tree))
}

func (w *world) create(parent, name string) string {
	w.t.Helper()
	resp, err := w.p.CreateMailbox(w.t.Context(), &provider.CreateMailboxRequest{Call: w.call(), ParentID: parent, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Mailbox.ID
}

func (w *world) rename(id, parent, name string) error {
	_, err := w.p.RenameMailbox(w.t.Context(), &provider.RenameMailboxRequest{Call: w.call(), ID: id, ParentID: parent, Name: name})
	return err
}

func TestLabelsBelowLabels(t *testing.T) {
	w := connected(t)
	work := w.create("", "Work")
	plans := w.create(work, "Plans")
	w.create(plans, "2026")
	w.create("", "Workshop") // no part of Work
	home := w.create("", "Home")
	want := func(paths ...string) {
		t.Helper()
		if diff := cmp.Diff(paths, w.own()); diff != "" {
			t.Error(diff)
		}
	}
	want("Home", "Work", "Work > Plans", "Work > Plans > 2026", "Workshop")
	// A label takes those below it along.
	for range 2 {
		if err := w.rename(work, "", "Office"); err != nil {
			t.Fatal(err)
		}
		want("Home", "Office", "Office > Plans", "Office > Plans > 2026", "Workshop")
	}
	if err := w.rename(work, home, "Office"); err != nil {
		t.Fatal(err)
	}
	want("Home", "Home > Office", "Home > Office > Plans", "Home > Office > Plans > 2026", "Workshop")
	wantError(t, w.rename(home, plans, "Home"), mail.KindInvalid, "below_itself")
	wantError(t, w.rename(home, home, "Home"), mail.KindInvalid, "below_itself")
	wantError(t, w.rename(home, "", "Workshop"), mail.KindConflict)
	wantError(t, w.rename(home, "INBOX", "Home"), mail.KindInvalid, "system_label")
	wantError(t, w.rename("INBOX", "", "In"), mail.KindForbidden, "system_label")
	wantError(t, w.rename("ALL", "", "Every"), mail.KindForbidden, "system_label")
	wantError(t, w.rename(home, "Label_999", "Home"), mail.KindNotFound)
	for _, name := range []string{"", " ", "/"} {
		_, err := w.p.CreateMailbox(t.Context(), &provider.CreateMailboxRequest{Call: w.call(), Name: name})
		wantError(t, err, mail.KindInvalid)
	}
	_, err := w.p.CreateMailbox(t.Context(), &provider.CreateMailboxRequest{Call: w.call(), ParentID: home, Name: "Office"})
	wantError(t, err, mail.KindConflict)
	// What is below a label that goes away stays, with its whole name.
	for range 2 {
		if err := w.p.DeleteMailbox(t.Context(), &provider.DeleteMailboxRequest{Call: w.call(), ID: work}); err != nil {
			t.Fatal(err)
		}
	}
	want("Home", "Home > Office/Plans", "Home > Office/Plans > 2026", "Workshop")
	for _, id := range []string{"INBOX", "ALL", "CATEGORY_SOCIAL"} {
		wantError(t, w.p.DeleteMailbox(t.Context(), &provider.DeleteMailboxRequest{Call: w.call(), ID: id}), mail.KindForbidden, "system_label")
	}
}

// TestADeletedLabel: what had it is told without it, and it lists nothing.
func TestADeletedLabel(t *testing.T) {
	w := connected(t)
	label := w.create("", "Doomed")
	id := w.deliver(alan, "labelled", func(d *cloud.Delivery) { d.Mailbox = label })
	items, cur := w.mustChanges(nil)
	w.like(items)
	if err := w.p.DeleteMailbox(t.Context(), &provider.DeleteMailboxRequest{Call: w.call(), ID: label}); err != nil {
		t.Fatal(err)
	}
	told, _ := w.mustChanges(cur)
	for _, it := range told {
		if it.Message.ProviderID != id || it.Kind != mail.ItemPresent || slices.Contains(it.Message.Mailboxes, label) {
			t.Errorf("told %+v", it)
		}
	}
	err := w.p.Enumerate(t.Context(), &provider.EnumerateRequest{Call: w.call(), Mailbox: label}, func(*provider.EnumerateBatch) error { return nil })
	wantError(t, err, mail.KindNotFound)
	_, err = w.p.Search(t.Context(), &provider.SearchRequest{Call: w.call(), Mailbox: label, Text: "labelled"})
	wantError(t, err, mail.KindNotFound)
}

func TestCountsAddUp(t *testing.T) {
	w := connected(t)
	for _, in := range []string{"", "", "TRASH", "SPAM", "all"} {
		w.deliver(alan, "in-"+in, func(d *cloud.Delivery) { d.Mailbox = in })
	}
	w.sandbox.Counters().Reset()
	tree := w.tree()
	var sum int64
	for _, path := range []string{"All Mail", "Trash", "Spam"} {
		sum += tree[path].Total
	}
	if sum != 5 || tree["Inbox"].Total != 2 || tree["Inbox"].Unread != 2 || tree["Sent"].Total != -1 {
		t.Errorf("%+v", tree)
	}
	if r := w.report(); r.UnitsSpent > 5 || !tree["All Mail"].Hidden {
		t.Errorf("%d units: %v", r.UnitsSpent, r.Units)
	}
	w.conf.Settings["all_mail"], w.conf.Settings["categories"] = "shown", "mailboxes"
	w.configure()
	if tree := w.tree(); tree["All Mail"].Hidden || tree["Important"].ID == "" || tree["Social"].ID == "" {
		t.Errorf("%+v", tree)
	}
}
