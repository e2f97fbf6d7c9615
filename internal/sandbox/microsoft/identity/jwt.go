package identity

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

// A signer is the RSA key that signs id tokens and work accounts' access
// tokens, with the self-signed certificate that the key set shows (RFC 7517).
type signer struct {
	key  *rsa.PrivateKey
	cert []byte // DER
	kid  string
}

func newSigner(now time.Time) (*signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a signing key: %w", err)
	}
	return signerOf(key, now)
}

func signerOf(key *rsa.PrivateKey, now time.Time) (*signer, error) {
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
	return &signer{key: key, cert: der, kid: base64.RawURLEncoding.EncodeToString(sum[:])}, nil
}

// MarshalText keeps the key in a state folder.
func (s *signer) MarshalText() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		return nil, fmt.Errorf("encode the signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func parseSigner(text []byte, now time.Time) (*signer, error) {
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
	return signerOf(rsaKey, now)
}

// sign makes a JWS in compact form with RS256 (RFC 7515, RFC 7518 3.3).
func (s *signer) sign(claims any) (string, error) {
	header, err := json.Marshal(map[string]string{"typ": "JWT", "alg": "RS256", "kid": s.kid, "x5t": s.kid})
	if err != nil {
		return "", fmt.Errorf("encode a token header: %w", err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("encode token claims: %w", err)
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(rand.Reader, s.key, crypto.SHA256, sum[:])
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(sig), nil
}

// verify checks a compact JWS by the signer's own key and decodes its claims.
func (s *signer) verify(token string, claims any) error {
	j, err := parseJWS(token)
	if err != nil {
		return err
	}
	if j.header.Alg != "RS256" {
		return fmt.Errorf("algorithm %q", j.header.Alg)
	}
	if err := rsa.VerifyPKCS1v15(&s.key.PublicKey, crypto.SHA256, j.digest[:], j.signature); err != nil {
		return fmt.Errorf("verify a token: %w", err)
	}
	return json.Unmarshal(j.payload, claims)
}

// A jws is a JWT taken apart, not yet verified.
type jws struct {
	header struct {
		Alg     string `json:"alg"`
		X5t     string `json:"x5t"`
		X5tS256 string `json:"x5t#S256"`
	}
	payload   []byte
	digest    [32]byte // of the signing input
	signature []byte
}

func parseJWS(token string) (*jws, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, errors.New("not a compact token of three parts")
	}
	var j jws
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return nil, fmt.Errorf("decode the header: %w", err)
	}
	if err := json.Unmarshal(header, &j.header); err != nil {
		return nil, fmt.Errorf("decode the header: %w", err)
	}
	if j.payload, err = base64.RawURLEncoding.DecodeString(parts[1]); err != nil {
		return nil, fmt.Errorf("decode the payload: %w", err)
	}
	if j.signature, err = base64.RawURLEncoding.DecodeString(parts[2]); err != nil {
		return nil, fmt.Errorf("decode the signature: %w", err)
	}
	j.digest = sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	return &j, nil
}

// verifiedBy checks the signature by a client's certificate, RS256 or PS256
// (RFC 7518 3.3, 3.5).
func (j *jws) verifiedBy(cert *x509.Certificate) error {
	key, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return fmt.Errorf("the certificate's key is a %T", cert.PublicKey)
	}
	switch j.header.Alg {
	case "RS256":
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, j.digest[:], j.signature)
	case "PS256":
		return rsa.VerifyPSS(key, crypto.SHA256, j.digest[:], j.signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return fmt.Errorf("algorithm %q", j.header.Alg)
}
