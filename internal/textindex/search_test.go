package textindex

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// queries are words and pieces of what is there, and of what is not.
func queries(r *rand.Rand, extracts map[string]*mime.Extract, n int) []Query {
	ids := slices.Sorted(maps.Keys(extracts))
	var out []Query
	for range n {
		q := Query{Where: Where(r.IntN(3)), Text: word(r)}
		if q.Where == InHeader {
			q.Field = []string{"Subject", "from", "To", "DATE", "x-none"}[r.IntN(5)]
		}
		if e := extracts[ids[r.IntN(len(ids))]]; r.IntN(4) > 0 {
			from := []rune(e.Body)
			if q.Where == InHeader {
				from = []rune(e.Headers[r.IntN(4)].Value)
			}
			if len(from) > 0 {
				at := r.IntN(len(from))
				q.Text = string(from[at:min(len(from), at+1+r.IntN(30))])
			}
		}
		out = append(out, q)
	}
	return append(out, Query{}, Query{Where: InHeader, Field: "subject"}, Query{Where: InBody, Text: "\x00"},
		Query{Text: "\xff\xfe\xfd"}, Query{Where: InHeader, Field: "Date", Text: "1994"})
}

// check holds answers against a scan.
func (w *world) check(r *rand.Rand, extracts map[string]*mime.Extract, n int) {
	w.Helper()
	ids := append(slices.Sorted(maps.Keys(extracts)), "nobody")
	r.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, q := range queries(r, extracts, n) {
		some := ids[:1+r.IntN(len(ids))]
		want := make([]Result, len(some))
		for i, id := range some {
			want[i] = naive(q, extracts[id])
		}
		if diff := cmp.Diff(want, w.search(q, some)); diff != "" {
			w.Fatalf("%+v (-scan +index):\n%s", q, diff)
		}
	}
}

// The index is an optimisation: whatever is in it and whatever is not yet,
// answers are those of a scan.
func TestEqualsScan(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	all := map[string]*mime.Extract{}
	for round := range 6 {
		some := generate(r, fmt.Sprintf("m%d-", round), 40+r.IntN(300))
		maps.Copy(all, some)
		w.put(some)
		w.check(r, all, 40)
		w.settle()
		w.check(r, all, 40)
	}
	if len(w.manifest().live) == 0 {
		t.Fatal("nothing was indexed")
	}
	w.reopen()
	w.check(r, all, 40)
}

// A rare word reads few extracts: without this the index would be right and
// useless.
func TestCandidatesAreFew(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(3, 4))
	all := generate(r, "m", 700)
	all["m00123"].Body = "the word is quarkzipfel\x00"
	w.put(all)
	w.settle()
	which, err := w.index.ask(w.ctx, acct, queryGrams("quarkzipfel"), -1, slices.Sorted(maps.Keys(all)), nil)
	if err != nil || !slices.Equal(which, []int{123}) {
		t.Errorf("candidates %v, %v", which, err)
	}
	// What mail programs search by name is in the index itself, but for what is
	// too long for it.
	which, err = w.index.ask(w.ctx, acct, nil, keptField("Subject"), slices.Sorted(maps.Keys(all)), func(int, []byte) {})
	if err != nil || len(which) != 14 || slices.ContainsFunc(which, func(i int) bool { return i%50 != 7 }) {
		t.Errorf("scanned for a subject: %v, %v", which, err)
	}
	// Two ideographs are a word.
	if grams := queryGrams("請求"); len(grams) != 1 {
		t.Errorf("grams of two ideographs: %v", grams)
	}
	if grams := queryGrams("ab"); len(grams) != 0 {
		t.Errorf("grams of two letters: %v", grams)
	}
}

// What waits for the index is scanned by each search; an account that is searched
// has less of it than one that nobody looks into.
func TestSearchedIsIndexedSooner(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(33, 34))
	all := generate(r, "m", 300)
	w.put(all)
	w.settle()
	if n := w.marked(); n != 0 {
		t.Fatalf("%d of 300 are not indexed", n)
	}
	more := generate(r, "n", 100)
	maps.Copy(all, more)
	w.put(more)
	w.settle()
	if n := w.marked(); n != 100 {
		t.Errorf("%d wait, of 100 that nobody looked for", n)
	}
	ids := slices.Sorted(maps.Keys(all))
	w.search(Query{Where: InHeader, Field: "Subject", Text: "example"}, ids)
	w.settle()
	if n := w.marked(); n != 0 {
		t.Errorf("%d wait after a search that had to scan them", n)
	}
	last := generate(r, "o", w.index.crowd()-1)
	maps.Copy(all, last)
	w.put(last)
	ids = slices.Sorted(maps.Keys(all))
	w.search(Query{Text: "example"}, ids)
	before := w.manifest().next
	w.settle()
	if n := w.marked(); n != len(last) || w.manifest().next != before {
		t.Errorf("%d of %d wait: a segment was made of so few", n, len(last))
	}
	w.check(r, all, 20)
}

// A message that was renewed is found by what it says now, and one whose text
// went away is unknown, whatever the index holds of it.
func TestRenewed(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(5, 6))
	all := generate(r, "m", 300)
	w.put(all)
	w.settle()
	if w.marked() != 0 {
		t.Fatalf("%d messages are still marked", w.marked())
	}
	renewed := generate(r, "m", 90)
	w.put(renewed)
	maps.Copy(all, renewed)
	w.update(func(tx store.Tx) error {
		if err := Put(tx, acct, "m00200", all["m00200"].Encode()); err != nil {
			return err
		}
		if err := tx.DeleteDerived(acct, store.DerivedText, "m00200"); err != nil {
			return err
		}
		// As of a message whose content changed at the provider.
		if err := tx.DeleteDerived(acct, store.DerivedText, "m00250"); err != nil {
			return err
		}
		return Drop(tx, acct, "m00250")
	})
	dropped := all["m00250"]
	all["m00200"], all["m00250"] = nil, nil
	check := func() {
		t.Helper()
		ids := slices.Sorted(maps.Keys(all))
		for _, q := range []Query{{Text: "quarkzipfel"}, {Text: all["m00007"].Body[:9]}, {Where: InHeader, Field: "from", Text: "example"}} {
			want := make([]Result, len(ids))
			for i, id := range ids {
				want[i] = naive(q, all[id])
			}
			if diff := cmp.Diff(want, w.search(q, ids)); diff != "" {
				t.Fatalf("%+v (-scan +index):\n%s", q, diff)
			}
		}
	}
	check()
	more := generate(r, "n", 300)
	w.put(more)
	maps.Copy(all, more)
	w.settle()
	check()
	if n := w.marked(); n > 2 {
		t.Errorf("%d messages are marked, want at most the two without a text", n)
	}
	dropped.Body += "quarkzipfel\x00"
	w.put(map[string]*mime.Extract{"m00250": dropped})
	all["m00250"] = dropped
	check()
}

// What is longer than its extract is looked for in the bytes.
func TestCutExtract(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(7, 8))
	all := generate(r, "m", 400)
	all["m00100"].More = true
	w.put(all)
	ref, err := w.store.Blobs().Put(w.ctx, acct, bytesReader("Subject: x\r\n\r\nit ends with QuarkZipfel\r\n"), true)
	if err != nil {
		t.Fatal(err)
	}
	w.update(func(tx store.Tx) error {
		m, err := tx.Message("m00100")
		if err != nil {
			return err
		}
		m.Blob, m.Size = ref.Digest, ref.Size
		if err := tx.PutMessage(m); err != nil {
			return err
		}
		return Put(tx, acct, "m00100", all["m00100"].Encode())
	})
	ids := slices.Sorted(maps.Keys(all))
	for _, state := range []string{"marked", "indexed"} {
		subject := Query{Where: InHeader, Field: "subject", Text: all["m00100"].Headers[0].Value}
		if got := w.search(subject, ids); got[slices.Index(ids, "m00100")] != Yes {
			t.Errorf("%s: its subject is not found", state)
		}
		got := w.search(Query{Where: InBody, Text: "quarkzipfel"}, ids)
		for i, res := range got {
			if (res == Yes) != (ids[i] == "m00100") {
				t.Errorf("%s: %s is %v", state, ids[i], res)
			}
		}
		w.settle()
	}
	if err := w.store.Blobs().Delete(w.ctx, acct, ref.Digest); err != nil {
		t.Fatal(err)
	}
	if got := w.search(Query{Where: InBody, Text: "quarkzipfel"}, ids); slices.Contains(got, Yes) {
		t.Error("found in bytes that are not here")
	}
}

func TestFields(t *testing.T) {
	w := newWorld(t)
	w.put(map[string]*mime.Extract{
		"m1": {Headers: []mail.Header{{Name: "received", Value: "a"}, {Name: "date", Value: "d"}, {Name: "received", Value: "b"}}},
		"m2": {},
	})
	got, err := w.index.Fields(w.ctx, acct, "Received", []string{"m2", "m3", "m1"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Field{{Here: true}, {}, {Here: true, Values: []string{"a", "b"}}}, got); diff != "" {
		t.Error(diff)
	}
}
