package providertest

import (
	"bytes"
	"context"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// verb is one verb of an account, ready to be called.
type verb struct {
	name string
	need provider.Capability
	call func(ctx context.Context) error
}

// verbs are all that the provider has of an account's verbs, about one message
// and one mailbox; both may be such that do not exist. Revoke is left out: it
// would end the grant that the cases share.
func (f *fixture) verbs(account, id, mailbox string) []verb {
	c := provider.Call{Account: account}
	l := newLetter("nobody@providertest.example")
	prepared := provider.Prepared{ProviderID: id, State: []byte("{}"), MessageID: l.want.MessageID}
	all := []verb{
		{"mailboxes", "", func(ctx context.Context) error {
			_, err := f.p.Mailboxes(ctx, &provider.MailboxesRequest{Call: c})
			return err
		}},
		{"enumerate", "", func(ctx context.Context) error {
			return f.p.Enumerate(ctx, &provider.EnumerateRequest{Call: c, Mailbox: mailbox}, func(*provider.EnumerateBatch) error { return nil })
		}},
		{"changes", "", func(ctx context.Context) error {
			return f.p.Changes(ctx, &provider.ChangesRequest{Call: c, Mailbox: mailbox}, func(*mail.Batch) error { return nil })
		}},
		{"fetch metadata", "", func(ctx context.Context) error {
			return f.p.Fetch(ctx, &provider.FetchRequest{Call: c, IDs: []string{id}}, &sink{})
		}},
		{"fetch raw", "", func(ctx context.Context) error {
			return f.p.Fetch(ctx, &provider.FetchRequest{Call: c, IDs: []string{id}, Mode: provider.FetchRaw}, &sink{})
		}},
		{"create mailbox", provider.CapMailboxes, func(ctx context.Context) error {
			_, err := f.p.CreateMailbox(ctx, &provider.CreateMailboxRequest{Call: c, Name: "verb-" + l.token})
			return err
		}},
		{"rename mailbox", provider.CapMailboxes, func(ctx context.Context) error {
			_, err := f.p.RenameMailbox(ctx, &provider.RenameMailboxRequest{Call: c, ID: "no-such-mailbox", Name: "verb-" + l.token})
			return err
		}},
		{"delete mailbox", provider.CapMailboxes, func(ctx context.Context) error {
			return f.p.DeleteMailbox(ctx, &provider.DeleteMailboxRequest{Call: c, ID: "no-such-mailbox"})
		}},
		{"modify", provider.CapModify, func(ctx context.Context) error {
			_, err := f.p.Modify(ctx, &provider.ModifyRequest{Call: c, IDs: []string{id}, AddKeywords: []string{mail.Seen}})
			return err
		}},
		{"append", provider.CapAppend, func(ctx context.Context) error {
			_, err := f.p.Append(ctx, &provider.AppendRequest{Call: c, OperationID: token(), Mailbox: mailbox, Size: int64(len(l.raw))}, bytes.NewReader(l.raw))
			return err
		}},
		{"copy", provider.CapCopy, func(ctx context.Context) error {
			_, err := f.p.Copy(ctx, &provider.CopyRequest{Call: c, OperationID: token(), IDs: []string{id}, Mailbox: mailbox})
			return err
		}},
		{"delete", provider.CapDelete, func(ctx context.Context) error {
			_, err := f.p.Delete(ctx, &provider.DeleteRequest{Call: c, IDs: []string{id}})
			return err
		}},
		{"purge", provider.CapPurge, func(ctx context.Context) error {
			_, err := f.p.Purge(ctx, &provider.DeleteRequest{Call: c, IDs: []string{id}})
			return err
		}},
		{"prepare", provider.CapSend, func(ctx context.Context) error {
			_, err := f.p.Prepare(ctx, &provider.PrepareRequest{
				Call: c, OperationID: token(), MessageID: l.want.MessageID, Size: int64(len(l.raw)),
				Envelope: provider.Envelope{From: f.w.Address(), Recipients: []string{"nobody@providertest.example"}},
			}, bytes.NewReader(l.raw))
			return err
		}},
		{"send", provider.CapSend, func(ctx context.Context) error {
			_, err := f.p.Send(ctx, &provider.SendRequest{Call: c, OperationID: token(), Prepared: prepared})
			return err
		}},
		{"probe", provider.CapSend, func(ctx context.Context) error {
			_, err := f.p.Probe(ctx, &provider.ProbeRequest{Call: c, OperationID: token(), Prepared: prepared})
			return err
		}},
		{"identities", provider.CapIdentities, func(ctx context.Context) error {
			_, err := f.p.Identities(ctx, &provider.IdentitiesRequest{Call: c})
			return err
		}},
		{"search", provider.CapSearch, func(ctx context.Context) error {
			_, err := f.p.Search(ctx, &provider.SearchRequest{Call: c, Text: l.token, After: time.Unix(0, 0)})
			return err
		}},
		{"watch", provider.CapWatch, func(ctx context.Context) error {
			_, err := f.p.Watch(ctx, &provider.WatchRequest{Call: c})
			return err
		}},
		{"unwatch", provider.CapWatch, func(ctx context.Context) error {
			return f.p.Unwatch(ctx, &provider.UnwatchRequest{Call: c, ID: "no-such-channel"})
		}},
	}
	var out []verb
	for _, v := range all {
		if v.need == "" || f.info.Has(v.need) {
			out = append(out, v)
		}
	}
	return out
}
