package textindex

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// vocabulary makes words of syllables, as languages do.
func vocabulary(r *rand.Rand) []string {
	words := make([]string, 20_000)
	for i := range words {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteByte("bcdfghjklmnprstvwz"[r.IntN(18)])
			b.WriteByte("aeiou"[r.IntN(5)])
			if r.IntN(3) == 0 {
				b.WriteByte("lmnrst"[r.IntN(6)])
			}
		}
		words[i] = b.String()
	}
	return words
}

// letter makes an extract like those of people's mail: some 600 words out of
// 20,000, of which few are frequent.
func letter(r *rand.Rand, words []string) *mime.Extract {
	zipf := rand.NewZipf(r, 1.07, 8, uint64(len(words)-1))
	var b strings.Builder
	for n := 200 + r.IntN(800); n > 0; n-- {
		b.WriteString(words[zipf.Uint64()])
		b.WriteString(" \r\n"[:1+2*r.IntN(2)*r.IntN(2)])
	}
	id := fmt.Sprintf("<%016x@%s.example>", r.Uint64(), words[zipf.Uint64()])
	return &mime.Extract{
		Headers: []mail.Header{
			{Name: "received", Value: "from mail.example.org (mail.example.org [192.0.2.1]) by mx.example.com with esmtps id " + fmt.Sprintf("%x", r.Uint64())},
			{Name: "message-id", Value: id}, {Name: "subject", Value: words[zipf.Uint64()] + " " + words[zipf.Uint64()]},
			{Name: "from", Value: words[zipf.Uint64()] + " <" + words[zipf.Uint64()] + "@example.org>"},
			{Name: "date", Value: "mon, 7 feb 1994 21:52:25 -0800"},
		},
		Body: b.String() + "\x00",
	}
}

// mailbag is an indexed account of n letters.
func mailbag(b *testing.B, n int) (*world, []string, int64) {
	w := newWorld(b)
	r := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(r)
	var ids []string
	var size int64
	for len(ids) < n {
		some := map[string]*mime.Extract{}
		for range 500 {
			id := fmt.Sprintf("m%031d", len(ids))
			ids = append(ids, id)
			some[id] = letter(r, words)
			if r.IntN(n) < 100 {
				some[id].Body += "quarkzipfel"
			}
			size += int64(len(some[id].Body))
		}
		w.put(some)
	}
	w.settle()
	return w, ids, size
}

func benchmarkSearch(b *testing.B, n int) {
	w, ids, size := mailbag(b, n)
	var rest int64
	err := w.store.View(w.ctx, func(tx store.Tx) error {
		for after := ""; ; {
			rows, err := tx.DerivedAfter(acct, store.DerivedSegment, after, 200)
			if err != nil || len(rows) == 0 {
				return err
			}
			for _, r := range rows {
				rest += int64(len(r.Value))
			}
			after = rows[len(rows)-1].Key
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"rare", Query{Text: "quarkzipfel"}},
		{"absent", Query{Text: "notanyword"}},
		{"subject", Query{Where: InHeader, Field: "subject", Text: "quarkzipfel"}},
		{"everywhere", Query{Where: InHeader, Field: "from", Text: "example"}},
		{"short", Query{Where: InBody, Text: "qz"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if got := w.search(c.q, ids); c.name == "rare" && !slices.Contains(got, Yes) {
					b.Fatal("nothing was found")
				}
			}
			b.ReportMetric(100*float64(rest)/float64(size), "%index/text")
		})
	}
}

func BenchmarkSearch10k(b *testing.B)  { benchmarkSearch(b, 10_000) }
func BenchmarkSearch100k(b *testing.B) { benchmarkSearch(b, 100_000) }

// BenchmarkFold measures what indexing 4,000 messages costs.
func BenchmarkFold(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	words := vocabulary(r)
	letters := make([]*mime.Extract, 4000)
	for i := range letters {
		letters[i] = letter(r, words)
	}
	for b.Loop() {
		x := newBuilder(maxPostings)
		for i, e := range letters {
			x.add(fmt.Sprint(i), e)
		}
		x.sort()
		size := 0
		if err := x.groups(groupBits(len(x.post)), func(_ int, g []byte) error { size += len(g); return nil }); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(size)/float64(len(letters)), "bytes/message")
		b.ReportMetric(float64(len(x.post))/float64(len(letters)), "grams/message")
	}
}
