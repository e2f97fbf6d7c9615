package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"

	"github.com/postern-mail/postern/store"
)

// An app password is 28 characters of 5 random bits each, in groups of four.
// The alphabet is Crockford's base32: what people mistake for one another when
// they type is the same to us.
const (
	secretAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	secretLength   = 28
	secretGroup    = 4
)

// newSecret makes an app password as it is shown, once.
func newSecret() string {
	raw := make([]byte, secretLength)
	rand.Read(raw)
	var b strings.Builder
	for i, r := range raw {
		if i > 0 && i%secretGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(secretAlphabet[r&31])
	}
	return b.String()
}

// typed folds what people do to a secret between reading and typing it.
func typed(secret string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '\t', '\u00a0', '\u2010', '\u2011', '\u2013':
			return -1
		case 'i', 'I', 'l', 'L':
			return '1'
		case 'o', 'O':
			return '0'
		}
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, secret)
}

// hashKey is the setting with the key under which app passwords are hashed.
const hashKey = "access.app_password_key"

// hash gives what is kept of an app password: HMAC-SHA-256 under a key that
// lies sealed in the store.
//
// Not argon2id: that makes guessing dear where people choose from few words.
// These are 140 random bits of our own making, so that there is no dictionary,
// and nobody who tries 2^139 of them is slowed down enough to matter by a slow
// hash, or hurried enough by a fast one. A slow one would cost each of a mail
// program's many connections tens of megabytes and as many milliseconds, and
// whoever cannot log in at all could spend them, too. The key makes what is
// kept worthless without the store's, and lets a password be found by its
// hash, with nothing to compare byte by byte.
func (a *Access) hash(ctx context.Context, secret string) ([]byte, error) {
	key, err := a.key(ctx)
	if err != nil {
		return nil, err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(typed(secret)))
	return mac.Sum(nil), nil
}

// key reads the key of hashes, or makes it.
func (a *Access) key(ctx context.Context) ([]byte, error) {
	a.keyMu.Lock()
	defer a.keyMu.Unlock()
	if a.hashKey != nil {
		return a.hashKey, nil
	}
	fresh := make([]byte, sha256.Size)
	rand.Read(fresh)
	var key []byte
	err := a.store.Update(ctx, func(tx store.Tx) (err error) {
		if key, err = tx.Setting(hashKey); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		key = fresh
		return tx.PutSetting(hashKey, fresh)
	})
	if err != nil {
		return nil, err
	}
	a.hashKey = key
	return key, nil
}
