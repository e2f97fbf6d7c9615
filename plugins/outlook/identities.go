package outlook

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Identities lists the owner's own address and the aliases in proxyAddresses
// ("user resource type"). The list is partial: who may send as, or on behalf
// of, somebody else is kept by Exchange, which tells it of nobody and judges
// what is sent (ErrorSendAsDenied).
func (p *Provider) Identities(ctx context.Context, req *provider.IdentitiesRequest) (*provider.IdentitiesResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "list identities")
	if err != nil {
		return nil, err
	}
	defer done()
	me, err := c.me(ctx, "displayName,mail,userPrincipalName,proxyAddresses")
	if mail.KindOf(err) == mail.KindInvalid {
		// Personal accounts have no such property.
		me, err = c.me(ctx, "displayName,mail,userPrincipalName")
	}
	if err != nil {
		return nil, err
	}
	return &provider.IdentitiesResponse{Identities: identities(me), Partial: true}, nil
}

func (c *call) me(ctx context.Context, properties string) (*msgraph.User, error) {
	me := &msgraph.User{}
	err := c.graph.Do(ctx, &msgraph.Request{
		Op: c.op, Method: http.MethodGet, Path: "/me", Query: url.Values{"$select": {properties}}, Priority: c.prio,
	}, me)
	return me, err
}

// identities are the own address first, then the aliases. In proxyAddresses
// SMTP: marks the primary address and smtp: the others; what else there is
// (SIP:, X500:) takes no mail.
func identities(me *msgraph.User) []mail.Identity {
	var out []mail.Identity
	add := func(address string) {
		if strings.Contains(address, "@") && !slices.ContainsFunc(out, func(i mail.Identity) bool { return strings.EqualFold(i.Email, address) }) {
			out = append(out, mail.Identity{Email: address, Name: me.DisplayName, Default: len(out) == 0})
		}
	}
	add(me.Mail)
	if len(out) == 0 {
		add(me.UserPrincipalName)
	}
	for _, a := range me.ProxyAddresses {
		if kind, address, ok := strings.Cut(a, ":"); ok && strings.EqualFold(kind, "smtp") {
			add(address)
		}
	}
	return out
}
