package identity

import (
	"crypto/rsa"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/signin"
	"github.com/postern-mail/postern/internal/sandbox/traffic"
)

// CloudName is how counters and faults call this cloud.
const CloudName = "microsoft"

// A Directory knows the users. The mail server is one.
type Directory = signin.Directory

// Options are what a Provider needs beside its settings.
type Options struct {
	Users    Directory // required
	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	// Key signs the tokens; nil makes one.
	Key *rsa.PrivateKey
}

// A Provider is the identity platform: apps, consents, codes and tokens. All
// methods may be called at once.
type Provider struct {
	settings Settings
	users    Directory
	now      func() time.Time
	log      *slog.Logger
	counters *traffic.Counters
	sessions *signin.Sessions

	mu       sync.Mutex
	signer   *jwt.Signer
	apps     map[string]*registration // by lower-case client id
	codes    map[string]*grant        // by hash
	refresh  map[string]*grant        // by hash
	access   map[string]*access       // by hash
	consents map[consentKey][]string  // scope names, lower case
	revoked  map[string]time.Time     // user id: grants from before are dead
	blocks   map[string]int           // user id: the AADSTS code that signing in ends with
	minted   int                      // since the last sweep
	// restricted: users may not allow applications; approved has the names that
	// an administrator has allowed an application, by client id.
	restricted bool
	approved   map[string][]string
}

type consentKey struct{ user, client string }

// New makes a provider with the apps registered.
func New(settings Settings, opts Options, apps ...App) (*Provider, error) {
	p := &Provider{
		settings: settings.withDefaults(), users: opts.Users, now: opts.Now, log: opts.Log, counters: opts.Counters,
		apps: map[string]*registration{}, codes: map[string]*grant{}, refresh: map[string]*grant{}, access: map[string]*access{},
		consents: map[consentKey][]string{}, revoked: map[string]time.Time{}, blocks: map[string]int{},
		sessions: signin.NewSessions("sandbox_session", "/", true), approved: map[string][]string{},
	}
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.counters == nil {
		p.counters = &traffic.Counters{}
	}
	var err error
	if opts.Key != nil {
		p.signer, err = jwt.Of(opts.Key, p.now())
	} else {
		p.signer, err = jwt.New(p.now())
	}
	if err != nil {
		return nil, err
	}
	for _, a := range apps {
		if _, err := p.Register(a); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Register adds an app, or replaces the one with the same client id. Without a
// client id it gets a new one.
func (p *Provider) Register(a App) (App, error) {
	reg, err := register(a)
	if err != nil {
		return App{}, fmt.Errorf("register an app: %w", err)
	}
	if reg.Tenant != "" && !strings.EqualFold(reg.Tenant, p.settings.Tenant) && reg.Tenant != ConsumerTenant {
		return App{}, fmt.Errorf("register an app: there is no tenant %q", reg.Tenant)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[strings.ToLower(reg.ClientID)] = reg
	return reg.App, nil
}

// Apps lists the registrations by client id.
func (p *Provider) Apps() []App {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]App, 0, len(p.apps))
	for _, a := range p.apps {
		out = append(out, a.App)
	}
	slices.SortFunc(out, func(a, b App) int { return strings.Compare(a.ClientID, b.ClientID) })
	return out
}

func (p *Provider) app(clientID string) (*registration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.apps[strings.ToLower(clientID)]
	return a, ok
}

// TenantOf is the id of the tenant that a user belongs to; for personal
// accounts ConsumerTenant.
func (p *Provider) TenantOf(user cloud.User) string { return p.settings.tenantOf(user.Address) }

// Personal tells whether the user is a personal Microsoft account.
func (p *Provider) Personal(user cloud.User) bool { return p.settings.personal(user.Address) }

// Tenant is the id of the organisation.
func (p *Provider) Tenant() string { return p.settings.Tenant }

// Revoke ends all grants of a user: refresh tokens are refused with
// AADSTS50173, consents are forgotten. Access tokens that are out stop working
// as well unless keepAccess is set, which is how it is where continuous access
// evaluation is missing: they live on until they expire.
func (p *Provider) Revoke(user cloud.User, keepAccess bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.revoked[user.ID] = p.now()
	for k := range p.consents {
		if k.user == user.ID {
			delete(p.consents, k)
		}
	}
	for hash, g := range p.refresh {
		if g.User == user.ID {
			p.refresh[hash].Revoked = true
		}
	}
	for _, c := range p.codes {
		if c.User == user.ID {
			c.Revoked = true
		}
	}
	if keepAccess {
		return
	}
	for hash, a := range p.access {
		if a.user == user.ID {
			delete(p.access, hash)
		}
	}
}

// ExpireTokens ends the access tokens of a user that are out, as if their time
// had come.
func (p *Provider) ExpireTokens(user cloud.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for hash, a := range p.access {
		if a.user == user.ID && a.expires.After(now) {
			ended := *a // what was handed out is read without the lock
			ended.expires = now
			p.access[hash] = &ended
		}
	}
}

// Block makes every sign-in and every refresh of a user end with an AADSTS
// code (50057 disabled, 50076 second factor wanted, 53003 conditional access,
// 90094 administrator's approval wanted, ...); 0 lets the user in again.
func (p *Provider) Block(user cloud.User, code int) error {
	if _, known := aadsts[code]; !known && code != 0 {
		return fmt.Errorf("block a user: AADSTS%d is not a code of the sandbox", code)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if code == 0 {
		delete(p.blocks, user.ID)
	} else {
		p.blocks[user.ID] = code
	}
	return nil
}

// Handler serves everything under /{tenant}/ and /oidc/userinfo.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", p.authorize)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/authorize", p.authorize)
	mux.HandleFunc("POST /{tenant}/oauth2/v2.0/token", p.token)
	mux.HandleFunc("GET /{tenant}/v2.0/adminconsent", p.adminConsent)
	mux.HandleFunc("POST /{tenant}/v2.0/adminconsent", p.adminConsent)
	mux.HandleFunc("GET /{tenant}/oauth2/v2.0/logout", p.logout)
	mux.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /{tenant}/discovery/v2.0/keys", p.keys)
	mux.HandleFunc("GET /{tenant}/discovery/instance", p.instance)
	mux.HandleFunc("GET /oidc/userinfo", p.userinfo)
	return mux
}

// tenantRefusal checks the tenant of a path: common, organizations, consumers,
// the organisation's id, or the domain of one of its users.
func (p *Provider) tenantRefusal(tenant string, app *registration) *refusal {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers", ConsumerTenant:
		if app != nil && app.Tenant != "" && !strings.EqualFold(app.Tenant, tenant) {
			return refuse(50194, app.ClientID)
		}
		return nil
	case strings.ToLower(p.settings.Tenant):
		return nil
	}
	for _, u := range p.users.Users() {
		if _, domain, _ := strings.Cut(u.Address, "@"); strings.EqualFold(domain, tenant) && !p.Personal(u) {
			return nil
		}
	}
	return refuse(90002, tenant)
}

// admits tells whether a user may sign in at a tenant's endpoint.
func (p *Provider) admits(tenant string, user cloud.User) *refusal {
	p.mu.Lock()
	code := p.blocks[user.ID]
	p.mu.Unlock()
	if code != 0 {
		return p.fill(code, user)
	}
	personal := p.Personal(user)
	switch strings.ToLower(tenant) {
	case "common":
	case "consumers", ConsumerTenant:
		if !personal {
			return refuse(50034, user.Address, "consumers")
		}
	default: // organizations, the organisation by id or domain
		if personal {
			return refuse(50020, user.Address)
		}
	}
	return nil
}

// fill writes the row of a code whose text wants arguments for a user.
func (p *Provider) fill(code int, user cloud.User) *refusal {
	now := p.now().UTC().Format(time.RFC3339)
	switch code {
	case 50020:
		return refuse(code, user.Address)
	case 50034:
		return refuse(code, user.Address, "Contoso")
	case 50173, 700082:
		return refuse(code, now, now)
	case 65001, 700016, 50194:
		return refuse(code, DefaultAppID)
	}
	return refuse(code)
}
