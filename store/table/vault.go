package table

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/postern-mail/postern/internal/seal"
	"github.com/postern-mail/postern/store"
	"github.com/postern-mail/postern/store/record"
)

// maxOpened bounds the cache of data keys.
const maxOpened = 50_000

// life gives the number of an account's present life, 0 where it has none.
// The empty account is the store itself.
func (tx *Batch) life(account string) (uint64, error) {
	if account == "" {
		return 0, nil
	}
	if l, ok := tx.lives[account]; ok {
		return l, nil
	}
	v, err := tx.get(bLife, key(account))
	if err != nil {
		return 0, err
	}
	l := number(v)
	tx.lived(account, l)
	return l, nil
}

// needLife is life for an account that has to be there: nothing is written
// for one that was never connected, or was deleted while somebody still
// worked on it.
func (tx *Batch) needLife(account string) (uint64, error) {
	if err := checkID("account", account); err != nil {
		return 0, err
	}
	l, err := tx.life(account)
	if err == nil && l == 0 {
		err = fmt.Errorf("account %s: %w", account, store.ErrNotFound)
	}
	return l, err
}

// beginLife gives an account its life and data key.
func (tx *Batch) beginLife(account string) (uint64, error) {
	l, err := tx.count("life")
	if err != nil {
		return 0, err
	}
	if _, err := tx.newDataKey(l, account); err != nil {
		return 0, err
	}
	if err := tx.put(bLife, key(account), key(nil).u64(l)); err != nil {
		return 0, err
	}
	tx.lived(account, l)
	return l, nil
}

func (tx *Batch) lived(account string, l uint64) {
	if tx.lives == nil {
		tx.lives = map[string]uint64{}
	}
	tx.lives[account] = l
}

func (tx *Batch) opened(l uint64, k *seal.DataKey) {
	if tx.keys == nil {
		tx.keys = map[uint64]*seal.DataKey{}
	}
	tx.keys[l] = k
}

// endLife destroys an account's data key: everything sealed under it is lost
// at once.
func (tx *Tx) endLife(account string, l uint64) error {
	k := key(nil).u64(l)
	v, err := tx.get(bKey, k)
	if err != nil {
		return err
	}
	if _, wrapped, err := record.DecodeKey(v); err == nil {
		cached := string(wrapped)
		tx.AfterCommit(func() {
			tx.t.mu.Lock()
			delete(tx.t.opened, cached)
			delete(tx.t.living, l)
			tx.t.mu.Unlock()
		})
	}
	if err := tx.del(bKey, k); err != nil {
		return err
	}
	if err := tx.del(bLife, key(account)); err != nil {
		return err
	}
	delete(tx.keys, l)
	tx.lived(account, 0)
	return nil
}

func keyAAD(l uint64, account string) []byte {
	return key("data key\x00").u64(l).last(account)
}

func (tx *Batch) newDataKey(l uint64, account string) (*seal.DataKey, error) {
	k, err := seal.NewDataKey()
	if err != nil {
		return nil, err
	}
	b, err := record.EncodeKey(account, tx.t.keys.Wrap(k, keyAAD(l, account)))
	if err != nil {
		return nil, err
	}
	tx.opened(l, k)
	return k, tx.put(bKey, key(nil).u64(l), b)
}

// dataKey gives the key of a life, ErrNotFound where the life has ended.
func (tx *Batch) dataKey(l uint64) (*seal.DataKey, error) {
	if k, ok := tx.keys[l]; ok {
		return k, nil
	}
	v, err := tx.must(bKey, key(nil).u64(l))
	if err != nil {
		return nil, err
	}
	account, wrapped, err := record.DecodeKey(v)
	if err != nil {
		return nil, err
	}
	k, err := tx.t.unwrap(wrapped, keyAAD(l, account))
	if err != nil {
		return nil, err
	}
	tx.opened(l, k)
	return k, nil
}

func (t *Tables) unwrap(wrapped, aad []byte) (*seal.DataKey, error) {
	t.mu.Lock()
	k := t.opened[string(wrapped)]
	t.mu.Unlock()
	if k != nil {
		return k, nil
	}
	k, err := t.keys.Unwrap(wrapped, aad)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.opened) >= maxOpened {
		clear(t.opened)
	}
	t.opened[string(wrapped)] = k
	return k, nil
}

// day gives the store's own key of a day. Random nonces allow 2^32 seals of a
// key, and the store's own seals every delivery there is.
func (t *Tables) day(n uint64) (*seal.DataKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.days[n]; k != nil {
		return k, nil
	}
	k, err := t.own.Derive(fmt.Sprintf("day %d", n))
	if err != nil {
		return nil, err
	}
	if len(t.days) > 100 {
		clear(t.days)
	}
	t.days[n] = k
	return k, nil
}

func (tx *Batch) additional(b Bucket, k key) []byte {
	tx.aad = append(append(append(tx.aad[:0], b.String()...), 0), k...)
	return tx.aad
}

// seal puts a value in its box: the life in front, plain, then for the
// store's own the day, then the sealed bytes.
func (tx *Batch) seal(b Bucket, k key, l uint64, plain []byte) ([]byte, error) {
	out := make([]byte, 0, len(plain)+seal.Overhead+2*binary.MaxVarintLen64)
	out = binary.AppendUvarint(out, l)
	var dk *seal.DataKey
	var err error
	if l == 0 {
		day := uint64(max(tx.t.now().Unix(), 0)) / 86400
		out = binary.AppendUvarint(out, day)
		dk, err = tx.t.day(day)
	} else {
		dk, err = tx.dataKey(l)
	}
	if err != nil {
		return nil, err
	}
	return dk.Seal(out, plain, tx.additional(b, k)), nil
}

// open undoes seal. The bytes are valid until the next open. What belongs to
// an ended life is ErrNotFound.
func (tx *Batch) open(b Bucket, k key, value []byte) (plain []byte, l uint64, err error) {
	l, n := binary.Uvarint(value)
	if n <= 0 {
		return nil, 0, fmt.Errorf("%s: %w", b, seal.ErrDamaged)
	}
	value = value[n:]
	var dk *seal.DataKey
	if l == 0 {
		day, n := binary.Uvarint(value)
		if n <= 0 {
			return nil, 0, fmt.Errorf("%s: %w", b, seal.ErrDamaged)
		}
		value = value[n:]
		dk, err = tx.t.day(day)
	} else {
		dk, err = tx.dataKey(l)
	}
	if err != nil {
		return nil, l, err
	}
	plain, err = dk.Open(tx.plain[:0], value, tx.additional(b, k))
	if err != nil {
		return nil, l, fmt.Errorf("%s: %w", b, err)
	}
	tx.plain = plain
	return plain, l, nil
}

// putSealed seals and writes a record.
func (tx *Batch) putSealed(b Bucket, k key, l uint64, plain []byte, err error) error {
	if err != nil {
		return err
	}
	v, err := tx.seal(b, k, l, plain)
	if err != nil {
		return err
	}
	return tx.put(b, k, v)
}

// getSealed reads and opens a record that has to be there.
func (tx *Batch) getSealed(b Bucket, k key) (plain []byte, l uint64, err error) {
	v, err := tx.must(b, k)
	if err != nil {
		return nil, 0, err
	}
	return tx.open(b, k, v)
}

// lifeOf reads the life that stands in front of a record, 0 where there is no
// record or its life has ended.
func (tx *Batch) lifeOf(b Bucket, k key) (uint64, error) {
	v, err := tx.get(b, k)
	if err != nil || v == nil {
		return 0, err
	}
	l, n := binary.Uvarint(v)
	if n <= 0 {
		return 0, fmt.Errorf("%s: %w", b, seal.ErrDamaged)
	}
	if _, err := tx.dataKey(l); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return 0, nil
		}
		return 0, err
	}
	return l, nil
}

// mac names something that must not stand in a key as it is.
func (tx *Batch) mac(parts ...string) []byte {
	m := tx.t.names.MAC(parts...)
	return m[:]
}

// missing reports and clears ErrNotFound.
func missing(err error) (bool, error) {
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}
