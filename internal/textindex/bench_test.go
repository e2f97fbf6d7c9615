package textindex

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/store"
)

// tongue is a language that letters are written in: its words, and what stands
// between them.
type tongue struct {
	words []string
	gap   string
}

// vocabulary makes words of syllables, as languages do.
func vocabulary(r *rand.Rand) tongue {
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
	return tongue{words, " "}
}

// script makes words of syllables whose runes are of an alphabet or, of least 1,
// ideographs of a block.
func script(r *rand.Rand, first, last rune, least, most int, gap string) tongue {
	syllables := make([]string, 3000)
	for i := range syllables {
		for range least {
			syllables[i] += string(first + rune(r.IntN(int(last-first)+1)))
		}
	}
	words := make([]string, 20_000)
	for i := range words {
		for range 1 + r.IntN(most) {
			words[i] += syllables[r.IntN(len(syllables)/(1+9*(least-1)))]
		}
	}
	return tongue{words, gap}
}

// tongues are six, of which the first is the most frequent.
func tongues(r *rand.Rand) []tongue {
	latin := vocabulary(r)
	return []tongue{latin, latin, latin, latin,
		script(r, 'а', 'я', 2, 4, " "), script(r, 'α', 'ω', 2, 4, " "), script(r, 'א', 'ת', 2, 3, " "),
		script(r, '一', '一'+3000, 1, 3, ""), script(r, '가', '가'+2000, 1, 4, " ")}
}

// letter makes an extract like those of people's mail: some 600 words out of
// 20,000, of which few are frequent.
func letter(r *rand.Rand, t tongue) *mime.Extract {
	words := t.words
	zipf := rand.NewZipf(r, 1.07, 8, uint64(len(words)-1))
	var b strings.Builder
	for n := 200 + r.IntN(800); n > 0; n-- {
		b.WriteString(words[zipf.Uint64()])
		if r.IntN(4) == 0 {
			b.WriteString("\r\n")
		} else {
			b.WriteString(t.gap)
		}
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
	written := tongues(r)
	var ids []string
	var size int64
	for len(ids) < n {
		some := map[string]*mime.Extract{}
		for range 500 {
			id := fmt.Sprintf("m%031d", len(ids))
			ids = append(ids, id)
			some[id] = letter(r, written[r.IntN(len(written))])
			if r.IntN(n) < 100 {
				some[id].Body += "quarkzipfel"
			}
			size += int64(len(some[id].Body))
		}
		w.put(some)
	}
	return w, ids, size
}

// used is how many bytes an account's records of a kind have, sealed apart.
func (w *world) used(kind store.DerivedKind) (n int64) {
	w.Helper()
	err := w.store.View(w.ctx, func(tx store.Tx) error {
		for after := ""; ; {
			rows, err := tx.DerivedAfter(acct, kind, after, 200)
			if err != nil || len(rows) == 0 {
				return err
			}
			for _, r := range rows {
				n += int64(len(r.Value))
			}
			after = rows[len(rows)-1].Key
		}
	})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// held is how many bytes of memory are held after a search that were not before.
func (w *world) held(search func()) float64 {
	var before, after runtime.MemStats
	w.index.views.drop(acct)
	runtime.GC()
	runtime.ReadMemStats(&before)
	search()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return float64(after.HeapAlloc) - float64(before.HeapAlloc)
}

func benchmarkSearch(b *testing.B, n int) {
	w, ids, size := mailbag(b, n)
	began := time.Now()
	w.settle()
	took := time.Since(began)
	held := w.held(func() { w.search(Query{Text: "quarkzipfel"}, ids) })
	b.Run("build", func(b *testing.B) { // it was built once, above
		for b.Loop() {
			continue
		}
		b.ReportMetric(float64(w.used(store.DerivedSegment))/float64(n), "index-bytes/message")
		b.ReportMetric(float64(w.used(store.DerivedText))/float64(n), "extract-bytes/message")
		b.ReportMetric(float64(size)/float64(n), "text-bytes/message")
		b.ReportMetric(held/float64(n), "bytes-held/message")
		b.ReportMetric(float64(n)/took.Seconds(), "messages/s")
	})
	for _, c := range []struct {
		name string
		q    Query
	}{
		{"rare", Query{Text: "quarkzipfel"}},
		{"absent", Query{Text: "notanyword"}},
		{"ideographs", Query{Text: "丁丂七"}},
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
		})
	}
	b.Run("cold", func(b *testing.B) { // as after a start, or a fold
		for b.Loop() {
			w.index.views.drop(acct)
			w.search(Query{Text: "notanyword"}, ids)
		}
	})
}

// What a search costs, and what it costs to be able to: BenchmarkSearch100k takes
// minutes and some GB of disk.
func BenchmarkSearch10k(b *testing.B)  { benchmarkSearch(b, 10_000) }
func BenchmarkSearch100k(b *testing.B) { benchmarkSearch(b, 100_000) }

// BenchmarkFold measures what indexing 4,000 messages costs.
func BenchmarkFold(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	written := tongues(r)
	letters := make([]*mime.Extract, 4000)
	for i := range letters {
		letters[i] = letter(r, written[r.IntN(len(written))])
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
