package identity

import (
	"fmt"
	"maps"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// stateFile is where a state folder keeps what is below. Codes, access tokens
// and browser sessions do not outlive the process: a client refreshes.
const stateFile = "identity.json"

type state struct {
	SigningKey string
	Apps       []App
	Refresh    map[string]*grant
	Consents   []consentState
	Revoked    map[string]time.Time
	Blocks     map[string]int
	Restricted bool                `json:",omitempty"`
	Approved   map[string][]string `json:",omitempty"`
}

type consentState struct {
	User, Client string
	Scopes       []string
}

// Save keeps apps, consents and refresh tokens (as hashes) in a folder.
func (p *Provider) Save(dir string) error {
	key, err := p.signer.MarshalText()
	if err != nil {
		return fmt.Errorf("save the identity platform: %w", err)
	}
	s := state{SigningKey: string(key), Apps: p.Apps()}
	p.mu.Lock()
	s.Refresh, s.Revoked, s.Blocks = p.refresh, maps.Clone(p.revoked), maps.Clone(p.blocks)
	s.Restricted, s.Approved = p.restricted, maps.Clone(p.approved)
	for k, scopes := range p.consents {
		s.Consents = append(s.Consents, consentState{k.user, k.client, scopes})
	}
	err = keep.Save(dir, stateFile, s)
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save the identity platform: %w", err)
	}
	return nil
}

// Load takes up what Save left; a folder without it is a fresh start. Apps
// that are registered already keep their registration.
func (p *Provider) Load(dir string) error {
	var s state
	found, err := keep.Load(dir, stateFile, &s)
	if err != nil {
		return fmt.Errorf("load the identity platform: %w", err)
	}
	if !found {
		return nil
	}
	signer, err := jwt.Parse([]byte(s.SigningKey), p.now())
	if err != nil {
		return fmt.Errorf("load the identity platform: %w", err)
	}
	for _, a := range s.Apps {
		if _, known := p.app(a.ClientID); known {
			continue
		}
		if _, err := p.Register(a); err != nil {
			return fmt.Errorf("load the identity platform: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signer = signer
	maps.Copy(p.refresh, s.Refresh)
	maps.Copy(p.revoked, s.Revoked)
	maps.Copy(p.blocks, s.Blocks)
	p.restricted = s.Restricted
	maps.Copy(p.approved, s.Approved)
	for _, c := range s.Consents {
		p.consents[consentKey{c.User, c.Client}] = c.Scopes
	}
	return nil
}
