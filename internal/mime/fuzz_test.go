package mime

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeds are messages to begin from: those of the tests, and some of the real
// ones, where they are.
func seeds(f *testing.F) {
	f.Add([]byte(tricky))
	f.Add([]byte(mixed))
	for _, tc := range ugly {
		f.Add([]byte(tc.raw))
	}
	for _, tc := range charsets {
		f.Add(append([]byte("Content-Type: text/html; charset="+tc.name+"\n\n&uuml;"), encoded(f, tc.name, tc.text)...))
	}
	f.Add([]byte("To: a:b<@c,d:e@f>;(g(h)\"i\nContent-Disposition: attachment; filename*0*=a''b; filename*1=\"c\nContent-Language: d, e\n\n"))
	raws := corpus(f)
	for i, name := range slices.Sorted(maps.Keys(raws)) {
		if i%10 == 0 {
			f.Add([]byte(raws[name]))
		}
	}
}

// FuzzScan: whatever the bytes are, a message has rows that a strict client can
// read, its parts lie inside of it, and it has them however it is read.
func FuzzScan(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Scan(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		if err := checkRows(s.Rows, string(raw)); err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(raw, s.Header) {
			t.Fatal("the header block is not the beginning of the message")
		}
		back, err := DecodeRows(s.Rows.Encode())
		if d := cmp.Diff(s.Rows, back); err != nil || d != "" {
			t.Fatalf("decoded: %v\n%s", err, d)
		}
		again, err := Scan(short{strings.NewReader(string(raw))}, int64(len(raw)))
		if d := cmp.Diff(s, again); err != nil || d != "" {
			t.Fatalf("read in pieces: %v\n%s", err, d)
		}
	})
}

// FuzzExtract: an extract comes back as it was stored, is folded, and what is in
// it is found in the message itself, and the other way round.
func FuzzExtract(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := Scan(bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			t.Fatal(err)
		}
		e := s.Text
		back, err := DecodeExtract(e.Encode())
		if d := cmp.Diff(e, back); err != nil || d != "" {
			t.Fatalf("decoded: %v\n%s", err, d)
		}
		if Fold(e.Body) != e.Body || Fold(e.Fields) != e.Fields {
			t.Fatalf("not folded: %q, %q", e.Body, e.Fields)
		}
		var needles []string
		for _, text := range []string{e.Body, string(bytes.ToLower(raw))} {
			for _, word := range strings.FieldsFunc(Fold(text), func(r rune) bool { return r <= ' ' }) {
				if len(needles) < 40 && !strings.Contains(word, "\uFFFD") {
					needles = append(needles, word)
				}
			}
		}
		for _, scope := range []Scope{InBody, InText} {
			found, err := Contains(bytes.NewReader(raw), int64(len(raw)), needles, scope)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range found {
				if !e.More && e.Contains(needles[i], scope) != want {
					t.Fatalf("%q: in the message %v, in the extract %v", needles[i], want, !want)
				}
			}
		}
	})
}

// FuzzDecode: what is stored may be damaged; reading it ends.
func FuzzDecode(f *testing.F) {
	s := scan(f, tricky)
	f.Add(s.Rows.Encode())
	f.Add(s.Text.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRows(b); err == nil {
			back, err := DecodeRows(r.Encode())
			if d := cmp.Diff(r, back); err != nil || d != "" {
				t.Fatalf("rows: %v\n%s", err, d)
			}
		}
		if e, err := DecodeExtract(b); err == nil {
			back, err := DecodeExtract(e.Encode())
			if d := cmp.Diff(e, back); err != nil || d != "" {
				t.Fatalf("extract: %v\n%s", err, d)
			}
		}
	})
}
