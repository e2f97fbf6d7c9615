package oauth

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/postern-mail/postern/internal/sandbox/jwt"
)

// keysShown is how many signing keys the key set shows: the one that signs and
// the one before.
const keysShown = 2

// RotateKeys makes a new signing key. The one before stays in the key set.
func (p *Provider) RotateKeys() error {
	if _, err := p.keys(); err != nil { // there is one before
		return err
	}
	s, err := jwt.New(p.now())
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signers = append([]*jwt.Signer{s}, p.signers...)
	p.signers = p.signers[:min(len(p.signers), keysShown)]
	return nil
}

// keys are the signing keys, the newest first. The first one is made when it
// is first needed: that takes a moment, and many a sandbox never needs it.
func (p *Provider) keys() ([]*jwt.Signer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.signers) == 0 {
		s, err := p.firstKey()
		if err != nil {
			return nil, err
		}
		p.signers = []*jwt.Signer{s}
	}
	return slices.Clone(p.signers), nil
}

func (p *Provider) firstKey() (*jwt.Signer, error) {
	if p.key != nil {
		return jwt.Of(p.key, p.now())
	}
	return jwt.New(p.now())
}

// Sign makes a token with the key of the key set.
func (p *Provider) Sign(claims any) (string, error) {
	keys, err := p.keys()
	if err != nil {
		return "", err
	}
	return keys[0].Sign(claims)
}

// verify reads the claims of a token of our own that is in force.
func (p *Provider) verify(token string) (map[string]any, error) {
	keys, err := p.keys()
	if err != nil {
		return nil, err
	}
	var claims map[string]any
	for _, s := range keys {
		if err = s.Verify(token, &claims); err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if exp, ok := claims["exp"].(float64); !ok || p.now().Unix() >= int64(exp) {
		return nil, fmt.Errorf("the token has expired")
	}
	return claims, nil
}

// certs is the key set (RFC 7517).
func (p *Provider) certs(w http.ResponseWriter, _ *http.Request) {
	keys, err := p.keys()
	if err != nil {
		p.log.Error("no signing key", "error", err)
		writeRefusal(w, errServer)
		return
	}
	set := make([]any, 0, len(keys))
	for _, s := range keys {
		set = append(set, jwk(s))
	}
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d, must-revalidate, no-transform", int(p.settings.KeysMaxAge/time.Second)))
	writeJSON(w, http.StatusOK, map[string]any{"keys": set})
}

func jwk(s *jwt.Signer) json.RawMessage {
	key := s.JWK()
	key["alg"] = "RS256"
	text, _ := json.Marshal(key) // strings only
	return text
}
