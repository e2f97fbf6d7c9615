package webhook

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// Signature is a manner of signing requests.
type Signature string

// Signatures of Standard Webhooks: HMAC-SHA256 ("v1") with a secret that both
// sides know, and Ed25519 ("v1a") with a private key that never leaves us.
const (
	SignatureHMAC    Signature = "hmac"
	SignatureEd25519 Signature = "ed25519"
)

// valid reports whether it is one of ours.
func (s Signature) valid() bool { return s == SignatureHMAC || s == SignatureEd25519 }

// Prefixes of keys, as Standard Webhooks writes them.
const (
	secretPrefix  = "whsec_" // symmetric
	privatePrefix = "whsk_"  // private half of Ed25519
	publicPrefix  = "whpk_"  // public half
)

// Key is what everybody may know of a signing key.
type Key struct {
	// ID stands in the attempt log. It is a function of the key.
	ID   string
	Kind Signature
	// Public is the public half in the spelling of Standard Webhooks, empty for
	// a secret of HMAC.
	Public    string
	CreatedAt time.Time
	// ExpiresAt is zero for the key that is not rotated out.
	ExpiresAt time.Time
}

// signingKey is a key and how long it signs.
type signingKey struct {
	// Secret is whsec_ or whsk_ and base64.
	Secret  string    `json:"secret"`
	Created time.Time `json:"created,omitzero"`
	// Until is zero for a current key.
	Until time.Time `json:"until,omitzero"`

	// What follows is made of Secret.
	id      string
	raw     []byte             // HMAC
	private ed25519.PrivateKey // Ed25519
}

// newKey makes a key of a kind.
func newKey(kind Signature, now time.Time) (signingKey, error) {
	k := signingKey{Created: now}
	if kind == SignatureEd25519 {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return k, err
		}
		k.Secret = privatePrefix + base64.StdEncoding.EncodeToString(private)
	} else {
		k.Secret = newSecret()
	}
	return k, k.decode()
}

// newSecret makes a key of 32 bytes in the spelling of Standard Webhooks.
func newSecret() string {
	var key [32]byte
	rand.Read(key[:]) //nolint:errcheck // it never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:])
}

// decode fills what is made of the secret.
func (k *signingKey) decode() error {
	damaged := errors.New("the signing key is damaged")
	encoded, asymmetric := strings.CutPrefix(k.Secret, privatePrefix)
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(encoded, secretPrefix))
	if err != nil || len(raw) == 0 {
		return damaged // the error of package base64 would quote it
	}
	if !asymmetric {
		k.raw, k.id = raw, keyID(k.Secret)
		return nil
	}
	if len(raw) != ed25519.PrivateKeySize {
		return damaged
	}
	k.private = ed25519.PrivateKey(raw)
	k.id = keyID(k.public())
	return nil
}

// keyID names a key by a hash: the same after every restart, and of no use to
// whoever would like to have the key.
func keyID(of string) string {
	sum := sha256.Sum256([]byte("postern webhook key\x00" + of))
	return "key_" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

func (k *signingKey) kind() Signature {
	if k.private != nil {
		return SignatureEd25519
	}
	return SignatureHMAC
}

// public is the public half as whpk_, empty for HMAC.
func (k *signingKey) public() string {
	if k.private == nil {
		return ""
	}
	return publicPrefix + base64.StdEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
}

// describe gives what may be known.
func (k *signingKey) describe() Key {
	return Key{ID: k.id, Kind: k.kind(), Public: k.public(), CreatedAt: k.Created, ExpiresAt: k.Until}
}

// signs reports whether the key is in use at a time.
func (k *signingKey) signs(at time.Time) bool { return k.Until.IsZero() || k.Until.After(at) }

// active are the keys that sign at a time, newest first.
func (c *config) active(at time.Time) []signingKey {
	keys := make([]signingKey, 0, len(c.Keys))
	for _, k := range c.Keys {
		if k.signs(at) {
			keys = append(keys, k)
		}
	}
	return keys
}
