package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

var testLimits = Limits{Line: 256, Literals: 64}

// read gives what a Reader makes of a stream, one line an event.
func read(r io.Reader, limits Limits) []string {
	var got []string
	in := NewReader(r, limits, func(size int64) error {
		got = append(got, fmt.Sprintf("go on %d", size))
		return nil
	})
	for {
		c, err := in.Next()
		var bad *BadCommand
		switch {
		case errors.As(err, &bad):
			got = append(got, fmt.Sprintf("bad %q %v %s", bad.Tag, bad.TooBig, bad.Why))
			continue
		case err != nil:
			return append(got, fmt.Sprint("end: ", err))
		}
		got = append(got, fmt.Sprintf("%q %s %v %q", c.Tag, c.Name, c.UID, c.Args.Rest()))
		if c.Data == nil {
			continue
		}
		got = append(got, fmt.Sprintf("data %d %v %v", c.Data.Size, c.Data.Sync, c.Data.Literal8))
		if c.Data.Size > 100 {
			if err := c.Data.Refuse(); err != nil {
				return append(got, fmt.Sprint("refuse: ", err))
			}
			continue
		}
		if err := c.Data.Accept(); err != nil {
			return append(got, fmt.Sprint("accept: ", err))
		}
		b, err := io.ReadAll(c.Data)
		got = append(got, fmt.Sprintf("message %q %v", b, err))
		rest, ok, err := c.Data.Rest()
		got = append(got, fmt.Sprintf("rest %q %v", rest, ok))
		if err != nil {
			return append(got, fmt.Sprint("rest: ", err))
		}
	}
}

func TestReader(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"commands": {"a1 NOOP\r\nA2 uid fetch 1:* (FLAGS)\r\nb LIST \"\" *\n", []string{
			`"a1" NOOP false ""`, `"A2" FETCH true " 1:* (FLAGS)"`, `"b" LIST false " \"\" *"`, "end: EOF"}},
		"blank and headless": {"\r\n a\r\n+ x\r\na\r\na \r\nb UID\r\nc UID  x\r\nd NOOP\r\n", []string{
			`bad "" false an empty line is no command`, `bad "" false a tag and a command are missing`,
			`bad "" false a tag and a command are missing`, `bad "" false a tag and a command are missing`,
			`bad "a" false a command is missing`, `"b" UID false ""`, `bad "c" false a command is missing`, `"d" NOOP false ""`, "end: EOF"}},
		"literals": {"a LOGIN {3}\r\nann {5+}\r\npa\r\nx\r\nb NOOP\r\n", []string{
			"go on 3", "\"a\" LOGIN false \" {3}\\r\\nann {5+}\\r\\npa\\r\\nx\"", `"b" NOOP false ""`, "end: EOF"}},
		"literal behind an open quote": {"a SELECT \"x {6+}\r\nb NOOP\r\nc NOOP\r\n", []string{
			`"a" SELECT false " \"x {6+}\r\nb NOOP"`, `"c" NOOP false ""`, "end: EOF"}},
		"literal too big, sent anyway": {"a LOGIN {65+}\r\n" + strings.Repeat("x", 53) + "\r\nz NOOP\r\n" + "xx\r\nb NOOP\r\n", []string{
			`bad "a" true the literals of a command may have 64 bytes`, `"b" NOOP false ""`, "end: EOF"}},
		"literal too big, asked first": {"a LOGIN {65}\r\nb NOOP\r\n", []string{
			`bad "a" true the literals of a command may have 64 bytes`, `"b" NOOP false ""`, "end: EOF"}},
		"literals too big together": {"a LOGIN {60}\r\n" + strings.Repeat("u", 60) + " {9+}\r\nb NOOP\r\n\r\nc NOOP\r\n", []string{
			"go on 60", `bad "a" true the literals of a command may have 64 bytes`, `"c" NOOP false ""`, "end: EOF"}},
		"line too long": {"a SEARCH " + strings.Repeat("OR ", 90) + "\r\nb NOOP\r\n", []string{
			`bad "a" false a command may have 256 bytes beside its literals`, `"b" NOOP false ""`, "end: EOF"}},
		"line too long with a literal": {"a SEARCH " + strings.Repeat("OR ", 90) + "{6+}\r\nx NOOP\r\nb NOOP\r\n", []string{
			`bad "a" false a command may have 256 bytes beside its literals`, `"b" NOOP false ""`, "end: EOF"}},
		"line too long behind literals": {"a X {1+}\r\n1" + strings.Repeat("y", 255) + "\r\nb NOOP\r\n", []string{
			`bad "a" false a command may have 256 bytes beside its literals`, `"b" NOOP false ""`, "end: EOF"}},
		"flood":           {"a LOGIN {99999999999999999999+}\r\nb NOOP\r\n", []string{"end: " + ErrFlood.Error()}},
		"flood of digits": {"a LOGIN {" + strings.Repeat("9", 90) + "+}\r\nb NOOP\r\n", []string{"end: " + ErrFlood.Error()}},
		"a number too large, asked first": {"a LOGIN {99999999999999999999}\r\nb NOOP\r\n", []string{
			`bad "a" true the literals of a command may have 64 bytes`, `"b" NOOP false ""`, "end: EOF"}},
		"append": {"a APPEND INBOX (\\Seen) {5}\r\nhello\r\nb APPEND {5}\r\nINBOX {2+}\r\nhi\r\nc NOOP\r\n", []string{
			`"a" APPEND false " INBOX (\\Seen) "`, "data 5 true false", "go on 5", `message "hello" <nil>`, `rest "" true`,
			"go on 5", `"b" APPEND false " {5}\r\nINBOX "`, "data 2 false false", `message "hi" <nil>`, `rest "" true`,
			`"c" NOOP false ""`, "end: EOF"}},
		"append in UTF-8": {"a APPEND x UTF8 (~{4+}\r\nh\x00\r\n)\r\nb NOOP\r\n", []string{
			`"a" APPEND false " x UTF8 ("`, "data 4 false true", `message "h\x00\r\n" <nil>`, `rest ")" true`, `"b" NOOP false ""`, "end: EOF"}},
		"append of many": {"a APPEND x {1+}\r\n1 (\\Seen) {9+}\r\nb NOOP\r\n\r\nc NOOP\r\n", []string{
			`"a" APPEND false " x "`, "data 1 false false", `message "1" <nil>`, `rest "" false`, `"c" NOOP false ""`, "end: EOF"}},
		"append refused": {"a APPEND x {101+}\r\n" + strings.Repeat("z", 92) + "\r\nz NOOP\r\nb NOOP\r\nc APPEND x {101}\r\nd NOOP\r\n", []string{
			`"a" APPEND false " x "`, "data 101 false false", `"b" NOOP false ""`, `"c" APPEND false " x "`, "data 101 true false", `"d" NOOP false ""`, "end: EOF"}},
		"append cut short": {"a APPEND x {10}\r\nabc", []string{
			`"a" APPEND false " x "`, "data 10 true false", "go on 10", `message "abc" unexpected EOF`, `rest "" false`, "rest: unexpected EOF"}},
		"cut short": {"a NOOP\r\nb NOO", []string{`"a" NOOP false ""`, "end: unexpected EOF"}},
		"binary":    {"\x00\xff\x80\r\na \xff\r\na NOOP\r\n", []string{`bad "" false a tag and a command are missing`, `bad "a" false a command is missing`, `"a" NOOP false ""`, "end: EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tt.want, read(strings.NewReader(tt.in), testLimits)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tt.want, read(iotest.OneByteReader(strings.NewReader(tt.in)), testLimits)); d != "" {
				t.Errorf("byte by byte: %s", d)
			}
		})
	}
}

func TestReaderLine(t *testing.T) {
	in := NewReader(strings.NewReader("DONE\r\n"+strings.Repeat("x", 5000)+"\r\na NOOP\r\n"), testLimits, nil)
	if s, ok, err := in.Line(10); s != "DONE" || !ok || err != nil {
		t.Errorf("got %q, %v, %v", s, ok, err)
	}
	if s, ok, err := in.Line(10); s != "" || ok || err != nil {
		t.Errorf("a long line gave %q, %v, %v", s, ok, err)
	}
	if c, err := in.Next(); err != nil || c.Name != "NOOP" {
		t.Errorf("after it came %v, %v", c, err)
	}
}

func TestBudget(t *testing.T) {
	large := "a SEARCH TEXT {40000+}\r\n" + strings.Repeat("x", 40000) + "\r\nb NOOP\r\n"
	long := "a SEARCH " + strings.Repeat("1,", 20000) + "1\r\nb NOOP\r\n"
	limits := Limits{Line: 1 << 20, Literals: 1 << 20}
	b := NewBudget(48 << 10)
	reader := func(text string) *Reader {
		r := NewReader(strings.NewReader(text), limits, nil)
		r.SetBudget(b)
		return r
	}
	for _, text := range []string{large, long} {
		first, second := reader(text), reader(text)
		if c, err := first.Next(); err != nil || len(c.Args.Rest()) < 40000 {
			t.Fatalf("alone: %v", err)
		}
		var busy *BadCommand
		if _, err := second.Next(); !errors.As(err, &busy) || !busy.Busy || busy.Tag != "a" {
			t.Errorf("where there is no room: %v", err)
		}
		if c, err := second.Next(); err != nil || c.Name != "NOOP" {
			t.Errorf("after it: %v, %v", c, err)
		}
		if c, err := first.Next(); err != nil || c.Name != "NOOP" {
			t.Errorf("after the large one: %v, %v", c, err)
		}
		if left := b.left.Load(); left != 48<<10 {
			t.Errorf("%d bytes are left of the budget", left)
		}
	}
}

// pieces splits a stream as its bytes say.
type pieces struct {
	b    []byte
	seed uint64
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	p.seed = p.seed*6364136223846793005 + 1442695040888963407
	n := min(len(b), len(p.b), int(p.seed>>33%37)+1)
	copy(b, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}

// FuzzReader checks that how a stream is split does not matter, and that every
// argument walks to its end without a panic.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"a1 NOOP\r\nA2 uid fetch 1:* (FLAGS)\r\n", "\r\n a\r\n+ x\r\na\r\n", "a LOGIN {3}\r\nann {5+}\r\npa\r\nx\r\n",
		"a APPEND INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {5}\r\nhello\r\nb APPEND {5}\r\nINBOX UTF8 (~{2+}\r\nhi)\r\n",
		"a LOGIN {99999999999999999999+}\r\nb NOOP\r\n", "a SEARCH " + strings.Repeat("OR ", 90) + "{6+}\r\nx NOOP\r\n",
		"a SEARCH (OR (FROM \"x\\\"\") NOT $) 1,2:3,*:9\r\n", "a LIST (SUBSCRIBED) \"\" (\"&AOk-*\" \"&bad\") RETURN (STATUS (MESSAGES))\r\n",
	} {
		f.Add([]byte(seed), uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		whole := read(strings.NewReader(string(b)), testLimits)
		split := read(&pieces{b, seed}, testLimits)
		if d := cmp.Diff(whole, split); d != "" {
			t.Errorf("split otherwise it reads otherwise: %s", d)
		}
	})
}
