package gateway

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/postern-mail/postern/internal/localca"
)

// tlsListener puts TLS over the HTTP door where a certificate is configured. Its
// files are read again when they change.
func (g *Gateway) tlsListener(l net.Listener) (net.Listener, error) {
	cfg := g.cfg.HTTP
	if cfg.TLSCert == "" {
		return l, nil
	}
	files, err := localca.Load(cfg.TLSCert, cfg.TLSKey, nil, g.log)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("http.tls_cert: %w", err)
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: files.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}
