package webhook

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/postern-mail/postern/store"
)

// KeysPath is where the public keys of an endpoint are read by whoever
// verifies its requests, with the endpoint's id behind it.
const KeysPath = "/.well-known/postern/webhook-keys/"

// keySetJSON is a JWK Set (RFC 7517, 5). Members beyond those of the RFC are
// ignored by those who do not know them.
type keySetJSON struct {
	Endpoint string    `json:"endpoint"`
	Keys     []jwkJSON `json:"keys"`
}

// jwkJSON is an Ed25519 public key (RFC 8037, 2).
type jwkJSON struct {
	KeyType   string   `json:"kty"`
	Curve     string   `json:"crv"`
	X         string   `json:"x"`
	ID        string   `json:"kid"`
	Use       string   `json:"use"`
	Algorithm string   `json:"alg"`
	Ops       []string `json:"key_ops"`
	// Public is the same key as Standard Webhooks writes it.
	Public    string     `json:"whpk"`
	CreatedAt *time.Time `json:"createdAt,omitempty"`
	ExpiresAt *time.Time `json:"expiresAt,omitempty"`
}

// PublicKeys serves an endpoint's public keys under the path value
// "endpoint". Nobody needs a key of ours for it: they verify, and do no more.
func (s *Service) PublicKeys() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set, err := s.keySet(r.Context(), r.PathValue("endpoint"))
		switch {
		case errors.Is(err, store.ErrNotFound):
			http.Error(w, "there is no endpoint with public keys of this id", http.StatusNotFound)
			return
		case err != nil:
			s.opts.Log.ErrorContext(r.Context(), "public keys not read", "error", err)
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/jwk-set+json") // RFC 7517, 8.5.2
		w.Header().Set("Cache-Control", "public, max-age=300")
		json.NewEncoder(w).Encode(set) //nolint:errcheck // the reader has gone
	})
}

// keySet gives the keys that verify what an endpoint gets now. An endpoint
// that signs with secrets alone is not told from one that is not there.
func (s *Service) keySet(ctx context.Context, endpoint string) (set *keySetJSON, err error) {
	now := s.opts.Now()
	err = s.store.View(ctx, func(tx store.Tx) error {
		set = &keySetJSON{Endpoint: endpoint}
		r, err := tx.Endpoint(endpoint)
		if err != nil {
			return err
		}
		c, err := decodeConfig(r.Config)
		if err != nil {
			return err
		}
		for _, k := range c.active(now) {
			if k.private == nil {
				continue
			}
			j := jwkJSON{
				KeyType: "OKP", Curve: "Ed25519", Use: "sig", Algorithm: "EdDSA", Ops: []string{"verify"}, ID: k.id, Public: k.public(),
				X: base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey)),
			}
			if !k.Created.IsZero() {
				j.CreatedAt = &k.Created
			}
			if !k.Until.IsZero() {
				j.ExpiresAt = &k.Until
			}
			set.Keys = append(set.Keys, j)
		}
		if len(set.Keys) == 0 {
			return store.ErrNotFound
		}
		return nil
	})
	return set, err
}
