package session

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/mailbox"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// list gives LIST responses as lines.
func (c *client) list(r ListRequest) string {
	c.w.t.Helper()
	entries, err := c.s.List(c.w.t.Context(), r)
	c.w.must(err)
	var out []string
	for _, e := range entries {
		line := "(" + strings.Join(e.Attrs, " ") + ") " + e.Name
		if e.ChildInfo {
			line += " CHILDINFO"
		}
		if e.Status != nil {
			line += " " + decimal(e.Status.Messages)
		}
		out = append(out, line)
	}
	return strings.TrimSpace(strings.Join(out, "\n"))
}

func (c *client) lists(r ListRequest, want string) {
	c.w.t.Helper()
	if d := cmp.Diff(strings.TrimSpace(want), c.list(r)); d != "" {
		c.w.t.Errorf("%+v (-want +got):\n%s", r, d)
	}
}

func TestList(t *testing.T) {
	w := newWorld(t, memory.Options{})
	work, err := w.cloud.AddMailbox(ann, "", "Work")
	w.must(err)
	_, err = w.cloud.AddMailbox(ann, work, "2026/Q1")
	w.must(err)
	w.deliver(work)
	w.sync()
	ctx := t.Context()
	c := w.client()
	c.lists(ListRequest{}, `(\Noselect)`)
	c.lists(ListRequest{Patterns: []string{"*"}}, `
(\HasNoChildren) INBOX
(\HasNoChildren \Archive) Archive
(\HasNoChildren \Drafts) Drafts
(\HasNoChildren \Junk) Junk
(\HasNoChildren \Sent) Sent
(\HasNoChildren \Trash) Trash
(\HasChildren) Work
(\HasNoChildren) Work/2026=2FQ1`)
	c.lists(ListRequest{Patterns: []string{"%/%", "inbox"}}, "(\\HasNoChildren) INBOX\n(\\HasNoChildren) Work/2026=2FQ1")
	c.lists(ListRequest{Reference: "Work/", Patterns: []string{"%"}}, `(\HasNoChildren) Work/2026=2FQ1`)
	c.lists(ListRequest{Patterns: []string{"%"}, SelectSpecialUse: true}, `
(\HasNoChildren \Archive) Archive
(\HasNoChildren \Drafts) Drafts
(\HasNoChildren \Junk) Junk
(\HasNoChildren \Sent) Sent
(\HasNoChildren \Trash) Trash`)
	c.lists(ListRequest{Patterns: []string{"W*"}, ReturnStatus: &StatusItems{Messages: true}, ReturnSubscribed: true}, `
(\HasChildren \Subscribed) Work 1
(\HasNoChildren \Subscribed) Work/2026=2FQ1 0`)

	w.must(c.s.Unsubscribe(ctx, "Work"))
	c.lists(ListRequest{Patterns: []string{"W*"}, SelectSubscribed: true}, `(\HasNoChildren \Subscribed) Work/2026=2FQ1`)
	c.lists(ListRequest{Patterns: []string{"%"}, SelectSubscribed: true, SelectRecursiveMatch: true, Reference: "W"}, `(\HasChildren) Work CHILDINFO`)
	w.must(c.s.Subscribe(ctx, "Work"))
	c.lists(ListRequest{Patterns: []string{"%"}, SelectSubscribed: true, SelectRecursiveMatch: true, Reference: "W"}, `(\HasChildren \Subscribed) Work CHILDINFO`)
	c.lists(ListRequest{Patterns: []string{"W*"}, SelectSubscribed: true}, `(\HasChildren \Subscribed) Work
(\HasNoChildren \Subscribed) Work/2026=2FQ1`)
	w.must(c.s.Unsubscribe(ctx, "Work"))
	c.lists(ListRequest{Patterns: []string{"W%"}, LSUB: true}, `(\HasChildren \Noselect) Work`)
	c.lists(ListRequest{Patterns: []string{"W*"}, LSUB: true}, `(\HasNoChildren) Work/2026=2FQ1`)

	// Who subscribed to a name stays subscribed when the mailbox goes.
	w.must(c.s.Subscribe(ctx, "Work/2026=2FQ1"))
	w.must(c.s.Delete(ctx, "Work/2026=2FQ1"))
	c.lists(ListRequest{Patterns: []string{"W*"}}, `(\HasNoChildren) Work`)
	c.lists(ListRequest{Patterns: []string{"W*"}, SelectSubscribed: true}, `(\NonExistent \Subscribed) Work/2026=2FQ1`)
	w.must(c.s.Unsubscribe(ctx, "Work/2026=2FQ1"))
	c.lists(ListRequest{Patterns: []string{"W*"}, SelectSubscribed: true}, ``)
	code(t, c.s.Subscribe(ctx, "Nowhere"), "NONEXISTENT")
}

func TestHiddenMailboxes(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	hide := func(hidden bool) {
		w.must(w.store.Update(t.Context(), func(tx store.Tx) error {
			list, err := tx.MailboxesOf(account)
			for _, m := range list {
				if m.Role == mail.RoleArchive {
					m.Hidden = hidden
					return tx.PutMailbox(m)
				}
			}
			return err
		}))
	}
	hide(true)
	c := w.client()
	c.lists(ListRequest{Patterns: []string{"A*"}}, "")
	c.lists(ListRequest{Patterns: []string{"A*"}, LSUB: true}, "")
	c.lists(ListRequest{Patterns: []string{"Archive"}}, `(\HasNoChildren \Archive) Archive`)
	c.open("Archive")
	w.must(c.s.Subscribe(t.Context(), "Archive")) // its owner wants to see it
	c.lists(ListRequest{Patterns: []string{"A*"}}, `(\HasNoChildren \Archive) Archive`)
	w.must(c.s.Unsubscribe(t.Context(), "Archive"))
	c.lists(ListRequest{Patterns: []string{"A*"}}, "")
	hide(false)
	c.lists(ListRequest{Patterns: []string{"A*"}}, `(\HasNoChildren \Archive) Archive`)
}

// Names above one that was subscribed to, and is gone with them, are listed in
// its place where the pattern leaves it out (RFC 3501, 6.3.9; RFC 5258, 3.5).
func TestListAboveStrays(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	w.run()
	c := w.client()
	for _, name := range []string{"Xa/Deep/Box", "Xa/Deep/Other"} {
		w.must(c.s.Create(t.Context(), name))
		w.must(c.s.Subscribe(t.Context(), name))
	}
	for _, name := range []string{"Xa/Deep/Box", "Xa/Deep/Other", "Xa/Deep", "Xa"} {
		w.must(c.s.Unsubscribe(t.Context(), name))
		if strings.Count(name, "/") == 2 {
			w.must(c.s.Subscribe(t.Context(), name))
		}
		w.must(c.s.Delete(t.Context(), name))
	}
	c.lists(ListRequest{Patterns: []string{"X%"}, LSUB: true}, `(\Noselect) Xa`)
	c.lists(ListRequest{Patterns: []string{"X%/%"}, LSUB: true}, `(\Noselect) Xa/Deep`)
	c.lists(ListRequest{Patterns: []string{"X*"}, LSUB: true}, `
(\Noselect) Xa/Deep/Box
(\Noselect) Xa/Deep/Other`)
	c.lists(ListRequest{Patterns: []string{"X%"}, SelectSubscribed: true}, "")
	c.lists(ListRequest{Patterns: []string{"X%"}, SelectSubscribed: true, SelectRecursiveMatch: true}, `(\NonExistent) Xa CHILDINFO`)
}

// INBOX is INBOX in any case, also where a pattern goes on behind it.
func TestListInboxInAnyCase(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	w.run()
	c := w.client()
	w.must(c.s.Create(t.Context(), "Inbox/sub"))
	w.must(c.s.Create(t.Context(), "inboxes"))
	below := "(\\HasNoChildren) INBOX/sub"
	c.lists(ListRequest{Patterns: []string{"inbox*"}}, "(\\HasChildren) INBOX\n"+below+"\n(\\HasNoChildren) inboxes")
	c.lists(ListRequest{Patterns: []string{"iNBOX%"}}, "(\\HasChildren) INBOX")
	c.lists(ListRequest{Patterns: []string{"inbox/%"}}, below)
	c.lists(ListRequest{Patterns: []string{"inboxe%"}}, "(\\HasNoChildren) inboxes")
}

func TestManageMailboxes(t *testing.T) {
	w := newWorld(t, memory.Options{})
	for range 3 {
		w.deliver("inbox")
	}
	w.sync()
	w.run()
	ctx := t.Context()
	c := w.client()
	w.must(c.s.Create(ctx, "One/Two=2FHalves/Three/"))
	c.lists(ListRequest{Patterns: []string{"O*"}}, `
(\HasChildren) One
(\HasChildren) One/Two=2FHalves
(\HasNoChildren) One/Two=2FHalves/Three`)
	if sel := c.open("One/Two=2FHalves/Three"); sel.Exists != 0 || sel.UIDNext != 1 {
		t.Errorf("a new mailbox: %+v", sel)
	}
	code(t, c.s.Create(ctx, "One"), "ALREADYEXISTS")
	code(t, c.s.Create(ctx, "inbox"), "ALREADYEXISTS")
	w.cloud.FailNext("create mailbox", mail.KindConflict) // to the provider "ONE" is "One"
	code(t, c.s.Create(ctx, "ONE"), "ALREADYEXISTS")
	code(t, c.s.Create(ctx, "a//b"), "CANNOT")
	code(t, c.s.Create(ctx, ""), "CANNOT")
	for _, name := range []string{" lead", "trail ", "One/ two", "tab\there", "=09x", "\u0085"} {
		code(t, c.s.Create(ctx, name), "CANNOT")
		code(t, c.s.Rename(ctx, "One", name), "CANNOT")
	}
	code(t, c.s.Delete(ctx, "One"), "HASCHILDREN")
	code(t, c.s.Delete(ctx, "INBOX"), "CANNOT")
	code(t, c.s.Delete(ctx, "Trash"), "CANNOT")
	code(t, c.s.Delete(ctx, "Nowhere"), "NONEXISTENT")
	code(t, c.s.Rename(ctx, "Nowhere", "x"), "NONEXISTENT")
	code(t, c.s.Rename(ctx, "One", "Sent"), "ALREADYEXISTS")
	code(t, c.s.Rename(ctx, "One", "One/Four"), "CANNOT")

	three := w.status(c, "One/Two=2FHalves/Three")
	w.must(c.s.Rename(ctx, "One/Two=2FHalves/Three", "Four/Five"))
	five := w.status(c, "Four/Five")
	if three.UIDValidity != five.UIDValidity {
		t.Errorf("UIDVALIDITY was %d and is %d after a rename", three.UIDValidity, five.UIDValidity)
	}
	c.lists(ListRequest{Patterns: []string{"Four*", "*Three"}}, `
(\HasChildren) Four
(\HasNoChildren) Four/Five`)
	w.must(c.s.Delete(ctx, "Four/Five"))
	_, err := c.s.Select(ctx, "Four/Five", false)
	code(t, err, "NONEXISTENT")

	// RENAME INBOX moves what is in it.
	w.must(c.s.Rename(ctx, "INBOX", "Old"))
	if old, in := w.status(c, "Old"), w.status(c, "INBOX"); old.Messages != 3 || in.Messages != 0 {
		t.Errorf("Old has %d, INBOX %d messages", old.Messages, in.Messages)
	}
}

func (w *world) status(c *client, name string) *StatusData {
	w.t.Helper()
	d, err := c.s.Status(w.t.Context(), name, StatusItems{Messages: true, UIDNext: true, UIDValidity: true, Unseen: true, Deleted: true, Size: true})
	w.must(err)
	return d
}

func TestStatus(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.deliver("inbox", mail.Seen)
	w.deliver("inbox")
	_, err := w.cloud.Deliver(ann, memory.Delivery{Mailbox: "inbox", Raw: []byte("Subject: large\r\n\r\n" + strings.Repeat("0123456789", 1<<17))})
	w.must(err)
	w.sync()
	c := w.client()
	c.open("INBOX")
	c.says(`STORE 2 +FLAGS.SILENT (\Deleted)`, "OK")
	var size int64
	var ids []string
	list, err := w.cloud.Messages(ann)
	w.must(err)
	for _, m := range list {
		raw, err := w.cloud.Raw(ann, m.ProviderID)
		w.must(err)
		size, ids = size+int64(len(raw)), append(ids, mailbox.MessageID(account, m.ProviderID))
	}
	d := w.status(c, "inbox")
	want := &StatusData{Mailbox: "INBOX", Messages: 3, Unseen: 2, Deleted: 1, UIDNext: 4, UIDValidity: d.UIDValidity, HighestModSeq: d.HighestModSeq, Size: d.Size}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	if d.Size < size {
		t.Errorf("SIZE is %d, less than the %d octets that there are", d.Size, size)
	}
	w.must(w.mirror.Hydrate(t.Context(), ids))
	if d := w.status(c, "INBOX"); d.Size != size {
		t.Errorf("with all bytes here SIZE is %d, not %d", d.Size, size)
	}
	_, err = c.s.Status(t.Context(), "Nowhere", StatusItems{})
	code(t, err, "NONEXISTENT")
}

// A mailbox whose messages have no UIDs yet cannot be selected.
func TestUnlistedMailbox(t *testing.T) {
	w := newWorld(t, memory.Options{})
	w.sync()
	w.must(w.store.Update(t.Context(), func(tx store.Tx) error {
		return tx.PutMailbox(&store.Mailbox{ID: "new", Account: account, ProviderID: "new", Name: "New", Kind: mail.KindFolder, UIDValidity: 7})
	}))
	c := w.client()
	_, err := c.s.Select(t.Context(), "New", false)
	code(t, err, "UNAVAILABLE")
	_, err = c.s.Status(t.Context(), "New", StatusItems{UIDNext: true})
	code(t, err, "UNAVAILABLE")
	c.lists(ListRequest{Patterns: []string{"New"}, ReturnStatus: &StatusItems{Messages: true}}, `(\HasNoChildren) New`)
}
