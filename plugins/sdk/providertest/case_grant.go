package providertest

import (
	"bytes"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func grantCases() []Case {
	return []Case{
		{Name: "token/expired", Doc: "an expired token is renewed without the caller's notice", test: tokenExpired},
		{Name: "grant/saved", Doc: "the grant saved last opens the account", test: grantSaved},
		{Name: "grant/saved-first", Doc: "what came with a new grant is not used before SaveGrant has answered nil", test: grantSavedFirst},
		{Name: "grant/give-back", Doc: "a grant given back is dead; giving it back again is success", Needs: needs(provider.CapRevoke), test: grantGiveBack},
		{Name: "grant/revoked", Doc: "a grant that the owner withdrew is grant_expired, and the host is told", test: grantRevoked},
	}
}

func (f *fixture) list(a *account) error {
	_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: a.id}})
	return err
}

func tokenExpired(f *fixture) {
	a := f.acct()
	f.must("mailboxes", f.list(a))
	f.hook(f.w.ExpireTokens(f.ctx, f.w.Address()))
	f.must("mailboxes with an expired token", f.list(a))
}

func grantSaved(f *fixture) {
	a := f.open(f.connect())
	f.hook(f.w.ExpireTokens(f.ctx, f.w.Address()))
	f.must("mailboxes with an expired token", f.list(a))
	saved := f.host.saved(a.id)
	if saved == nil {
		f.Skipf("the provider saved no grant")
	}
	if bytes.Equal(saved, a.grant) {
		f.Logf("the grant saved is the one that was given")
	}
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: a.id}))
	again := f.open(&account{address: a.address, subject: a.subject, grant: saved})
	f.must("mailboxes with the grant saved", f.list(again))
	f.hook(f.w.ExpireTokens(f.ctx, f.w.Address()))
	f.must("mailboxes with the grant saved, after its token expired", f.list(again))
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: again.id}))
}

// grantSavedFirst refuses to save. A provider that then answers all the same
// has used a token whose grant would be lost in a crash.
func grantSavedFirst(f *fixture) {
	a := f.open(f.connect())
	before := f.host.rejecting(mail.Errorf(mail.KindUnavailable, "save grant", "the store is away"))
	f.Cleanup(func() { f.host.rejecting(nil) })
	f.hook(f.w.ExpireTokens(f.ctx, f.w.Address()))
	err := f.list(a)
	asked := f.host.rejecting(nil) > before
	switch {
	case err == nil && asked:
		f.Errorf("the call succeeded, though its grant was not saved")
	case err == nil:
		f.Skipf("the provider saved no grant")
	case asked:
		f.kind("a call whose grant was not saved", err, mail.KindUnavailable, mail.KindInternal)
	default:
		f.Errorf("the call failed, though the provider asked to save nothing: %v", err)
	}
	f.eventually("the next call succeeds", func() bool { return f.list(a) == nil })
	if f.host.saved(a.id) == nil {
		f.Errorf("the grant was not saved later")
	}
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: a.id}))
}

func grantGiveBack(f *fixture) {
	a := f.open(f.connect())
	f.forget() // some providers end all grants of an owner at once
	req := &provider.RevokeRequest{Call: provider.Call{Account: a.id}}
	for range 2 {
		f.must("revoke", f.p.Revoke(f.ctx, req))
	}
	f.eventually("the grant is dead", func() bool { return mail.KindOf(f.list(a)) == mail.KindGrantExpired })
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: a.id}))
}

func grantRevoked(f *fixture) {
	a := f.open(f.connect())
	f.must("mailboxes", f.list(a))
	f.hook(f.w.Revoke(f.ctx, f.w.Address()))
	f.forget()
	f.kind("mailboxes with a grant that was withdrawn", f.list(a), mail.KindGrantExpired)
	told := f.host.refuse.await(f.ctx, f.patience, func(r refusal) bool {
		return r.account == a.id && mail.KindOf(r.reason) == mail.KindGrantExpired
	})
	if !told {
		f.Errorf("the host was not told within %v that the grant is refused", f.patience)
	}
	again := f.open(f.connect())
	f.must("mailboxes after connecting again", f.list(again))
	f.must("close", f.p.Close(f.ctx, &provider.CloseRequest{Account: again.id}))
}
