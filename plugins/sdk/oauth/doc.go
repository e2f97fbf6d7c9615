// Package oauth is what plugins with an OAuth sign-in have in common: access
// tokens that are renewed once for all who wait (Source), and the secrets of a
// sign-in (RFC 7636, OpenID Connect).
//
// Kept true:
//
//   - However many calls meet an expired token, one renewal leaves, and all who
//     waited share its outcome.
//   - New grant bytes are stored by the host before the access token that came
//     with them is used; a token whose grant could not be stored is not used.
//   - A failure is remembered for as long as it is good, so that calls do not
//     hammer a service that has said no; a dead grant is told to the host once.
//
// How it fails: with *mail.Error. What a refusal of the token endpoint means is
// the plugin's to say.
package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// maxMargin is how long before its end a token is renewed; tokens of a short
// life are used for four fifths of it.
const maxMargin = 5 * time.Minute

// UsableFor is how long a token of that lifetime is used before it is renewed.
func UsableFor(lifetime time.Duration) time.Duration {
	return lifetime - min(maxMargin, lifetime/5)
}

// Secret is 256 random bits, for states, nonces and PKCE verifiers.
func Secret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// Challenge is the S256 code challenge of a verifier (RFC 7636, 4.2).
func Challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
