package mime

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// A decoder that is used again gives what a new one does, whatever it read
// before: large and small, with headers and without, and what is no extract.
func TestExtractDecoder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var d ExtractDecoder
	for n := range 200 {
		want := &Extract{Fields: strings.Repeat("f", r.IntN(50)), Body: strings.Repeat("body ", r.IntN(1<<r.IntN(19))), More: n%3 == 0}
		for i := range r.IntN(20) {
			want.Headers = append(want.Headers, mail.Header{Name: fmt.Sprint("x-", i), Value: strings.Repeat("v", r.IntN(30))})
		}
		b := want.Encode()
		got, err := d.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		fresh, err := DecodeExtract(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Headers) == 0 {
			got.Headers = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff(want, fresh); diff != "" {
			t.Fatal(diff)
		}
		if _, err := d.Decode(b[:len(b)-1]); err == nil {
			t.Fatal("half an extract is one")
		}
		if cap(d.plain) > 4*keepPlain {
			t.Fatalf("it holds %d bytes", cap(d.plain))
		}
	}
}

// A string that begins in a field's name is found as if the field stood there.
func TestContainsInName(t *testing.T) {
	e := &Extract{Headers: []mail.Header{{Name: "subject", Value: "a b"}, {Name: "aab", Value: "x"}}}
	line := "subject: a b"
	for i := range line {
		for j := i + 1; j <= len(line); j++ {
			if !e.Contains(line[i:j], InText) {
				t.Errorf("%q is not found", line[i:j])
			}
		}
	}
	for _, s := range []string{"subject:a", "subject : a", "subject: b", "subject: a b c", "ab: y", "b: x ", "x-subject", "t: a b\x00"} {
		if e.Contains(s, InText) {
			t.Errorf("%q is found", s)
		}
	}
	if !e.Contains("ab: x", InText) {
		t.Error("a name with a false start is not found")
	}
}
