package providertest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// truth asks the world what the account holds.
func (f *fixture) truth(address string) map[string]Message {
	f.Helper()
	list, err := f.w.Truth(f.ctx, address)
	f.hook(err)
	out := map[string]Message{}
	for _, m := range list {
		out[m.ProviderID] = m
	}
	return out
}

// own is the truth of the account under test.
func (f *fixture) own() map[string]Message {
	f.Helper()
	return f.truth(f.w.Address())
}

// knows reports whether the world tells the truth. It is asked once: a hook
// that is a program takes its time.
func (f *fixture) knows() bool {
	if f.env.truthful != nil {
		return *f.env.truthful
	}
	_, err := f.w.Truth(f.ctx, f.w.Address())
	known := err == nil
	if known || isNoHook(err) {
		f.env.truthful = &known
	}
	return known
}

// deliver lets a letter arrive in a mailbox ("" for the inbox) and gives its
// id: from outside where the world can, by Append otherwise.
func (f *fixture) deliver(mailbox string, l letter) string {
	f.Helper()
	before := map[string]bool{}
	if f.knows() {
		for id := range f.own() {
			before[id] = true
		}
	}
	err := f.w.Deliver(f.ctx, f.w.Address(), mailbox, l.raw)
	if isNoHook(err) && f.info.Has(provider.CapAppend) {
		return f.append(mailbox, l).ProviderID
	}
	f.hook(err)
	var id string
	f.eventually("a delivered message is there", func() bool {
		if f.knows() {
			for have := range f.own() {
				if !before[have] {
					id = have
				}
			}
			return id != ""
		}
		id = f.findByMessageID(f.orInbox(mailbox), l.want.MessageID)
		return id != ""
	})
	if id == "" {
		f.Fatalf("a delivered message is nowhere")
	}
	return id
}

func (f *fixture) orInbox(mailbox string) string {
	if mailbox == "" {
		return f.role(mail.RoleInbox).ID
	}
	return mailbox
}

// append stores a letter by the provider's own verb, as if it came now.
func (f *fixture) append(mailbox string, l letter) mail.Message {
	f.Helper()
	resp, err := f.p.Append(f.ctx, &provider.AppendRequest{
		Call: f.call(), OperationID: token(), Mailbox: f.orInbox(mailbox), Size: int64(len(l.raw)), ReceivedAt: time.Now(),
	}, bytes.NewReader(l.raw))
	f.must("append", err)
	return resp.Message
}

// findByMessageID looks through a mailbox by the provider alone.
func (f *fixture) findByMessageID(mailbox, messageID string) string {
	f.Helper()
	var found string
	for id, m := range f.metadata(f.listed(mailbox)...) {
		if m.MessageID == messageID {
			found = id
		}
	}
	return found
}

// listed enumerates a mailbox.
func (f *fixture) listed(mailbox string) []string {
	f.Helper()
	var ids []string
	err := f.p.Enumerate(f.ctx, &provider.EnumerateRequest{Call: f.call(), Mailbox: mailbox}, func(b *provider.EnumerateBatch) error {
		for _, m := range b.Messages {
			ids = append(ids, m.ProviderID)
		}
		return nil
	})
	f.must("enumerate", err)
	return ids
}

// metadata fetches the metadata of messages that must be there.
func (f *fixture) metadata(ids ...string) map[string]mail.Message {
	f.Helper()
	s := &sink{}
	f.must("fetch metadata", f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: ids, Mode: provider.FetchMetadata}, s))
	for id, err := range s.failed {
		f.Fatalf("fetch metadata of %s: %v", id, err)
	}
	return s.messages
}

// bytes fetches raw bytes of messages that must be there.
func (f *fixture) bytes(ids ...string) map[string][]byte {
	f.Helper()
	s := &sink{}
	f.must("fetch raw", f.p.Fetch(f.ctx, &provider.FetchRequest{Call: f.call(), IDs: ids, Mode: provider.FetchRaw}, s))
	for id, err := range s.failed {
		f.Fatalf("fetch raw of %s: %v", id, err)
	}
	return s.raw
}

// held are the keywords that the provider promises to hold, sorted.
func (f *fixture) held(keywords []string) []string {
	out := []string{}
	for _, k := range keywords {
		if k = strings.ToLower(k); f.info.HoldsKeyword(k) {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// setKeywords changes keywords from outside where the world can, by Modify
// otherwise; the message must have none of them before.
func (f *fixture) setKeywords(id string, keywords ...string) {
	f.Helper()
	err := f.w.SetKeywords(f.ctx, f.w.Address(), id, keywords)
	if isNoHook(err) && f.info.Has(provider.CapModify) {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, AddKeywords: keywords})
		return
	}
	f.hook(err)
}

// move takes a message from one mailbox to another, likewise.
func (f *fixture) move(id, from, to string) {
	f.Helper()
	err := f.w.Move(f.ctx, f.w.Address(), id, to)
	if isNoHook(err) && f.info.Has(provider.CapModify) {
		f.modify(&provider.ModifyRequest{IDs: []string{id}, AddMailboxes: []string{to}, RemoveMailboxes: []string{from}})
		return
	}
	f.hook(err)
}

// remove takes a message away, likewise by Purge.
func (f *fixture) remove(id string) {
	f.Helper()
	err := f.w.Remove(f.ctx, f.w.Address(), id)
	if isNoHook(err) && f.info.Has(provider.CapPurge) {
		resp, err := f.p.Purge(f.ctx, &provider.DeleteRequest{Call: f.call(), IDs: []string{id}})
		f.must("purge", err)
		f.results("purge", resp, id)
		return
	}
	f.hook(err)
}

// modify runs Modify on the shared account, and expects success for every id.
func (f *fixture) modify(req *provider.ModifyRequest) *provider.ModifyResponse {
	f.Helper()
	req.Call = f.call()
	resp, err := f.p.Modify(f.ctx, req)
	f.must("modify", err)
	f.results("modify", resp, req.IDs...)
	return resp
}

// results checks that an answer has one good result per id, in order.
func (f *fixture) results(verb string, resp *provider.ModifyResponse, ids ...string) {
	f.Helper()
	if resp == nil || len(resp.Results) != len(ids) {
		f.Fatalf("%s: not one result per message: %+v", verb, resp)
	}
	for i, r := range resp.Results {
		if r.ID != ids[i] {
			f.Fatalf("%s: result %d is of %q, want %q", verb, i, r.ID, ids[i])
		}
		if r.Err != nil {
			f.Fatalf("%s %s: %v", verb, ids[i], r.Err)
		}
	}
}

// mailboxes lists them.
func (f *fixture) mailboxes() []mail.Mailbox {
	f.Helper()
	resp, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: f.call()})
	f.must("mailboxes", err)
	return resp.Mailboxes
}

// role finds the mailbox of a role; the case is skipped where there is none.
func (f *fixture) role(role mail.Role) mail.Mailbox {
	f.Helper()
	for _, m := range f.mailboxes() {
		if m.Role == role {
			return m
		}
	}
	f.Skipf("the account has no mailbox of role %s", role)
	return mail.Mailbox{}
}

// elsewhere finds a mailbox to move a message to from the inbox: the archive,
// an ordinary one, or a new one.
func (f *fixture) elsewhere() string {
	f.Helper()
	ordinary := ""
	for _, m := range f.mailboxes() {
		if m.Role == mail.RoleArchive {
			return m.ID
		}
		if m.Role == mail.RoleNone && !m.Hidden && ordinary == "" {
			ordinary = m.ID
		}
	}
	if ordinary == "" && f.info.Has(provider.CapMailboxes) {
		return f.create("", "elsewhere-"+token()).ID
	}
	if ordinary == "" {
		f.Skipf("the account has no second mailbox")
	}
	return ordinary
}

// create makes a mailbox, which goes when the case ends.
func (f *fixture) create(parent, name string) mail.Mailbox {
	f.Helper()
	resp, err := f.p.CreateMailbox(f.ctx, &provider.CreateMailboxRequest{Call: f.call(), ParentID: parent, Name: name})
	f.must("create mailbox", err)
	call := f.call()
	f.after(func(ctx context.Context) {
		if err := f.p.DeleteMailbox(ctx, &provider.DeleteMailboxRequest{Call: call, ID: resp.Mailbox.ID}); err != nil {
			f.Logf("delete mailbox afterwards: %v", err)
		}
	})
	return resp.Mailbox
}
