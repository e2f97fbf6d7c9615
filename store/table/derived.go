package table

import (
	"errors"
	"fmt"
	"slices"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
)

func derivedPrefix(l uint64, kind store.DerivedKind) key { return append(key(nil).u64(l), byte(kind)) }

func derivedKey(l uint64, kind store.DerivedKind, k string) key {
	return derivedPrefix(l, kind).last(k)
}

// Derived reads a derived value.
func (tx *Tx) Derived(account string, kind store.DerivedKind, k string) ([]byte, error) {
	l, err := tx.life(account)
	if err != nil {
		return nil, err
	}
	if l == 0 {
		return nil, store.ErrNotFound
	}
	b, _, err := tx.getSealed(bDerived, derivedKey(l, kind, k))
	return slices.Clone(b), damaged(err)
}

// damaged says what is wrong with a value that does not open: whoever reads it
// can compute it again.
func damaged(err error) error {
	if errors.Is(err, seal.ErrDamaged) {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return err
}

// PutDerived writes a derived value.
func (tx *Tx) PutDerived(account string, kind store.DerivedKind, k string, value []byte) error {
	if err := checkID("derived value", k); err != nil {
		return err
	}
	l, err := tx.needLife(account)
	if err != nil {
		return err
	}
	if kind.OfMessage() {
		owner, err := tx.lifeOf(bMessage, key(k))
		if err != nil {
			return err
		}
		if owner != l {
			return fmt.Errorf("message %s: %w", k, store.ErrNotFound)
		}
	}
	return tx.putSealed(bDerived, derivedKey(l, kind, k), l, value, nil)
}

// DeleteDerived forgets a derived value.
func (tx *Tx) DeleteDerived(account string, kind store.DerivedKind, k string) error {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return err
	}
	return tx.del(bDerived, derivedKey(l, kind, k))
}

// DerivedAfter lists derived values by key.
func (tx *Tx) DerivedAfter(account string, kind store.DerivedKind, after string, limit int) ([]store.DerivedRow, error) {
	l, err := tx.life(account)
	if err != nil || l == 0 {
		return nil, err
	}
	prefix := derivedPrefix(l, kind)
	from := []byte(prefix)
	if after != "" {
		from = next(derivedKey(l, kind, after))
	}
	pairs, err := tx.scan(bDerived, from, end(prefix), false, limit)
	if err != nil {
		return nil, err
	}
	var out []store.DerivedRow
	for _, p := range pairs {
		b, _, err := tx.open(bDerived, p.Key, p.Value)
		if err != nil {
			return nil, damaged(err)
		}
		out = append(out, store.DerivedRow{Key: string(p.Key[len(prefix):]), Value: slices.Clone(b)})
	}
	return out, nil
}

// dropDerived forgets what was derived from a message's bytes.
func (tx *Tx) dropDerived(l uint64, message string) error {
	for _, kind := range store.MessageDerived() {
		if err := tx.del(bDerived, derivedKey(l, kind, message)); err != nil {
			return err
		}
	}
	return nil
}
