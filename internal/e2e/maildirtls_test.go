package e2e

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/plugins/sdk/provider"
)

// newIdentity makes a key and a certificate as a host does.
func newIdentity(t *testing.T) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestPluginInPythonLetsInItsHostAlone: go-plugin's AutoMTLS, from both sides.
func TestPluginInPythonLetsInItsHostAlone(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	host, hostPEM := newIdentity(t)
	stranger, _ := newIdentity(t)

	shake := provider.Handshake()
	cmd := exec.Command(filepath.Join(s.plugins, "postern-provider-maildir"))
	cmd.Env = append(os.Environ(), shake.MagicCookieKey+"="+shake.MagicCookieValue, "PLUGIN_PROTOCOL_VERSIONS=1",
		"PLUGIN_UNIX_SOCKET_DIR="+t.TempDir(), "PLUGIN_CLIENT_CERT="+string(hostPEM), provider.EnvLifeline+"="+provider.LifelineStdin)
	lifeline, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	parts := strings.Split(strings.TrimSpace(line), "|")
	if err != nil || len(parts) < 6 || parts[0] != "1" || parts[1] != "1" || parts[2] != "unix" || parts[4] != "grpc" {
		t.Fatalf("the handshake is %q: %v\n%s", line, err, &stderr)
	}
	der, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		t.Fatalf("the certificate: %v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatalf("the certificate: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	// What a server says first of all are its settings (RFC 9113, 3.4).
	hears := func(certs ...tls.Certificate) error {
		conn, err := tls.Dial("unix", parts[3], &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certs, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12})
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 9))
		return err
	}
	if err := hears(host); err != nil {
		t.Errorf("the host is not let in: %v\n%s", err, &stderr)
	}
	if hears() == nil {
		t.Error("somebody without a certificate is let in")
	}
	if hears(stranger) == nil {
		t.Error("somebody with another certificate is let in")
	}

	// The end of standard input is the end of the host.
	if err := lifeline.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the plugin ended with %v\n%s", err, &stderr)
	}
	if _, err := os.Stat(parts[3]); err == nil {
		t.Error("its socket is still there")
	}
}
