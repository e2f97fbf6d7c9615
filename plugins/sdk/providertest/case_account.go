package providertest

import (
	"bytes"
	"errors"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func accountCases() []Case {
	return []Case{
		{Name: "account/not-open", Doc: "every verb of an unknown account answers ErrNotOpen", Read: true, test: accountNotOpen},
		{Name: "account/open-close", Doc: "Open and Close can be repeated; a closed account is not open", Read: true, test: accountOpenClose},
		{Name: "account/two", Doc: "closing one account leaves the others open", Read: true, test: accountTwo},
		{Name: "account/junk-grant", Doc: "a grant that is none opens nothing", test: accountJunkGrant},
		{Name: "account/unsupported", Doc: "verbs without their capability answer invalid", test: accountUnsupported},
	}
}

// notOpen checks for ErrNotOpen as it is after any wire.
func (f *fixture) notOpen(what string, err error) {
	f.Helper()
	var e *mail.Error
	if !errors.As(err, &e) || e.Kind != mail.KindUnavailable || e.Code != provider.CodeNotOpen {
		f.Errorf("%s: %v, want ErrNotOpen", what, err)
	}
}

func accountNotOpen(f *fixture) {
	for _, v := range f.verbs("no-such-account", "no-such-message", "no-such-mailbox") {
		f.notOpen(v.name, v.call(f.ctx))
	}
	if f.info.Has(provider.CapRevoke) {
		f.notOpen("revoke", f.p.Revoke(f.ctx, &provider.RevokeRequest{Call: provider.Call{Account: "no-such-account"}}))
	}
}

func accountOpenClose(f *fixture) {
	a := f.open(f.connect())
	list := func() error {
		_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: a.id}})
		return err
	}
	f.must("mailboxes", list())
	f.must("open again", f.p.Open(f.ctx, f.openRequest(a)))
	f.must("mailboxes after opening again", list())
	for range 2 {
		f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: a.id}))
		f.notOpen("mailboxes after closing", list())
	}
	f.must("open after closing", f.p.Open(f.ctx, f.openRequest(a)))
	f.must("mailboxes after opening", list())
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: a.id}))
}

func accountTwo(f *fixture) {
	one, two := f.open(f.connect()), f.open(f.connect())
	f.must("close one", f.p.Close(f.ctx, &provider.CloseRequest{Account: one.id}))
	_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: two.id}})
	f.must("mailboxes of the other", err)
	f.must("close the other", f.p.Close(f.ctx, &provider.CloseRequest{Account: two.id}))
}

func accountJunkGrant(f *fixture) {
	if f.info.SignIn == provider.SignInNone {
		f.Skipf("the provider has no grants")
	}
	call := provider.Call{Account: "account-junk"}
	err := f.p.Open(f.ctx, &provider.OpenRequest{Account: call.Account, Subject: "junk", Address: f.w.Address(), Grant: []byte("\x00no grant")})
	if err == nil {
		_, err = f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: call})
	}
	f.kind("a junk grant", err, mail.KindGrantExpired, mail.KindInvalid)
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: call.Account}))
}

// accountUnsupported calls what the provider says it cannot do. Revoke,
// Unwatch and Listen may answer as if there were nothing to do.
func accountUnsupported(f *fixture) {
	c, tried := f.call(), 0
	l := newLetter("nobody@providertest.example")
	try := func(need provider.Capability, verb string, call func() error) {
		if !f.info.Has(need) {
			tried++
			f.kind(verb, call(), mail.KindInvalid)
		}
	}
	try(provider.CapMailboxes, "create mailbox", func() error {
		_, err := f.p.CreateMailbox(f.ctx, &provider.CreateMailboxRequest{Call: c, Name: l.token})
		return err
	})
	try(provider.CapModify, "modify", func() error {
		_, err := f.p.Modify(f.ctx, &provider.ModifyRequest{Call: c})
		return err
	})
	try(provider.CapAppend, "append", func() error {
		_, err := f.p.Append(f.ctx, &provider.AppendRequest{Call: c, Mailbox: "no-such-mailbox", Size: int64(len(l.raw))}, bytes.NewReader(l.raw))
		return err
	})
	try(provider.CapCopy, "copy", func() error {
		_, err := f.p.Copy(f.ctx, &provider.CopyRequest{Call: c})
		return err
	})
	try(provider.CapDelete, "delete", func() error {
		_, err := f.p.Delete(f.ctx, &provider.DeleteRequest{Call: c})
		return err
	})
	try(provider.CapPurge, "purge", func() error {
		_, err := f.p.Purge(f.ctx, &provider.DeleteRequest{Call: c})
		return err
	})
	try(provider.CapSend, "prepare", func() error {
		_, err := f.p.Prepare(f.ctx, &provider.PrepareRequest{Call: c, Size: int64(len(l.raw))}, bytes.NewReader(l.raw))
		return err
	})
	try(provider.CapIdentities, "identities", func() error {
		_, err := f.p.Identities(f.ctx, &provider.IdentitiesRequest{Call: c})
		return err
	})
	try(provider.CapSearch, "search", func() error {
		_, err := f.p.Search(f.ctx, &provider.SearchRequest{Call: c, Text: l.token})
		return err
	})
	try(provider.CapWatch, "watch", func() error {
		_, err := f.p.Watch(f.ctx, &provider.WatchRequest{Call: c})
		return err
	})
	try(provider.CapConnect, "begin connect", func() error {
		_, err := f.p.BeginConnect(f.ctx, &provider.BeginConnectRequest{State: l.token})
		return err
	})
	if tried == 0 {
		f.Skipf("the provider can do everything")
	}
}
