package providertest

import (
	"context"
	"maps"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func changesCases() []Case {
	return []Case{
		{Name: "changes/first", Doc: "an empty cursor tells everything or nothing, as Info.FeedEnumerates says", Read: true, test: changesFirst},
		{Name: "changes/newest-first", Doc: "a feed that enumerates begins with the newest message", test: changesNewestFirst},
		{Name: "changes/delivered", Doc: "a message that arrives is told", Read: true, test: changesDelivered},
		{Name: "changes/keywords", Doc: "a keyword set and taken away is told", test: changesKeywords},
		{Name: "changes/removal", Doc: "a message removed for good is told", Read: true, test: changesRemoval},
		{Name: "changes/move", Doc: "a moved message leaves one mailbox, appears in the other, and is never called gone", Read: true, test: changesMove},
		{Name: "changes/own-writes", Doc: "what the provider's own verbs changed is told, too", Needs: needs(provider.CapModify), test: changesOwnWrites},
		{Name: "changes/converge", Doc: "after many changes the feeds come to equal the truth", Read: true, test: changesConverge},
		{Name: "changes/quiet", Doc: "nothing is told twice when nothing happened", Read: true, test: changesQuiet},
		{Name: "changes/done", Doc: "exactly the last batch is done, all is told then, and cursors progress", Read: true, test: changesDone},
		{Name: "changes/resume", Doc: "a feed goes on from any batch's cursor without loss", Read: true, test: changesResume},
		{Name: "changes/expired", Doc: "a cursor that is too old is cursor_expired, and an empty one works", test: changesExpired},
		{Name: "changes/junk-cursor", Doc: "a cursor that is none is cursor_expired or invalid", Read: true, test: changesJunk},
		{Name: "changes/stops", Doc: "the callback's error ends the feed and comes out", Read: true, test: changesStops},
	}
}

func changesFirst(f *fixture) {
	f.deliver("", newLetter(f.w.Address()))
	if f.info.FeedEnumerates {
		r := f.newReader()
		f.eventually("everything is told", func() bool {
			if r.differs(f.own()) == "" {
				return true
			}
			r.read()
			return false
		})
		if diff := r.differs(f.own()); diff != "" {
			f.Errorf("%s", diff)
		}
		return
	}
	r := &reader{f: f}
	for _, scope := range r.scopes() {
		batches := f.changes(scope, nil)
		if len(batches) != 1 || len(batches[0].Items) > 0 {
			f.Errorf("an empty cursor tells %d batches, want one, empty and done", len(batches))
		}
	}
}

func changesNewestFirst(f *fixture) {
	if !f.info.FeedEnumerates {
		f.Skipf("the feed does not enumerate")
	}
	inbox := f.role(mail.RoleInbox).ID
	for day := range 3 {
		f.deliver("", newLetter(f.w.Address()))
		if f.info.Has(provider.CapAppend) {
			f.appendAt(inbox, newLetter(f.w.Address()), time.Now().AddDate(0, 0, -day-1))
		}
	}
	scope := inbox
	if f.info.Scope == mail.ScopeAccount {
		scope = ""
	}
	var last *mail.Message
	seen := map[string]bool{}
	for _, b := range f.changes(scope, nil) {
		for _, item := range b.Items {
			m := item.Message
			if item.Kind != mail.ItemPresent || seen[m.ProviderID] {
				continue // a change made meanwhile, or a repetition
			}
			seen[m.ProviderID] = true
			if item.Fields&mail.FieldEnvelope == 0 {
				f.Fatalf("a feed that enumerates tells a message without its envelope")
			}
			if last != nil && last.ReceivedAt.Before(m.ReceivedAt) {
				f.Fatalf("a message received %v is told before one received %v", last.ReceivedAt, m.ReceivedAt)
			}
			last = &m
		}
	}
}

func changesDelivered(f *fixture) {
	r := f.follow()
	id := f.deliver("", newLetter(f.w.Address()))
	inbox := f.role(mail.RoleInbox).ID
	r.until("a delivered message is told", func() bool { return r.in(id, inbox) })
}

func changesKeywords(f *fixture) {
	word := mail.Flagged
	if !f.info.HoldsKeyword(word) {
		if word = mail.Seen; !f.info.HoldsKeyword(word) {
			f.Skipf("the provider holds neither %s nor %s", mail.Flagged, mail.Seen)
		}
	}
	id := f.deliver("", newLetter(f.w.Address()))
	r := f.follow()
	r.until("the message is told", func() bool { return r.there(id) })
	f.setKeywords(id, word)
	r.until("a keyword that was set is told", func() bool { return r.keyword(id, word) })
	err := f.w.SetKeywords(f.ctx, f.w.Address(), id, nil)
	if isNoHook(err) {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, RemoveKeywords: []string{word}})
	} else {
		f.hook(err)
	}
	r.until("a keyword that was taken away is told", func() bool { return !r.keyword(id, word) })
}

func changesRemoval(f *fixture) {
	id, stays := f.deliver("", newLetter(f.w.Address())), f.deliver("", newLetter(f.w.Address()))
	r := f.follow()
	r.until("the messages are told", func() bool { return r.there(id) && r.there(stays) })
	f.remove(id)
	r.until("a removal is told", func() bool { return !r.there(id) })
	if !r.there(stays) {
		f.Errorf("the message beside it is no longer there")
	}
}

func changesMove(f *fixture) {
	inbox, other := f.role(mail.RoleInbox).ID, f.elsewhere()
	id := f.deliver("", newLetter(f.w.Address()))
	r := f.follow()
	r.until("the message is told", func() bool { return r.in(id, inbox) })
	for _, way := range [][2]string{{inbox, other}, {other, inbox}} {
		f.move(id, way[0], way[1])
		r.until("a move is told", func() bool { return r.in(id, way[1]) && !r.in(id, way[0]) })
		if r.gone[id] {
			f.Fatalf("a moved message was called gone")
		}
	}
}

func changesOwnWrites(f *fixture) {
	inbox, other := f.role(mail.RoleInbox).ID, f.elsewhere()
	id := f.deliver("", newLetter(f.w.Address()))
	r := f.follow()
	r.until("the message is told", func() bool { return r.in(id, inbox) })
	if f.info.HoldsKeyword(mail.Flagged) {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: []string{mail.Flagged}})
		r.until("our own keyword is told", func() bool { return r.keyword(id, mail.Flagged) })
	}
	f.modify(&provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{other}, RemoveMailboxes: []string{inbox}})
	r.until("our own move is told", func() bool { return r.in(id, other) && !r.in(id, inbox) })
	if f.info.Has(provider.CapDelete) {
		trash := f.role(mail.RoleTrash).ID
		resp, err := f.p.Delete(f.ctx, &provider.DeleteRequest{Call: f.call(), IDs: []string{id}})
		f.must("delete", err)
		f.results("delete", resp, id)
		r.until("our own deletion is told", func() bool { return r.in(id, trash) && !r.in(id, other) })
	}
}

// busyDay makes changes of every sort that the world can make, and gives what
// is left.
func (f *fixture) busyDay(messages int) []string {
	f.Helper()
	inbox, other := f.role(mail.RoleInbox).ID, f.elsewhere()
	var ids []string
	for range messages {
		ids = append(ids, f.deliver("", newLetter(f.w.Address())))
	}
	for i, id := range ids {
		switch i % 4 {
		case 0:
			if f.info.HoldsKeyword(mail.Flagged) {
				f.setKeywords(id, mail.Flagged)
			}
		case 1:
			f.move(id, inbox, other)
		case 2:
			f.move(id, inbox, other)
			f.move(id, other, inbox)
		case 3:
			f.remove(id)
		}
	}
	return ids
}

func changesConverge(f *fixture) {
	r := f.follow()
	f.busyDay(12)
	diff := ""
	f.eventually("the feeds equal the truth", func() bool {
		r.read()
		diff = r.differs(f.own())
		return diff == ""
	})
	if diff != "" {
		f.Errorf("%s", diff)
	}
}

// changesQuiet settles the feeds first: a feed may lag, and some tell a change
// once more when its details are known.
func changesQuiet(f *fixture) {
	f.deliver("", newLetter(f.w.Address()))
	r := f.follow()
	var again []told
	f.eventually("a feed of an account where nothing happens is empty", func() bool {
		again = r.read()
		return len(again) == 0
	})
	for range 3 {
		if again := r.read(); len(again) > 0 {
			f.Fatalf("nothing happened, and %d items are told, the first of kind %q", len(again), again[0].item.Kind)
		}
	}
}

func changesDone(f *fixture) {
	r := f.follow()
	before := maps.Clone(r.cursors)
	f.busyDay(8)
	r.until("the day is told", func() bool { r.read(); return r.differs(f.own()) == "" })
	inbox := f.role(mail.RoleInbox).ID
	for _, scope := range r.scopes() {
		f.eventually("a feed that was done has told everything", func() bool {
			batches := f.changes(scope, before[scope]) // checks every batch
			more := f.changes(scope, batches[len(batches)-1].Next)
			return len(more) == 1 && len(more[0].Items) == 0
		})
	}
	if f.info.FeedEnumerates && f.info.Scope == mail.ScopeMailbox {
		f.changes(inbox, nil)
	}
}

// changesResume reads the feeds from old cursors on, and again from the cursor
// of each batch: what comes after a batch must not depend on whether the
// reader stopped there.
func changesResume(f *fixture) {
	r := f.follow()
	before := maps.Clone(r.cursors)
	f.busyDay(12)
	r.until("the day is told", func() bool { r.read(); return r.differs(f.own()) == "" })
	for _, scope := range r.scopes() {
		starts := []mail.Cursor{before[scope]}
		if f.info.FeedEnumerates {
			starts = append(starts, nil)
		}
		for _, cursor := range starts {
			batches := f.changes(scope, cursor)
			for i, b := range batches {
				if b.Done {
					break
				}
				want := present(batches[i+1:])
				got := present(f.changes(scope, b.Next))
				for id, there := range want {
					if have, ok := got[id]; !ok || have != there {
						f.Fatalf("resumed after batch %d of %d, message %s is not told as before", i+1, len(batches), id)
					}
				}
			}
		}
	}
}

// present folds batches into what they last said of each message.
func present(batches []*mail.Batch) map[string]bool {
	out := map[string]bool{}
	for _, b := range batches {
		for _, item := range b.Items {
			out[item.Message.ProviderID] = item.Kind == mail.ItemPresent
		}
	}
	return out
}

func changesExpired(f *fixture) {
	r := f.follow()
	old := maps.Clone(r.cursors)
	f.hook(f.w.ForgetCursors(f.ctx, f.w.Address()))
	f.env.reader = nil
	id := f.deliver("", newLetter(f.w.Address()))
	for _, scope := range r.scopes() {
		if old[scope] == nil {
			continue
		}
		err := f.p.Changes(f.ctx, &provider.ChangesRequest{Call: f.call(), Mailbox: scope, Cursor: old[scope]}, func(*mail.Batch) error { return nil })
		f.kind("changes from a forgotten cursor", err, mail.KindCursorExpired)
	}
	again := f.follow()
	again.until("what happened meanwhile is found", func() bool { return again.there(id) })
}

func changesJunk(f *fixture) {
	r := &reader{f: f}
	scope := r.scopes()[0]
	for _, junk := range []string{"\x00\xffno cursor", "{}", "https://elsewhere.example/delta?token=1"} {
		err := f.p.Changes(f.ctx, &provider.ChangesRequest{Call: f.call(), Mailbox: scope, Cursor: mail.Cursor(junk)}, func(*mail.Batch) error { return nil })
		f.kind("changes from a junk cursor", err, mail.KindCursorExpired, mail.KindInvalid)
	}
}

func changesStops(f *fixture) {
	f.deliver("", newLetter(f.w.Address()))
	call, scope := f.call(), ""
	if f.info.Scope == mail.ScopeMailbox {
		scope = f.role(mail.RoleInbox).ID
	}
	f.stops("changes", func(ctx context.Context, stop func() error) error {
		return f.p.Changes(ctx, &provider.ChangesRequest{Call: call, Mailbox: scope}, func(*mail.Batch) error { return stop() })
	})
	f.changes(scope, nil) // and the feed is as before
}
