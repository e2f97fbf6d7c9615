package gateway

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/postern-mail/postern/internal/config"
)

// tlsListener puts TLS over a listener where a certificate is configured.
func tlsListener(l net.Listener, cfg config.HTTP) (net.Listener, error) {
	if cfg.TLSCert == "" {
		return l, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("http.tls_cert: %w", err)
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}
