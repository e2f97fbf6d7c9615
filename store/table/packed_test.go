package table

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sorted is a KV in memory.
type sorted map[string]string

func (s sorted) Get(_ Bucket, k []byte) ([]byte, error) {
	if v, ok := s[string(k)]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (s sorted) Put(_ Bucket, k, v []byte) error {
	s[string(k)] = string(v)
	return nil
}

func (s sorted) Delete(_ Bucket, k []byte) error {
	delete(s, string(k))
	return nil
}

func (s sorted) Scan(_ Bucket, from, to []byte, reverse bool, limit int) (out []Pair, _ error) {
	keys := slices.Sorted(maps.Keys(s))
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if bytes.Compare([]byte(k), from) >= 0 && (to == nil || bytes.Compare([]byte(k), to) < 0) && len(out) < limit {
			out = append(out, Pair{[]byte(k), []byte(s[k])})
		}
	}
	return out, nil
}

// rowKey gives a random key of the kinds that packed buckets have.
func rowKey(r *rand.Rand, step int) key {
	prefix := key(nil).str([]string{"a", "account", "account2", "a\x00b", "z"}[r.IntN(5)])
	switch r.IntN(3) {
	case 0:
		return prefix.u64(uint64(step)) // appended
	case 1:
		return prefix.u64(^uint64(step)).last("d") // in front
	}
	return prefix.u64(r.Uint64N(300)).last(fmt.Sprint(r.IntN(3)))
}

// Packed rows are seen as if each were a row of its own: whatever is done to
// them is done to plain ones too, and both answer the same.
func TestPackedRowsAreRows(t *testing.T) {
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		plain, blocks := sorted{}, sorted{}
		tx := &Batch{kv: blocks, writable: true}
		var used []key
		for step := range 1500 {
			k := rowKey(r, step)
			if len(used) > 0 && r.IntN(3) == 0 {
				k = used[r.IntN(len(used))]
			}
			switch r.IntN(5) {
			case 0:
				delete(plain, string(k))
				if err := tx.del(bOwedOf, k); err != nil {
					t.Fatal(err)
				}
			default:
				v := bytes.Repeat([]byte{byte(step)}, r.IntN(12))
				if r.IntN(200) == 0 {
					v = bytes.Repeat([]byte{byte(step)}, 3000) // more than a block
				}
				plain[string(k)] = string(v)
				used = append(used, slices.Clone(k))
				if err := tx.put(bOwedOf, k, v); err != nil {
					t.Fatal(err)
				}
			}
			got, err := tx.get(bOwedOf, k)
			want, ok := plain[string(k)]
			if err != nil || string(got) != want || (got != nil) != ok {
				t.Fatalf("seed %d, step %d: get %x: %x, %v, want %x", seed, step, k, got, err, want)
			}
			if step%20 != 0 {
				continue
			}
			var from, to []byte
			if r.IntN(3) > 0 {
				from = rowKey(r, step)
			}
			if r.IntN(3) > 0 {
				to = end(rowKey(r, step)[:1+r.IntN(8)])
			}
			limit := 1 + r.IntN(60)
			for _, reverse := range []bool{false, true} {
				want, _ := plain.Scan(0, from, to, reverse, limit)
				got, err := tx.scan(bOwedOf, from, to, reverse, limit)
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Fatalf("seed %d, step %d: scan from %x to %x, reverse %t, limit %d: %v\n%s", seed, step, from, to, reverse, limit, err, diff)
				}
			}
		}
		if len(plain) > 100 && len(blocks) > len(plain)/2 {
			t.Errorf("seed %d: %d rows lie in %d blocks", seed, len(plain), len(blocks))
		}
	}
}

// What is only appended, or only put in front, fills its blocks.
func TestBlocksFillUp(t *testing.T) {
	for name, suffix := range map[string]func(i int) uint64{
		"appended": func(i int) uint64 { return uint64(i) },
		"in front": func(i int) uint64 { return ^uint64(i) },
	} {
		blocks := sorted{}
		tx := &Batch{kv: blocks, writable: true}
		const n = 5000
		for i := range n {
			if err := tx.put(bJournalBy, key(nil).str("account").u64(suffix(i)), key(nil).u64(uint64(i))); err != nil {
				t.Fatal(err)
			}
		}
		if per := n / len(blocks); per < 50 {
			t.Errorf("%s: %d rows in a block", name, per)
		}
	}
}

func TestDamagedBlocks(t *testing.T) {
	k := key(nil).str("account").u64(1)
	for _, damage := range []string{"\xff", "\x05ab", "\x08aaaaaaaa\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		tx := &Batch{kv: sorted{string(k): damage}, writable: true}
		if _, err := tx.scan(bJournalBy, nil, nil, false, 10); err == nil {
			t.Errorf("%q is read", damage)
		}
		if err := tx.put(bJournalBy, k, nil); err == nil {
			t.Errorf("%q is written into", damage)
		}
	}
	tx := &Batch{kv: sorted{}, writable: true}
	if err := tx.put(bJournalBy, key("no prefix"), nil); err == nil {
		t.Error("a key without a prefix is taken")
	}
	if err := tx.put(bJournalBy, key(nil).str("a").last(lastSuffix+"x"), nil); err == nil {
		t.Error("a key above all blocks is taken")
	}
}
