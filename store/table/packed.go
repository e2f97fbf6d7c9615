package table

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Some indexes grow at as many places as there are accounts: every event adds
// a small row at the end of its account's own. An engine rewrites a page for
// each, and unpacks its some hundred rows to do so. So the rows of such a
// bucket lie packed in blocks, each a row of the engine, and get, put, del and
// scan see the rows as if each were one of its own.
//
// A block's key is at or above its rows' keys, and above it come the rows of
// the next block. Blocks do not go across prefixes (the first string of the
// key). The last block of a prefix has a key that no row reaches, so that rows
// that are appended find it. A block's value is a sequence of
//
//	length of the suffix, suffix, length of the value, value
//
// with lengths as uvarints, in the order of the suffixes, which are what
// follows the prefix in the rows' keys.

// maxBlock is how many bytes a block has before it is split.
const maxBlock = 1200

// packed reports whether a bucket's rows lie in blocks.
func (b Bucket) packed() bool { return b == bJournalBy || b == bOwedOf }

// lastSuffix is that of a prefix's last block: above every time and number
// that is followed by an id.
const lastSuffix = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// prefixOf gives the length of a key's prefix, the string that it begins with.
func prefixOf(k []byte) (int, error) {
	for i := 0; i+1 < len(k); i++ {
		if k[i] != 0 {
			continue
		}
		if k[i+1] == 0 {
			return i + 2, nil
		}
		i++
	}
	return 0, fmt.Errorf("a key of a packed bucket: %w", errIncomplete)
}

// entry is a row in a block.
type entry struct{ suffix, value []byte }

var errBlock = errors.New("a block of packed rows is damaged")

// readEntry takes an entry off the front.
func readEntry(b []byte) (e entry, rest []byte, err error) {
	for _, part := range []*[]byte{&e.suffix, &e.value} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return e, nil, errBlock
		}
		b = b[size:]
		*part, b = b[:n:n], b[n:]
	}
	return e, b, nil
}

func appendEntry(b []byte, e entry) []byte {
	b = append(binary.AppendUvarint(b, uint64(len(e.suffix))), e.suffix...)
	return append(binary.AppendUvarint(b, uint64(len(e.value))), e.value...)
}

// find gives the bounds of the entry of a suffix in a block, or, where there
// is none, twice the place where it belongs.
func find(block, suffix []byte) (from, to int, err error) {
	for rest := block; len(rest) > 0; {
		at := len(block) - len(rest)
		e, after, err := readEntry(rest)
		if err != nil {
			return 0, 0, err
		}
		switch bytes.Compare(e.suffix, suffix) {
		case 0:
			return at, len(block) - len(after), nil
		case 1:
			return at, at, nil
		}
		rest = after
	}
	return len(block), len(block), nil
}

// block finds the block that a key belongs into, ok false where its prefix has
// none. prefix is the length of the key's prefix.
func (tx *Batch) block(b Bucket, k key) (blk Pair, prefix int, ok bool, err error) {
	if prefix, err = prefixOf(k); err != nil {
		return blk, 0, false, err
	}
	if string(k[prefix:]) > lastSuffix {
		return blk, 0, false, fmt.Errorf("a key of a packed bucket is too great: %x", k)
	}
	pairs, err := tx.kv.Scan(b, k, end(k[:prefix]), false, 1)
	if err != nil || len(pairs) == 0 {
		return blk, prefix, false, err
	}
	return pairs[0], prefix, true, nil
}

func (tx *Batch) getPacked(b Bucket, k key) ([]byte, error) {
	blk, prefix, ok, err := tx.block(b, k)
	if err != nil || !ok {
		return nil, err
	}
	from, to, err := find(blk.Value, k[prefix:])
	if err != nil || from == to {
		return nil, err
	}
	e, _, err := readEntry(blk.Value[from:])
	return e.value, err
}

func (tx *Batch) putPacked(b Bucket, k key, value []byte) error {
	blk, prefix, ok, err := tx.block(b, k)
	if err != nil {
		return err
	}
	e := entry{k[prefix:], value}
	if !ok {
		return tx.kv.Put(b, append(slices.Clone(k[:prefix]), lastSuffix...), appendEntry(nil, e))
	}
	from, to, err := find(blk.Value, e.suffix)
	if err != nil {
		return err
	}
	grown := make([]byte, 0, len(blk.Value)+len(e.suffix)+len(value)+4)
	grown = append(grown, blk.Value[:from]...)
	grown = appendEntry(grown, e)
	cut := len(grown)
	grown = append(grown, blk.Value[to:]...)
	if len(grown) <= maxBlock {
		return tx.kv.Put(b, blk.Key, grown)
	}
	// What is appended at either end gets a block of its own, so that blocks
	// fill up; elsewhere the block is cut in two.
	switch {
	case from == 0 && to < len(blk.Value):
	case to == len(blk.Value) && from > 0:
		cut = from
	default:
		if cut, err = middle(grown); err != nil {
			return err
		}
	}
	if cut == len(grown) {
		return tx.kv.Put(b, blk.Key, grown)
	}
	last, err := lastEntry(grown[:cut])
	if err != nil {
		return err
	}
	left := slices.Concat(k[:prefix], last.suffix)
	return errors.Join(tx.kv.Put(b, left, slices.Clone(grown[:cut])), tx.kv.Put(b, blk.Key, slices.Clone(grown[cut:])))
}

// middle gives the bound between two entries that is nearest behind the middle.
func middle(block []byte) (int, error) {
	rest := block
	for len(block)-len(rest) < len(block)/2 {
		_, after, err := readEntry(rest)
		if err != nil {
			return 0, err
		}
		rest = after
	}
	return len(block) - len(rest), nil
}

func lastEntry(block []byte) (e entry, err error) {
	for len(block) > 0 {
		if e, block, err = readEntry(block); err != nil {
			return e, err
		}
	}
	return e, nil
}

func (tx *Batch) delPacked(b Bucket, k key) error {
	blk, prefix, ok, err := tx.block(b, k)
	if err != nil || !ok {
		return err
	}
	from, to, err := find(blk.Value, k[prefix:])
	if err != nil || from == to {
		return err
	}
	if from == 0 && to == len(blk.Value) {
		return tx.kv.Delete(b, blk.Key)
	}
	return tx.kv.Put(b, blk.Key, slices.Concat(blk.Value[:from], blk.Value[to:]))
}

// blocksAtOnce is how many blocks a scan reads at a time.
const blocksAtOnce = 8

func (tx *Batch) scanPacked(b Bucket, from, to []byte, reverse bool, limit int) ([]Pair, error) {
	if reverse {
		return tx.scanPackedBack(b, from, to, limit)
	}
	var out []Pair
	var rows opened
	for at := from; ; {
		// The block that goes across the end of the range has its key beyond.
		blocks, err := tx.kv.Scan(b, at, nil, false, min(blocksAtOnce, limit))
		if err != nil || len(blocks) == 0 {
			return out, err
		}
		for _, blk := range blocks {
			if err := rows.open(blk); err != nil {
				return nil, err
			}
			for i := range rows.entries {
				if to != nil && rows.compare(i, to) >= 0 {
					return out, nil
				}
				if rows.compare(i, from) < 0 {
					continue
				}
				if out = append(out, rows.pair(i)); len(out) == limit {
					return out, nil
				}
			}
		}
		at = next(blocks[len(blocks)-1].Key)
	}
}

func (tx *Batch) scanPackedBack(b Bucket, from, to []byte, limit int) ([]Pair, error) {
	var out []Pair
	var rows opened
	// take adds a block's rows, and reports whether there may be more.
	take := func(blk Pair) (bool, error) {
		if limit == 1 && to != nil {
			p, ok, err := lastBefore(blk, to)
			if ok && bytes.Compare(p.Key, from) >= 0 {
				out = append(out, p)
			}
			return !ok, err
		}
		if err := rows.open(blk); err != nil {
			return false, err
		}
		for i := len(rows.entries) - 1; i >= 0; i-- {
			if to != nil && rows.compare(i, to) >= 0 {
				continue
			}
			if rows.compare(i, from) < 0 || len(out) == limit {
				return false, nil
			}
			out = append(out, rows.pair(i))
		}
		return len(out) < limit, nil
	}
	if to != nil {
		across, err := tx.kv.Scan(b, to, nil, false, 1)
		if err != nil {
			return nil, err
		}
		for _, blk := range across {
			if more, err := take(blk); err != nil || !more {
				return out, err
			}
		}
	}
	for before := to; ; {
		blocks, err := tx.kv.Scan(b, nil, before, true, min(blocksAtOnce, limit))
		if err != nil || len(blocks) == 0 {
			return out, err
		}
		for _, blk := range blocks {
			if more, err := take(blk); err != nil || !more {
				return out, err
			}
		}
		before = blocks[len(blocks)-1].Key
	}
}

// lastBefore gives a block's last row before a key.
func lastBefore(blk Pair, to []byte) (p Pair, ok bool, err error) {
	n, err := prefixOf(blk.Key)
	if err != nil {
		return p, false, err
	}
	o := opened{prefix: blk.Key[:n], entries: make([]entry, 1)}
	var found entry
	for rest := blk.Value; len(rest) > 0; {
		if o.entries[0], rest, err = readEntry(rest); err != nil {
			return p, false, err
		}
		if o.compare(0, to) >= 0 {
			break
		}
		found, ok = o.entries[0], true
	}
	if !ok {
		return p, false, nil
	}
	o.entries[0] = found
	return o.pair(0), true, nil
}

// opened is a block that is being read.
type opened struct {
	prefix  []byte
	entries []entry
}

func (o *opened) open(blk Pair) error {
	n, err := prefixOf(blk.Key)
	if err != nil {
		return err
	}
	o.prefix, o.entries = blk.Key[:n], o.entries[:0]
	for rest := blk.Value; len(rest) > 0; {
		var e entry
		if e, rest, err = readEntry(rest); err != nil {
			return err
		}
		o.entries = append(o.entries, e)
	}
	return nil
}

// pair is an entry as a row.
func (o *opened) pair(i int) Pair {
	return Pair{slices.Concat(o.prefix, o.entries[i].suffix), o.entries[i].value}
}

// compare says how the key of an entry's row compares with k.
func (o *opened) compare(i int, k []byte) int {
	n := min(len(o.prefix), len(k))
	if c := bytes.Compare(o.prefix[:n], k[:n]); c != 0 || n < len(o.prefix) {
		return cmp.Or(c, 1)
	}
	return bytes.Compare(o.entries[i].suffix, k[n:])
}
