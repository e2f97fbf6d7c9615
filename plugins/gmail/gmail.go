// Package gmail is Postern's provider for Gmail and Google Workspace: mail by
// the Gmail API, sign-in by Google's OAuth, push by Cloud Pub/Sub.
//
// What it keeps true:
//
//   - New grant bytes are stored by the host before the access token that came
//     with them is used, and one renewal leaves however many wait
//     (plugins/sdk/oauth).
//   - Within no minute more quota units are spent than the settings allow, and
//     never more requests run at once on one mailbox than Gmail takes, the
//     parts of batches included (client.go, batch.go). While Gmail wants silence
//     for longer than anybody waits, all are told so at once; a cap of what may
//     be sent is about sending alone (silence.go).
//   - The cursor of a listing is older than the listing: what changes meanwhile
//     is told by the history that follows (changes.go).
//   - Raw bytes go out and come back as they were stored (fetch.go).
//   - Nothing is sent twice: Prepare makes a draft, Send sends that draft, and a
//     lost answer is settled by looking for the Message-ID.
//
// Labels are mailboxes, and a message may be in several. Archived mail has no
// label at all: the mailbox ALL, which Gmail's API does not have, holds
// whatever is in neither Trash nor Spam (labels.go). Read is the absence of
// UNREAD, flagged is STARRED.
//
// How it fails: with *mail.Error. What the token endpoint refuses is sorted by
// tokenerr.go, what the API refuses by errors.go.
//
// Where to start: Provider below, then client.go and changes.go. Everything
// that the sources of Gmail's behaviour dispute is a setting (config.go).
package gmail

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	gmailapi "google.golang.org/api/gmail/v1"

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
	// MaxAnswer is the largest answer that is read, in bytes, raw messages
	// apart; 64 MiB where it is 0.
	MaxAnswer int64
	// MaxRaw is the largest answer with a raw message, in bytes; 256 MiB where
	// it is 0, which is more than Gmail has.
	MaxRaw int64
}

// Provider implements provider.Provider for Gmail. One serves one instance, any
// number of accounts.
type Provider struct {
	provider.Unsupported

	now    func() time.Time
	logger *slog.Logger

	conf  atomic.Pointer[config]
	host  session.Host
	calls session.Calls
	// listening are the feeds that run, by settings of the moment; deaf is set
	// while one cannot until the operator acts.
	listening session.Calls
	deaf      atomic.Bool
	// large bounds the big messages that are held in memory at once, answers
	// the big answers.
	large, answers chan struct{}
	echoes         echoes
	// largest is Options.MaxAnswer, largestRaw Options.MaxRaw.
	largest, largestRaw int64

	mu       sync.Mutex
	accounts map[string]*account
}

// New makes a Provider.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxRaw == 0 {
		o.MaxRaw = maxRaw
	}
	if o.MaxAnswer == 0 {
		o.MaxAnswer = 64 << 20
	}
	return &Provider{now: o.Now, logger: o.Log, largest: o.MaxAnswer, largestRaw: o.MaxRaw, large: make(chan struct{}, 2), answers: make(chan struct{}, 4), accounts: make(map[string]*account)}
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
	address string
	tokens  *oauth.Source[*grant]
	limiter *pace.Limiter
	// proven is set once a cursor was seen to be of the account's history.
	proven   atomic.Bool
	senders  senders
	made     operations
	silences silences

	mu sync.Mutex
	// service is the client of the settings in conf.
	service *gmailapi.Service
	conf    *config
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
	if req.Subject != "" && req.Subject != g.Subject {
		return &mail.Error{Kind: mail.KindInvalid, Op: op, Code: "other_subject", Message: "the grant belongs to another person"}
	}
	address := req.Address
	if address == "" {
		address = g.Address
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.accounts[req.Account]; a != nil {
		a.tokens.Replace(g)
		return nil
	}
	limiter := pace.NewLimiter(conf.maxConcurrent)
	limiter.SetQuota(conf.quota())
	p.accounts[req.Account] = &account{id: req.Account, address: address, tokens: p.newTokens(req.Account, g), limiter: limiter}
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

// Session keeps the host and cancels everything when it leaves.
func (p *Provider) Session(ctx context.Context, host provider.Host) error {
	session.Run(ctx, host, &p.host, &p.calls)
	p.echoes.end()
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
	gmail *gmailapi.Service
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
	service, err := a.client(conf)
	if err != nil {
		return nil, nil, nil, &mail.Error{Kind: mail.KindInternal, Op: op, Message: "make a client of Gmail", Err: err}
	}
	ctx, done := p.calls.Add(ctx)
	return ctx, &call{p: p, conf: conf, acct: a, gmail: service, prio: pace.Priority(c.Priority), op: op}, done, nil
}

// client gives the account's client, made anew when the settings have changed.
func (a *account) client(conf *config) (*gmailapi.Service, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conf == conf {
		return a.service, nil
	}
	s, err := conf.service()
	if err != nil {
		return nil, fmt.Errorf("client of the settings: %w", err)
	}
	a.service, a.conf = s, conf
	return s, nil
}

// cancelled is the error of a call whose context has ended.
func cancelled(op string, ctx context.Context) error {
	return &mail.Error{Kind: mail.KindUnavailable, Op: op, Message: "the call was cancelled", Err: ctx.Err()}
}

func notConfigured(op string) error {
	return &mail.Error{Kind: mail.KindMisconfigured, Op: op, Code: "not_configured", Message: "the provider has no settings yet"}
}
