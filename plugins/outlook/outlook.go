// Package outlook is Postern's provider for Outlook and Exchange Online:
// mail by Microsoft Graph, sign-in by the Microsoft identity platform.
//
// What it keeps true:
//
//   - New grant bytes are stored by the host before the access token that came
//     with them is used; a token whose grant could not be stored is not used.
//   - However many calls meet an expired token, one request goes to the token
//     endpoint, and all who waited share its outcome (plugins/sdk/oauth).
//   - Message ids are immutable ids (see msgraph), so that a move or the
//     sending of a draft keeps a message's identity.
//   - Nothing is sent twice: Prepare makes a draft, Send sends that draft, and
//     a lost answer is settled by looking at what became of it (send.go).
//   - Notify needs no account and no memory: what it checks by is derived from
//     the instance's notify key (notify.go).
//
// How it fails: with *mail.Error. What the token endpoint refuses is sorted
// into "the owner must connect again", "the operator must correct the
// settings" and "try again" by one table (tokenerr.go); what Graph refuses by
// another (msgraph/errors.go).
//
// Where to start: Provider below, then tokens.go and changes.go. Everything
// that the sources of the providers' behaviour dispute is a setting
// (config.go).
package outlook

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/oauth"
	"github.com/postern-mail/postern/plugins/sdk/pace"
	"github.com/postern-mail/postern/plugins/sdk/provider"
	"github.com/postern-mail/postern/plugins/sdk/session"
)

// Options of a Provider. Zero options work.
type Options struct {
	// Now is the clock.
	Now func() time.Time
	// Log defaults to slog's default logger, which provider.Serve sets to one
	// that the host collects.
	Log *slog.Logger
	// MaxAnswer is the largest JSON answer that is read, in bytes, 64 MiB where
	// it is 0.
	MaxAnswer int64
}

// Provider implements provider.Provider for Outlook. One serves one instance,
// any number of accounts.
type Provider struct {
	provider.Unsupported

	now    func() time.Time
	logger *slog.Logger

	conf  atomic.Pointer[config]
	host  session.Host
	calls session.Calls
	// large bounds the big messages that are held in memory at once, answers
	// the big answers.
	large, answers chan struct{}
	// largest is Options.MaxAnswer.
	largest int64

	mu       sync.Mutex
	accounts map[string]*account
}

var _ provider.Provider = (*Provider)(nil)

// New makes a Provider.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Provider{
		now:      o.Now,
		logger:   o.Log,
		largest:  o.MaxAnswer,
		large:    make(chan struct{}, 2),
		answers:  make(chan struct{}, 2),
		accounts: make(map[string]*account),
	}
}

// log is asked for at each use: the default logger is set after New.
func (p *Provider) log() *slog.Logger {
	if p.logger != nil {
		return p.logger
	}
	return slog.Default()
}

// account is one open account.
type account struct {
	id      string
	tokens  *oauth.Source[*grant]
	limiter *pace.Limiter
	roles   knownRoles
}

// Open takes an account's grant.
func (p *Provider) Open(_ context.Context, req *provider.OpenRequest) error {
	const op = "open account"
	conf := p.conf.Load()
	if conf == nil {
		return notConfigured(op)
	}
	g, err := parseGrant(req.Grant)
	if err != nil {
		return &mail.Error{Kind: mail.KindGrantExpired, Op: op, Code: "unreadable_grant", Message: "the stored grant cannot be read; connect the account again", Err: err}
	}
	if req.Subject != "" && req.Subject != g.subject() {
		return &mail.Error{Kind: mail.KindInvalid, Op: op, Code: "other_subject", Message: "the grant belongs to another person"}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[req.Account]; a != nil {
		a.tokens.Replace(g)
		return nil
	}
	p.accounts[req.Account] = &account{
		id:      req.Account,
		tokens:  newTokens(p, req.Account, g),
		limiter: pace.NewLimiter(conf.maxConcurrent),
	}
	return nil
}

// Close forgets an account.
func (p *Provider) Close(_ context.Context, req *provider.CloseRequest) error {
	p.mu.Lock()
	a := p.accounts[req.Account]
	delete(p.accounts, req.Account)
	p.mu.Unlock()
	if a != nil {
		a.tokens.Close()
	}
	return nil
}

// Revoke forgets the account. Graph offers an application with delegated
// rights no way to give back one consent (revokeSignInSessions would sign the
// owner out of everything, and needs more rights than mail): the owner or an
// administrator removes it at myaccount.microsoft.com. The refresh token is
// dropped here and dies of disuse.
func (p *Provider) Revoke(ctx context.Context, req *provider.RevokeRequest) error {
	return p.Close(ctx, &provider.CloseRequest{Account: req.Account})
}

// Session keeps the host and cancels everything when it leaves.
func (p *Provider) Session(ctx context.Context, host provider.Host) error {
	session.Run(ctx, host, &p.host, &p.calls)
	if conf := p.conf.Load(); conf != nil {
		conf.http.CloseIdleConnections()
	}
	return nil
}

// call is one running verb of an account.
type call struct {
	p     *Provider
	conf  *config
	acct  *account
	graph *msgraph.Client
	prio  pace.Priority
	op    string
}

// begin looks the account up and ties ctx to the session's life. done must be
// called.
func (p *Provider) begin(ctx context.Context, c provider.Call, op string) (context.Context, *call, func(), error) {
	conf := p.conf.Load()
	if conf == nil {
		return nil, nil, nil, notConfigured(op)
	}
	p.mu.Lock()
	a := p.accounts[c.Account]
	p.mu.Unlock()
	if a == nil {
		return nil, nil, nil, provider.ErrNotOpen
	}
	ctx, done := p.calls.Add(ctx)
	return ctx, &call{
		p: p, conf: conf, acct: a, op: op,
		prio: pace.Priority(c.Priority),
		graph: msgraph.New(msgraph.Options{
			Base: conf.graphURL, HTTP: conf.http, Tokens: a.tokens, Limiter: a.limiter, Large: p.answers, MaxAnswer: p.largest,
			Log: p.log().With("account", a.id),
		}),
	}, done, nil
}

// cancelled is the error of a call whose context has ended.
func cancelled(op string, ctx context.Context) error {
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the call was cancelled", Err: ctx.Err()}
}

func notConfigured(op string) error {
	return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "not_configured", Message: "the provider has no settings yet"}
}
