package mailbox

import (
	"slices"
	"testing"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
)

func TestMoveFromAFolder(t *testing.T) {
	w := newWorld(t, folders())
	a, b := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{})
	w.rounds()
	m := w.one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("archive"), []string{w.ours(a)}))
	if !slices.Equal(m.In, w.at("archive")) || m.UIDs[w.box("archive")] == 0 {
		t.Errorf("moved into %v with UIDs %v", m.In, m.UIDs)
	}
	// Onto itself nothing happens.
	uid := w.uidIn(b, "inbox")
	if m := w.one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("inbox"), []string{w.ours(b)})); m.UIDs[w.box("inbox")] != uid {
		t.Errorf("moved onto itself it has UID %d, had %d", m.UIDs[w.box("inbox")], uid)
	}
	// From where it is not, it is not moved.
	rs, err := w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("trash"), []string{w.ours(a), w.ours(b)})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindNotFound || rs[1].Err != nil || !slices.Equal(w.in(a), w.at("archive")) || !slices.Equal(w.in(b), w.at("trash")) {
		t.Errorf("results %v, %v; in %v and %v", rs[0].Err, rs[1].Err, w.in(a), w.in(b))
	}
	rs, err = w.svc.MoveFrom(w.ctx, w.box("archive"), "fnone", []string{w.ours(a)})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindNotFound {
		t.Errorf("into a mailbox that is not there: %v", rs[0].Err)
	}
	w.inStep()
	before := w.last()
	w.rounds()
	if w.inStep(); w.last() != before {
		t.Errorf("our own writes were told again: %v", types(w.eventsAfter(before)))
	}
}

func TestMoveFromALabel(t *testing.T) {
	w := newWorld(t, labels())
	work, err := w.cloud.AddMailbox(ann, "", "Work")
	w.must(err)
	home, err := w.cloud.AddMailbox(ann, "", "Home")
	w.must(err)
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	w.one(w.svc.Copy(w.ctx, []string{w.ours(id)}, w.box(work)))
	uid := w.uidIn(id, "inbox")
	m := w.one(w.svc.MoveFrom(w.ctx, w.box(work), w.box(home), []string{w.ours(id)}))
	if !slices.Equal(m.In, w.at("inbox", home)) || m.UIDs[w.box("inbox")] != uid {
		t.Errorf("moved into %v, with UIDs %v; its UID in the inbox was %d", m.In, m.UIDs, uid)
	}
	// Into a label that it has already.
	there := w.uidIn(id, home)
	m = w.one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box(home), []string{w.ours(id)}))
	if !slices.Equal(m.In, w.at(home)) || m.UIDs[w.box(home)] != there {
		t.Errorf("moved into %v, with UIDs %v; it had %d", m.In, m.UIDs, there)
	}
	w.one(w.svc.Copy(w.ctx, []string{w.ours(id)}, w.box(work)))
	if m := w.one(w.svc.MoveFrom(w.ctx, w.box(work), w.box("trash"), []string{w.ours(id)})); !slices.Equal(m.In, w.at("trash")) {
		t.Errorf("moved to the trash it is in %v", m.In)
	}
	w.inStep()
	w.rounds()
	w.inStep()
}

// TestCopyTakesAlongWhatWeKeep, and a move does.
func TestCopyTakesAlongWhatWeKeep(t *testing.T) {
	for _, front := range []bool{false, true} {
		opts := folders()
		opts.Keywords = []string{mail.Seen, mail.Flagged}
		w := newWorld(t, opts)
		if front {
			w.front = terseFront
		}
		id := w.deliver("a", memory.Delivery{})
		w.rounds()
		w.one(w.svc.Update(w.ctx, []string{w.ours(id)}, Change{AddKeywords: []string{mail.Seen, mail.Answered, mail.Forwarded, "work"}}))
		w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), []uint32{w.uidIn(id, "inbox")}, true))
		before := w.last()
		m := w.one(w.svc.Copy(w.ctx, []string{w.ours(id)}, w.box("archive")))
		want := []string{mail.Answered, mail.Forwarded, mail.Seen, "work"}
		if !slices.Equal(m.AllKeywords(), want) || m.UIDs[w.box("archive")] == 0 || m.ID == w.ours(id) {
			t.Errorf("the copy has %v and UIDs %v", m.AllKeywords(), m.UIDs)
		}
		if rows := w.rows("archive"); len(rows) != 1 || rows[0].Deleted || !slices.Equal(rows[0].Keywords, want) {
			t.Errorf("the copy's row: %+v", rows)
		}
		if n := len(w.eventsAfter(before)); !front && n != 1 {
			t.Errorf("a copy is told by %d events", n)
		}
		moved := w.one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("junk"), []string{w.ours(id)}))
		if !slices.Equal(moved.AllKeywords(), want) {
			t.Errorf("moved it has %v", moved.AllKeywords())
		}
		// Into the same mailbox: another message.
		twin := w.one(w.svc.Copy(w.ctx, []string{m.ID}, w.box("archive")))
		if twin.ID == m.ID || len(w.rows("archive")) != 2 || !slices.Equal(twin.AllKeywords(), want) {
			t.Errorf("the copy beside its original: %+v", twin)
		}
		w.rounds()
		if got := w.message(m.ProviderID).AllKeywords(); !slices.Equal(got, want) {
			t.Errorf("after the feeds the copy has %v", got)
		}
	}
}
