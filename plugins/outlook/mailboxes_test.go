package outlook_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/traffic"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func (w *world) createMailbox(parent, name string) mail.Mailbox {
	w.t.Helper()
	resp, err := w.p.CreateMailbox(w.t.Context(), &provider.CreateMailboxRequest{Call: w.call(), ParentID: parent, Name: name})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Mailbox
}

func (w *world) allMailboxes() map[string]mail.Mailbox {
	w.t.Helper()
	resp, err := w.p.Mailboxes(w.t.Context(), &provider.MailboxesRequest{Call: w.call()})
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]mail.Mailbox{}
	for _, m := range resp.Mailboxes {
		if _, ok := out[m.ParentID]; m.ParentID != "" && !ok {
			w.t.Errorf("%s comes before its parent", m.Name)
		}
		out[m.ID] = m
	}
	return out
}

func TestMailboxTree(t *testing.T) {
	w := connected(t)
	work := w.createMailbox("", "Work")
	year := w.createMailbox(work.ID, "2026")
	deep := w.createMailbox(year.ID, "a/b")
	if work.ParentID != "" || year.ParentID != work.ID || work.Kind != mail.KindFolder {
		t.Errorf("made %+v and %+v", work, year)
	}
	all := w.allMailboxes()
	for _, m := range []mail.Mailbox{work, year, deep} {
		if diff := cmp.Diff(m, all[m.ID]); diff != "" {
			t.Errorf("%s is listed otherwise: %s", m.Name, diff)
		}
	}
	roles := map[mail.Role]int{}
	for _, m := range all {
		if m.Role != mail.RoleNone {
			roles[m.Role]++
			if m.ParentID != "" {
				t.Errorf("%s is below %s", m.Role, m.ParentID)
			}
		}
	}
	for r, n := range roles {
		if n != 1 {
			t.Errorf("%d mailboxes are %s", n, r)
		}
	}
	_, err := w.p.CreateMailbox(t.Context(), &provider.CreateMailboxRequest{Call: w.call(), Name: "Work"})
	wantKind(t, err, mail.KindConflict)
	_, err = w.p.CreateMailbox(t.Context(), &provider.CreateMailboxRequest{Call: w.call()})
	wantKind(t, err, mail.KindInvalid)
}

func TestRenameMailbox(t *testing.T) {
	w := connected(t)
	a, b := w.createMailbox("", "A"), w.createMailbox("", "B")
	inner := w.createMailbox(a.ID, "inner")
	w.createMailbox(a.ID, "taken")
	rename := func(id, parent, name string) (mail.Mailbox, error) {
		resp, err := w.p.RenameMailbox(t.Context(), &provider.RenameMailboxRequest{Call: w.call(), ID: id, ParentID: parent, Name: name})
		if err != nil {
			return mail.Mailbox{}, err
		}
		return resp.Mailbox, nil
	}
	// The new name is taken where it is, but not where it goes.
	for range 2 { // the second time nothing is left to do
		m, err := rename(inner.ID, b.ID, "taken")
		if err != nil {
			t.Fatal(err)
		}
		if m.ID != inner.ID || m.ParentID != b.ID || m.Name != "taken" {
			t.Errorf("got %+v", m)
		}
	}
	if m, err := rename(inner.ID, "", "top"); err != nil || m.ParentID != "" || m.Name != "top" {
		t.Errorf("got %+v, %v", m, err)
	}
	_, err := rename(inner.ID, "", "A")
	wantKind(t, err, mail.KindConflict)
	_, err = rename("nonsense", "", "x")
	wantKind(t, err, mail.KindNotFound)
}

func TestDeleteMailbox(t *testing.T) {
	w := connected(t)
	m := w.createMailbox("", "short-lived")
	del := func(id string) error {
		return w.p.DeleteMailbox(t.Context(), &provider.DeleteMailboxRequest{Call: w.call(), ID: id})
	}
	// The answer is lost: the folder must be in the trash, not gone for good.
	if err := w.sandbox.Faults().Put(traffic.Fault{Match: "DELETE /me/mailFolders", CutAfter: true, Times: 1}); err != nil {
		t.Fatal(err)
	}
	if err := del(m.ID); err != nil {
		t.Fatal(err)
	}
	all := w.allMailboxes()
	trash := w.mailboxes()[mail.RoleTrash]
	if all[m.ID].ParentID != trash.ID {
		t.Errorf("after deletion: %+v", all[m.ID])
	}
	// From the trash it goes for good.
	if err := del(m.ID); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.allMailboxes()[m.ID]; ok {
		t.Error("still there")
	}
	if err := del(m.ID); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
	wantKind(t, del(w.mailboxes()[mail.RoleInbox].ID), mail.KindForbidden)
}

// TestRolesAreRemembered: where the same folders are there, none is asked for by
// name; a new folder may be a well-known one, so that all are asked for again.
func TestRolesAreRemembered(t *testing.T) {
	w := connected(t)
	first := w.allMailboxes()
	asked := func() int64 { return w.report().Count("GET", "/me/mailFolders/inbox") }
	before := asked()
	if before == 0 {
		t.Fatal("the inbox was not asked for by its name")
	}
	if diff := cmp.Diff(first, w.allMailboxes()); diff != "" {
		t.Errorf("listed again:\n%s", diff)
	}
	if n := asked() - before; n != 0 {
		t.Errorf("listing the same folders again asked for it %d times by name", n)
	}
	w.createMailbox("", "Work")
	before = asked()
	again := w.allMailboxes()
	if n := asked() - before; len(again) != len(first)+1 || n == 0 {
		t.Errorf("with a new folder: %d folders after %d, %d asked for by name", len(again), len(first), n)
	}
	for id, m := range first {
		if again[id].Role != m.Role {
			t.Errorf("%s is %q, was %q", m.Name, again[id].Role, m.Role)
		}
	}
}
