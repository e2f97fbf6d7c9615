package localca

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"time"

	"github.com/postern-mail/postern/store"
)

const (
	rootLife = 10 // years
	leafLife = 1
	// early is how long before its end the server certificate is made anew. A
	// root that has less left is replaced when the gateway starts.
	early = 60 * 24 * time.Hour
	// skew is how far behind ours a client's clock may be.
	skew = 24 * time.Hour
)

// Settings of the store that hold the authority and its server certificate.
const (
	rootSetting = "tls.authority"
	leafSetting = "tls.certificate"
)

// Options of an Authority.
type Options struct {
	// Names are host names and addresses beside localhost, 127.0.0.1 and ::1.
	Names []string
	Now   func() time.Time
	Log   *slog.Logger
}

// Authority is a root of our own and the server certificate that it vouches
// for.
type Authority struct {
	store store.Store
	opts  Options
	names []string
	root  pair
	leaf  *leaf
}

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// kept is how a pair lies in the store.
type kept struct {
	Cert []byte `json:"cert"` // DER
	Key  []byte `json:"key"`  // PKCS #8
}

// Open reads the authority from the store, or makes it.
func Open(ctx context.Context, s store.Store, opts Options) (*Authority, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	a := &Authority{store: s, opts: opts, names: allNames(opts.Names)}
	root, err := a.read(ctx, rootSetting)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return nil, fmt.Errorf("read the certificate authority: %w", err)
	case root.cert.NotAfter.Sub(opts.Now()) > early:
		a.root = root
	default:
		opts.Log.WarnContext(ctx, "the certificate authority is made anew: mail programs must be told to trust it", "ended", root.cert.NotAfter)
	}
	if a.root.cert == nil {
		if a.root, err = a.makeRoot(ctx); err != nil {
			return nil, fmt.Errorf("make the certificate authority: %w", err)
		}
	}
	a.leaf = &leaf{authority: a}
	return a, a.leaf.open(ctx)
}

// RootPEM is the root certificate, the file that mail programs are given.
func (a *Authority) RootPEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.cert.Raw})
}

// Fingerprint is the root's SHA-256, as people compare it.
func (a *Authority) Fingerprint() string { return Fingerprint(a.root.cert.Raw) }

// Fingerprint is a certificate's SHA-256, in pairs of digits with colons.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func (a *Authority) makeRoot(ctx context.Context) (pair, error) {
	now := a.opts.Now()
	serial, err := serialNumber()
	if err != nil {
		return pair{}, err
	}
	// The number tells roots of two gateways apart in a list of authorities.
	name := fmt.Sprintf("Postern local authority %04x", new(big.Int).And(serial, big.NewInt(0xffff)))
	p, err := sign(&x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Postern"}},
		NotBefore: now.Add(-skew), NotAfter: now.AddDate(rootLife, 0, 0),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}, nil)
	if err != nil {
		return pair{}, err
	}
	return p, a.write(ctx, rootSetting, p)
}

// sign makes a key and a certificate for it, vouched for by issuer, or by
// itself.
func sign(template *x509.Certificate, issuer *pair) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	parent, by := template, key
	if issuer != nil {
		parent, by = issuer.cert, issuer.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return pair{cert: cert, key: key}, err
}

func serialNumber() (*big.Int, error) {
	// At most 20 bytes, and positive (RFC 5280, 4.1.2.2).
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return n, nil
}

func (a *Authority) read(ctx context.Context, name string) (pair, error) {
	var raw []byte
	err := a.store.View(ctx, func(tx store.Tx) (err error) {
		raw, err = tx.Setting(name)
		return err
	})
	if err != nil {
		return pair{}, err
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return pair{}, store.ErrDamaged
	}
	cert, err := x509.ParseCertificate(k.Cert)
	if err != nil {
		return pair{}, fmt.Errorf("parse certificate: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(k.Key)
	if err != nil {
		return pair{}, errors.New("parse key: it is damaged")
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return pair{}, errors.New("certificate and key do not belong together")
	}
	return pair{cert: cert, key: key}, nil
}

func (a *Authority) write(ctx context.Context, name string, p pair) error {
	key, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		return fmt.Errorf("encode key: %w", err)
	}
	raw, err := json.Marshal(kept{Cert: p.cert.Raw, Key: key})
	if err != nil {
		return fmt.Errorf("encode certificate: %w", err)
	}
	return a.store.Update(ctx, func(tx store.Tx) error { return tx.PutSetting(name, raw) })
}
