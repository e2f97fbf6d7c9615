package localca

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// leaf is the server certificate of an authority.
type leaf struct {
	authority *Authority
	mu        sync.Mutex
	pair      pair
	serve     *tls.Certificate
}

// allNames adds what every gateway is called, without repetition.
func allNames(names []string) []string {
	all := []string{"localhost", "127.0.0.1", "::1"}
	for _, n := range names {
		n = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(n), "."))
		if ip := net.ParseIP(n); ip != nil {
			n = ip.String()
		}
		if n != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all
}

// open takes the certificate of before where it is still good.
func (l *leaf) open(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p, err := l.authority.read(ctx, leafSetting); err == nil && l.good(p.cert) {
		l.use(p)
		return nil
	}
	return l.renew(ctx)
}

// good reports whether a certificate can be used: ours, for our names, with
// some time left. What is left of the root's life may be less.
func (l *leaf) good(cert *x509.Certificate) bool {
	a := l.authority
	if cert.CheckSignatureFrom(a.root.cert) != nil {
		return false
	}
	left := cert.NotAfter.Sub(a.opts.Now())
	if left <= 0 || left < early && cert.NotAfter.Before(a.root.cert.NotAfter) {
		return false
	}
	has := slices.Clone(cert.DNSNames)
	for _, ip := range cert.IPAddresses {
		has = append(has, ip.String())
	}
	want := slices.Clone(a.names)
	slices.Sort(has)
	slices.Sort(want)
	return slices.Equal(has, want)
}

func (l *leaf) use(p pair) {
	l.pair = p
	l.serve = &tls.Certificate{Certificate: [][]byte{p.cert.Raw, l.authority.root.cert.Raw}, PrivateKey: p.key, Leaf: p.cert}
}

// renew makes another certificate. One that cannot be kept is used all the
// same: the store's trouble is not that of who connects.
func (l *leaf) renew(ctx context.Context) error {
	a := l.authority
	serial, err := serialNumber()
	if err != nil {
		return err
	}
	now := a.opts.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Postern", Organization: []string{"Postern"}},
		NotBefore: now.Add(-skew), NotAfter: now.AddDate(leafLife, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if template.NotAfter.After(a.root.cert.NotAfter) {
		template.NotAfter = a.root.cert.NotAfter
	}
	for _, n := range a.names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	p, err := sign(template, &a.root)
	if err != nil {
		return err
	}
	l.use(p)
	a.opts.Log.InfoContext(ctx, "server certificate made", "names", a.names, "until", template.NotAfter)
	if err := a.write(ctx, leafSetting, p); err != nil {
		a.opts.Log.ErrorContext(ctx, "server certificate not kept", "error", err)
	}
	return nil
}

// keepLimit bounds keeping a renewed certificate while a client waits.
const keepLimit = 5 * time.Second

// GetCertificate is for tls.Config. It renews what is about to end.
func (a *Authority) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	l := a.leaf
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.good(l.pair.cert) {
		ctx, cancel := context.WithTimeout(context.Background(), keepLimit)
		defer cancel()
		if err := l.renew(ctx); err != nil {
			a.opts.Log.ErrorContext(ctx, "server certificate not renewed", "error", err)
		}
	}
	return l.serve, nil
}
