package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestArgs(t *testing.T) {
	at := func(s string) *Args { return NewArgs([]byte(s)) }
	show := func(v any, err error) string {
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Errorf("error %T is no SyntaxError", err)
			}
			return "error"
		}
		return fmt.Sprintf("%q", fmt.Sprint(v))
	}
	for _, tt := range []struct{ name, got, want string }{
		{"atom", show(at("BODY[TEXT]").Atom()), `"BODY[TEXT"`},
		{"no atom", show(at(`"x"`).Atom()), "error"},
		{"no atom of other bytes", show(at("\xffx").Atom()), "error"},
		{"keyword", show(at("body.peek[TEXT]").Keyword()), `"BODY.PEEK"`},
		{"number", show(at("4294967295 ").Number()), `"4294967295"`},
		{"number too large", show(at("4294967296").Number()), "error"},
		{"negative number", show(at("-1").Number()), "error"},
		{"number of 63 bits", show(at("9223372036854775807").Number64()), `"9223372036854775807"`},
		{"quoted", show(at(`"a\"b\\c"`).String()), `"a\"b\\c"`},
		{"empty quoted", show(at(`""`).String()), `""`},
		{"quoted with a stray backslash", show(at(`"a\b"`).String()), "error"},
		{"quoted without an end", show(at(`"ab`).String()), "error"},
		{"quoted over a line", show(at("\"a\r\nb\"").String()), "error"},
		{"quoted with NUL", show(at("\"a\x00b\"").String()), "error"},
		{"quoted UTF-8", show(at(`"é"`).String()), `"é"`},
		{"literal", show(at("{3}\r\na\r\n").String()), `"a\r\n"`},
		{"literal not to wait for", show(at("{1+}\r\na").String()), `"a"`},
		{"short literal", show(at("{3}\r\nab").String()), "error"},
		{"astring", show(at("a]b x").AString()), `"a]b"`},
		{"date and time", show(at(`"17-Jul-1996 02:44:25 -0700"`).DateTime()), `"1996-07-17 02:44:25 -0700 -0700"`},
		{"date and time with a space", show(at(`" 7-Jul-1996 02:44:25 +0000"`).DateTime()), `"1996-07-07 02:44:25 +0000 UTC"`},
		{"no date", show(at(`"17-Foo-1996 02:44:25 -0700"`).DateTime()), "error"},
		{"date", show(at(`1-Feb-1994`).Date()), `"1994-02-01 00:00:00 +0000 UTC"`},
		{"quoted date", show(at(`"01-Feb-1994"`).Date()), `"1994-02-01 00:00:00 +0000 UTC"`},
		{"flags", show(at(`(\Seen $x)`).FlagList()), `"[\\Seen $x]"`},
		{"flags without parentheses", show(at(`\Seen $x`).FlagList()), `"[\\Seen $x]"`},
		{"no flags", show(at(`()`).FlagList()), `"[]"`},
		{"a flag that is none", show(at(`(\Seen a"b)`).FlagList()), "error"},
		{"any flag", show(at(`(\*)`).FlagList()), "error"},
		{"mailbox", show(at(`"Entw&APw-rfe"`).Mailbox(false)), `"Entwürfe"`},
		{"inbox", show(at(`inBox`).Mailbox(false)), `"INBOX"`},
		{"ampersand", show(at(`a&-b`).Mailbox(false)), `"a&b"`},
		{"no modified UTF-7", show(at(`"a&b"`).Mailbox(false)), "error"},
		{"ASCII in modified base64", show(at(`"&AGE-"`).Mailbox(false)), "error"},
		{"half a character", show(at(`"&2D0-"`).Mailbox(false)), "error"},
		{"two runs where one would do", show(at(`"&AOk-&AOk-"`).Mailbox(false)), "error"},
		{"UTF-8 where it was not enabled", show(at(`"é"`).Mailbox(false)), "error"},
		{"UTF-8", show(at(`"é&"`).Mailbox(true)), `"é&"`},
		{"no UTF-8", show(at("\"\xff\"").Mailbox(true)), "error"},
		{"set", show(at("1,3:*,*:5 ").Set()), `"1,3:*,*:5"`},
		{"saved set", show(at("$ ").Set()), `"$"`},
		{"set with zero", show(at("0").Set()), "error"},
		{"set too large", show(at("4294967296").Set()), "error"},
		{"set with a hole", show(at("1,,2").Set()), "error"},
		{"pattern", show(at("%/*]x").Pattern(false)), `"%/*]x"`},
		{"nested lists", show(nil, nest(at(strings.Repeat("(", 102)+strings.Repeat(")", 102)))), "error"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, tt.got, tt.want)
		}
	}
}

func nest(a *Args) error {
	var one func() error
	one = func() error { return a.List(one) }
	return one()
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		set     string
		largest uint32
		want    []Range
	}{
		{"1:*", 10, []Range{{1, 10}}},
		{"559:*", 10, []Range{{10, 559}}},
		{"*", 0, []Range{}},
		{"1:*", 0, []Range{}},
		{"5,1:2,3,9:7,8", 10, []Range{{1, 3}, {5, 5}, {7, 9}}},
		{"4294967295,1:4294967295", 1, []Range{{1, 4294967295}}},
	} {
		s, err := NewArgs([]byte(tt.set)).Set()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(tt.want, s.Resolve(tt.largest)); d != "" {
			t.Errorf("%s of %d: %s", tt.set, tt.largest, d)
		}
	}
}

// FuzzArgs checks that nothing makes Args panic, and that names and sets that
// are read are written as they were.
func FuzzArgs(f *testing.F) {
	for _, seed := range []string{` (a "b" {1}` + "\r\nc)", `"Entw&APw-rfe"`, "1,3:*,*:5", `(\Seen $x)`, `"17-Jul-1996 02:44:25 -0700"`, "1-Feb-1994", "&AOk-", "((()))"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, walk := range []func(a *Args){
			func(a *Args) { _, _ = a.Atom() }, func(a *Args) { _, _ = a.Keyword() }, func(a *Args) { _, _ = a.Number() },
			func(a *Args) { _, _ = a.Number64() }, func(a *Args) { _, _ = a.String() }, func(a *Args) { _, _, _ = a.NString() },
			func(a *Args) { _, _ = a.FlagList() }, func(a *Args) { _, _ = a.DateTime() }, func(a *Args) { _, _ = a.Date() },
			func(a *Args) { _, _ = a.Pattern(true) }, func(a *Args) { _ = nest(a) }, func(a *Args) { _ = a.End() },
		} {
			walk(NewArgs(b))
		}
		if s, err := NewArgs(b).Set(); err == nil {
			again, err := NewArgs([]byte(s.String())).Set()
			if err != nil || again.String() != s.String() {
				t.Errorf("set %q is read as %q, %v", s, again, err)
			}
			for i, r := range s.Resolve(77) {
				if r.First > r.Last || r.First == 0 {
					t.Errorf("range %d of %q is %v", i, b, r)
				}
			}
		}
		if name, err := DecodeUTF7(string(b)); err == nil && EncodeUTF7(name) != string(b) {
			t.Errorf("name %q is written as %q", b, EncodeUTF7(name))
		}
	})
}

func BenchmarkSet(b *testing.B) {
	var text strings.Builder
	for i := range 10000 {
		fmt.Fprintf(&text, ",%d", 3*i+1)
	}
	set := []byte(text.String()[1:])
	b.SetBytes(int64(len(set)))
	for b.Loop() {
		s, err := NewArgs(set).Set()
		if err != nil || len(s.Resolve(1<<20)) != 10000 {
			b.Fatal(err)
		}
	}
}

func TestWriter(t *testing.T) {
	var b strings.Builder
	w := NewWriter(&b)
	w.Raw("* x ").Quoted(`a"b\`).SP().Quoted("a\r\nb").SP().Quoted("é").SP().QuotedUTF8("é").SP().NString("", true).SP()
	w.AString("abc").SP().AString("a b").SP().AString("").SP().Mailbox("é", false).SP().Mailbox("é", true).SP().Mailbox("NIL", false).SP()
	w.Flags([]string{`\Seen`, "$x"}).SP().Date(time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", -3600))).SP().Quoted("a\x00b").CRLF()
	if err := w.Literal(3, strings.NewReader("abcdef")); err != nil {
		t.Error(err)
	}
	if err := w.CRLF().Flush(); err != nil {
		t.Error(err)
	}
	want := "* x \"a\\\"b\\\\\" {4}\r\na\r\nb {2}\r\né \"é\" NIL abc \"a b\" \"\" &AOk- \"é\" \"NIL\" (\\Seen $x) \" 2-Jan-2026 03:04:05 -0100\" \"a b\"\r\n{3}\r\nabc\r\n"
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestWriterShortLiteral(t *testing.T) {
	var b strings.Builder
	w := NewWriter(&b)
	if err := w.Literal(5, strings.NewReader("ab")); !errors.Is(err, ErrShort) {
		t.Errorf("got %v, want %v", err, ErrShort)
	}
	b.Reset()
	if err := w.Raw("* OK more").CRLF().Flush(); !errors.Is(err, ErrShort) || b.Len() != 0 {
		t.Errorf("after half a literal %q was written, %v", b.String(), err)
	}
}

func TestWriterInterject(t *testing.T) {
	var b strings.Builder
	w := NewWriter(&b)
	w.Raw("* 1 FETCH (BODY[] {4}\r\n")
	if ok, err := w.Interject("* OK"); !ok || err != nil {
		t.Errorf("before anything was written it said %v, %v", ok, err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if ok, _ := w.Interject("* OK"); ok {
		t.Error("it said something inside a response")
	}
	if err := w.Raw("body)").CRLF().Flush(); err != nil {
		t.Fatal(err)
	}
	if ok, err := w.Interject("* OK"); !ok || err != nil {
		t.Errorf("after a response it said %v, %v", ok, err)
	}
	if want := "* OK\r\n* 1 FETCH (BODY[] {4}\r\nbody)\r\n* OK\r\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// writes counts the writes that reach a connection.
type writes int

func (n *writes) Write(p []byte) (int, error) { *n++; return len(p), nil }

func TestWriterGathers(t *testing.T) {
	var n writes
	w := NewWriter(&n)
	const responses = 10000
	size := 0
	for i := range responses {
		line := fmt.Sprintf("* %d FETCH (FLAGS ())", i+1)
		size += len(line) + 2
		w.Raw(line).CRLF()
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if most := size/flushAt + 1; int(n) > most {
		t.Errorf("%d responses of %d bytes were %d writes, want at most %d", responses, size, n, most)
	}
}
