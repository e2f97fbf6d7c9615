package outlook

import (
	"context"
	"encoding/json"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
)

// blipsAllowed is how often in a row AADSTS70000 is taken for a passing fault:
// the same refresh token has worked again after it.
const blipsAllowed = 3

// renewer renews the access tokens of one account, one at a time. The library
// does not coalesce renewals (fifty calls on an expired token make fifty
// requests, which rotation turns into forty-nine refusals), and mixes accounts
// up when they share a client under load. So there is one client and one cache
// blob per account here, and one flight at a time (oauth.Source).
type renewer struct {
	p *Provider
	// blips of the grant of that generation.
	blips, generation int
}

func newTokens(p *Provider, account string, g *grant) *oauth.Source[*grant] {
	t := &renewer{p: p}
	return oauth.NewSource(oauth.Options[*grant]{
		Account: account, Now: p.now, Log: p.log, Host: &p.host, Calls: &p.calls,
		Settings: func() any { return p.conf.Load() },
		Bytes:    (*grant).bytes,
		Renew:    t.renew,
	}, g)
}

const opRenew = "renew access token"

// renew asks the identity platform, stores the new grant, and only then gives
// the token out.
func (t *renewer) renew(ctx context.Context, r *oauth.Renewal[*grant]) (oauth.Token, error) {
	g, conf := r.Grant, r.Settings.(*config)
	if t.generation != r.Generation {
		t.blips, t.generation = 0, r.Generation
	}
	if g.ClientID != conf.clientID {
		return oauth.Token{}, &mail.Error{Kind: mail.KindGrantExpired, Op: opRenew, Code: "other_application",
			Message: "the account was connected through another application; its owner must connect it again"}
	}
	x := &exchange{http: conf.authHTTP, now: t.p.now}
	store := &blobCache{blob: g.Cache, export: func(blob json.RawMessage) error {
		next := *g
		next.Cache = blob
		return r.Save(ctx, &next)
	}}
	client, err := conf.signInClient(x, store)
	if err != nil {
		return oauth.Token{}, &mail.Error{Kind: mail.KindMisconfigured, Op: opRenew, Message: "the sign-in settings cannot be used", Err: err}
	}
	result, err := client.AcquireTokenSilent(ctx, resourceScopes(g.Scopes),
		confidential.WithSilentAccount(confidential.Account{HomeAccountID: g.HomeAccountID}))
	if err != nil {
		return oauth.Token{}, t.judge(x, store, err)
	}
	t.blips = 0
	lifetime := x.lifetime
	if lifetime <= 0 {
		lifetime = result.ExpiresOn.Sub(x.sentAt)
	}
	// (The library itself renews at every call what lives for five minutes or
	// less.)
	return oauth.Token{Access: result.AccessToken, Usable: x.sentAt.Add(oauth.UsableFor(lifetime))}, nil
}

// judge turns a failed renewal into an error of a kind. It looks at what went
// over the wire, not at the library's texts, which quote requests and answers.
func (t *renewer) judge(x *exchange, store *blobCache, err error) error {
	if store.err != nil {
		return store.err
	}
	if x.err == nil && x.status == 0 {
		// Nothing was sent: the cache holds no refresh token for this sign-in
		// address.
		return &mail.Error{Kind: mail.KindGrantExpired, Op: opRenew, Code: "no_refresh_token",
			Message: "the grant holds no refresh token for this sign-in address; the owner must connect again"}
	}
	e := x.failure(opRenew, err)
	if e.Code == codeBlip {
		if t.blips++; t.blips < blipsAllowed {
			e.Kind, e.RetryAfter = mail.KindUnavailable, 2*time.Second
		}
	}
	return e
}

// blobCache is the library's window on one account's cache.
type blobCache struct {
	blob   json.RawMessage
	export func(json.RawMessage) error
	err    error
}

var _ cache.ExportReplace = (*blobCache)(nil)

// Replace loads the library's cache.
func (b *blobCache) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	if b.blob == nil {
		return nil
	}
	return c.Unmarshal(b.blob)
}

// Export stores it. Where that fails the library gives no token out.
func (b *blobCache) Export(_ context.Context, c cache.Marshaler, _ cache.ExportHints) error {
	data, err := c.Marshal()
	if err == nil {
		var blob json.RawMessage
		if blob, err = withoutAccessTokens(data); err == nil {
			err = b.export(blob)
			if err == nil {
				b.blob = blob
			}
		}
	}
	b.err = err
	return err
}

func (c *config) signInClient(x *exchange, store *blobCache) (confidential.Client, error) {
	return confidential.New(c.authority, c.clientID, c.credential,
		confidential.WithHTTPClient(x),
		// With it the library asks the real login.microsoftonline.com about
		// every authority that it does not know.
		confidential.WithInstanceDiscovery(false),
		confidential.WithCache(store))
}
