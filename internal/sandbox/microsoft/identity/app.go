package identity

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The app that is registered when none is given.
const (
	DefaultAppID     = "3f0c4f0e-8d52-4a0a-9c0d-5a4db0a11ce5"
	DefaultAppName   = "sandbox-app"
	DefaultAppSecret = "sandbox~Secret.8Q~for-local-use-only"
)

// An App is an app registration.
type App struct {
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	// Tenant makes it a single-tenant app: /common and other tenants are
	// refused (AADSTS50194).
	Tenant string `json:"tenant,omitempty"`
	// RedirectURIs are compared exactly.
	RedirectURIs []string `json:"redirect_uris"`
	// IgnoreLoopbackPort matches http://localhost and http://127.0.0.1 with
	// any port, as the real service does for them.
	IgnoreLoopbackPort bool     `json:"ignore_loopback_port,omitempty"`
	Secrets            []Secret `json:"secrets,omitempty"`
	// Certificates are PEM; an assertion may be signed by any of them.
	Certificates []string `json:"certificates,omitempty"`
	// Public apps have no credential and must not present one.
	Public bool `json:"public,omitempty"`
}

// A Secret is a client secret and, when not zero, when it ends.
type Secret struct {
	Value   string    `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// DefaultApp is the registration that exists without being asked for.
func DefaultApp(redirectURIs ...string) App {
	if len(redirectURIs) == 0 {
		redirectURIs = []string{"http://localhost:8080/oauth/outlook/callback", "http://127.0.0.1:8080/oauth/outlook/callback"}
	}
	return App{
		ClientID: DefaultAppID, Name: DefaultAppName, RedirectURIs: redirectURIs,
		Secrets: []Secret{{Value: DefaultAppSecret}},
	}
}

// registration is an App with its certificates read.
type registration struct {
	App
	certs []*x509.Certificate
}

func register(a App) (*registration, error) {
	if a.ClientID == "" {
		a.ClientID = uuid.NewString()
	}
	if a.Name == "" {
		a.Name = DefaultAppName
	}
	reg := &registration{App: a}
	for _, uri := range a.RedirectURIs {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Fragment != "" {
			return nil, fmt.Errorf("redirect URI %q is not an absolute URL without a fragment", uri)
		}
	}
	for i, text := range a.Certificates {
		block, _ := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("certificate %d is not PEM", i+1)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d: %w", i+1, err)
		}
		reg.certs = append(reg.certs, cert)
	}
	if a.Public && (len(a.Secrets) > 0 || len(reg.certs) > 0) {
		return nil, errors.New("a public app has no secret and no certificate")
	}
	return reg, nil
}

// allows compares a redirect URI with those registered.
func (a *registration) allows(uri string) bool {
	for _, have := range a.RedirectURIs {
		if have == uri || a.IgnoreLoopbackPort && withoutLoopbackPort(have) == withoutLoopbackPort(uri) {
			return true
		}
	}
	return false
}

func withoutLoopbackPort(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" || u.Hostname() != "localhost" && u.Hostname() != "127.0.0.1" {
		return uri
	}
	u.Host = u.Hostname()
	return u.String()
}

// checkSecret compares a presented secret with those registered, in constant
// time for each.
func (a *registration) checkSecret(presented string, now time.Time) *refusal {
	expired := false
	for _, s := range a.Secrets {
		if subtle.ConstantTimeCompare([]byte(s.Value), []byte(presented)) == 1 {
			if s.Expires.IsZero() || now.Before(s.Expires) {
				return nil
			}
			expired = true
		}
	}
	if expired {
		return refuse(7000222, a.ClientID)
	}
	return refuse(7000215, a.ClientID)
}

// certificate finds the one that an assertion names by its thumbprint. MSAL Go
// writes x5t#S256 in standard base64, the documents say base64url: both are
// taken.
func (a *registration) certificate(x5t, x5tS256 string) *x509.Certificate {
	for _, cert := range a.certs {
		s256, s1 := sha256.Sum256(cert.Raw), sha1.Sum(cert.Raw)
		if x5tS256 != "" && sameDigest(x5tS256, s256[:]) || x5tS256 == "" && x5t != "" && sameDigest(x5t, s1[:]) {
			return cert
		}
	}
	return nil
}

func sameDigest(text string, sum []byte) bool {
	text = strings.TrimRight(text, "=")
	return text == base64.RawURLEncoding.EncodeToString(sum) || text == base64.RawStdEncoding.EncodeToString(sum)
}
