package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// DataKey seals records. It is safe for use by several goroutines.
//
// With random nonces one key is good for 2^32 seals (NIST SP 800-38D, 8.3). An
// account does not come near; what seals everything a busy gateway does is
// used through Derive, one derived key a day.
type DataKey struct {
	key [KeySize]byte
	box box
}

// NewDataKey makes a random key.
func NewDataKey() (*DataKey, error) {
	var key [KeySize]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, fmt.Errorf("make data key: %w", err)
	}
	return dataKey(key)
}

func dataKey(key [KeySize]byte) (*DataKey, error) {
	b, err := newBox(key[:])
	if err != nil {
		return nil, fmt.Errorf("make data key: %w", err)
	}
	return &DataKey{key: key, box: b}, nil
}

// ID names the key, in hex.
func (k *DataKey) ID() string { return hex.EncodeToString(k.box.id[:]) }

// Seal appends the sealed plaintext to dst, which must not overlap it. The
// same additional data opens it.
func (k *DataKey) Seal(dst, plaintext, aad []byte) []byte {
	return k.box.seal(dst, plaintext, aad)
}

// Open appends the plaintext to dst. What was sealed under another key is a
// WrongKeyError, what was changed is ErrDamaged.
func (k *DataKey) Open(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) >= idSize && [idSize]byte(sealed) != k.box.id {
		return nil, &WrongKeyError{Want: KeyID(sealed), Have: []string{k.ID()}}
	}
	return k.box.open(dst, sealed, aad)
}

// Derive makes the key of one purpose (HKDF, RFC 5869).
func (k *DataKey) Derive(label string) (*DataKey, error) {
	b, err := hkdf.Key(sha256.New, k.key[:], nil, "postern derived key: "+label, KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return dataKey([KeySize]byte(b))
}

// MAC gives 20 bytes of HMAC-SHA-256 over the parts, unambiguously joined: a
// name for what must not stand in an index as it is.
func (k *DataKey) MAC(parts ...string) [20]byte {
	h := hmac.New(sha256.New, k.key[:])
	var b []byte
	for _, p := range parts {
		b = append(strconv.AppendInt(b[:0], int64(len(p)), 10), ':')
		_, _ = h.Write(append(b, p...)) // a hash takes everything
	}
	return [20]byte(h.Sum(nil)[:20])
}

// Format shows the id and nothing else.
func (k *DataKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "data key "+k.ID()) }

// LogValue shows the id and nothing else.
func (k *DataKey) LogValue() slog.Value { return slog.StringValue("data key " + k.ID()) }
