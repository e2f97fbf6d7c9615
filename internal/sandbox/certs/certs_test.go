package certs

import (
	"bytes"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestLeafIsTrustedThroughTheRootAlone(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	a, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Leaf(now, "localhost", "127.0.0.1", "::1", "graph.microsoft.com")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(leaf.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "graph.microsoft.com"} {
		if _, err := cert.Verify(x509.VerifyOptions{DNSName: name, Roots: a.Pool(), CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: a.Pool(), CurrentTime: now}); err == nil {
		t.Error("a name that was not asked for is trusted")
	}
	other, err := New(now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: other.Pool(), CurrentTime: now}); err == nil {
		t.Error("trusted by another authority")
	}
}

func TestLoadKeepsTheAuthorityUntilItExpires(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	first, err := Load(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(dir, now.AddDate(5, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.PEM(), second.PEM()) {
		t.Error("the second start made another authority")
	}
	info, err := os.Stat(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("key file mode %v", info.Mode())
	}
	third, err := Load(dir, now.AddDate(10, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.PEM(), third.PEM()) {
		t.Error("an expired authority was kept")
	}
	if err := os.WriteFile(filepath.Join(dir, certFile), []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, now); err == nil {
		t.Error("a broken file was silently replaced")
	}
}
