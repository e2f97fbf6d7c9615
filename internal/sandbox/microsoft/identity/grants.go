package identity

import (
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/cloud"
	"github.com/postern-mail/postern/internal/sandbox/signin"
)

// A grant is what a code or a refresh token stands for. It is kept under the
// token's hash.
type grant struct {
	User     string // id
	Client   string
	Scopes   []string // names
	Nonce    string   `json:",omitempty"`
	Issued   time.Time
	Expires  time.Time
	Used     bool   `json:",omitempty"`
	Revoked  bool   `json:",omitempty"`
	Redirect string `json:"-"` // the rest is of codes alone, which no restart survives
	Method   string `json:"-"`
	Verifier string `json:"-"` // the challenge
	Words    string `json:"-"` // the scope parameter as it was
}

type access struct {
	user, client string
	scopes       []string
	expires      time.Time
}

func (p *Provider) newCode(g grant) string {
	code := signin.Opaque("0.AX")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.codes[signin.Hash(code)] = &g
	return code
}

// sweepEvery is how many tokens are made between two clean-ups.
const sweepEvery = 1000

// sweep forgets what expired long enough ago that nobody will present it to
// learn so. Called with the lock held.
func (p *Provider) sweep() {
	if p.minted++; p.minted < sweepEvery {
		return
	}
	p.minted = 0
	dead := p.now().Add(-time.Hour)
	for hash, a := range p.access {
		if a.expires.Before(dead) {
			delete(p.access, hash)
		}
	}
	for hash, c := range p.codes {
		if c.Expires.Before(dead) {
			delete(p.codes, hash)
		}
	}
	for hash, g := range p.refresh {
		if g.Expires.Before(p.now().AddDate(0, 0, -30)) {
			delete(p.refresh, hash)
		}
	}
}

// consented tells whether the user gave the app these names before.
func (p *Provider) consented(user, client string, names []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	have, ok := p.consents[consentKey{user, client}]
	return ok && covers(have, names)
}

func (p *Provider) consent(user, client string, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := consentKey{user, client}
	have := slices.Clone(p.consents[k])
	if have == nil {
		have = []string{}
	}
	for _, n := range permissions(names) {
		if !slices.Contains(have, n) {
			have = append(have, n)
		}
	}
	p.consents[k] = have
}

// mintAccess makes an access token: a JWT for work accounts, opaque for
// personal ones (both by setting).
func (p *Provider) mintAccess(user cloud.User, client, host string, names []string) (string, error) {
	now := p.now()
	expires := now.Add(p.settings.AccessTokenLifetime)
	token := ""
	if p.settings.OpaqueTokens || p.Personal(user) && *p.settings.OpaqueConsumerTokens {
		token = signin.Opaque("EwB")
	} else {
		var err error
		if token, err = p.signer.Sign(p.accessClaims(user, client, names, now, expires)); err != nil {
			return "", err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep()
	p.access[signin.Hash(token)] = &access{user: user.ID, client: client, scopes: permissions(names), expires: expires}
	return token, nil
}

// mintRefresh makes a refresh token that stands for the grant.
func (p *Provider) mintRefresh(g grant) string {
	token := signin.Opaque("0.AXkA")
	g.Issued = p.now()
	g.Expires = g.Issued.Add(p.settings.RefreshTokenLifetime)
	g.Used, g.Nonce = false, ""
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refresh[signin.Hash(token)] = &g
	return token
}
