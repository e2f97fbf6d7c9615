package oauth

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"maps"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
	"github.com/postern-mail/postern/internal/sandbox/keep"
)

// stateFile is where a state folder keeps what is below.
const stateFile = "oauth.json"

type state struct {
	Keys     []string // PEM, the newest first
	Apps     []App
	Services []serviceState
	Refresh  map[string]*grant
	Consents []consentState
	Blocks   map[string]Block
}

type serviceState struct {
	ServiceAccount
	Key []byte // PKCS #8
}

type consentState struct {
	User, Client string
	Scopes       []string
}

// Save keeps keys, apps, service accounts, consents and refresh tokens (as
// hashes) in a folder.
func (p *Provider) Save(dir string) error {
	s := state{Apps: p.Apps()}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, signer := range p.signers {
		text, err := signer.MarshalText()
		if err != nil {
			return fmt.Errorf("save sign-in: %w", err)
		}
		s.Keys = append(s.Keys, string(text))
	}
	for _, a := range p.services {
		der, err := x509.MarshalPKCS8PrivateKey(a.key)
		if err != nil {
			return fmt.Errorf("save sign-in: %w", err)
		}
		s.Services = append(s.Services, serviceState{*a, der})
	}
	s.Refresh, s.Blocks = p.refresh, p.blocks
	for k, scopes := range p.consents {
		s.Consents = append(s.Consents, consentState{k.user, k.client, scopes})
	}
	if err := keep.Save(dir, stateFile, s); err != nil {
		return fmt.Errorf("save sign-in: %w", err)
	}
	return nil
}

// Load takes up what Save left; a folder without it is a fresh start. Apps
// that are registered already keep their registration, service accounts get
// the keys that were given out.
func (p *Provider) Load(dir string) error {
	var s state
	found, err := keep.Load(dir, stateFile, &s)
	if err != nil {
		return fmt.Errorf("load sign-in: %w", err)
	}
	if !found {
		return nil
	}
	var signers []*jwt.Signer
	for _, text := range s.Keys {
		signer, err := jwt.Parse([]byte(text), p.now())
		if err != nil {
			return fmt.Errorf("load sign-in: %w", err)
		}
		signers = append(signers, signer)
	}
	services := map[string]*ServiceAccount{}
	for _, kept := range s.Services {
		key, err := x509.ParsePKCS8PrivateKey(kept.Key)
		if err != nil {
			return fmt.Errorf("load sign-in: the key of %s: %w", kept.Email, err)
		}
		a := kept.ServiceAccount
		var ok bool
		if a.key, ok = key.(*rsa.PrivateKey); !ok {
			return fmt.Errorf("load sign-in: the key of %s is a %T", kept.Email, key)
		}
		services[a.Email] = &a
	}
	for _, a := range s.Apps {
		if _, known := p.app(a.ClientID); known {
			continue
		}
		if _, err := p.Register(a); err != nil {
			return fmt.Errorf("load sign-in: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(signers) > 0 {
		p.signers = signers
	}
	maps.Copy(p.services, services)
	maps.Copy(p.refresh, s.Refresh)
	maps.Copy(p.blocks, s.Blocks)
	for _, c := range s.Consents {
		p.consents[consentKey{c.User, c.Client}] = c.Scopes
	}
	return nil
}
