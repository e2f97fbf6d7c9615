package mime

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// tricky is a message with everything that rows tell.
const tricky = "Date: Mon, 1 Jan 2024 10:00:00 +0100\r\nFrom: \"Ann \\\"A\\\" Lee\" <ann@example.org>\r\nTo: list: bob@example.org, Carol <carol@example.org>;, dave@example.org (Dave)\r\n" +
	"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= an\r\n alle\r\nMessage-ID: <1@example.org>\r\nIn-Reply-To: <0@example.org>\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: MULTIPART/Mixed; Boundary=\"o\"\r\nContent-Language: en, de\r\n\r\npreamble\r\n" +
	"--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n" +
	"--i\r\n\r\none\r\ntwo\r\n" +
	"--i\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n<p>=C3=BC</p>\r\n--i--\r\n\r\n" +
	"--o\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment; filename*=utf-8''f%C3%BC.eml\r\n\r\n" +
	"Subject: inner\r\nFrom: eve@example.org\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\ninner text\r\n--m\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--m--\r\n" +
	"--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain\r\n\r\nplain text\r\n" +
	"--o--\r\nepilogue\r\n"

func scan(t testing.TB, raw string) *Scanned {
	t.Helper()
	s, err := Scan(strings.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r Range) of(raw string) string { return raw[r.Offset:r.End()] }

func TestScanSections(t *testing.T) {
	s := scan(t, tricky)
	if err := checkRows(s.Rows, tricky); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, p := range s.Rows.Parts {
		for _, spec := range []string{"", "MIME", "HEADER", "TEXT"} {
			if r, ok := s.Rows.Find(p.Path, spec); ok {
				got[strings.TrimSuffix(p.Path+"."+spec, ".")] = r.of(tricky)
			}
		}
	}
	inner := tricky[strings.Index(tricky, "Subject: inner"):strings.Index(tricky, "\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: plain")]
	header, text, _ := strings.Cut(inner, "\r\n\r\n")
	alternative := tricky[strings.Index(tricky, "--i\r\n"):strings.Index(tricky, "\r\n--o\r\nContent-Type: message/rfc822\r\nContent-Disposition")]
	want := map[string]string{
		"1": alternative, "1.MIME": "Content-Type: multipart/alternative; boundary=i\r\n\r\n",
		"1.1": "one\r\ntwo", "1.1.MIME": "\r\n",
		"1.2": "<p>=C3=BC</p>", "1.2.MIME": "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n",
		"2": inner, "2.MIME": "Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename*=utf-8''f%C3%BC.eml\r\n\r\n",
		"2.HEADER": header + "\r\n\r\n", "2.TEXT": text,
		"2.1": "inner text", "2.1.MIME": "\r\n",
		"2.2": "JVBERg==", "2.2.MIME": "Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		"3": "Subject: plain\r\n\r\nplain text", "3.MIME": "Content-Type: message/rfc822\r\n\r\n",
		"3.HEADER": "Subject: plain\r\n\r\n", "3.TEXT": "plain text",
		"3.1": "plain text", "3.1.MIME": "Subject: plain\r\n\r\n",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("sections (-want +got):\n%s", d)
	}
	for path, spec := range map[string]string{"": "MIME", "1": "HEADER", "1.2": "TEXT", "4": "", "1.3": "", "2.1": "HEADER"} {
		if r, ok := s.Rows.Find(path, spec); ok {
			t.Errorf("section %q %q is %v", path, spec, r)
		}
	}
	if s.Rows.Text().of(tricky)[:8] != "preamble" || string(s.Header) != tricky[:s.Rows.Header] || !strings.HasSuffix(string(s.Header), "en, de\r\n\r\n") {
		t.Errorf("header %q, text %.20q", s.Header, s.Rows.Text().of(tricky))
	}
}

func TestScanRows(t *testing.T) {
	r := scan(t, tricky).Rows
	const ann = `(("Ann \"A\" Lee" NIL "ann" "example.org"))`
	if got, want := string(r.Envelope), `("Mon, 1 Jan 2024 10:00:00 +0100" "=?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle" `+ann+" "+ann+" "+ann+
		` ((NIL NIL "list" NIL)(NIL NIL "bob" "example.org")("Carol" NIL "carol" "example.org")(NIL NIL NIL NIL)("Dave" NIL "dave" "example.org")) NIL NIL "<0@example.org>" "<1@example.org>")`; got != want {
		t.Errorf("envelope\n%s\nwant\n%s", got, want)
	}
	const eve = `((NIL NIL "eve" "example.org"))`
	inner := `(NIL "inner" ` + eve + " " + eve + " " + eve + ` NIL NIL NIL NIL NIL)`
	innerSize := fmt.Sprint(r.Parts[3].Body.Length)
	if got, want := string(r.BodyStructure), `((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 1 NIL NIL NIL NIL)`+
		`("text" "html" ("charset" "utf-8") NIL NIL "quoted-printable" 13 0 NIL NIL NIL NIL) "alternative" ("boundary" "i") NIL NIL NIL)`+
		`("message" "rfc822" NIL NIL NIL "7bit" `+innerSize+` `+inner+
		` (("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 0 NIL NIL NIL NIL)("application" "pdf" NIL NIL NIL "base64" 8 NIL NIL NIL NIL) "mixed" ("boundary" "m") NIL NIL NIL) 12`+
		` NIL ("attachment" ("filename*" "utf-8''f%C3%BC.eml")) NIL NIL)`+
		`("message" "rfc822" NIL NIL NIL "7bit" 28 (NIL "plain" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)`+
		` "mixed" ("boundary" "o") NIL ("en" "de") NIL)`; got != want {
		t.Errorf("bodystructure\n%s\nwant\n%s", got, want)
	}
	if got := string(r.Body); strings.Contains(got, "attachment") || !strings.HasPrefix(got, `((("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 8 1)(`) {
		t.Errorf("body %s", got)
	}
	back, err := DecodeRows(r.Encode())
	if d := cmp.Diff(r, back); err != nil || d != "" {
		t.Errorf("decoded: %v\n%s", err, d)
	}
	for n := range r.Encode() {
		if _, err := DecodeRows(r.Encode()[:n]); err == nil {
			t.Errorf("%d octets of rows are rows", n)
		}
	}
}

// ugly are messages that break rules, with what is to be seen of them: each
// section as "path type size".
var ugly = map[string]struct{ raw, parts string }{
	"nothing":               {"", "1 text/plain 0"},
	"one octet":             {"x", "1 text/plain 0"},
	"NUL":                   {"\x00", "1 text/plain 0"},
	"no header":             {"\r\njust text", "1 text/plain 9"},
	"only a header":         {"Subject: x\r\n", "1 text/plain 0"},
	"header without end":    {"Subject: x", "1 text/plain 0"},
	"bare CR":               {"Subject: x\r\rtext\r\r\n\nbody\r", "1 text/plain 5"},
	"bare LF":               {"Content-Type: text/html\n\na\nb\n", "1 text/html 4"},
	"mbox":                  {"From ann Mon Jan  1 00:00:00 2024\nContent-Type: text/html\n\nx", "1 text/html 1"},
	"no end":                {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none", "1 text/plain 3"},
	"no parts":              {"Content-Type: multipart/mixed; boundary=b\n\none\n", "1 text/plain 4"},
	"only a close":          {"Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "1 text/plain 6"},
	"no boundary":           {"Content-Type: multipart/mixed\n\none\n", "1 text/plain 4"},
	"another boundary":      {"Content-Type: multipart/mixed; boundary=b\n\n--other\n\none\n--other--\n", "1 text/plain 3"},
	"part of nothing":       {"Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n--b--\n", "1 text/plain 0, 2 text/plain 0"},
	"empty part":            {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--\r\n", "1 text/plain 0, 2 text/plain 0"},
	"part without a header": {"Content-Type: multipart/mixed; boundary=b\n\n--b\nX: y\n--b\n\nz\n--b--\n", "1 text/plain 0, 2 text/plain 1"},
	"padded":                {"Content-Type: multipart/mixed; boundary=b\n\n--b \t\n\none\n--b--  \nx\n", "1 text/plain 3"},
	"prefix":                {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\none\n--bb--\n--b--\n", "1 multipart/mixed 16, 1.1 text/plain 3"},
	"same boundary":         {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n\n--b\n\ntwo\n--b--\n", "1 multipart/mixed 15, 1.1 text/plain 3, 2 text/plain 3"},
	"outer ends inner":      {"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n--b\n\ntwo\n--b--\n", "1 multipart/mixed 8, 1.1 text/plain 3, 2 text/plain 3"},
	"after the end":         {"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n", "1 text/plain 3"},
	"digest":                {"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b\nContent-Type: text/plain\n\ntwo\n--b--\n", "1 message/rfc822 15, 1.1 text/plain 3, 2 text/plain 3"},
	"message in a message":  {"Content-Type: message/rfc822\n\nContent-Type: message/rfc822\n\nSubject: x\n\none\n", "1 message/rfc822 46, 1.1 message/rfc822 16, 1.1.1 text/plain 4"},
	"message of a header":   {"Content-Type: message/rfc822\n\nSubject: x", "1 message/rfc822 10, 1.1 text/plain 0"},
	"no message":            {"Content-Type: message/rfc822", "1 application/octet-stream 0"},
	"rubbish":               {"Content-Type: ;;;\"=\x00\xff\nContent-Transfer-Encoding: \xff\"\\\nContent-Disposition: ;=\x80\n\nx", "1 text/plain 1"},
	"quotes":                {"Content-Type: text/x\"y\\z; a=\"b\\\"c\"; d\nContent-ID: <\"\\>\n\nx", "1 text/x\"y\\z 1"},
}

func TestScanUgly(t *testing.T) {
	for name, tc := range ugly {
		s := scan(t, tc.raw)
		if err := checkRows(s.Rows, tc.raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, p := range s.Rows.Parts {
			got = append(got, fmt.Sprint(p.Path, " ", p.Type, " ", p.Body.Length))
		}
		if strings.Join(got, ", ") != tc.parts {
			t.Errorf("%s: %s; want %s", name, strings.Join(got, ", "), tc.parts)
		}
	}
}

// TestScanMany: how much there is of anything is bounded, or costs no more than
// its size.
func TestScanMany(t *testing.T) {
	thousand := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 1000) + "--b--\n"
	if r := scan(t, thousand).Rows; len(r.Parts) != 1000 || checkRows(r, thousand) != nil {
		t.Errorf("%d of 1000 parts: %v", len(r.Parts), checkRows(r, thousand))
	}
	many := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", maxSections+10) + "--b--\nepilogue"
	r := scan(t, many).Rows
	if len(r.Parts) != maxSections || checkRows(r, many) != nil || r.Parts[maxSections-1].Body.Length != 1+10*7 {
		t.Errorf("%d parts, the last %v: %v", len(r.Parts), r.Parts[len(r.Parts)-1], checkRows(r, many))
	}
	deep := ""
	for i := range 500 {
		deep += fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
	}
	r = scan(t, deep).Rows
	if last := r.Parts[len(r.Parts)-1]; len(r.Parts) != maxNested || last.Type != "text/plain" || last.Body.End() != r.Size || checkRows(r, deep) != nil {
		t.Errorf("%d levels, the last %v: %v", len(r.Parts), last, checkRows(r, deep))
	}
	forwarded := strings.Repeat("Content-Type: message/rfc822\n\n", 500)
	r = scan(t, forwarded).Rows
	if last := r.Parts[len(r.Parts)-1]; len(r.Parts) != maxNested+1 || last.Type != "application/octet-stream" || checkRows(r, forwarded) != nil {
		t.Errorf("%d messages, the last %v: %v", len(r.Parts), last, checkRows(r, forwarded))
	}
	long := "X-Long: " + strings.Repeat("x", 1<<20) + "\r\nX-Folded:" + strings.Repeat("\r\n y", 1<<18) + "\r\nContent-Type: text/html\r\nTo: " +
		strings.Repeat("a@example.org, ", 30_000) + "\r\n\r\nbody"
	s := scan(t, long)
	if s.Rows.Parts[0].Type != "text/html" || s.Rows.Text().of(long) != "body" || len(s.Header) != MaxStoredHeader || checkRows(s.Rows, long) != nil {
		t.Errorf("of long headers: %v, %v", s.Rows.Parts, checkRows(s.Rows, long))
	}
	if n := strings.Count(string(s.Rows.Envelope), `"example.org"`); n != maxAddresses {
		t.Errorf("%d addresses", n)
	}
}

// TestScanCost: what is made to take long, or much memory, takes neither. Each of
// these would take hours if it were looked through again and again.
func TestScanCost(t *testing.T) {
	const n = 300_000
	for name, raw := range map[string]string{
		"encoded words":    "To: " + strings.Repeat("=?,", n) + "\r\n\r\n",
		"open brackets":    "To: " + strings.Repeat("<a,", n) + ">\r\n\r\n",
		"open comments":    "To: " + strings.Repeat("(a,", n) + "\r\n\r\n",
		"groups":           "To: " + strings.Repeat("a:;", n) + "\r\n\r\n",
		"parameters":       "Content-Type: text/plain; " + strings.Repeat("a=b ", n) + "\r\n\r\n",
		"boundaries":       "Content-Type: multipart/mixed\r\n\r\n" + manyLines("--boundary%d\n", n/4),
		"fields":           strings.Repeat("a:\n", n),
		"references":       "Content-Type: text/html\r\n\r\n" + strings.Repeat("&ouml;<", n),
		"soft line breaks": "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("= ", n),
	} {
		if err := checkRows(scan(t, raw).Rows, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyLines(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// TestScanMemory: a large message takes no more memory than a small one.
func TestScanMemory(t *testing.T) {
	const size = 150 << 20
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pdf\r\n\r\n"
	for name, r := range map[string]io.ReaderAt{"lines": endless{head, strings.Repeat("x", 62) + "\r\n"}, "no lines": endless{head, strings.Repeat("x", 4096)}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s, err := Scan(r, size)
		runtime.ReadMemStats(&after)
		if err != nil || len(s.Rows.Parts) != 2 || s.Rows.Parts[1].Body.End() != size {
			t.Errorf("%s: %v, %v", name, s, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes were allocated for a message of %d", name, used, size)
		}
	}
}

// endless is a head and then the same all over.
type endless struct{ head, body string }

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(e.head)) {
		n = copy(p, e.head[off:])
	}
	for n < len(p) {
		at := (off + int64(n) - int64(len(e.head))) % int64(len(e.body))
		n += copy(p[n:], e.body[at:])
	}
	return n, nil
}

// TestScanReader: it does not matter how the reader gives the bytes, and what it
// fails by is told.
func TestScanReader(t *testing.T) {
	raw := tricky + strings.Repeat("long", 50_000) + "\r\n"
	want := scan(t, raw)
	got, err := Scan(short{strings.NewReader(raw)}, int64(len(raw)))
	if d := cmp.Diff(want, got); err != nil || d != "" {
		t.Errorf("from a reader of few bytes: %v\n%s", err, d)
	}
	if _, err := Scan(strings.NewReader(raw), int64(len(raw)+1)); err == nil {
		t.Error("a message that is shorter than it was said is scanned")
	}
	if _, err := Scan(broken{strings.NewReader(raw)}, int64(len(raw))); err == nil || !strings.Contains(err.Error(), iotest.ErrTimeout.Error()) {
		t.Errorf("a reader that fails: %v", err)
	}
}

// short reads in pieces.
type short struct{ r *strings.Reader }

func (s short) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		m, err := s.r.ReadAt(p[n:min(len(p), n+61)], off+int64(n))
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

type broken struct{ r *strings.Reader }

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 100_000 {
		return 0, iotest.ErrTimeout
	}
	return b.r.ReadAt(p, off)
}

// TestScanAgreesWithParse: parts have the same numbers and types in both ways to
// read a message.
func TestScanAgreesWithParse(t *testing.T) {
	raws := map[string]string{"tricky": tricky, "mixed": mixed}
	for name, tc := range ugly {
		if name != "same boundary" && name != "only a close" {
			raws[name] = tc.raw
		}
	}
	for name, raw := range corpus(t) {
		raws[name] = raw
	}
	for name, raw := range raws {
		var want []string
		if err := walk(strings.NewReader(raw), func(p *part) error { want = append(want, p.id+" "+p.mediaType); return nil }, nil); err != nil {
			t.Fatal(err)
		}
		var got []string
		message := "/"
		for _, s := range scan(t, raw).Rows.Parts {
			if !s.Multipart() && !strings.HasPrefix(s.Path, message) {
				got = append(got, s.Path+" "+s.Type)
			}
			if s.Message && !strings.HasPrefix(s.Path, message) {
				message = s.Path + "."
			}
		}
		if name == "no message" {
			got = []string{"1 message/rfc822"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q; Parse says %q", name, got, want)
		}
	}
}

// corpus reads the real mail beside the project, where it is.
func corpus(t testing.TB) map[string]string {
	files, err := filepath.Glob("../../../shared/corpus/*/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	raws := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		raws[f] = string(b)
	}
	return raws
}

// TestScanCorpus: every real message has rows that a strict client can read.
func TestScanCorpus(t *testing.T) {
	raws := corpus(t)
	if len(raws) == 0 {
		t.Skip("no corpus of mail: ../shared is absent")
	}
	for name, raw := range raws {
		s := scan(t, raw)
		if err := checkRows(s.Rows, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if back, err := DecodeExtract(s.Text.Encode()); err != nil || !cmp.Equal(back, s.Text) {
			t.Errorf("%s: the extract is another when it is decoded: %v", name, err)
		}
	}
}
