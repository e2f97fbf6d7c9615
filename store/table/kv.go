package table

import (
	"fmt"

	"github.com/postern-mail/postern/store"
)

func (tx *Batch) get(b Bucket, k key) ([]byte, error) {
	var v []byte
	var err error
	if b.packed() {
		v, err = tx.getPacked(b, k)
	} else {
		v, err = tx.kv.Get(b, k)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", b, err)
	}
	return v, nil
}

// must is get for a record that has to be there.
func (tx *Batch) must(b Bucket, k key) ([]byte, error) {
	v, err := tx.get(b, k)
	if err == nil && v == nil {
		err = store.ErrNotFound
	}
	return v, err
}

func (tx *Batch) put(b Bucket, k key, value []byte) error {
	if !tx.writable {
		return errReadOnly
	}
	if value == nil {
		value = []byte{}
	}
	tx.writes++
	if b.packed() {
		if err := tx.putPacked(b, k, value); err != nil {
			return fmt.Errorf("write %s: %w", b, err)
		}
		return nil
	}
	if err := tx.kv.Put(b, k, value); err != nil {
		return fmt.Errorf("write %s: %w", b, err)
	}
	return nil
}

func (tx *Batch) del(b Bucket, k key) error {
	if !tx.writable {
		return errReadOnly
	}
	tx.writes++
	if b.packed() {
		if err := tx.delPacked(b, k); err != nil {
			return fmt.Errorf("delete from %s: %w", b, err)
		}
		return nil
	}
	if err := tx.kv.Delete(b, k); err != nil {
		return fmt.Errorf("delete from %s: %w", b, err)
	}
	return nil
}

func (tx *Batch) scan(b Bucket, from, to []byte, reverse bool, limit int) ([]Pair, error) {
	if limit <= 0 {
		return nil, nil
	}
	var pairs []Pair
	var err error
	if b.packed() {
		pairs, err = tx.scanPacked(b, from, to, reverse, limit)
	} else {
		pairs, err = tx.kv.Scan(b, from, to, reverse, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", b, err)
	}
	return pairs, nil
}

// prefix lists keys that begin with k.
func (tx *Batch) prefix(b Bucket, k key, limit int) ([]Pair, error) {
	return tx.scan(b, k, end(k), false, limit)
}

// first gives the first, or in reverse the last, key that begins with k.
func (tx *Batch) first(b Bucket, k key, reverse bool) (Pair, bool, error) {
	pairs, err := tx.scan(b, k, end(k), reverse, 1)
	if err != nil || len(pairs) == 0 {
		return Pair{}, false, err
	}
	return pairs[0], true, nil
}
