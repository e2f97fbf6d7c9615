package table

import (
	"errors"

	"github.com/postern-mail/postern/internal/seal"
)

// Batch is one transaction of the engine with what its members share: an
// engine may let several updates share one commit. A batch that is rolled back
// is thrown away whole.
type Batch struct {
	t        *Tables
	kv       KV
	writable bool

	// lives and keys remember what was looked up.
	lives map[string]uint64
	keys  map[uint64]*seal.DataKey

	// numbers are those of bMeta that were read; the changed ones, and the
	// endpoints whose lanes have changed, are written once for all members.
	numbers map[string]uint64
	changed map[string]bool
	touched map[string]bool
	writes  int

	// lanes are those that were looked at; the changed ones are written once
	// for all members, or before somebody reads the index of due lanes.
	lanes map[string]*lane
	// trimmed is how far the last trim of the outbox has come.
	trimmed []byte

	// plain and aad are scratch space.
	plain, aad []byte
}

// Begin wraps a transaction of the engine.
func (t *Tables) Begin(kv KV, writable bool) *Batch {
	return &Batch{t: t, kv: kv, writable: writable}
}

// Tx makes the next member's transaction. There is one at a time.
func (tx *Batch) Tx() *Tx { return &Tx{Batch: tx} }

// Writes counts what the members have written so far, to tell one that failed
// before it wrote anything from one that has to be rolled back.
func (tx *Batch) Writes() int { return tx.writes }

// Finish writes what was kept back. The engine calls it before it commits.
func (tx *Batch) Finish() error {
	if err := tx.settle(); err != nil {
		return err
	}
	for name := range tx.changed {
		if err := tx.put(bMeta, key(name), key(nil).u64(tx.numbers[name])); err != nil {
			return err
		}
	}
	clear(tx.changed)
	return nil
}

// errReadOnly is answered to writing in a View.
var errReadOnly = errors.New("a view cannot write")

// number reads a number of the store's own, 0 where there is none.
func (tx *Batch) number(name string) (uint64, error) {
	if n, ok := tx.numbers[name]; ok {
		return n, nil
	}
	v, err := tx.get(bMeta, key(name))
	if err != nil {
		return 0, err
	}
	if tx.numbers == nil {
		tx.numbers = map[string]uint64{}
	}
	tx.numbers[name] = number(v)
	return tx.numbers[name], nil
}

func (tx *Batch) setNumber(name string, n uint64) error {
	if !tx.writable {
		return errReadOnly
	}
	if _, err := tx.number(name); err != nil {
		return err
	}
	if tx.changed == nil {
		tx.changed = map[string]bool{}
	}
	tx.numbers[name], tx.changed[name] = n, true
	tx.writes++
	return nil
}

// count gives the next of a series of numbers, from 1.
func (tx *Batch) count(name string) (uint64, error) {
	n, err := tx.number(name)
	if err != nil {
		return 0, err
	}
	return n + 1, tx.setNumber(name, n+1)
}

// add changes a number by a difference.
func (tx *Batch) add(name string, diff int) error {
	n, err := tx.number(name)
	if err != nil {
		return err
	}
	return tx.setNumber(name, uint64(max(int64(n)+int64(diff), 0)))
}
