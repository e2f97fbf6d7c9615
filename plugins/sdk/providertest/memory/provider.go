// Package memory is a whole mail provider that lives in memory: a pretended
// mail system (Cloud) and a plugin on top of it (Provider). It is the sample
// to write a plugin from, the provider that the conformance suite tests itself
// with, and a fake that works for tests of everything above a provider.
//
//	p := memory.New(memory.Options{})
//	p.Cloud().AddAccount("ann@example.com", "Ann")
//	p.OpenAccount("account-1", "ann@example.com")   // without signing in
//	id, err := p.Cloud().Deliver("ann@example.com", memory.Delivery{Raw: raw})
//
// Kept true: whatever changes a message writes the account's log in the same
// step, so that a feed never misses a change; the same calls in the same order
// give the same ids; nothing is remembered outside the Cloud and the open
// accounts, so that Cloud.Provider stands for a plugin that was restarted.
//
// It fails on demand: Cloud.FailNext, Cloud.OnCall, Cloud.ExpireTokens,
// Cloud.RevokeGrants and Cloud.ForgetCursors.
//
// Start reading at Provider.call, through which every verb goes, and at
// feed.go, which is the part that most mail systems make hard.
package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// Provider is the plugin: provider.Provider on a Cloud.
type Provider struct {
	cloud *Cloud

	mu       sync.Mutex
	open     map[string]*opened // by the core's account id
	host     provider.Host      // nil outside Session
	arrived  chan struct{}      // closed when a session begins
	settings provider.ConfigureRequest
	page     int // how many messages a batch carries
}

var _ provider.Provider = (*Provider)(nil)

// New makes an empty cloud and its provider.
func New(opts Options) *Provider { return newCloud(opts).Provider() }

// Provider makes another plugin on the same cloud, which remembers nothing:
// what a restart leaves.
func (c *Cloud) Provider() *Provider {
	return &Provider{cloud: c, open: map[string]*opened{}, arrived: make(chan struct{}), page: c.opts.PageSize}
}

// Cloud is the world behind the provider.
func (p *Provider) Cloud() *Cloud { return p.cloud }

// settingPageSize is the one setting: how many messages a batch carries.
const settingPageSize = "page_size"

// Describe says what the provider is and can do.
func (p *Provider) Describe(context.Context) (*provider.Info, error) {
	o := p.cloud.opts
	info := &provider.Info{
		Name: o.Name, Title: "Mail in memory", Version: "1", SignIn: provider.SignInOAuth,
		Settings: []provider.Setting{{Name: settingPageSize, Doc: "how many messages one batch carries", Default: strconv.Itoa(o.PageSize)}},
		Keywords: slices.Clone(o.Keywords),
		Scope:    o.Scope, FeedEnumerates: o.Scope == mail.ScopeMailbox,
		Limits: provider.Limits{MaxMessageBytes: o.MaxMessageBytes, ModifyBatch: 100, FetchBatch: 100},
	}
	for _, c := range []provider.Capability{
		provider.CapMailboxes, provider.CapModify, provider.CapAppend, provider.CapCopy, provider.CapDelete,
		provider.CapPurge, provider.CapSend, provider.CapSearch, provider.CapWatch, provider.CapListen,
		provider.CapConnect, provider.CapRevoke, provider.CapExactBytes, provider.CapIdentities,
	} {
		if p.can(c) {
			info.Capabilities = append(info.Capabilities, c)
		}
	}
	return info, nil
}

// pageSize is how many messages a batch carries.
func (p *Provider) pageSize() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.page
}

func (p *Provider) can(c provider.Capability) bool { return !slices.Contains(p.cloud.opts.Without, c) }

// Configure takes the settings.
func (p *Provider) Configure(_ context.Context, req *provider.ConfigureRequest) (*provider.ConfigureResponse, error) {
	size := p.cloud.opts.PageSize
	for _, name := range slices.Sorted(maps.Keys(req.Settings)) {
		if name != settingPageSize {
			return nil, mail.Errorf(mail.KindMisconfigured, "configure", "there is no setting %q", name)
		}
		n, err := strconv.Atoi(req.Settings[name])
		if err != nil || n < 1 {
			return nil, mail.Errorf(mail.KindMisconfigured, "configure", "%s must be a positive number", name)
		}
		size = n
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings, p.page = *req, size
	return &provider.ConfigureResponse{}, nil
}

// Session keeps the host, to save grants by, for as long as it is there.
func (p *Provider) Session(ctx context.Context, host provider.Host) error {
	p.mu.Lock()
	if p.host == nil {
		close(p.arrived)
	}
	p.host = host
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.host == host {
		p.host, p.arrived = nil, make(chan struct{})
	}
	return nil
}

// waitHost gives the host of the session, which may begin after the first
// account was opened.
func (p *Provider) waitHost(ctx context.Context) (provider.Host, error) {
	for {
		p.mu.Lock()
		host, arrived := p.host, p.arrived
		p.mu.Unlock()
		if host != nil {
			return host, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, mail.Errorf(mail.KindUnavailable, "refresh token", "no session to save the new grant by")
		}
	}
}

// Open takes an account's grant.
func (p *Provider) Open(_ context.Context, req *provider.OpenRequest) error {
	g, err := parseGrant(req.Grant)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[req.Account] = &opened{id: req.Account, address: req.Address, grant: g}
	return nil
}

// OpenAccount opens an account under the core's id without signing in, for
// tests in which signing in is no matter. It gives the grant it used.
func (p *Provider) OpenAccount(account, address string) ([]byte, error) {
	p.cloud.mu.Lock()
	g, err := p.cloud.newGrant(address)
	p.cloud.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b := g.bytes()
	return b, p.Open(context.Background(), &provider.OpenRequest{
		Account: account, Subject: subject(address), Address: address, Grant: b,
	})
}

// Close forgets an account.
func (p *Provider) Close(_ context.Context, req *provider.CloseRequest) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, req.Account)
	return nil
}

// needs tells which capability a verb belongs to.
var needs = map[string]provider.Capability{
	"create mailbox": provider.CapMailboxes, "rename mailbox": provider.CapMailboxes, "delete mailbox": provider.CapMailboxes,
	"modify": provider.CapModify, "append": provider.CapAppend, "copy": provider.CapCopy,
	"delete": provider.CapDelete, "purge": provider.CapPurge,
	"prepare": provider.CapSend, "send": provider.CapSend, "probe": provider.CapSend,
	"identities": provider.CapIdentities, "search": provider.CapSearch, "watch": provider.CapWatch, "unwatch": provider.CapWatch,
	"notify": provider.CapWatch, "listen": provider.CapListen, "revoke": provider.CapRevoke,
	"begin connect": provider.CapConnect, "finish connect": provider.CapConnect,
}

func (p *Provider) supports(verb string) error {
	if c := needs[verb]; c != "" && !p.can(c) {
		return &mail.Error{Kind: mail.KindInvalid, Op: verb, Code: "unsupported", Message: "the provider cannot do this"}
	}
	return nil
}

// call is the way of every verb of an account: it finds the open account, sees
// that there is a token, and runs the verb in the cloud, again with a new token
// where the cloud finds the first one expired. What was changed is notified
// before it returns.
func (p *Provider) call(ctx context.Context, verb string, c provider.Call, run func(*account) error) error {
	if err := p.supports(verb); err != nil {
		return err
	}
	p.mu.Lock()
	o := p.open[c.Account]
	p.mu.Unlock()
	if o == nil {
		return provider.ErrNotOpen
	}
	lost, err := p.cloud.enter(ctx, verb, o.address)
	if err != nil {
		return wrap(verb, err)
	}
	token := o.token()
	err = p.cloud.serve(token, run)
	if err == errTokenExpired {
		if token, err = p.refresh(ctx, o, token); err == nil {
			err = p.cloud.serve(token, run)
		}
	}
	if err == nil && lost {
		err = mail.Errorf(mail.KindOutcomeUnknown, verb, "the answer was lost")
	}
	return wrap(verb, err)
}

// wrap says which verb failed and keeps the kind.
func wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	var e *mail.Error
	if errors.As(err, &e) {
		if e.Op == "" || e == provider.ErrNotOpen {
			return e
		}
		out := *e
		out.Op = verb
		return &out
	}
	return &mail.Error{Kind: mail.KindInternal, Op: verb, Message: err.Error(), Err: err}
}

// enter lets a request into the cloud: the caller must still wait for it, and
// no failure be ordered. It reports whether the answer will be lost.
func (c *Cloud) enter(ctx context.Context, verb, address string) (lost bool, err error) {
	c.mu.Lock()
	hook := c.hook
	c.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, verb, address); err != nil {
			return false, err
		}
	}
	if err := ctx.Err(); err != nil {
		return false, &mail.Error{Kind: mail.KindUnavailable, Op: verb, Message: "the caller gave up", Err: err}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range []string{verb, ""} {
		if kinds := c.failures[name]; len(kinds) > 0 {
			c.failures[name] = kinds[1:]
			return refuse(verb, kinds[0])
		}
	}
	return false, nil
}

func refuse(verb string, kind mail.Kind) (lost bool, err error) {
	e := &mail.Error{Kind: kind, Op: verb, Message: fmt.Sprintf("%s, as ordered", kind)}
	switch kind {
	case mail.KindOutcomeUnknown:
		return true, nil
	case mail.KindThrottled:
		e.RetryAfter = retryAfter
	}
	return false, e
}

// serve runs a request with a token and sends the notifications it led to.
func (c *Cloud) serve(token string, run func(*account) error) error {
	c.mu.Lock()
	address, ok := c.tokens[token]
	if !ok {
		c.mu.Unlock()
		return errTokenExpired
	}
	a, err := c.find(address)
	if err == nil {
		err = run(a)
	}
	owed := c.owed
	c.owed = nil
	c.mu.Unlock()
	c.notify(owed)
	return err
}
