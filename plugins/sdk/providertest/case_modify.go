package providertest

import (
	"slices"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func modifyCases() []Case {
	return []Case{
		{Name: "modify/keywords", Doc: "keywords are put on and taken off, and only these", Needs: needs(provider.CapModify), test: modifyKeywords},
		{Name: "modify/free-keyword", Doc: "a free keyword comes back as it was put on", Needs: needs(provider.CapModify), test: modifyFree},
		{Name: "modify/idempotent", Doc: "what is there already can be asked for again", Needs: needs(provider.CapModify), test: modifyIdempotent},
		{Name: "modify/results", Doc: "one result per message, in order; a bad id harms no other", Needs: needs(provider.CapModify), test: modifyResults},
		{Name: "modify/many", Doc: "more messages than one batch of the provider", Needs: needs(provider.CapModify), test: modifyMany},
		{Name: "modify/move", Doc: "a message moves by adding and removing mailboxes", Needs: needs(provider.CapModify), test: modifyMove},
		{Name: "modify/unknown-mailbox", Doc: "moving to a mailbox that is gone fails, and the message stays", Needs: needs(provider.CapModify), test: modifyUnknownMailbox},
		{Name: "copy/keeps-original", Doc: "a copy is in the target, the original where it was", Needs: needs(provider.CapCopy), test: copyKeeps},
		{Name: "delete/trash", Doc: "a deleted message is in the trash; twice is success", Needs: needs(provider.CapDelete), test: deleteTrash},
		{Name: "delete/results", Doc: "deleting gives one result per message, in order", Needs: needs(provider.CapDelete), test: deleteResults},
		{Name: "purge/gone", Doc: "a purged message is nowhere; twice is success", Needs: needs(provider.CapPurge), test: purgeGone},
	}
}

// words are keywords that the provider holds; the case is skipped where it
// holds fewer.
func (f *fixture) words(n int) []string {
	f.Helper()
	var out []string
	for _, k := range []string{mail.Flagged, mail.Seen, mail.Answered, "providertest"} {
		if f.info.HoldsKeyword(k) {
			out = append(out, k)
		}
	}
	if len(out) < n {
		f.Skipf("the provider holds fewer than %d keywords", n)
	}
	return out[:n]
}

// hasKeywords waits until the world agrees that a message has exactly these of
// the keywords asked about.
func (f *fixture) hasKeywords(id string, asked []string, want ...string) {
	f.Helper()
	slices.Sort(want)
	got := []string{}
	f.eventually("the message has its keywords", func() bool {
		got = got[:0]
		for _, k := range f.metadata(id)[id].Keywords {
			if slices.Contains(asked, k) {
				got = append(got, k)
			}
		}
		return slices.Equal(got, want)
	})
	if !slices.Equal(got, want) {
		f.Fatalf("message %s has %v of the keywords %v, want %v", id, got, asked, want)
	}
	if !f.knows() {
		return
	}
	f.eventually("the world agrees", func() bool {
		have := f.held(f.own()[id].Keywords)
		for _, k := range asked {
			if slices.Contains(have, k) != slices.Contains(want, k) {
				return false
			}
		}
		return true
	})
}

func modifyKeywords(f *fixture) {
	words := f.words(2)
	id := f.deliver("", newLetter(f.w.Address()))
	resp := f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: words})
	if r := resp.Results[0]; r.Fields&mail.FieldKeywords != 0 && (!r.Message.HasKeyword(words[0]) || !r.Message.HasKeyword(words[1])) {
		f.Errorf("the result says keywords %v, without %v", r.Message.Keywords, words)
	}
	f.hasKeywords(id, words, words...)
	f.modify(&provider.ModifyRequest{IDs: []string{id}, RemoveKeywords: words[:1]})
	f.hasKeywords(id, words, words[1])
	f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: words[:1], RemoveKeywords: words[1:]})
	f.hasKeywords(id, words, words[0])
}

func modifyFree(f *fixture) {
	const word = "providertest"
	if !f.info.HoldsKeyword(word) {
		f.Skipf("the provider holds no free keywords")
	}
	id := f.deliver("", newLetter(f.w.Address()))
	f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: []string{word}})
	f.hasKeywords(id, []string{word}, word)
	f.modify(&provider.ModifyRequest{IDs: []string{id}, RemoveKeywords: []string{word}})
	f.hasKeywords(id, []string{word})
}

func modifyIdempotent(f *fixture) {
	words := f.words(1)
	id, inbox := f.deliver("", newLetter(f.w.Address())), f.role(mail.RoleInbox).ID
	for range 2 {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: words, AddMailboxes: []string{inbox}})
		f.hasKeywords(id, words, words...)
	}
	for range 2 {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, RemoveKeywords: words})
		f.hasKeywords(id, words)
	}
}

// badInTheMiddle checks the results of a verb over a good, a bad and a good id.
func (f *fixture) badInTheMiddle(verb string, resp *provider.ModifyResponse, ids []string) {
	f.Helper()
	if len(resp.Results) != len(ids) {
		f.Fatalf("%s: %d results for %d messages", verb, len(resp.Results), len(ids))
	}
	for i, r := range resp.Results {
		if r.ID != ids[i] {
			f.Errorf("%s: result %d is of %q, want %q", verb, i, r.ID, ids[i])
		}
		if i != 1 && r.Err != nil {
			f.Errorf("%s: a good message failed beside a bad one: %v", verb, r.Err)
		}
	}
	f.kind(verb+" a message that is gone", resp.Results[1].Err, mail.KindNotFound)
}

func modifyResults(f *fixture) {
	words := f.words(1)
	ids := []string{f.deliver("", newLetter(f.w.Address())), f.lost(), f.deliver("", newLetter(f.w.Address()))}
	resp, err := f.p.Modify(f.ctx, &provider.ModifyRequest{Call: f.call(), IDs: ids, AddKeywords: words})
	f.must("modify", err)
	f.badInTheMiddle("modify", resp, ids)
	f.hasKeywords(ids[0], words, words...)
	f.hasKeywords(ids[2], words, words...)
}

func modifyMany(f *fixture) {
	words := f.words(1)
	n := min(max(f.info.Limits.ModifyBatch+1, 6), 25)
	var ids []string
	for range n {
		ids = append(ids, f.deliver("", newLetter(f.w.Address())))
	}
	f.modify(&provider.ModifyRequest{IDs: ids, AddKeywords: words})
	for id, m := range f.metadata(ids...) {
		if !m.HasKeyword(words[0]) {
			f.Errorf("message %s of %d is without its keyword", id, n)
		}
	}
}

// besides gives mailboxes without the one of all mail, which a provider may have
// and which messages are in without being put there.
func (f *fixture) besides(all string, mailboxes []string) []string {
	return slices.DeleteFunc(slices.Clone(mailboxes), func(id string) bool { return id == all && all != "" })
}

// allMail is the id of the mailbox of all mail, empty where there is none.
func (f *fixture) allMail() string {
	f.Helper()
	for _, m := range f.mailboxes() {
		if m.Role == mail.RoleAll {
			return m.ID
		}
	}
	return ""
}

// isIn waits until a message is in exactly one mailbox, in the world's eyes
// where it tells. That of all mail does not count.
func (f *fixture) isIn(id, mailbox string) {
	f.Helper()
	var got []string
	all := f.allMail()
	f.eventually("the message is in its mailbox", func() bool {
		if f.knows() {
			got = f.own()[id].Mailboxes
		} else {
			got = f.metadata(id)[id].Mailboxes
		}
		got = f.besides(all, got)
		return len(got) == 1 && got[0] == mailbox
	})
	if len(got) != 1 || got[0] != mailbox {
		f.Fatalf("message %s is in %v, want only %s", id, got, mailbox)
	}
}

func modifyMove(f *fixture) {
	inbox, other := f.role(mail.RoleInbox).ID, f.elsewhere()
	id := f.deliver("", newLetter(f.w.Address()))
	resp := f.modify(&provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{other}, RemoveMailboxes: []string{inbox}})
	r := resp.Results[0]
	if r.Message.ProviderID != "" && r.Message.ProviderID != id {
		f.Errorf("the message's id was %s, and is %s after a move", id, r.Message.ProviderID)
	}
	if r.Fields&mail.FieldMailboxes != 0 && !slices.Equal(f.besides(f.allMail(), r.Message.Mailboxes), []string{other}) {
		f.Errorf("the result says mailboxes %v, want %s", r.Message.Mailboxes, other)
	}
	f.isIn(id, other)
	f.modify(&provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{inbox}, RemoveMailboxes: []string{other}})
	f.isIn(id, inbox)
}

func modifyUnknownMailbox(f *fixture) {
	inbox := f.role(mail.RoleInbox).ID
	id := f.deliver("", newLetter(f.w.Address()))
	resp, err := f.p.Modify(f.ctx, &provider.ModifyRequest{
		Call: f.call(), IDs: []string{id}, AddMailboxes: []string{f.goneMailbox()}, RemoveMailboxes: []string{inbox},
	})
	if err == nil {
		if len(resp.Results) != 1 {
			f.Fatalf("modify: %d results for 1 message", len(resp.Results))
		}
		err = resp.Results[0].Err
	}
	f.kind("move to a mailbox that is gone", err, mail.KindNotFound, mail.KindInvalid)
	f.isIn(id, inbox)
}

func copyKeeps(f *fixture) {
	inbox, other := f.role(mail.RoleInbox).ID, f.elsewhere()
	id := f.deliver("", newLetter(f.w.Address()))
	resp, err := f.p.Copy(f.ctx, &provider.CopyRequest{Call: f.call(), OperationID: token(), IDs: []string{id}, Mailbox: other})
	f.must("copy", err)
	f.results("copy", resp, id)
	made := resp.Results[0].Message.ProviderID
	if made == "" {
		made = id
	}
	f.eventually("original and copy are in their mailboxes", func() bool {
		have := f.metadata(id, made)
		return slices.Contains(have[id].Mailboxes, inbox) && slices.Contains(have[made].Mailboxes, other)
	})
	if a, b := f.metadata(id)[id], f.metadata(made)[made]; a.Subject != b.Subject || a.MessageID != b.MessageID {
		f.Errorf("the copy is another message: %q, not %q", b.Subject, a.Subject)
	}
}

func deleteTrash(f *fixture) {
	trash := f.role(mail.RoleTrash).ID
	id := f.deliver("", newLetter(f.w.Address()))
	for range 2 {
		resp, err := f.p.Delete(f.ctx, &provider.DeleteRequest{Call: f.call(), IDs: []string{id}})
		f.must("delete", err)
		f.results("delete", resp, id)
		f.isIn(id, trash)
	}
}

func deleteResults(f *fixture) {
	ids := []string{f.deliver("", newLetter(f.w.Address())), f.lost(), f.deliver("", newLetter(f.w.Address()))}
	resp, err := f.p.Delete(f.ctx, &provider.DeleteRequest{Call: f.call(), IDs: ids})
	f.must("delete", err)
	f.badInTheMiddle("delete", resp, ids)
}

func purgeGone(f *fixture) {
	id, stays := f.deliver("", newLetter(f.w.Address())), f.deliver("", newLetter(f.w.Address()))
	for range 2 {
		resp, err := f.p.Purge(f.ctx, &provider.DeleteRequest{Call: f.call(), IDs: []string{id}})
		f.must("purge", err)
		f.results("purge", resp, id)
	}
	f.eventually("a purged message is nowhere", func() bool {
		s := &sink{}
		f.must("fetch", f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: []string{id, stays}}, s))
		return mail.KindOf(s.failed[id]) == mail.KindNotFound && s.messages[stays].ProviderID == stays
	})
	if f.knows() {
		have := f.own()
		if _, ok := have[id]; ok {
			f.Errorf("the world still holds a purged message")
		}
		if _, ok := have[stays]; !ok {
			f.Errorf("the message beside it is gone, too")
		}
	}
}
