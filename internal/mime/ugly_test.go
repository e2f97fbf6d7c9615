package mime

import (
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestDecoded(t *testing.T) {
	long := strings.Repeat("x", 20_000)
	for _, tc := range []struct{ encoding, in, want string }{
		{"Quoted-Printable", "a=3Db=\r\nc=3dd", "a=bc=d"},
		{"quoted-printable", "soft =\t \r\nbreak, padding  \r\nnext\t\r\n", "soft break, padding\r\nnext\r\n"},
		{"quoted-printable", "a=ZZ b== c=4", "a=ZZ b== c=4"},
		{"quoted-printable", "ends=", "ends"},
		{"quoted-printable; x=y", long + "=41", long + "A"},
		{"base64", "aGVs\r\nbG8=", "hello"},
		{"BASE64", "aGVsbG8", "hello"},
		{"base64", "aG*V s-bG8=\r\n--\r\nThis list is brought to you", "hello"},
		{"base64", "", ""},
		{"8bit", "as =41 it is", "as =41 it is"},
		{"x-uuencode", "as it is", "as it is"},
	} {
		for name, r := range map[string]io.Reader{"": strings.NewReader(tc.in), " byte by byte": iotest.OneByteReader(strings.NewReader(tc.in))} {
			got, err := io.ReadAll(iotest.OneByteReader(decoded(tc.encoding, r)))
			if err != nil || string(got) != tc.want {
				t.Errorf("%s%s of %.40q: %.60q, %v; want %.60q", tc.encoding, name, tc.in, got, err, tc.want)
			}
		}
	}
}

func TestParameters(t *testing.T) {
	for field, want := range map[string]struct {
		value  string
		params map[string]string
	}{
		`text/plain; charset=utf-8`:                       {"text/plain", map[string]string{"charset": "utf-8"}},
		`TEXT/Html;;;; ;charset="x y";`:                   {"text/html", map[string]string{"charset": "x y"}},
		`text/html charset=utf-8`:                         {"text/html", map[string]string{"charset": "utf-8"}},
		`multipart/mixed; boundary=----=_Part_1.2`:        {"multipart/mixed", map[string]string{"boundary": "----=_Part_1.2"}},
		`text/plain; charset=a; charset=b`:                {"text/plain", map[string]string{"charset": "a"}},
		`attachment; filename*=utf-8''%C3%BC.pdf`:         {"attachment", map[string]string{"filename": "ü.pdf"}},
		`attachment; filename="=?utf-8?q?=C3=BC=2Epdf?="`: {"attachment", map[string]string{"filename": "ü.pdf"}},
		`attachment; filename=my file.pdf`:                {"attachment", map[string]string{"filename": "my"}},
		`attachment; filename="never closed`:              {"attachment", map[string]string{"filename": "never closed"}},
		``:                                                {"", nil},
	} {
		value, params := parameters(field)
		if value != want.value || (len(params)+len(want.params) > 0 && cmp.Diff(want.params, params) != "") {
			t.Errorf("%s: %q %v, want %q %v", field, value, params, want.value, want.params)
		}
	}
}

func TestText(t *testing.T) {
	for _, tc := range []struct{ in, mediaType, charset, want string }{
		{"Gr\xfc\xdfe", "text/plain", "ISO-8859-1", "Grüße"},
		{"Gr\xfc\xdfe", "text/plain", "utf-8", "Grüße"},
		{"Gr\xc3\xbc\xc3\x9fe", "text/plain", "", "Grüße"},
		{"Gr\xc3\xbc\xc3\x9fe", "text/plain", `"iso-8859-1"`, "Grüße"},
		{"Gr\xc3\xbc\xc3\x9fe", "text/plain", "x-nobody", "Grüße"},
		{"\xa4@\xa4G", "text/plain", "big5", "一二"},
		{`<meta charset="big5">` + "\xa4@\xa4G", "text/html", "", `<meta charset="big5">` + "一二"},
		{"\x1b$B0l\x1b(B", "text/plain", "iso-2022-jp", "一"},
	} {
		if got := text([]byte(tc.in), tc.mediaType, tc.charset); got != tc.want {
			t.Errorf("%q as %q: %q, want %q", tc.in, tc.charset, got, tc.want)
		}
	}
}

// TestUglyMultipart: what many senders get wrong costs no part of a message.
func TestUglyMultipart(t *testing.T) {
	const two = "--b\n\none\n--b\nContent-Type: text/html\n\n<p>two</p>\n--b--\n"
	for name, tc := range map[string]struct {
		raw, text, html string
		attachments     int
	}{
		"unquoted boundary": {raw: "Content-Type: multipart/alternative; boundary=--=_b\n\n" + strings.ReplaceAll(two, "--b", "----=_b"), text: "one", html: "<p>two</p>"},
		"another boundary":  {raw: "Content-Type: multipart/alternative; boundary=\"=x y\"\n\n" + strings.ReplaceAll(two, "--b", "--= x y"), text: "one", html: "<p>two</p>"},
		"encoded multipart": {raw: "Content-Type: multipart/alternative; boundary=b\nContent-Transfer-Encoding: base64\n\n" + two, text: "one", html: "<p>two</p>"},
		"broken part header": {raw: "Content-Type: multipart/mixed; boundary=b\n\n--b\nthis is no field\nContent-Type: text/html\n\n<p>one</p>\n--b--\n",
			html: "<p>one</p>"},
		"padded delimiter": {raw: "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b  \n\none\n--b-- \t\nepilogue\n", text: "one"},
		"long line":        {raw: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n" + strings.Repeat("y", 40_000) + "--b\n--b--\n", text: strings.Repeat("y", 40_000) + "--b"},
		"part of nothing":  {raw: "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\none\n--b--\n", text: "one"},
		"digest":           {raw: "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\ninner\n--b--\n", attachments: 1},
		"unclosed inner": {raw: "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=i\n\n--i\n\none\n--b\nContent-Type: application/pdf\n\npdf\n--b--\n",
			text: "one", attachments: 1},
	} {
		for _, raw := range []string{tc.raw, strings.ReplaceAll(tc.raw, "\n", "\r\n")} {
			c, err := Parse(strings.NewReader(raw))
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if c.Text != tc.text || c.HTML != tc.html || len(c.Attachments) != tc.attachments {
				t.Errorf("%s: text %.80q, html %q, %d attachments; want %.80q, %q, %d", name, c.Text, c.HTML, len(c.Attachments), tc.text, tc.html, tc.attachments)
			}
		}
	}
}

// FuzzParse: whatever the bytes are, reading them ends, and each part that is
// listed can be opened.
func FuzzParse(f *testing.F) {
	f.Add(mixed)
	f.Add("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b")
	f.Add("Content-Type: multipart/mixed\n\n--xxxxx\n\none\n--xxxxx\n")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := Parse(strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range c.Attachments {
			err := Open(strings.NewReader(raw), a.ID, func(b Attachment, r io.Reader) error {
				n, err := io.Copy(io.Discard, r)
				if n != a.Size {
					t.Errorf("part %s has %d bytes, was listed with %d", a.ID, n, a.Size)
				}
				return err
			})
			if err != nil {
				t.Errorf("part %s: %v", a.ID, err)
			}
		}
	})
}

// spaces is a reader of nothing else.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// White space of any length is decoded without being held.
func TestMuchWhiteSpace(t *testing.T) {
	const n = 32 << 20
	r := decoded("quoted-printable", io.MultiReader(io.LimitReader(spaces{}, n), strings.NewReader("end")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, err := io.Copy(io.Discard, r)
	runtime.ReadMemStats(&after)
	if err != nil || got != n+3 {
		t.Errorf("%d bytes of %d, %v", got, n+3, err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes of memory", took)
	}
}

// A header line of any length is read without being held.
func TestLongHeaderLine(t *testing.T) {
	const n = 64 << 20
	r := io.MultiReader(strings.NewReader("Subject: a"), io.LimitReader(spaces{}, n), strings.NewReader("b\r\nTo: c@example.org\r\n\r\ntext"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := Parse(r)
	runtime.ReadMemStats(&after)
	if err != nil || c.Text != "text" || len(c.Headers) == 0 || c.Headers[0].Name != "Subject" {
		t.Errorf("%v: text %q, %d fields", err, c.Text, len(c.Headers))
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > n/2 {
		t.Errorf("%d bytes of memory", took)
	}
}
