package mailbox

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/postern-mail/postern/internal/event"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/providertest/memory"
	"github.com/postern-mail/postern/store"
)

func (w *world) ours(pid string) string { return MessageID(w.account, pid) }
func (w *world) box(pid string) string  { return ID(w.account, pid) }
func (w *world) gone(pid string) bool {
	_, err := w.svc.message(w.ctx, w.ours(pid))
	return mail.KindOf(err) == mail.KindNotFound
}
func (w *world) in(pid string) []string { w.t.Helper(); return w.message(pid).In }
func (w *world) at(pids ...string) (out []string) {
	for _, pid := range pids {
		out = append(out, w.box(pid))
	}
	slices.Sort(out)
	return out
}

// one wants a single result without an error.
func (w *world) one(rs []Result, err error) *store.Message {
	w.t.Helper()
	w.must(err)
	if len(rs) != 1 {
		w.t.Fatalf("%d results, want 1", len(rs))
	}
	w.must(rs[0].Err)
	return rs[0].Message
}

// rows are the UID rows of a mailbox.
func (w *world) rows(pid string) (rows []store.UID) {
	w.t.Helper()
	w.must(w.store.View(w.ctx, func(tx store.Tx) (err error) {
		rows, err = tx.UIDs(w.box(pid), 1, 1<<31, 10_000)
		return err
	}))
	return rows
}

// uidIn gives a message's UID in a mailbox.
func (w *world) uidIn(pid, mailbox string) uint32 {
	w.t.Helper()
	return w.message(pid).UIDs[w.box(mailbox)]
}

func folders() memory.Options { return memory.Options{Scope: mail.ScopeMailbox, Kind: mail.KindFolder} }
func labels() memory.Options  { return memory.Options{Scope: mail.ScopeAccount, Kind: mail.KindLabel} }

// TestExpungeOfAFolder goes to the trash, and from there for good.
func TestExpungeOfAFolder(t *testing.T) {
	w := newWorld(t, folders())
	a, b, c := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{}), w.deliver("c", memory.Delivery{})
	w.rounds()
	w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), []uint32{w.uidIn(a, "inbox")}, true))
	m := w.one(w.svc.Expunge(w.ctx, w.box("inbox"), []string{w.ours(a)}))
	if !slices.Equal(m.In, w.at("trash")) || m.UIDs[w.box("trash")] == 0 {
		t.Errorf("expunged into %v with UIDs %v", m.In, m.UIDs)
	}
	if rows := w.rows("trash"); len(rows) != 1 || rows[0].Deleted {
		t.Errorf("rows of the trash: %+v", rows)
	}
	w.inStep()
	// One that has left the mailbox is left alone.
	w.one(w.svc.Move(w.ctx, []string{w.ours(c)}, w.box("archive")))
	for _, remove := range []func(context.Context, string, []string) ([]Result, error){w.svc.Expunge, w.svc.Purge} {
		if m := w.one(remove(w.ctx, w.box("inbox"), []string{w.ours(c)})); m == nil || !slices.Equal(m.In, w.at("archive")) {
			t.Errorf("a message that had left became %+v", m)
		}
	}
	if m := w.one(w.svc.Expunge(w.ctx, w.box("trash"), []string{w.ours(a)})); m != nil || !w.gone(a) {
		t.Errorf("expunging the trash left %+v", m)
	}
	// With the setting nothing goes to the trash.
	w.one(w.svc.Purge(w.ctx, w.box("inbox"), []string{w.ours(b)}))
	if !w.gone(b) || w.gone(c) {
		t.Error("purging took none, or another one")
	}
	w.inStep()
	before := w.last()
	w.rounds()
	w.inStep()
	if w.last() != before {
		t.Errorf("our own writes were told again: %v", types(w.eventsAfter(before)))
	}
}

// TestExpungeOfALabel takes the label off, and destroys nothing that is
// elsewhere.
func TestExpungeOfALabel(t *testing.T) {
	w := newWorld(t, labels())
	work, err := w.cloud.AddMailbox(ann, "", "Work")
	w.must(err)
	a, b := w.deliver("a", memory.Delivery{}), w.deliver("b", memory.Delivery{})
	w.rounds()
	w.one(w.svc.Copy(w.ctx, []string{w.ours(a)}, w.box(work)))
	uid := w.uidIn(a, work)
	m := w.one(w.svc.Expunge(w.ctx, w.box("inbox"), []string{w.ours(a)}))
	if !slices.Equal(m.In, w.at(work)) || m.UIDs[w.box(work)] != uid {
		t.Errorf("with one label of two off it is in %v, with UIDs %v", m.In, m.UIDs)
	}
	// Also where mail is to be removed for good.
	w.one(w.svc.Copy(w.ctx, []string{w.ours(a)}, w.box("inbox")))
	if m := w.one(w.svc.Purge(w.ctx, w.box("inbox"), []string{w.ours(a)})); m == nil || !slices.Equal(m.In, w.at(work)) {
		t.Errorf("purging from one label left %+v", m)
	}
	// The last label archives.
	if m := w.one(w.svc.Expunge(w.ctx, w.box(work), []string{w.ours(a)})); !slices.Equal(m.In, w.at("archive")) {
		t.Errorf("with its last label off it is in %v", m.In)
	}
	if m := w.one(w.svc.Expunge(w.ctx, w.box("archive"), []string{w.ours(a)})); !slices.Equal(m.In, w.at("trash")) {
		t.Errorf("out of the archive it went to %v", m.In)
	}
	w.one(w.svc.Purge(w.ctx, w.box("inbox"), []string{w.ours(b)}))
	if !w.gone(b) {
		t.Error("purging the last label left it")
	}
	for _, in := range []string{"trash", "junk"} {
		id := w.deliver("in "+in, memory.Delivery{Mailbox: in})
		w.rounds()
		w.one(w.svc.Expunge(w.ctx, w.box(in), []string{w.ours(id)}))
		if !w.gone(id) {
			t.Errorf("expunging %s left it", in)
		}
	}
	draft := w.deliver("a draft", memory.Delivery{Mailbox: "drafts"})
	w.rounds()
	if m := w.one(w.svc.Expunge(w.ctx, w.box("drafts"), []string{w.ours(draft)})); !slices.Equal(m.In, w.at("trash")) {
		t.Errorf("an expunged draft is in %v", m.In)
	}
	w.inStep()
	w.rounds()
	w.inStep()
}

func TestExpungeFates(t *testing.T) {
	box := func(id string, role mail.Role, kind mail.MailboxKind, hidden bool) *store.Mailbox {
		return &store.Mailbox{ID: id, Role: role, Kind: kind, Hidden: hidden}
	}
	for _, kind := range []mail.MailboxKind{mail.KindFolder, mail.KindLabel} {
		boxes := map[string]*store.Mailbox{}
		for _, b := range []*store.Mailbox{
			box("inbox", mail.RoleInbox, kind, false), box("work", mail.RoleNone, kind, false), box("trash", mail.RoleTrash, kind, false),
			box("junk", mail.RoleJunk, kind, false), box("sent", mail.RoleSent, kind, false), box("all", mail.RoleAll, kind, true),
		} {
			boxes[b.ID] = b
		}
		for _, c := range []struct {
			from                   string
			in                     []string
			folder, label, forGood fate
		}{
			{"inbox", []string{"inbox"}, fateTrash, fateArchive, fatePurge},
			{"inbox", []string{"inbox", "all"}, "", fateOff, fatePurge},
			{"inbox", []string{"inbox", "all", "work"}, "", fateOff, fateOff},
			{"work", []string{"all", "work", "sent"}, "", fateOff, fateOff},
			{"sent", []string{"all", "sent"}, "", fateTrash, fatePurge},
			{"sent", []string{"sent"}, fateTrash, fateTrash, fatePurge},
			{"all", []string{"all", "work"}, "", fateTrash, fatePurge},
			{"junk", []string{"junk"}, fateTrash, fatePurge, fatePurge},
			{"trash", []string{"trash"}, fatePurge, fatePurge, fatePurge},
		} {
			want := c.label
			if kind == mail.KindFolder {
				if want = c.folder; want == "" {
					continue
				}
			}
			m := &store.Message{In: c.in}
			if got := expungeFate(boxes[c.from], boxes, m, false); got != want {
				t.Errorf("%s: out of %s of %v: %s, want %s", kind, c.from, c.in, got, want)
			}
			if got := expungeFate(boxes[c.from], boxes, m, true); got != c.forGood {
				t.Errorf("%s: for good out of %s of %v: %s, want %s", kind, c.from, c.in, got, c.forGood)
			}
		}
	}
}

// TestPurgeOfWhatHasLeft: the owner takes a message out of the trash, and the
// mirror has not heard of it.
func TestPurgeOfWhatHasLeft(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		w := newWorld(t, opts)
		a, b, c := w.deliver("a", memory.Delivery{Mailbox: "trash"}), w.deliver("b", memory.Delivery{Mailbox: "trash"}), w.deliver("c", memory.Delivery{Mailbox: "trash"})
		w.rounds()
		w.must(w.cloud.Move(ann, a, "inbox"))
		w.must(w.cloud.Remove(ann, b))
		rs, err := w.svc.Expunge(w.ctx, w.box("trash"), []string{w.ours(a), w.ours(b), w.ours(c)})
		w.must(err)
		for _, r := range rs {
			if r.Err != nil {
				t.Errorf("message %s: %v", r.ID, r.Err)
			}
		}
		list, err := w.cloud.Messages(ann)
		w.must(err)
		if len(list) != 1 || list[0].ProviderID != a {
			t.Errorf("the provider has %d messages", len(list))
		}
		w.rounds()
		w.inStep()
	})
}

// TestExpungeThatFailsLeavesTheMessage, and one that fails does not keep the
// others back.
func TestExpungeThatFailsLeavesTheMessage(t *testing.T) {
	flavours(t, func(t *testing.T, opts memory.Options) {
		for _, kind := range []mail.Kind{mail.KindUnavailable, mail.KindThrottled, mail.KindForbidden} {
			w := newWorld(t, opts)
			id := w.deliver("a", memory.Delivery{})
			w.rounds()
			w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), []uint32{w.uidIn(id, "inbox")}, true))
			before := w.rows("inbox")
			w.cloud.OnCall(func(_ context.Context, verb, _ string) error {
				if verb == "delete" || verb == "modify" {
					return &mail.Error{Kind: kind, Message: "as ordered"}
				}
				return nil
			})
			rs, err := w.svc.Expunge(w.ctx, w.box("inbox"), []string{w.ours(id), "mnone"})
			w.must(err)
			if mail.KindOf(rs[0].Err) != kind || mail.KindOf(rs[1].Err) != mail.KindNotFound {
				t.Errorf("%s: %v, %v", kind, rs[0].Err, rs[1].Err)
			}
			if after := w.rows("inbox"); len(after) != 1 || after[0].UID != before[0].UID || !after[0].Deleted {
				t.Errorf("%s: rows %+v, were %+v", kind, after, before)
			}
			w.cloud.OnCall(nil)
			w.one(w.svc.Expunge(w.ctx, w.box("inbox"), []string{w.ours(id)}))
			w.rounds()
			w.inStep()
		}
	})
}

// TestExpungeWithoutAnAnswer: the outcome is open until the feeds have told.
func TestExpungeWithoutAnAnswer(t *testing.T) {
	w := newWorld(t, folders())
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	w.cloud.FailNext("delete", mail.KindOutcomeUnknown)
	rs, err := w.svc.Expunge(w.ctx, w.box("inbox"), []string{w.ours(id)})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindOutcomeUnknown {
		t.Errorf("an open outcome is told as %v", rs[0].Err)
	}
	if len(w.rows("inbox")) != 1 {
		t.Error("the message has left on doubt")
	}
	w.rounds()
	if !slices.Equal(w.in(id), w.at("trash")) {
		t.Errorf("the feeds told of %v", w.in(id))
	}
	w.inStep()
}

func TestSetDeleted(t *testing.T) {
	w := newWorld(t, folders())
	var ids []string
	for range 230 {
		ids = append(ids, w.deliver("a", memory.Delivery{}))
	}
	w.rounds()
	rows := w.rows("inbox")
	var uids []uint32
	for _, r := range rows {
		uids = append(uids, r.UID)
	}
	before := w.last()
	w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), append(uids, 9999, uids[0]), true))
	w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), uids, true)) // it is so already
	entries := w.eventsAfter(before)
	if len(entries) != len(ids) {
		t.Fatalf("%d entries, want %d", len(entries), len(ids))
	}
	bySeq := map[uint64]event.Event{}
	for _, e := range entries {
		if !e.Internal || e.Type != event.MessageUpdated || e.Mailbox != w.box("inbox") || e.Snapshot != nil {
			t.Fatalf("entry %+v", e)
		}
		bySeq[e.Sequence] = e
	}
	for _, r := range w.rows("inbox") {
		if !r.Deleted || bySeq[r.ModSeq].Message != r.Message {
			t.Fatalf("row %+v, whose number has message %q", r, bySeq[r.ModSeq].Message)
		}
	}
	w.must(w.svc.SetDeleted(w.ctx, w.box("inbox"), uids[:1], false))
	if rows := w.rows("inbox"); rows[0].Deleted || !rows[1].Deleted {
		t.Errorf("after one was cleared: %+v", rows[:2])
	}
	if err := w.svc.SetDeleted(w.ctx, "fnone", []uint32{1}, true); mail.KindOf(err) != mail.KindNotFound {
		t.Errorf("a mailbox that is not there: %v", err)
	}
	// It stays over what the provider tells.
	w.must(w.cloud.SetKeywords(ann, ids[3], mail.Flagged))
	w.rounds()
	if uid := w.uidIn(ids[3], "inbox"); !w.rows("inbox")[slices.Index(uids, uid)].Deleted {
		t.Error("a flag of the provider's has cleared it")
	}
	w.inStep()
}

// TestNoOKBeforeTheProvider holds each verb's call at the provider: nothing is
// answered, and nothing changes here, until it is let go.
func TestNoOKBeforeTheProvider(t *testing.T) {
	type verb struct {
		name string
		run  func(w *world, id string) error
	}
	one := func(rs []Result, err error) error {
		if err == nil {
			err = rs[0].Err
		}
		return err
	}
	verbs := []verb{
		{"keywords", func(w *world, id string) error {
			return one(w.svc.Update(w.ctx, []string{id}, Change{AddKeywords: []string{mail.Seen}}))
		}},
		{"copy", func(w *world, id string) error { return one(w.svc.Copy(w.ctx, []string{id}, w.box("archive"))) }},
		{"move", func(w *world, id string) error {
			return one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("archive"), []string{id}))
		}},
		{"move to the trash", func(w *world, id string) error {
			return one(w.svc.MoveFrom(w.ctx, w.box("inbox"), w.box("trash"), []string{id}))
		}},
		{"expunge", func(w *world, id string) error { return one(w.svc.Expunge(w.ctx, w.box("inbox"), []string{id})) }},
		{"purge", func(w *world, id string) error { return one(w.svc.Purge(w.ctx, w.box("inbox"), []string{id})) }},
		{"append", func(w *world, _ string) error { _, err := w.append("archive", letter("late")); return err }},
	}
	flavours(t, func(t *testing.T, opts memory.Options) {
		for _, v := range verbs {
			t.Run(v.name, func(t *testing.T) {
				w := newWorld(t, opts)
				id := w.deliver("a", memory.Delivery{})
				w.rounds()
				before := w.last()
				arrived, release := make(chan struct{}), make(chan struct{})
				w.cloud.OnCall(func(ctx context.Context, verb, _ string) error {
					if verb == "fetch" {
						return nil // asking changes nothing
					}
					select {
					case arrived <- struct{}{}:
					case <-release:
						return nil
					}
					select {
					case <-release:
					case <-ctx.Done():
					}
					return nil
				})
				done := make(chan error, 1)
				go func() { done <- v.run(w, w.ours(id)) }()
				<-arrived
				select {
				case err := <-done:
					t.Fatalf("answered %v before the provider", err)
				default:
				}
				if w.last() != before {
					t.Errorf("told before the provider: %v", types(w.eventsAfter(before)))
				}
				close(release)
				w.must(<-done)
				if w.last() == before {
					t.Error("nothing was told")
				}
				w.inStep()
			})
		}
	})
}

// TestCallerWhoLeaves does not undo what the provider has done.
func TestCallerWhoLeaves(t *testing.T) {
	w := newWorld(t, folders())
	id := w.deliver("a", memory.Delivery{})
	w.rounds()
	ctx, cancel := context.WithCancel(w.ctx)
	w.cloud.OnCall(func(context.Context, string, string) error { cancel(); return nil })
	rs, err := w.svc.Expunge(ctx, w.box("inbox"), []string{w.ours(id)})
	w.cloud.OnCall(nil)
	if err == nil {
		err = rs[0].Err
	}
	if err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("a caller who left was told %v", err)
	}
	w.rounds()
	w.inStep()
}

// unreadable is a provider that cannot tell of one message.
type unreadable struct {
	*memory.Provider
	id string
}

func (p unreadable) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	r := *req
	r.IDs = slices.DeleteFunc(slices.Clone(req.IDs), func(id string) bool { return id == p.id })
	if len(r.IDs) < len(req.IDs) {
		if err := sink.Failed(p.id, mail.Errorf(mail.KindUnavailable, "fetch", "as ordered")); err != nil {
			return err
		}
	}
	return p.Provider.Fetch(ctx, &r, sink)
}

// TestPurgeOfWhatCannotBeLookedAt leaves that one, and removes the others.
func TestPurgeOfWhatCannotBeLookedAt(t *testing.T) {
	w := newWorld(t, folders())
	a, b := w.deliver("a", memory.Delivery{Mailbox: "trash"}), w.deliver("b", memory.Delivery{Mailbox: "trash"})
	w.rounds()
	w.front = func(p provider.Provider) provider.Provider { return unreadable{p.(*memory.Provider), a} }
	rs, err := w.svc.Expunge(w.ctx, w.box("trash"), []string{w.ours(a), w.ours(b)})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindUnavailable || rs[1].Err != nil {
		t.Errorf("results %v, %v", rs[0].Err, rs[1].Err)
	}
	if w.gone(a) || !w.gone(b) || w.count("trash") != 1 {
		t.Errorf("the trash has %d messages", w.count("trash"))
	}
}

// edited is a provider at which the owner has just edited a message.
type edited struct {
	*memory.Provider
	id string
}

func (p edited) Fetch(ctx context.Context, req *provider.FetchRequest, sink provider.FetchSink) error {
	return p.Provider.Fetch(ctx, req, editedSink{sink, p.id})
}

type editedSink struct {
	provider.FetchSink
	id string
}

func (k editedSink) Message(m *mail.Message) error {
	if m.ProviderID == k.id {
		m.Subject, m.ContentTag = "edited", "edited"
	}
	return k.FetchSink.Message(m)
}

// TestPurgeOfWhatWasEdited: what was marked to be deleted are other bytes, under
// another UID. Those that are there now nobody has marked.
func TestPurgeOfWhatWasEdited(t *testing.T) {
	w := newWorld(t, folders())
	a, b := w.deliver("a", memory.Delivery{Mailbox: "drafts", Keywords: []string{mail.Draft}}), w.deliver("b", memory.Delivery{Mailbox: "drafts"})
	w.rounds()
	w.must(w.svc.Hydrate(w.ctx, []string{w.ours(a), w.ours(b)}))
	before := w.uidIn(a, "drafts")
	w.front = func(p provider.Provider) provider.Provider { return edited{p.(*memory.Provider), a} }
	rs, err := w.svc.Purge(w.ctx, w.box("drafts"), []string{w.ours(a), w.ours(b)})
	w.must(err)
	if mail.KindOf(rs[0].Err) != mail.KindConflict || rs[1].Err != nil {
		t.Errorf("results %v, %v", rs[0].Err, rs[1].Err)
	}
	if w.gone(a) || !w.gone(b) || w.uidIn(a, "drafts") == before {
		t.Errorf("there are %d drafts, under the UID %d, which was %d", w.count("drafts"), w.uidIn(a, "drafts"), before)
	}
}
