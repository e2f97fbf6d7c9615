package bolt

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/postern-mail/postern/store/table"
)

// TestScanAgreesWithASortedMap scans in both directions, most of all in
// transactions that have emptied whole pages.
func TestScanAgreesWithASortedMap(t *testing.T) {
	s := open(t, Options{})
	const bucket = table.Bucket(1)
	k := func(n int) []byte { return fmt.Appendf(nil, "%06d", n) }
	want := map[string]bool{}
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 7))
		for round := range 6 {
			err := s.db.Update(func(btx *bbolt.Tx) error {
				e := newKV(btx)
				for range 300 {
					n := r.IntN(5000)
					want[string(k(n))] = true
					if err := e.Put(bucket, k(n), bytes.Repeat([]byte("v"), 60)); err != nil {
						return err
					}
				}
				// Whole stretches go, the beginning and the end among them.
				from, to := r.IntN(5000), r.IntN(5000)
				switch round % 4 {
				case 0:
					from = 0
				case 1:
					to = 5000
				case 3:
					from, to = 0, 5000
				}
				for n := min(from, to); n < max(from, to); n++ {
					delete(want, string(k(n)))
					if err := e.Delete(bucket, k(n)); err != nil {
						return err
					}
				}
				compare(t, e, bucket, want, r, k)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			err = s.db.View(func(btx *bbolt.Tx) error { compare(t, newKV(btx), bucket, want, r, k); return nil })
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func compare(t *testing.T, e *kv, bucket table.Bucket, want map[string]bool, r *rand.Rand, k func(int) []byte) {
	t.Helper()
	sorted := slices.Sorted(maps.Keys(want))
	for range 60 {
		var from, to []byte
		if r.IntN(3) > 0 {
			from = k(r.IntN(5000))
		}
		if r.IntN(3) > 0 {
			to = k(r.IntN(5000))
		}
		reverse, limit := r.IntN(2) == 0, []int{1, 3, 10_000}[r.IntN(3)]
		var expect []string
		for _, key := range sorted {
			if key >= string(from) && (to == nil || key < string(to)) {
				expect = append(expect, key)
			}
		}
		if reverse {
			slices.Reverse(expect)
		}
		expect = expect[:min(limit, len(expect))]
		pairs, err := e.Scan(bucket, from, to, reverse, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range pairs {
			got = append(got, string(p.Key))
		}
		if !slices.Equal(got, expect) {
			t.Fatalf("scan from %q to %q, reverse %v, limit %d: %d keys, want %d", from, to, reverse, limit, len(got), len(expect))
		}
	}
}
