package providertest

import (
	"bytes"
	"strings"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

func identityCases() []Case {
	lists := needs(provider.CapIdentities)
	return []Case{
		{Name: "identities/own", Doc: "the account's own address is among those it may send from", Needs: lists, test: identitiesOwn},
		{Name: "identities/well-formed", Doc: "each is an address, once, and at most one is the default", Needs: lists, test: identitiesWellFormed},
		{Name: "identities/send", Doc: "a message from each of them is sent", Needs: needs(provider.CapIdentities, provider.CapSend), test: identitiesSend},
	}
}

func (f *fixture) identities() []mail.Identity {
	f.Helper()
	resp, err := f.p.Identities(f.ctx, &provider.IdentitiesRequest{Call: f.call()})
	f.must("identities", err)
	return resp.Identities
}

func identitiesOwn(f *fixture) {
	list := f.identities()
	for _, i := range list {
		if strings.EqualFold(i.Email, f.w.Address()) {
			return
		}
	}
	f.Errorf("%s may send from %v, not from its own address", f.w.Address(), list)
}

func identitiesWellFormed(f *fixture) {
	seen, defaults := map[string]bool{}, 0
	for _, i := range f.identities() {
		local, domain, ok := strings.Cut(i.Email, "@")
		if !ok || local == "" || domain == "" || strings.ContainsAny(i.Email, " <>\r\n") {
			f.Errorf("%q is no address", i.Email)
		}
		if at := strings.ToLower(i.Email); seen[at] {
			f.Errorf("%s is listed twice", i.Email)
		} else {
			seen[at] = true
		}
		if i.Default {
			defaults++
		}
	}
	if defaults > 1 {
		f.Errorf("%d identities are the default", defaults)
	}
}

func identitiesSend(f *fixture) {
	to := f.recipient(0)
	for n, i := range f.identities() {
		if n == 3 {
			break // many addresses say no more than a few
		}
		s := &submission{letter: newLetter(to, from(i.Email), alone), operation: token(), recipients: []string{to}}
		req := f.prepareRequest(s)
		req.Envelope.From = i.Email
		resp, err := f.p.Prepare(f.ctx, req, bytes.NewReader(s.raw))
		f.must("prepare from "+i.Email, err)
		s.prepared = resp.Prepared
		_, err = f.send(s)
		f.must("send from "+i.Email, err)
		f.settled(s, provider.OutcomeSent)
	}
}
