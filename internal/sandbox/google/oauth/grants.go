package oauth

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// A grant is what a code or a refresh token stands for. It is kept under the
// token's hash.
type grant struct {
	User    string // id
	Client  string
	Scopes  []string
	Issued  time.Time
	Used    time.Time // a refresh token's last use
	Expires time.Time `json:",omitzero"` // zero: when it was not used for long
	Dead    bool      `json:",omitempty"`

	// The rest is of codes alone, which no restart survives.
	Nonce     string `json:"-"`
	Redirect  string `json:"-"`
	Method    string `json:"-"`
	Challenge string `json:"-"`
	Offline   bool   `json:"-"` // a refresh token goes with it
	Spent     bool   `json:"-"`
}

// access is what an access token stands for: a user's, or a service account's.
type access struct {
	user, client string
	service      string // address of the service account
	scopes       []string
	expires      time.Time
}

// end ends the grants, consents and codes that match. Called with the lock
// held.
func (p *Provider) end(match func(user, client string, scopes []string) bool, keepAccess bool) {
	for k, scopes := range p.consents {
		if match(k.user, k.client, scopes) {
			delete(p.consents, k)
		}
	}
	for _, grants := range []map[string]*grant{p.codes, p.refresh} {
		for _, g := range grants {
			if match(g.User, g.Client, g.Scopes) {
				g.Dead = true
			}
		}
	}
	if keepAccess {
		return
	}
	for hash, a := range p.access {
		if a.service == "" && match(a.user, a.client, a.scopes) {
			delete(p.access, hash)
		}
	}
}

// alive tells whether a refresh token still works.
func (p *Provider) alive(g *grant) bool {
	now := p.now()
	return !g.Dead && (g.Expires.IsZero() || now.Before(g.Expires)) && now.Sub(g.Used) < p.settings.UnusedLifetime
}

// sweepEvery is how many tokens are made between two clean-ups.
const sweepEvery = 1000

// sweep forgets what ended long enough ago that nobody will present it to
// learn so. Called with the lock held.
func (p *Provider) sweep() {
	if p.minted++; p.minted < sweepEvery {
		return
	}
	p.minted = 0
	dead := p.now().Add(-time.Hour)
	maps.DeleteFunc(p.access, func(_ string, a *access) bool { return a.expires.Before(dead) })
	maps.DeleteFunc(p.codes, func(_ string, c *grant) bool { return c.Expires.Before(dead) })
}

// mintAccess makes an access token.
func (p *Provider) mintAccess(a access) string {
	token := signin.Opaque("ya29.a0")
	a.expires = p.now().Add(p.settings.AccessTokenLifetime)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	p.access[signin.Hash(token)] = &a
	return token
}

// mintRefresh makes a refresh token that stands for the grant. One too many
// silently ends the oldest of the user and the app.
func (p *Provider) mintRefresh(g grant, app App) string {
	token := signin.Opaque("1//0g")
	now := p.now()
	g.Issued, g.Used, g.Expires = now, now, time.Time{}
	if app.Testing && limited(g.Scopes) {
		g.Expires = now.Add(p.settings.TestingLifetime)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var living []string
	for hash, other := range p.refresh {
		if other.User == g.User && other.Client == g.Client && p.alive(other) {
			living = append(living, hash)
		}
	}
	slices.SortFunc(living, func(a, b string) int { return p.refresh[a].Issued.Compare(p.refresh[b].Issued) })
	for i := range max(0, len(living)-p.settings.MaxRefreshTokens+1) {
		p.refresh[living[i]].Dead = true
	}
	p.refresh[signin.Hash(token)] = &g
	return token
}

// consented tells whether the user gave the app all of these scopes before.
func (p *Provider) consented(user, client string, scopes []string) bool {
	have := p.given(user, client)
	return len(have) > 0 && !slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(have, s) })
}

// given are the scopes that the user gave the app so far.
func (p *Provider) given(user, client string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.consents[consentKey{user, client}])
}

func (p *Provider) consent(user, client string, scopes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := consentKey{user, client}
	have := slices.Clone(p.consents[k])
	for _, s := range scopes {
		if !slices.Contains(have, s) {
			have = append(have, s)
		}
	}
	p.consents[k] = have
}

// A Bearer is whose access token a request carries: a user's by way of an app,
// or a service account's.
type Bearer struct {
	User           cloud.User
	ServiceAccount string // address; then there is no user
	Client         string
	Project        string
	Scopes         []string
	expires        time.Time
}

// Bearer reads the Authorization header, or the parameter access_token that
// Google's APIs also take. A user who does not exist any more has no token.
func (p *Provider) Bearer(r *http.Request) (Bearer, bool) {
	token := r.URL.Query().Get("access_token")
	if h := r.Header.Get("Authorization"); h != "" {
		kind, rest, _ := strings.Cut(h, " ")
		if !strings.EqualFold(kind, "Bearer") {
			return Bearer{}, false
		}
		token = strings.TrimSpace(rest)
	}
	return p.bearer(token)
}

func (p *Provider) bearer(token string) (Bearer, bool) {
	p.mu.Lock()
	a, ok := p.access[signin.Hash(token)]
	if !ok || !p.now().Before(a.expires) {
		p.mu.Unlock()
		return Bearer{}, false
	}
	b := Bearer{
		ServiceAccount: a.service, Client: a.client, Project: p.apps[a.client].Project, Scopes: slices.Clone(a.scopes), expires: a.expires,
	}
	if s, ok := p.services[a.service]; ok {
		b.Project = s.Project
	}
	user := a.user
	p.mu.Unlock()
	if b.ServiceAccount == "" {
		if b.User, ok = p.users.UserByID(user); !ok {
			return Bearer{}, false
		}
	}
	return b, true
}
