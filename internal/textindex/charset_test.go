package textindex

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-mail/postern/internal/mime"
	"github.com/postern-mail/postern/internal/plainmail"
)

func (w *world) composed(r *rand.Rand, n int) []byte {
	w.Helper()
	raw, err := plainmail.Compose(r, n)
	if err != nil {
		w.Fatal(err)
	}
	return raw
}

// equalBruteForce searches for words in texts that somebody else has decoded.
func (w *world) equalBruteForce(r *rand.Rand, texts map[string]string, n int) {
	w.Helper()
	folded := map[string]string{}
	for id, text := range texts {
		folded[id] = plainmail.Fold(text)
	}
	ids := slices.Sorted(maps.Keys(texts))
	hits := 0
	for _, word := range plainmail.Words(r, texts, n) {
		for i, got := range w.search(Query{Text: word}, ids) {
			want := strings.Contains(folded[ids[i]], plainmail.Fold(word))
			if want {
				hits++
			}
			if (got == Yes) != want {
				w.Fatalf("%q in %s: %v, but a scan says %v:\n%s", word, ids[i], got, want, texts[ids[i]])
			}
		}
	}
	if hits < n {
		w.Errorf("%d words had %d hits only", n, hits)
	}
}

// SEARCH TEXT equals a scan of the mail as somebody else decodes it, in more
// than ten charsets: nothing missing, nothing extra.
func TestCharsets(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(21, 22))
	raw, texts := map[string][]byte{}, map[string]string{}
	for n := range 700 {
		id := fmt.Sprintf("m%05d", n)
		raw[id] = w.composed(r, n)
		text, err := plainmail.Text(raw[id])
		if err != nil {
			t.Fatal(err)
		}
		texts[id] = text
	}
	w.putRaw(raw)
	w.equalBruteForce(r, texts, 50) // before they are in the index
	w.settle()
	w.equalBruteForce(r, texts, 300)
}

// On real mail, where it lies beside the project, the index gives what a scan
// of the extracts gives. Whether these are right internal/mime tests.
func TestRealMail(t *testing.T) {
	files, err := filepath.Glob("../../../shared/corpus/*/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	r := rand.New(rand.NewPCG(23, 24))
	raw := map[string][]byte{}
	for n := range 300 {
		raw[fmt.Sprintf("m%05d", n)] = w.composed(r, n)
	}
	for _, f := range files {
		if raw[filepath.Base(f)], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	w.putRaw(raw)
	w.settle()
	extracts := map[string]*mime.Extract{}
	for id, b := range raw {
		s, err := mime.Scan(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		extracts[id] = s.Text
	}
	w.check(r, extracts, 60)
}
