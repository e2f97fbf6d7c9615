package gmail

import (
	"context"
	"time"

	"golang.org/x/oauth2"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
)

const opRenew = "renew access token"

func (p *Provider) newTokens(account string, g *grant) *oauth.Source[*grant] {
	return oauth.NewSource(oauth.Options[*grant]{
		Account: account, Now: p.now, Log: p.log, Host: &p.host, Calls: &p.calls,
		Settings: func() any { return p.conf.Load() },
		Bytes:    (*grant).bytes,
		Renew:    p.renew,
	}, g)
}

// renew asks Google for an access token. Google keeps the refresh token as it
// is and answers without one; should it give another one, or change how long
// the consent holds, the host stores that before the token is used.
func (p *Provider) renew(ctx context.Context, r *oauth.Renewal[*grant]) (oauth.Token, error) {
	conf := r.Settings.(*config)
	g := r.Grant
	if g.ClientID != conf.oauth.ClientID {
		return oauth.Token{}, &mail.Error{Kind: mail.KindGrantExpired, Op: opRenew, Code: "other_application",
			Message: "the account was connected through another OAuth client; its owner must connect it again"}
	}
	asked := p.now()
	token, err := conf.oauth.TokenSource(conf.authContext(ctx), &oauth2.Token{RefreshToken: g.RefreshToken}).Token()
	if err != nil {
		e := p.tokenError(opRenew, err)
		if e.Kind == mail.KindGrantExpired && !g.Expires.IsZero() && !p.now().Before(g.Expires) {
			e.Message = "the consent was for a time, which has ended (of applications in testing mode it is 7 days): the owner must connect the account again"
		}
		return oauth.Token{}, e
	}
	next := *g
	if token.RefreshToken != "" {
		next.RefreshToken = token.RefreshToken
	}
	if expires := consentEnd(token, asked); !expires.IsZero() && expires.Sub(g.Expires).Abs() > time.Minute {
		next.Expires = expires
	}
	if next.RefreshToken != g.RefreshToken || !next.Expires.Equal(g.Expires) {
		if err := r.Save(ctx, &next); err != nil {
			return oauth.Token{}, err
		}
	}
	return oauth.Token{Access: token.AccessToken, Usable: asked.Add(oauth.UsableFor(lifetime(token)))}, nil
}

// authContext makes the library use our connections.
func (c *config) authContext(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.authHTTP)
}

// lifetime is how long an access token lives. One of which nothing is said is
// taken for one of an hour, as all of Google's are.
func lifetime(t *oauth2.Token) time.Duration {
	if t.ExpiresIn > 0 {
		return time.Duration(t.ExpiresIn) * time.Second
	}
	return time.Hour
}

// consentEnd is when the refresh token dies whatever happens, zero where
// nothing is said.
func consentEnd(t *oauth2.Token, asked time.Time) time.Time {
	if s, ok := t.Extra("refresh_token_expires_in").(float64); ok && s > 0 && s < 100*365*24*3600 {
		return asked.Add(time.Duration(s) * time.Second).UTC().Truncate(time.Second)
	}
	return time.Time{}
}
