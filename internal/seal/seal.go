// Package seal keeps things secret at rest: envelope encryption, and the
// Secret type that does not print itself.
//
// A master key, which lives outside the store, wraps data keys; a data key
// seals records. Both use AES-256-GCM with a random nonce of 96 bits and carry
// the id of their key in front, so that a key can be replaced while the other
// is still needed. What a sealed value is (its table and key, say) is given as
// additional data: a value moved to another place does not open.
//
// What is kept true. Neither a key nor a Secret ever shows in a log, an error
// or JSON. A wrong master key is told apart from damage: WrongKeyError names
// the key that is needed and those that are there.
//
// Where to start: Keyring, then DataKey.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	// KeySize is the length of master and data keys.
	KeySize = 32
	// idSize is the length of a key's id.
	idSize    = 8
	nonceSize = 12
	tagSize   = 16
	// Overhead is how much longer a sealed value is than what it holds.
	Overhead = idSize + nonceSize + tagSize
)

// ErrDamaged is answered for a sealed value that was changed, cut, or moved
// from where it belongs.
var ErrDamaged = errors.New("sealed value is damaged or not what it claims to be")

// ErrWrongKey is in the chain of every WrongKeyError.
var ErrWrongKey = errors.New("wrong master key")

// WrongKeyError says which key something was sealed under, and which keys are
// at hand.
type WrongKeyError struct {
	Want string
	Have []string
}

// Error names the keys by id.
func (e *WrongKeyError) Error() string {
	have := "none is configured"
	if len(e.Have) > 0 {
		have = "configured: " + strings.Join(e.Have, ", ")
	}
	return fmt.Sprintf("wrong master key: the data is sealed under key %s (%s)", e.Want, have)
}

// Unwrap gives ErrWrongKey.
func (e *WrongKeyError) Unwrap() error { return ErrWrongKey }

// box is one AES-256-GCM key with its id.
type box struct {
	id   [idSize]byte
	aead cipher.AEAD
}

func newBox(key []byte) (box, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return box{}, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return box{}, err
	}
	b := box{aead: aead}
	sum := sha256.Sum256(key)
	copy(b.id[:], sum[:])
	return b, nil
}

// seal appends id, nonce and ciphertext to dst.
func (b *box) seal(dst, plaintext, aad []byte) []byte {
	start := len(dst)
	if free := cap(dst) - start; free < len(plaintext)+Overhead {
		grown := make([]byte, start, start+len(plaintext)+Overhead)
		copy(grown, dst)
		dst = grown
	}
	dst = append(dst, b.id[:]...)
	nonce := dst[len(dst) : len(dst)+nonceSize]
	// crypto/rand does not fail: it ends the program where the system gives no
	// randomness.
	_, _ = rand.Read(nonce)
	dst = dst[:len(dst)+nonceSize]
	return b.aead.Seal(dst, nonce, plaintext, aad)
}

// open appends the plaintext to dst. The caller has checked the id.
func (b *box) open(dst, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrDamaged
	}
	out, err := b.aead.Open(dst, sealed[idSize:idSize+nonceSize], sealed[idSize+nonceSize:], aad)
	if err != nil {
		return nil, ErrDamaged
	}
	return out, nil
}

// KeyID gives the id of the key that a value was sealed or wrapped under,
// empty where the value is too short to have one.
func KeyID(sealed []byte) string {
	if len(sealed) < idSize {
		return ""
	}
	return hex.EncodeToString(sealed[:idSize])
}
