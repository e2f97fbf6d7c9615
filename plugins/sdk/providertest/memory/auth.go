package memory

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// retryAfter is what a throttled answer asks for.
const retryAfter = time.Second

// refreshLimit bounds a token request, whoever waits for it.
const refreshLimit = 30 * time.Second

// errTokenExpired never leaves the package.
var errTokenExpired = errors.New("access token expired")

// grant is what Open gets and SaveGrant gives: the secret that refreshes, and
// the last access token.
type grant struct {
	Secret string `json:"secret"`
	Token  string `json:"token"`
}

func (g grant) bytes() []byte {
	b, err := json.Marshal(g)
	if err != nil {
		return nil // two strings always marshal
	}
	return b
}

func parseGrant(b []byte) (grant, error) {
	var g grant
	if err := json.Unmarshal(b, &g); err != nil || g.Secret == "" {
		return g, mail.Errorf(mail.KindGrantExpired, "open", "the grant cannot be read")
	}
	return g, nil
}

// subject is the immutable key of an address's owner.
func subject(address string) string { return "memory:" + key(address) }

// newGrant makes a grant for an address. The caller holds mu.
func (c *Cloud) newGrant(address string) (grant, error) {
	if _, err := c.find(address); err != nil {
		return grant{}, err
	}
	g := grant{Secret: c.newID("secret"), Token: c.newID("token")}
	c.grants[g.Secret] = key(address)
	c.tokens[g.Token] = key(address)
	return g, nil
}

// opened is an account that the host has opened.
type opened struct {
	id, address string

	mu     sync.Mutex
	grant  grant
	flight *flight
}

// flight is a token request on its way, for all who wait for it.
type flight struct {
	done  chan struct{}
	token string
	err   error
}

func (o *opened) token() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.grant.Token
}

// refresh gives a token newer than the stale one. However many calls ask, one
// request leaves; a caller that gives up leaves the others waiting.
func (p *Provider) refresh(ctx context.Context, o *opened, stale string) (string, error) {
	o.mu.Lock()
	if o.grant.Token != stale {
		defer o.mu.Unlock()
		return o.grant.Token, nil
	}
	f := o.flight
	if f == nil {
		f = &flight{done: make(chan struct{})}
		o.flight = f
		go p.fly(context.WithoutCancel(ctx), o, f)
	}
	o.mu.Unlock()
	select {
	case <-f.done:
		return f.token, f.err
	case <-ctx.Done():
		return "", &mail.Error{Kind: mail.KindUnavailable, Op: "refresh token", Message: "the caller gave up", Err: ctx.Err()}
	}
}

// fly makes the token request. The host stores the new grant before anybody
// uses what came with it: a crash in between must not lose the account.
func (p *Provider) fly(ctx context.Context, o *opened, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, refreshLimit)
	defer cancel()
	o.mu.Lock()
	old := o.grant
	o.mu.Unlock()

	fresh, err := p.renew(ctx, o, old)

	o.mu.Lock()
	if err == nil {
		o.grant, f.token = fresh, fresh.Token
	}
	f.err, o.flight = err, nil
	o.mu.Unlock()
	close(f.done)
}

func (p *Provider) renew(ctx context.Context, o *opened, old grant) (grant, error) {
	host, err := p.waitHost(ctx)
	if err != nil {
		return grant{}, err
	}
	fresh, err := p.cloud.refreshToken(ctx, old.Secret)
	if err != nil {
		if mail.KindOf(err) == mail.KindGrantExpired {
			if told := host.GrantRefused(ctx, o.id, err); told != nil {
				return grant{}, &mail.Error{Kind: mail.KindGrantExpired, Op: "refresh token", Message: "the grant was withdrawn", Err: errors.Join(err, told)}
			}
		}
		return grant{}, err
	}
	if err := host.SaveGrant(ctx, o.id, fresh.bytes()); err != nil {
		return grant{}, mail.Errorf(mail.KindUnavailable, "save grant", "save grant: %w", err)
	}
	return fresh, nil
}

// refreshToken is the cloud's token endpoint. The secret is replaced; the old
// one works until then, so that an answer lost on the way loses nothing.
func (c *Cloud) refreshToken(ctx context.Context, secret string) (grant, error) {
	c.mu.Lock()
	c.asked++
	address := c.grants[secret]
	c.mu.Unlock()
	if address == "" {
		return grant{}, mail.Errorf(mail.KindGrantExpired, "refresh token", "the grant was withdrawn")
	}
	if _, err := c.enter(ctx, "token", address); err != nil {
		return grant{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newGrant(address)
}

// pending is what FinishConnect must know of BeginConnect.
type pending struct {
	State string `json:"state"`
}

// BeginConnect makes a URL on a host that does not exist; Cloud.Authorize
// plays the owner who goes there.
func (p *Provider) BeginConnect(_ context.Context, req *provider.BeginConnectRequest) (*provider.BeginConnectResponse, error) {
	if err := p.supports("begin connect"); err != nil {
		return nil, err
	}
	q := url.Values{"state": {req.State}, "redirect_uri": {req.RedirectURL}}
	if req.LoginHint != "" {
		q.Set("login_hint", req.LoginHint)
	}
	b, err := json.Marshal(pending{State: req.State})
	if err != nil {
		return nil, wrap("begin connect", err)
	}
	return &provider.BeginConnectResponse{URL: "http://memory.invalid/authorize?" + q.Encode(), Pending: b}, nil
}

// Authorize plays the owner of an address at the authorize page, and gives the
// parameters with which the browser comes back.
func (c *Cloud) Authorize(authorizeURL, address string, approve bool) (url.Values, error) {
	u, err := url.Parse(authorizeURL)
	if err != nil {
		return nil, err
	}
	back := url.Values{"state": {u.Query().Get("state")}}
	if !approve {
		back.Set("error", "access_denied")
		return back, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.find(address); err != nil {
		return nil, err
	}
	if c.unapproved {
		back.Set("error", codeUnapproved)
		return back, nil
	}
	code := c.newID("code")
	c.codes[code] = key(address)
	back.Set("code", code)
	return back, nil
}

// FinishConnect redeems the code. An account's own address is a code too, for
// tests that have no browser.
func (p *Provider) FinishConnect(_ context.Context, req *provider.FinishConnectRequest) (*provider.FinishConnectResponse, error) {
	const op = "finish connect"
	if err := p.supports(op); err != nil {
		return nil, err
	}
	params := url.Values(req.Params)
	if req.Approval {
		return &provider.FinishConnectResponse{}, approval(params)
	}
	var began pending
	if err := json.Unmarshal(req.Pending, &began); err != nil {
		return nil, mail.Errorf(mail.KindInvalid, op, "this connection was not begun here")
	}
	if params.Get("state") != began.State {
		return nil, mail.Errorf(mail.KindInvalid, op, "the state is not the one that was sent")
	}
	switch code := params.Get("error"); code {
	case "":
	case codeUnapproved:
		return nil, notApproved(req.ApprovalState, req.RedirectURL)
	default:
		return nil, &mail.Error{Kind: mail.KindForbidden, Op: op, Code: code, Message: "the owner refused"}
	}
	c := p.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	code := params.Get("code")
	address, ok := c.codes[code]
	if !ok && c.accounts[key(code)] != nil {
		address, ok = key(code), true
	}
	if !ok {
		return nil, mail.Errorf(mail.KindInvalid, op, "the code is unknown or was used before")
	}
	delete(c.codes, code)
	g, err := c.newGrant(address)
	if err != nil {
		return nil, wrap(op, err)
	}
	a := c.accounts[address]
	return &provider.FinishConnectResponse{
		Accounts: []provider.ConnectedAccount{{Subject: subject(address), Address: a.address, Name: a.name}},
		Granted:  []string{"mail"},
		Grant:    g.bytes(), ExpiresAt: c.grantsEnd, ExpiresReason: c.grantsEndWhy,
	}, nil
}

// Revoke gives the grant back. A dead one is success.
func (p *Provider) Revoke(ctx context.Context, req *provider.RevokeRequest) error {
	if err := p.supports("revoke"); err != nil {
		return err
	}
	p.mu.Lock()
	o := p.open[req.Account]
	p.mu.Unlock()
	if o == nil {
		return provider.ErrNotOpen
	}
	if _, err := p.cloud.enter(ctx, "revoke", o.address); err != nil {
		return wrap("revoke", err)
	}
	o.mu.Lock()
	g := o.grant
	o.mu.Unlock()
	p.cloud.mu.Lock()
	defer p.cloud.mu.Unlock()
	delete(p.cloud.grants, g.Secret)
	delete(p.cloud.tokens, g.Token)
	return nil
}
