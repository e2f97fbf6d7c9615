package session

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/bridge/imapd/wire"
)

func TestFetchItems(t *testing.T) {
	labels := func(p *fetchPlan) []string {
		names := map[itemKind]string{itemFlags: "FLAGS", itemUID: "UID", itemDate: "INTERNALDATE", itemSize: "RFC822.SIZE", itemEnvelope: "ENVELOPE", itemBody: "BODY", itemStructure: "BODYSTRUCTURE", itemPreview: "PREVIEW"}
		var out []string
		for _, it := range p.items {
			name := names[it.kind]
			if name == "" {
				name = strings.TrimSuffix(it.label, " ")
			}
			out = append(out, name)
		}
		return out
	}
	for _, c := range []struct {
		in   string
		uid  bool
		want []string
		seen bool
	}{
		{in: "ALL", want: []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"}},
		{in: "fast", want: []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE"}},
		{in: "FULL", want: []string{"FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"}},
		{in: "FLAGS", uid: true, want: []string{"UID", "FLAGS"}},
		{in: "(BODYSTRUCTURE UID flags UID)", uid: true, want: []string{"UID", "FLAGS", "BODYSTRUCTURE"}},
		{in: "BODY", want: []string{"BODY"}},
		{in: "BODY[]", want: []string{"BODY[]"}, seen: true},
		{in: "body.peek[]", want: []string{"BODY[]"}},
		{in: "(BODY.PEEK[] BODY[])", want: []string{"BODY[]"}, seen: true},
		{in: "RFC822", want: []string{"RFC822"}, seen: true},
		{in: "RFC822.HEADER", want: []string{"RFC822.HEADER"}},
		{in: "RFC822.TEXT", want: []string{"RFC822.TEXT"}, seen: true},
		{in: "BODY[1.2.mime]", want: []string{"BODY[1.2.MIME]"}, seen: true},
		{in: "BODY.PEEK[TEXT]<0.2048>", want: []string{"BODY[TEXT]<0>"}},
		{in: "(BODY.PEEK[]<0.10> BODY.PEEK[]<0.20>)", want: []string{"BODY[]<0>", "BODY[]<0>"}},
		{in: "BODY.PEEK[4.1.HEADER.FIELDS (To From)]", want: []string{"BODY[4.1.HEADER.FIELDS (To From)]"}},
		{in: `BODY.PEEK[HEADER.FIELDS.NOT ("To" "a b" x]y)]<7.9>`, want: []string{`BODY[HEADER.FIELDS.NOT (To "a b" x]y)]<7>`}},
		{in: "(BINARY[1] BINARY.SIZE[1.2] BINARY.PEEK[]<1.2>)", want: []string{"BINARY[1]", "BINARY.SIZE[1.2]", "BINARY[]<1>"}, seen: true},
		{in: "PREVIEW", want: []string{"PREVIEW"}},
		{in: "preview (lazy)", want: []string{"PREVIEW"}},
		{in: "(UID PREVIEW (LAZY) FLAGS)", want: []string{"UID", "FLAGS", "PREVIEW"}},
		{in: "(PREVIEW UID)", want: []string{"UID", "PREVIEW"}},
		{in: "BODY.PEEK[]<0.9223372036854775807>", want: []string{"BODY[]<0>"}},
	} {
		p, err := parseFetch(wire.NewArgs([]byte(c.in)), c.uid)
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if d := cmp.Diff(c.want, labels(p)); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.in, d)
		}
		if p.seen != c.seen {
			t.Errorf("%s: seen is %v", c.in, p.seen)
		}
	}
	for _, in := range []string{
		"", "()", "NONE", "(ALL)", "(FLAGS ALL)", "(FLAGS", "FLAGS UID", "BODY[", "BODY[]]", "BODY[MIME]", "BODY[0]", "BODY[1.0]", "BODY[1.]", "BODY[.1]",
		"BODY[1.FOO]", "BODY[HEADER.FIELDS]", "BODY[HEADER.FIELDS ()]", "BODY[HEADER.FIELDS (a", "BODY[HEADER.FIELDS (\"a\r\nb\")]", "BODY[]<0>", "BODY[]<0.0>", "BODY[]<-1.5>",
		"BODY[]<1.+5>", "BODY[]<0.5", "BODY[]<0.99999999999999999999>", "BINARY[1.MIME]", "BINARY[TEXT]", "BINARY.SIZE[1]<0.5>", "FLAGS[]", "RFC822.PEEK", "MODSEQ",
		"BODY[99999999999]", "PREVIEW ()", "PREVIEW (EAGER)", "PREVIEW (LAZY LAZY)", "PREVIEW(LAZY)", "(PREVIEW (LAZY)", "PREVIEW LAZY", "PREVIEW[1]",
	} {
		var syntax *wire.SyntaxError
		if _, err := parseFetch(wire.NewArgs([]byte(in)), false); !errors.As(err, &syntax) {
			t.Errorf("%q: %v, not a syntax error", in, err)
		}
	}
}

func TestTooManyItems(t *testing.T) {
	var b strings.Builder
	b.WriteString("(UID")
	for i := range maxItems + 1 {
		b.WriteString(" BODY.PEEK[" + strings.Repeat("1.", i) + "1]")
	}
	if _, err := parseFetch(wire.NewArgs([]byte(b.String()+")")), false); err == nil {
		t.Error("any number of items is taken")
	}
}

func TestPickFields(t *testing.T) {
	const block = "From x\r\nFrom: a\r\nTO: b,\r\n\tc\r\nSubject : odd\r\nX:\r\n y\r\nno field\r\n to: not one\r\nTo: z\r\n\r\n"
	for _, c := range []struct {
		block, names string
		not          bool
		want         string
	}{
		{block, "from to", false, "From: a\r\nTO: b,\r\n\tc\r\nTo: z\r\n\r\n"},
		{block, "SUBJECT", false, "Subject : odd\r\n\r\n"},
		{block, "none", false, "\r\n"},
		{block, "from to subject x", true, "From x\r\nno field\r\n to: not one\r\n\r\n"},
		{"A: 1\nB: 2\n\nbody", "b", false, "B: 2\n\nbody"},
		{"A: 1", "a", false, "A: 1"},
		{"A: 1\r\n", "b", false, ""},
		{" a: leading\r\nA: 1\r\n\r\n", "a", false, "A: 1\r\n\r\n"},
		{"\r\n", "a", true, "\r\n"},
		{"", "a", true, ""},
		{"A: 1\rB: 2\r\nC: 3\r\n\r\n", "c", false, "C: 3\r\n\r\n"},
		{"Long-" + strings.Repeat("x", 80) + ": v\r\n\r\n", "long-" + strings.Repeat("X", 80), false, "Long-" + strings.Repeat("x", 80) + ": v\r\n\r\n"},
	} {
		names := newFieldNames(strings.Fields(c.names))
		if got := string(pickFields(nil, []byte(c.block), names, c.not)); got != c.want {
			t.Errorf("%q of %q (not %v): %q, want %q", c.names, c.block, c.not, got, c.want)
		}
		// A header that is read as it goes by gives the same, but ends there.
		got, err := io.ReadAll(iotest.OneByteReader(newFieldReader(strings.NewReader(strings.TrimSuffix(c.block, "body")), names, c.not)))
		if err != nil || string(got) != strings.TrimSuffix(c.want, "body") {
			t.Errorf("%q of %q as it goes by: %q, %v", c.names, c.block, got, err)
		}
	}
}

// A header whose lines are longer than what is read at once.
func TestFieldsOfLongLines(t *testing.T) {
	var block bytes.Buffer
	for i := range 50 {
		block.WriteString([]string{"To: ", "Keep: ", "X-Other: "}[i%3] + strings.Repeat("word ", 300*(i%9)) + "\r\n")
		if i%5 == 0 {
			block.WriteString(" " + strings.Repeat("folded ", 1000) + "\r\n")
		}
	}
	block.WriteString("\r\n")
	for _, not := range []bool{false, true} {
		names := newFieldNames([]string{"keep", "x-other"})
		want := pickFields(nil, block.Bytes(), names, not)
		got, err := io.ReadAll(newFieldReader(bytes.NewReader(block.Bytes()), names, not))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("not %v: %d bytes, %v, want %d", not, len(got), err, len(want))
		}
	}
}
