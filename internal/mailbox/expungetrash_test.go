package mailbox

import (
	"slices"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

// TestExpungeBelowTheTrash: in a folder that lies in the trash, however deep,
// messages are removed for good, and not put beside it. One that was moved out
// meanwhile is a folder as any other, and its mail goes to the trash.
func TestExpungeBelowTheTrash(t *testing.T) {
	w := newWorld(t, folders())
	old, err := w.cloud.AddMailbox(ann, "trash", "Old")
	w.must(err)
	older, err := w.cloud.AddMailbox(ann, old, "Older")
	w.must(err)
	out, err := w.cloud.AddMailbox(ann, "trash", "Not yet")
	w.must(err)
	a, b := w.deliver("a", memory.Delivery{Mailbox: old}), w.deliver("b", memory.Delivery{Mailbox: older})
	c := w.deliver("c", memory.Delivery{Mailbox: out})
	w.rounds()
	for pid, in := range map[string]string{a: old, b: older} {
		if m := w.one(w.svc.Expunge(w.ctx, w.box(in), []string{w.ours(pid)})); m != nil || !w.gone(pid) {
			t.Errorf("expunging %s left %+v", in, m)
		}
	}
	_, err = w.plugin.RenameMailbox(w.ctx, &provider.RenameMailboxRequest{Call: provider.Call{Account: w.account}, ID: out, Name: "Not yet"})
	w.must(err)
	if m := w.one(w.svc.Expunge(w.ctx, w.box(out), []string{w.ours(c)})); m == nil || !slices.Equal(m.In, w.at("trash")) {
		t.Errorf("out of a folder that left the trash it went to %+v", m)
	}
	w.rounds()
	w.inStep()
}

// A ring of parents is none of the trash's, and ends.
func TestBelowTheTrashOfARing(t *testing.T) {
	ring := map[string]*store.Mailbox{"a": {ID: "a", Parent: "b"}, "b": {ID: "b", Parent: "a"}, "t": {ID: "t", Role: mail.RoleTrash}}
	if belowTrash(ring["a"], ring) || belowTrash(ring["t"], ring) || belowTrash(nil, ring) {
		t.Error("it lies below the trash")
	}
}
