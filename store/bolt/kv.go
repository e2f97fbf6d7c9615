package bolt

import (
	"bytes"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store/table"
)

// kv is table.KV over a transaction of bbolt, whose values stay where they
// are until it ends.
type kv struct {
	tx      *bbolt.Tx
	buckets [96]*bbolt.Bucket
	// readers look keys up where nothing is written: a cursor that is used again
	// needs no new stack for each.
	readers [96]*bbolt.Cursor
}

var _ table.KV = (*kv)(nil)

func newKV(tx *bbolt.Tx) *kv { return &kv{tx: tx} }

func (e *kv) bucket(b table.Bucket) *bbolt.Bucket {
	if got := e.buckets[b]; got != nil {
		return got
	}
	got := e.tx.Bucket([]byte(b.String()))
	if b.Appended() && e.tx.Writable() {
		got.FillPercent = 0.95
	}
	e.buckets[b] = got
	return got
}

// Get reads a value.
func (e *kv) Get(b table.Bucket, key []byte) ([]byte, error) {
	if e.tx.Writable() {
		return e.bucket(b).Get(key), nil
	}
	c := e.readers[b]
	if c == nil {
		c = e.bucket(b).Cursor()
		e.readers[b] = c
	}
	if k, v := c.Seek(key); bytes.Equal(k, key) {
		return v, nil
	}
	return nil, nil
}

// Put writes a value.
func (e *kv) Put(b table.Bucket, key, value []byte) error {
	return e.bucket(b).Put(key, value)
}

// Delete removes a value.
func (e *kv) Delete(b table.Bucket, key []byte) error {
	return e.bucket(b).Delete(key)
}

// Scan lists a range.
func (e *kv) Scan(b table.Bucket, from, to []byte, reverse bool, limit int) ([]table.Pair, error) {
	c := e.bucket(b).Cursor()
	if reverse {
		return backwards(c, from, to, limit), nil
	}
	var out []table.Pair
	k, v := c.Seek(from)
	for k != nil && len(out) < limit && (to == nil || bytes.Compare(k, to) < 0) {
		out = append(out, table.Pair{Key: k, Value: v})
		k, v = c.Next()
	}
	return out, nil
}

// backwards steps around two habits of bbolt's cursor in a transaction that
// has emptied a page: Prev answers nil there, as it does at the beginning, and
// Last does not return where every page is empty.
func backwards(c *bbolt.Cursor, from, to []byte, limit int) []table.Pair {
	first, _ := c.First()
	if first == nil {
		return nil
	}
	first = bytes.Clone(first)
	k, v := []byte(nil), []byte(nil)
	at := to
	if to != nil {
		k, _ = c.Seek(to)
	}
	if k == nil {
		k, v = c.Last()
		if to != nil && bytes.Compare(k, to) >= 0 {
			k = nil
		}
	} else {
		k = nil
	}
	var out []table.Pair
	for len(out) < limit {
		for k == nil {
			if at != nil && bytes.Compare(at, first) <= 0 {
				return out
			}
			k, v = c.Prev()
		}
		if bytes.Compare(k, from) < 0 {
			return out
		}
		out = append(out, table.Pair{Key: k, Value: v})
		at, k = k, nil
	}
	return out
}
