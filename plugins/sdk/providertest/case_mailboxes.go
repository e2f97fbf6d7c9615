package providertest

import (
	"context"
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func mailboxCases() []Case {
	return []Case{
		{Name: "mailboxes/well-formed", Doc: "mailboxes have ids, names and kinds, and there is an inbox", Read: true, test: mailboxesWellFormed},
		{Name: "mailboxes/parents-first", Doc: "parents come before their children", Read: true, test: mailboxesParentsFirst},
		{Name: "mailboxes/roles", Doc: "at most one mailbox has a role", Read: true, test: mailboxesRoles},
		{Name: "mailboxes/stable", Doc: "ids are the same in every list", Read: true, test: mailboxesStable},
		{Name: "mailboxes/create", Doc: "a new mailbox is in the list", Needs: needs(provider.CapMailboxes), test: mailboxesCreate},
		{Name: "mailboxes/rename", Doc: "a renamed mailbox keeps its id", Needs: needs(provider.CapMailboxes), test: mailboxesRename},
		{Name: "mailboxes/reparent", Doc: "a mailbox moves below another, and back", Needs: needs(provider.CapMailboxes), test: mailboxesReparent},
		{Name: "mailboxes/delete", Doc: "a deleted mailbox is no longer in its place", Needs: needs(provider.CapMailboxes), test: mailboxesDelete},
		{Name: "mailboxes/conflict", Doc: "a second mailbox of one name is a conflict", Needs: needs(provider.CapMailboxes), test: mailboxesConflict},
		{Name: "mailboxes/unknown", Doc: "renaming what is not there is not_found", Needs: needs(provider.CapMailboxes), test: mailboxesUnknown},
	}
}

func mailboxesWellFormed(f *fixture) {
	seen, inbox := map[string]bool{}, false
	for _, m := range f.mailboxes() {
		if m.ID == "" || seen[m.ID] {
			f.Errorf("mailbox %q: its id is empty or there twice", m.ID)
		}
		seen[m.ID] = true
		if m.Name == "" {
			f.Errorf("mailbox %s has no name", m.ID)
		}
		if m.Kind != mail.KindFolder && m.Kind != mail.KindLabel {
			f.Errorf("mailbox %s is of kind %q", m.ID, m.Kind)
		}
		if m.Total < -1 || m.Unread < -1 || m.Total >= 0 && m.Unread > m.Total {
			f.Errorf("mailbox %s has total %d, unread %d", m.ID, m.Total, m.Unread)
		}
		if !slices.Contains([]mail.Role{
			mail.RoleNone, mail.RoleInbox, mail.RoleDrafts, mail.RoleSent, mail.RoleTrash, mail.RoleJunk,
			mail.RoleArchive, mail.RoleAll, mail.RoleFlagged, mail.RoleOutbox,
		}, m.Role) {
			f.Errorf("mailbox %s has role %q, which is not known", m.ID, m.Role)
		}
		inbox = inbox || m.Role == mail.RoleInbox
	}
	if !inbox {
		f.Errorf("there is no inbox")
	}
}

func mailboxesParentsFirst(f *fixture) {
	if f.info.Has(provider.CapMailboxes) {
		parent := f.create("", "parent-"+token())
		f.create(parent.ID, "child-"+token())
	}
	seen := map[string]bool{"": true}
	for _, m := range f.mailboxes() {
		if !seen[m.ParentID] {
			f.Errorf("mailbox %s comes before its parent %s, or without it", m.ID, m.ParentID)
		}
		seen[m.ID] = true
	}
}

func mailboxesRoles(f *fixture) {
	seen := map[mail.Role]string{}
	for _, m := range f.mailboxes() {
		if m.Role == mail.RoleNone {
			continue
		}
		if other, ok := seen[m.Role]; ok {
			f.Errorf("mailboxes %s and %s both have role %s", other, m.ID, m.Role)
		}
		seen[m.Role] = m.ID
	}
}

func mailboxesStable(f *fixture) {
	names := func() []string {
		var out []string
		for _, m := range f.mailboxes() {
			out = append(out, m.ID+" "+m.Name+" "+string(m.Role))
		}
		slices.Sort(out)
		return out
	}
	first := names()
	for range 2 {
		if again := names(); !slices.Equal(first, again) {
			f.Fatalf("the mailboxes were\n%q, then\n%q", first, again)
		}
	}
}

// find looks for a mailbox by id.
func (f *fixture) find(id string) (mail.Mailbox, bool) {
	f.Helper()
	for _, m := range f.mailboxes() {
		if m.ID == id {
			return m, true
		}
	}
	return mail.Mailbox{}, false
}

// listedAs waits until the list has the mailbox under a name and parent.
func (f *fixture) listedAs(id, parent, name string) {
	f.Helper()
	f.eventually("mailbox "+name+" is listed", func() bool {
		m, ok := f.find(id)
		return ok && m.Name == name && m.ParentID == parent
	})
}

func mailboxesCreate(f *fixture) {
	name := "Größe " + token()
	made := f.create("", name)
	if made.ID == "" || made.Name != name || made.ParentID != "" {
		f.Errorf("the answer is %+v, want name %q at the top", made, name)
	}
	f.listedAs(made.ID, "", name)
	child := f.create(made.ID, "child")
	f.listedAs(child.ID, made.ID, "child")
}

func (f *fixture) rename(id, parent, name string) {
	f.Helper()
	resp, err := f.p.RenameMailbox(f.ctx, &provider.RenameMailboxRequest{Call: f.call(), ID: id, ParentID: parent, Name: name})
	f.must("rename mailbox", err)
	if resp.Mailbox.ID != id || resp.Mailbox.Name != name || resp.Mailbox.ParentID != parent {
		f.Errorf("the answer is %+v, want id %q, name %q, parent %q", resp.Mailbox, id, name, parent)
	}
}

func mailboxesRename(f *fixture) {
	made := f.create("", "before-"+token())
	name := "after-" + token()
	for range 2 { // idempotent
		f.rename(made.ID, "", name)
		f.listedAs(made.ID, "", name)
	}
}

func mailboxesReparent(f *fixture) {
	parent, name := f.create("", "parent-"+token()), "child-"+token()
	child := f.create("", name)
	f.rename(child.ID, parent.ID, name)
	f.listedAs(child.ID, parent.ID, name)
	f.rename(child.ID, "", name)
	f.listedAs(child.ID, "", name)
}

func mailboxesDelete(f *fixture) {
	made := f.create("", "doomed-"+token())
	f.listedAs(made.ID, "", made.Name)
	f.must("delete mailbox", f.p.DeleteMailbox(f.ctx, &provider.DeleteMailboxRequest{Call: f.call(), ID: made.ID}))
	f.eventually("a deleted mailbox is gone from its place", func() bool {
		m, ok := f.find(made.ID)
		return !ok || m.ParentID != "" // some providers keep it below the trash
	})
}

func mailboxesConflict(f *fixture) {
	name := "twin-" + token()
	f.create("", name)
	resp, err := f.p.CreateMailbox(f.ctx, &provider.CreateMailboxRequest{Call: f.call(), Name: name})
	if err == nil {
		call := f.call()
		f.after(func(ctx context.Context) {
			if err := f.p.DeleteMailbox(ctx, &provider.DeleteMailboxRequest{Call: call, ID: resp.Mailbox.ID}); err != nil {
				f.Logf("delete the twin: %v", err)
			}
		})
	}
	f.kind("create a mailbox of a name that is taken", err, mail.KindConflict)
}

func mailboxesUnknown(f *fixture) {
	_, err := f.p.RenameMailbox(f.ctx, &provider.RenameMailboxRequest{Call: f.call(), ID: f.goneMailbox(), Name: "new-" + token()})
	f.kind("rename a mailbox that is gone", err, mail.KindNotFound)
}

// goneMailbox is the id of a mailbox that was there once: providers tell such
// ids from those that never could be.
func (f *fixture) goneMailbox() string {
	f.Helper()
	if !f.info.Has(provider.CapMailboxes) {
		return "no-such-mailbox"
	}
	made := f.create("", "gone-"+token())
	// A provider may keep a deleted mailbox in its trash; deleting it there,
	// too, ends it.
	for range 2 {
		f.must("delete mailbox", f.p.DeleteMailbox(f.ctx, &provider.DeleteMailboxRequest{Call: f.call(), ID: made.ID}))
	}
	return made.ID
}
