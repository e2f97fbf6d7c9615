package seal

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
)

// MasterKey wraps data keys. It is kept outside the store.
type MasterKey struct {
	key [KeySize]byte
	set bool
}

// maxKeyText bounds what is read where a key is expected.
const maxKeyText = 4096

// GenerateMasterKey makes a random key.
func GenerateMasterKey() (MasterKey, error) {
	k := MasterKey{set: true}
	if _, err := rand.Read(k.key[:]); err != nil {
		return MasterKey{}, fmt.Errorf("generate master key: %w", err)
	}
	return k, nil
}

// ParseMasterKey reads 32 bytes in base64 (standard or URL alphabet, padded or
// not) or hex, with white space around.
func ParseMasterKey(s string) (MasterKey, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return MasterKey{}, errors.New("the master key is empty")
	}
	if len(s) == hex.EncodedLen(KeySize) {
		if b, err := hex.DecodeString(s); err == nil {
			return masterKey(b), nil
		}
	}
	raw := strings.TrimRight(s, "=")
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(raw); err == nil && len(b) == KeySize {
			return masterKey(b), nil
		}
	}
	return MasterKey{}, fmt.Errorf("the master key is not %d bytes in base64 or hex", KeySize)
}

func masterKey(b []byte) MasterKey {
	k := MasterKey{set: true}
	copy(k.key[:], b)
	return k
}

// ReadMasterKey reads a key from a file: as ParseMasterKey does, or the bare
// 32 bytes.
func ReadMasterKey(path string) (MasterKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return MasterKey{}, fmt.Errorf("read master key: %w", err)
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyText))
	if err != nil {
		return MasterKey{}, fmt.Errorf("read master key: %w", err)
	}
	if len(b) == KeySize {
		return masterKey(b), nil
	}
	k, err := ParseMasterKey(string(b))
	if err != nil {
		return MasterKey{}, fmt.Errorf("read master key from %s: %w", path, err)
	}
	return k, nil
}

// MasterKeyFromCommand runs a command, without a shell, and reads the key from
// its standard output.
func MasterKeyFromCommand(ctx context.Context, argv []string) (MasterKey, error) {
	if len(argv) == 0 {
		return MasterKey{}, errors.New("the command for the master key is empty")
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var out limited
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		// What the command wrote stays out of the error: it may be the key.
		return MasterKey{}, fmt.Errorf("run %s for the master key: %w", argv[0], err)
	}
	k, err := ParseMasterKey(string(out.b))
	if err != nil {
		return MasterKey{}, fmt.Errorf("output of %s: %w", argv[0], err)
	}
	return k, nil
}

// limited keeps the first bytes of what is written to it.
type limited struct{ b []byte }

func (l *limited) Write(p []byte) (int, error) {
	if room := maxKeyText - len(l.b); room > 0 {
		l.b = append(l.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

// ID names the key: the first 8 bytes of its SHA-256, in hex.
func (k MasterKey) ID() string {
	sum := sha256.Sum256(k.key[:])
	return hex.EncodeToString(sum[:idSize])
}

// Encode gives the key in base64, for the file it is kept in.
func (k MasterKey) Encode() Secret {
	return NewSecret(base64.StdEncoding.EncodeToString(k.key[:]))
}

// Format shows the id and nothing else.
func (k MasterKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "master key "+k.ID()) }

// LogValue shows the id and nothing else.
func (k MasterKey) LogValue() slog.Value { return slog.StringValue("master key " + k.ID()) }

// MarshalText never tells.
func (k MasterKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }
