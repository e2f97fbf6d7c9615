// Package jwt signs and reads the tokens of the sandbox's clouds: compact JWS
// (RFC 7515) with RS256, and what a client signs with RS256 or PS256.
package jwt

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// A Signer is the RSA key that signs a cloud's tokens, with the self-signed
// certificate that a key set may show (RFC 7517).
type Signer struct {
	Key  *rsa.PrivateKey
	Cert []byte // DER
	Kid  string
}

// New makes a key.
func New(now time.Time) (*Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return Of(key, now)
}

// Of signs with a key that there is.
func Of(key *rsa.PrivateKey, now time.Time) (*Signer, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "accounts.accesscontrol.sandbox"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(5, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the signing key: %w", err)
	}
	sum := sha1.Sum(der)
	return &Signer{Key: key, Cert: der, Kid: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// MarshalText keeps the key in a state folder.
func (s *Signer) MarshalText() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.Key)
	if err != nil {
		return nil, fmt.Errorf("encode the signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Parse reads what MarshalText wrote.
func Parse(text []byte, now time.Time) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("decode the signing key: no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("decode the signing key: %w", err)
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("decode the signing key: it is a %T", key)
	}
	return Of(rsaKey, now)
}

// Sign makes a JWS in compact form with RS256 (RFC 7515, RFC 7518 3.3).
func (s *Signer) Sign(claims any) (string, error) {
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": s.Kid, "x5t": s.Kid})
	if err != nil {
		return "", fmt.Errorf("encode a token header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode token claims: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.Key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// Verify checks a compact JWS by the signer's own key and decodes its claims.
func (s *Signer) Verify(token string, claims any) error {
	j, err := Read(token)
	if err != nil {
		return err
	}
	if j.Header.Alg != "RS256" {
		return fmt.Errorf("algorithm %q", j.Header.Alg)
	}
	if err := rsa.VerifyPKCS1v15(&s.Key.PublicKey, crypto.SHA256, j.digest[:], j.signature); err != nil {
		return fmt.Errorf("verify a token: %w", err)
	}
	return json.Unmarshal(j.Payload, claims)
}

// A Token is a JWT taken apart, not yet verified.
type Token struct {
	Header struct {
		Alg     string `json:"alg"`
		Kid     string `json:"kid"`
		X5t     string `json:"x5t"`
		X5tS256 string `json:"x5t#S256"`
	}
	Payload   []byte
	digest    [32]byte // of the signing input
	signature []byte
}

// Read takes a compact token apart.
func Read(token string) (*Token, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a compact token of three parts")
	}
	var j Token
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, fmt.Errorf("decode the header: %w", err)
	}
	if err := json.Unmarshal(header, &j.Header); err != nil {
		return nil, fmt.Errorf("decode the header: %w", err)
	}
	if j.Payload, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, fmt.Errorf("decode the payload: %w", err)
	}
	if j.signature, err = base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return nil, fmt.Errorf("decode the signature: %w", err)
	}
	j.digest = sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return &j, nil
}

// VerifiedBy checks the signature by a client's key, RS256 or PS256 (RFC 7518
// 3.3, 3.5).
func (j *Token) VerifiedBy(key *rsa.PublicKey) error {
	switch j.Header.Alg {
	case "RS256":
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, j.digest[:], j.signature)
	case "PS256":
		return rsa.VerifyPSS(key, crypto.SHA256, j.digest[:], j.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return fmt.Errorf("algorithm %q", j.Header.Alg)
}

// JWK is the public half as a key set shows it (RFC 7517 4, RFC 7518 6.3.1).
func (s *Signer) JWK() map[string]any {
	return map[string]any{
		"kty": "RSA", "use": "sig", "kid": s.Kid,
		"n": base64.RawURLEncoding.EncodeToString(s.Key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.Key.E)).Bytes()),
	}
}
