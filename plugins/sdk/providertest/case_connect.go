package providertest

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func connectCases() []Case {
	return []Case{
		{Name: "connect/url", Doc: "the URL is absolute and carries the state; what is pending stays out of it", Needs: needs(provider.CapConnect), test: connectURL},
		{Name: "connect/finish", Doc: "the callback becomes accounts and a grant that opens them", Needs: needs(provider.CapConnect), test: connectFinish},
		{Name: "connect/again", Doc: "the same owner has the same subject after connecting again", Needs: needs(provider.CapConnect), test: connectAgain},
		{Name: "connect/denied", Doc: "an owner's refusal is forbidden", Needs: needs(provider.CapConnect), test: connectDenied},
		{Name: "connect/wrong-state", Doc: "a callback with another state is refused", Needs: needs(provider.CapConnect), test: connectWrongState},
		{Name: "connect/replayed", Doc: "a callback works once", Needs: needs(provider.CapConnect), test: connectReplayed},
		{Name: "connect/foreign-pending", Doc: "pending bytes of nobody are refused", Needs: needs(provider.CapConnect), test: connectForeignPending},
		{Name: "connect/empty-callback", Doc: "a callback without parameters is refused", Needs: needs(provider.CapConnect), test: connectEmpty},
	}
}

func connectURL(f *fixture) {
	var urls []string
	for range 2 {
		state := token()
		resp, err := f.p.BeginConnect(f.ctx, &provider.BeginConnectRequest{State: state, RedirectURL: f.w.RedirectURL(), LoginHint: f.w.Address()})
		f.must("begin connect", err)
		u, err := url.Parse(resp.URL)
		if err != nil || !u.IsAbs() || u.Host == "" {
			f.Fatalf("the url %q is not absolute (%v)", resp.URL, err)
		}
		if got := u.Query().Get("state"); got != state {
			f.Errorf("the url's state is %q, want %q", got, state)
		}
		if len(resp.Pending) == 0 {
			f.Errorf("nothing is pending: a callback could not be told from a forged one")
		} else if plain, err := url.QueryUnescape(u.RawQuery); err == nil && strings.Contains(plain, string(resp.Pending)) {
			f.Errorf("the url holds the pending bytes, which are secret")
		}
		urls = append(urls, resp.URL)
	}
	if urls[0] == urls[1] {
		f.Errorf("two consents have the same url")
	}
}

func connectFinish(f *fixture) {
	resp := f.finish(f.begin())
	if len(resp.Grant) == 0 {
		f.Errorf("the grant is empty")
	}
	for _, a := range resp.Accounts {
		if a.Subject == "" || a.Address == "" {
			f.Errorf("an account has subject %q and address %q; both are needed", a.Subject, a.Address)
		}
	}
	i := slices.IndexFunc(resp.Accounts, func(a provider.ConnectedAccount) bool { return strings.EqualFold(a.Address, f.w.Address()) })
	if i < 0 {
		f.Fatalf("the grant opens %v, not %s", resp.Accounts, f.w.Address())
	}
	a := f.open(&account{address: resp.Accounts[i].Address, subject: resp.Accounts[i].Subject, grant: resp.Grant})
	_, err := f.p.Mailboxes(f.ctx, &provider.MailboxesRequest{Call: provider.Call{Account: a.id}})
	f.must("mailboxes with the new grant", err)
}

func connectAgain(f *fixture) {
	first, second := f.connect(), f.connect()
	if first.subject != second.subject {
		f.Errorf("the subject was %q, then %q", first.subject, second.subject)
	}
}

func connectDenied(f *fixture) {
	state := token()
	began, err := f.p.BeginConnect(f.ctx, &provider.BeginConnectRequest{State: state, RedirectURL: f.w.RedirectURL(), LoginHint: f.w.Address()})
	f.must("begin connect", err)
	callback, err := f.w.Deny(f.ctx, began.URL)
	f.hook(err)
	_, err = f.p.FinishConnect(f.ctx, &provider.FinishConnectRequest{Pending: began.Pending, RedirectURL: f.w.RedirectURL(), Params: callback})
	f.kind("finish connect after a refusal", err, mail.KindForbidden)
}

func connectWrongState(f *fixture) {
	req := f.begin()
	params := maps.Clone(req.Params)
	params["state"] = []string{"somebody-else's"}
	_, err := f.p.FinishConnect(f.ctx, &provider.FinishConnectRequest{Pending: req.Pending, RedirectURL: req.RedirectURL, Params: params})
	f.kind("finish connect with another state", err, mail.KindInvalid, mail.KindForbidden)
}

func connectReplayed(f *fixture) {
	req := f.begin()
	f.finish(req)
	_, err := f.p.FinishConnect(f.ctx, req)
	f.kind("finish connect again with the same callback", err, mail.KindInvalid, mail.KindForbidden, mail.KindConflict, mail.KindGrantExpired)
}

func connectForeignPending(f *fixture) {
	req := f.begin()
	req.Pending = []byte("\x00these are not your bytes")
	_, err := f.p.FinishConnect(f.ctx, req)
	f.kind("finish connect with foreign pending bytes", err, mail.KindInvalid, mail.KindForbidden)
}

func connectEmpty(f *fixture) {
	req := f.begin()
	req.Params = nil
	_, err := f.p.FinishConnect(f.ctx, req)
	f.kind("finish connect without parameters", err, mail.KindInvalid, mail.KindForbidden)
}
