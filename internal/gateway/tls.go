package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/localca"
)

// tlsListener puts TLS over the HTTP door where a certificate is configured. Its
// files are read again when they change.
func tlsListener(l net.Listener, cfg config.HTTP, log *slog.Logger) (net.Listener, error) {
	if cfg.TLSCert == "" {
		return l, nil
	}
	files, err := localca.Load(cfg.TLSCert, cfg.TLSKey, nil, log)
	if err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("http.tls_cert: %w", err)
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: files.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}), nil
}
