package gateway

import (
	"crypto/tls"
	"fmt"
	"net"

	"github.com/postern-mail/postern/internal/config"
	"github.com/postern-mail/postern/internal/localca"
)

// tlsListener puts TLS over the HTTP door where a certificate is configured. Its
// files are read again when they change.
func tlsListener(l net.Listener, files *localca.Files) net.Listener {
	if files == nil {
		return l
	}
	return tls.NewListener(l, &tls.Config{GetCertificate: files.GetCertificate, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
}

// CheckCertificates reads the certificate files that the settings name, as a
// start would.
func CheckCertificates(cfg *config.Config) error {
	for _, f := range []struct{ setting, cert, key string }{
		{"http.tls_cert", cfg.HTTP.TLSCert, cfg.HTTP.TLSKey}, {"tls.cert", cfg.TLS.Cert, cfg.TLS.Key},
	} {
		if f.cert == "" {
			continue
		}
		if _, err := localca.Load(f.cert, f.key, nil, nil); err != nil {
			return fmt.Errorf("%s: %w", f.setting, err)
		}
	}
	return nil
}
