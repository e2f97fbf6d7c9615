package textindex

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// FuzzDecode reads any bytes as the records of an index: there is an answer or
// an error, and what was read and written again is the same.
func FuzzDecode(f *testing.F) {
	m := &manifest{next: 7, live: []segment{{1, 3, 100, 9000}, {5, 0, 1, 2}}, garbage: []segment{{6, 10, maxDocs, 0}}}
	f.Add(m.encode())
	d := &docs{ids: []string{"m1", "", "m3"}, open: []uint32{2}}
	f.Add(d.encode())
	b := newBuilder(maxPostings)
	for _, s := range []string{"abc def", "def", "請求書"} {
		b.add(s, &mime.Extract{Body: s, Headers: []mail.Header{{Name: "subject", Value: s}}})
	}
	b.sort()
	if err := b.groups(0, func(_ int, group []byte) error { f.Add(bytes.Clone(group)); return nil }); err != nil {
		f.Fatal(err)
	}
	f.Add(b.kept[0])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if m, err := decodeManifest(raw); err == nil {
			again, err := decodeManifest(m.encode())
			if diff := cmp.Diff(m, again, cmp.AllowUnexported(manifest{}, segment{})); err != nil || diff != "" {
				t.Errorf("manifest: %v\n%s", err, diff)
			}
		}
		if d, err := decodeDocs(raw); err == nil {
			again, err := decodeDocs(d.encode())
			if diff := cmp.Diff(d, again, cmp.AllowUnexported(docs{})); err != nil || diff != "" {
				t.Errorf("docs: %v\n%s", err, diff)
			}
		}
		for _, gram := range []uint32{0, 1, 1<<gramBits - 1, hash('a', 'b', 'c')} {
			var found set
			_ = find(raw, gram, &found)
		}
		_, _ = values(raw, 1, func([]byte) {})
	})
}

// A list of places comes back from a group as it was put, whether it is
// written as distances or as bits.
func TestGroups(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 30))
	for round := range 30 {
		docs := 1 + r.IntN(maxDocs)
		bits := r.IntN(maxGroupBits + 1)
		b := newBuilder(maxPostings)
		b.docs.ids = make([]string, docs)
		want := map[uint32]*set{}
		grams := make([]uint32, 40)
		for i := range grams {
			grams[i] = r.Uint32() >> docBits
			want[grams[i]] = &set{}
		}
		for ord := range uint32(docs) {
			for i, g := range grams {
				if r.IntN(1+i*i*4) == 0 && !want[g].has(ord) {
					want[g].put(ord)
					b.post = append(b.post, g<<docBits|ord)
				}
			}
		}
		b.sort()
		var groups [][]byte
		if err := b.groups(bits, func(n int, g []byte) error { groups = append(groups, bytes.Clone(g)); return nil }); err != nil {
			t.Fatal(err)
		}
		if len(groups) != 1<<bits {
			t.Fatalf("%d groups of %d bits", len(groups), bits)
		}
		want[r.Uint32()>>docBits] = &set{} // one that is not there, most likely
		for g, s := range want {
			var got set
			if err := find(groups[g>>(gramBits-bits)], g, &got); err != nil || got != *s {
				t.Fatalf("round %d: gram %d of %d docs in %d bits differs: %v", round, g, docs, bits, err)
			}
		}
	}
}
