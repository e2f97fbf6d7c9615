package oauth

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
const CloudName = "google"

// Issuer is what id tokens and push tokens name, wherever the sandbox listens.
const Issuer = "https://accounts.google.com"

// Options are what a Provider needs beside its settings.
type Options struct {
	Users    signin.Directory // required
	Now      func() time.Time
	Log      *slog.Logger
	Counters *traffic.Counters
	// Key is the first one to sign with, and that of service accounts; nil
	// makes one for each.
	Key *rsa.PrivateKey
}

// A Provider is Google's sign-in: apps, consents, codes and tokens. All
// methods may be called at once.
type Provider struct {
	settings Settings
	users    signin.Directory
	now      func() time.Time
	log      *slog.Logger
	counters *traffic.Counters
	sessions *signin.Sessions
	key      *rsa.PrivateKey // given from outside, or nil

	mu       sync.Mutex
	signers  []*jwt.Signer // the newest signs, all verify
	apps     map[string]App
	services map[string]*ServiceAccount // by mail address
	codes    map[string]*grant          // by hash
	refresh  map[string]*grant          // by hash
	access   map[string]*access         // by hash
	consents map[consentKey][]string
	blocks   map[string]Block // by user id
	minted   int              // since the last sweep
}

type consentKey struct{ user, client string }

// New makes a provider with apps and service accounts registered.
func New(settings Settings, opts Options, apps ...App) (*Provider, error) {
	p := &Provider{
		settings: settings.withDefaults(), users: opts.Users, now: opts.Now, log: opts.Log, counters: opts.Counters, key: opts.Key,
		apps: map[string]App{}, services: map[string]*ServiceAccount{}, codes: map[string]*grant{}, refresh: map[string]*grant{},
		access: map[string]*access{}, consents: map[consentKey][]string{}, blocks: map[string]Block{},
		sessions: signin.NewSessions("sandbox_google_session", "/o/", false), // this host speaks plain http
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
	a, err := a.checked()
	if err != nil {
		return App{}, fmt.Errorf("register an app: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[a.ClientID] = a
	return a, nil
}

// Apps lists the apps by client id.
func (p *Provider) Apps() []App {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]App, 0, len(p.apps))
	for _, a := range p.apps {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b App) int { return strings.Compare(a.ClientID, b.ClientID) })
	return out
}

func (p *Provider) app(clientID string) (App, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.apps[clientID]
	return a, ok
}

// A Block keeps a user from signing in or refreshing.
type Block int

// Blocks, by the number that the control API takes.
const (
	NotBlocked Block = iota
	// Disabled: sign-in and refresh say that there is no such account.
	Disabled
	// AdminPolicy: the organisation does not allow the app. Sign-in shows the
	// page admin_policy_enforced, a refresh is refused with that error.
	AdminPolicy
	// SessionControl: a refresh is refused with error_subtype invalid_rapt
	// until the user has signed in again.
	SessionControl
)

// BlockOf is the block of a name that the control API takes.
func BlockOf(name string) (Block, bool) {
	switch name {
	case "disabled":
		return Disabled, true
	case "admin_policy_enforced":
		return AdminPolicy, true
	case "invalid_rapt":
		return SessionControl, true
	}
	return NotBlocked, false
}

// Block sets or ends (NotBlocked) the block of a user.
func (p *Provider) Block(user cloud.User, b Block) error {
	if b < NotBlocked || b > SessionControl {
		return fmt.Errorf("block a user: %d is none of 1 (disabled), 2 (admin_policy_enforced), 3 (invalid_rapt), 0 (not blocked)", b)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if b == NotBlocked {
		delete(p.blocks, user.ID)
	} else {
		p.blocks[user.ID] = b
	}
	return nil
}

func (p *Provider) blockOf(user cloud.User) Block {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.blocks[user.ID]
}

// Revoke ends all grants of a user, as the page of the account's connections
// does. Access tokens that are out stop working as well unless keepAccess is
// set.
func (p *Provider) Revoke(user cloud.User, keepAccess bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end(func(u, _ string, _ []string) bool { return u == user.ID }, keepAccess)
}

// ChangePassword ends the refresh tokens of a user that reach mail. Consents
// and access tokens stay.
func (p *Provider) ChangePassword(user cloud.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.refresh {
		if g.User == user.ID && hasMail(g.Scopes) {
			g.Dead = true
		}
	}
}

// ExpireTokens ends the access tokens of a user that are out, as if their time
// had come.
func (p *Provider) ExpireTokens(user cloud.User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.access {
		if a.user == user.ID {
			a.expires = p.now()
		}
	}
}

// Handler serves sign-in, tokens, keys and user information, under the paths
// of all three hosts.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/o/oauth2/v2/auth", "/o/oauth2/auth"} {
		mux.HandleFunc("GET "+path, p.authorize)
		mux.HandleFunc("POST "+path, p.authorize)
	}
	for _, path := range []string{"/token", "/oauth2/v4/token"} {
		mux.HandleFunc("POST "+path, p.token)
	}
	for _, path := range []string{"/revoke", "/o/oauth2/revoke"} {
		mux.HandleFunc("GET "+path, p.revoke)
		mux.HandleFunc("POST "+path, p.revoke)
	}
	for _, path := range []string{"/oauth2/v3/userinfo", "/v1/userinfo"} {
		mux.HandleFunc("GET "+path, p.userinfo)
		mux.HandleFunc("POST "+path, p.userinfo)
	}
	for _, path := range []string{"/tokeninfo", "/oauth2/v3/tokeninfo"} {
		mux.HandleFunc("GET "+path, p.tokeninfo)
		mux.HandleFunc("POST "+path, p.tokeninfo)
	}
	mux.HandleFunc("GET /oauth2/v3/certs", p.certs)
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		signin.PageStatus(w, http.StatusNotFound, problemTemplate, "404. That’s an error. The requested URL "+r.URL.Path+" was not found on this server.")
	})
	return mux
}
