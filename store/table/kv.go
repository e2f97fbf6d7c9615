package table

import (
	"fmt"

	"github.com/postern-mail/postern/store"
)

func (tx *Tx) get(b Bucket, k key) ([]byte, error) {
	v, err := tx.kv.Get(b, k)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b, err)
	}
	return v, nil
}

// must is get for a record that has to be there.
func (tx *Tx) must(b Bucket, k key) ([]byte, error) {
	v, err := tx.get(b, k)
	if err == nil && v == nil {
		err = store.ErrNotFound
	}
	return v, err
}

func (tx *Tx) put(b Bucket, k key, value []byte) error {
	if value == nil {
		value = []byte{}
	}
	if err := tx.kv.Put(b, k, value); err != nil {
		return fmt.Errorf("write %s: %w", b, err)
	}
	return nil
}

func (tx *Tx) del(b Bucket, k key) error {
	if err := tx.kv.Delete(b, k); err != nil {
		return fmt.Errorf("delete from %s: %w", b, err)
	}
	return nil
}

func (tx *Tx) scan(b Bucket, from, to []byte, reverse bool, limit int) ([]Pair, error) {
	if limit <= 0 {
		return nil, nil
	}
	pairs, err := tx.kv.Scan(b, from, to, reverse, limit)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", b, err)
	}
	return pairs, nil
}

// prefix lists keys that begin with k.
func (tx *Tx) prefix(b Bucket, k key, limit int) ([]Pair, error) {
	return tx.scan(b, k, end(k), false, limit)
}

// first gives the first, or in reverse the last, key that begins with k.
func (tx *Tx) first(b Bucket, k key, reverse bool) (Pair, bool, error) {
	pairs, err := tx.scan(b, k, end(k), reverse, 1)
	if err != nil || len(pairs) == 0 {
		return Pair{}, false, err
	}
	return pairs[0], true, nil
}

// number reads a number of the store's own, 0 where there is none.
func (tx *Tx) number(name string) (uint64, error) {
	v, err := tx.get(bMeta, key(name))
	return number(v), err
}

func (tx *Tx) setNumber(name string, n uint64) error {
	return tx.put(bMeta, key(name), key(nil).u64(n))
}

// count gives the next of a series of numbers, from 1.
func (tx *Tx) count(name string) (uint64, error) {
	n, err := tx.number(name)
	if err != nil {
		return 0, err
	}
	return n + 1, tx.setNumber(name, n+1)
}

// add changes a number by a difference.
func (tx *Tx) add(name string, diff int) error {
	n, err := tx.number(name)
	if err != nil {
		return err
	}
	return tx.setNumber(name, uint64(max(int64(n)+int64(diff), 0)))
}
