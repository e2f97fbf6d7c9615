// Package certs is the sandbox's certificate authority. It makes a root of
// its own and, from it, one server certificate that names this machine's
// loopback and the vendors' host names, so that a client may keep the vendor's
// URLs and dial the sandbox.
//
// A client trusts the sandbox only by being given the root's certificate as a
// file. The root's key never leaves the process, unless a state folder is
// given: then root and key are kept there (0600), so that a restarted sandbox
// is still trusted. Server certificates are made anew on each start.
package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of the root; a leaf lives as long as what is left of it. Long
// enough for a state folder to be of use for years.
const lifetime = 10 * 365 * 24 * time.Hour

// An Authority signs the sandbox's server certificates.
type Authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// New makes an authority that exists in memory only.
func New(now time.Time) (*Authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "Postern sandbox authority", Organization: []string{"Postern sandbox"}},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(lifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign the authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse the authority: %w", err)
	}
	return &Authority{cert: cert, key: key}, nil
}

// Names of the files in a state folder.
const (
	certFile = "ca.pem"
	keyFile  = "ca-key.pem"
)

// Load returns the authority kept in dir, or makes one and keeps it there. One
// that has expired, or does so within a month, is replaced.
func Load(dir string, now time.Time) (*Authority, error) {
	a, err := read(dir)
	switch {
	case err == nil && a.cert.NotAfter.After(now.AddDate(0, 1, 0)):
		return a, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if a, err = New(now); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return nil, fmt.Errorf("encode the authority's key: %w", err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, keyFile), keyPEM, 0o600); err != nil {
		return nil, fmt.Errorf("keep the authority's key: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, certFile), a.PEM(), 0o644); err != nil {
		return nil, fmt.Errorf("keep the authority: %w", err)
	}
	return a, nil
}

func read(dir string) (*Authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil {
		return nil, fmt.Errorf("read the authority: %w", err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read the authority: its key is a %T", pair.PrivateKey)
	}
	return &Authority{cert: pair.Leaf, key: key}, nil
}

// PEM is the root certificate: the file that clients are given.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool trusts this authority and nothing else.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// Leaf makes a server certificate for the names and addresses.
func (a *Authority) Leaf(now time.Time, names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a server key: %w", err)
	}
	serial, err := serialNumber()
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Postern sandbox", Organization: []string{"Postern sandbox"}},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("sign a server certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}, nil
}

func serialNumber() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose a serial number: %w", err)
	}
	return n, nil
}
