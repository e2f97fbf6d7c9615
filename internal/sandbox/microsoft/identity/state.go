package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"
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
	for k, scopes := range p.consents {
		s.Consents = append(s.Consents, consentState{k.user, k.client, scopes})
	}
	text, err := json.Marshal(s)
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("save the identity platform: %w", err)
	}
	// Renamed into place: a crash leaves the old file.
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("save the identity platform: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save the identity platform: %w", err)
	}
	return nil
}

// Load takes up what Save left; a folder without it is a fresh start. Apps
// that are registered already keep their registration.
func (p *Provider) Load(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load the identity platform: %w", err)
	}
	var s state
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("load the identity platform: %w", err)
	}
	signer, err := parseSigner([]byte(s.SigningKey), p.now())
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
	for _, c := range s.Consents {
		p.consents[consentKey{c.User, c.Client}] = c.Scopes
	}
	return nil
}
