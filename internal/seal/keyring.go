package seal

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Keyring holds master keys. The first wraps, all unwrap: a new key is put in
// front, everything is wrapped again, and the old one can go.
type Keyring struct {
	boxes []box
}

// NewKeyring makes a keyring of at least one key.
func NewKeyring(keys ...MasterKey) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, errors.New("a keyring needs a master key")
	}
	r := &Keyring{}
	for _, k := range keys {
		if !k.set {
			return nil, errors.New("a master key of the keyring is empty")
		}
		b, err := newBox(k.key[:])
		if err != nil {
			return nil, fmt.Errorf("make keyring: %w", err)
		}
		r.boxes = append(r.boxes, b)
	}
	return r, nil
}

// IDs names the keys, the one that wraps first.
func (r *Keyring) IDs() []string {
	ids := make([]string, len(r.boxes))
	for i := range r.boxes {
		ids[i] = hex.EncodeToString(r.boxes[i].id[:])
	}
	return ids
}

// Wrap seals a data key under the first master key.
func (r *Keyring) Wrap(k *DataKey, aad []byte) []byte {
	return r.boxes[0].seal(nil, k.key[:], aad)
}

// Unwrap opens a data key under the master key that wrapped it. Where that one
// is not in the ring the error is a WrongKeyError.
func (r *Keyring) Unwrap(wrapped, aad []byte) (*DataKey, error) {
	id := KeyID(wrapped)
	if id == "" {
		return nil, fmt.Errorf("unwrap data key: %w", ErrDamaged)
	}
	for i := range r.boxes {
		if hex.EncodeToString(r.boxes[i].id[:]) != id {
			continue
		}
		key, err := r.boxes[i].open(nil, wrapped, aad)
		if err != nil {
			return nil, fmt.Errorf("unwrap data key: %w", err)
		}
		if len(key) != KeySize {
			return nil, fmt.Errorf("unwrap data key: %w", ErrDamaged)
		}
		return dataKey([KeySize]byte(key))
	}
	return nil, fmt.Errorf("unwrap data key: %w", &WrongKeyError{Want: id, Have: r.IDs()})
}

// Current reports whether the value is wrapped under the first key.
func (r *Keyring) Current(wrapped []byte) bool { return KeyID(wrapped) == r.IDs()[0] }
