package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestStringsInKeysKeepTheirOrder(t *testing.T) {
	words := []string{"", "\x00", "\x00\x00", "\x00\xff", "\x00a", "a", "a\x00", "a\x00b", "a\x01", "ab", "b", "\x01", "\xff", "a\xff", "ä"}
	type pair struct{ a, b string }
	var pairs []pair
	for _, a := range words {
		for _, b := range words {
			pairs = append(pairs, pair{a, b})
		}
	}
	less := func(x, y pair) int {
		if c := strings.Compare(x.a, y.a); c != 0 {
			return c
		}
		return strings.Compare(x.b, y.b)
	}
	slices.SortFunc(pairs, less)
	var before key
	for i, p := range pairs {
		k := key(nil).str(p.a).last(p.b)
		if i > 0 && bytes.Compare(before, k) >= 0 {
			t.Errorf("%q does not come after %q", k, before)
		}
		before = k
		if a, rest := readStr(k); a != p.a || string(rest) != p.b {
			t.Errorf("%q reads as %q, %q", k, a, rest)
		}
		prefix := key(nil).str(p.a)
		if !bytes.HasPrefix(k, prefix) || bytes.Compare(k, end(prefix)) >= 0 {
			t.Errorf("%q is not under %q", k, prefix)
		}
		for _, other := range words {
			if other != p.a && bytes.HasPrefix(k, key(nil).str(other)) {
				t.Errorf("%q is under %q, too", k, other)
			}
		}
	}
}

func TestTimesInKeysKeepTheirOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	times := []time.Time{
		{}, time.Unix(0, 0), time.Unix(-1, 999_999_999), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(-500, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 2, time.FixedZone("", 3600)),
	}
	for range 200 {
		times = append(times, time.Unix(r.Int64N(1<<36)-1<<35, r.Int64N(1e9)))
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times {
		k, b := key(nil).at(at), key(nil).back(at)
		if len(k) != timeSize || !readAt(k).Equal(at) || !readBack(b).Equal(at) {
			t.Errorf("%v reads as %v, %v", at, readAt(k), readBack(b))
		}
		if i == 0 || times[i-1].Equal(at) {
			continue
		}
		if bytes.Compare(key(nil).at(times[i-1]), k) >= 0 || bytes.Compare(key(nil).back(times[i-1]), b) <= 0 {
			t.Errorf("%v and %v are in the wrong order", times[i-1], at)
		}
	}
	if !readAt(key(nil).at(time.Time{})).IsZero() {
		t.Error("the zero time does not come back")
	}
}

func TestEndAndNext(t *testing.T) {
	for prefix, want := range map[string][]byte{"a": []byte("b"), "a\xff": []byte("b"), "\xff": nil, "": nil, "a\xff\xff": []byte("b"), "ab\x00": []byte("ab\x01")} {
		if got := end([]byte(prefix)); !bytes.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("end of %q is %q", prefix, got)
		}
	}
	if k := next([]byte("a")); bytes.Compare(k, []byte("a")) <= 0 || bytes.Compare(k, []byte("a\x00")) > 0 {
		t.Errorf("next is %q", k)
	}
}

func TestKeysDoNotShareMemory(t *testing.T) {
	prefix := key(nil).str("prefix")
	a := slices.Clone(prefix).last("aaaa")
	b := slices.Clone(prefix).last("bbbb")
	if string(a) == string(b) || !strings.HasSuffix(string(a), "aaaa") {
		t.Errorf("%q, %q", a, b)
	}
}

func TestEveryBucketHasItsOwnName(t *testing.T) {
	names := BucketNames()
	if len(names) != int(buckets) {
		t.Fatalf("%d names for %d buckets", len(names), buckets)
	}
	seen := map[string]bool{}
	for i, n := range names {
		if n == "" || seen[n] {
			t.Errorf("bucket %d is called %q", i, n)
		}
		seen[n] = true
	}
}

func TestUnusableIDs(t *testing.T) {
	for _, id := range []string{"", strings.Repeat("x", maxID+1), "bad \xff"} {
		if err := checkID("message", id); err == nil || !strings.Contains(err.Error(), "message") {
			t.Errorf("%q: %v", id, err)
		}
	}
	if err := checkID("message", fmt.Sprint("m", strings.Repeat("x", 100))); err != nil {
		t.Error(err)
	}
}
