package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/postern-mail/postern/internal/config"
)

// healthLimit is below what container engines give a health check.
const healthLimit = 4 * time.Second

type healthCmd struct {
	Ready bool `help:"Ask whether everything works (/readyz), not only whether the gateway answers (/healthz)."`
}

// Run asks the gateway that these settings describe how it is. It is what a
// container's health check runs, where there is no curl.
func (h healthCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	path := "/healthz"
	if h.Ready {
		path = "/readyz"
	}
	scheme, trust := "http", (*tls.Config)(nil)
	if cfg.HTTP.TLSCert != "" {
		if trust, err = ownCertificate(cfg.HTTP.TLSCert); err != nil {
			return usageError{fmt.Errorf("http.tls_cert: %w", err)}
		}
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, scheme+"://"+askedAt(cfg.HTTP)+path, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: healthLimit, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: trust}}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("the gateway does not answer: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Status            string
		Reasons, Warnings []string
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("what answers at %s is no gateway: %s", req.URL.Host, resp.Status)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", answer.Status, strings.Join(answer.Reasons, "; "))
	}
	fmt.Fprintln(e.stdout, answer.Status)
	for _, w := range answer.Warnings {
		fmt.Fprintln(e.stdout, "warning:", w)
	}
	return nil
}

// ownCertificate trusts the gateway's own certificate and nothing else, by the
// name that it has: the gateway is asked at an address that it does not name.
func ownCertificate(file string) (*tls.Config, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw) // the first is the server's own
	if block == nil {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	trust.RootCAs.AddCert(cert)
	switch {
	case len(cert.DNSNames) > 0:
		trust.ServerName = strings.Replace(cert.DNSNames[0], "*.", "any.", 1)
	case len(cert.IPAddresses) > 0:
		trust.ServerName = cert.IPAddresses[0].String()
	}
	return trust, nil
}

// askedAt is where the door of http.listen is reached from the same machine: a
// door on all addresses is reached by loopback.
func askedAt(cfg config.HTTP) string {
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return cfg.Listen // refused when the settings were read
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && addr.IsUnspecified() && addr.Is4():
		host = "127.0.0.1"
	case err == nil && addr.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
