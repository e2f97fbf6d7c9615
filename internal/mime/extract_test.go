package mime

import (
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"Grüße AN ALLE":   "grüße an alle",
		"\u212Aelvin":     "kelvin", // the Kelvin sign
		"Maſſe":           "masse",  // long s
		"一二 ABC":          "一二 abc",
		"broken \xff end": "broken \uFFFD end",
	} {
		// What matters is which strings are the same, so both sides are folded.
		got := Fold(in)
		if got != Fold(want) || Fold(got) != got {
			t.Errorf("Fold(%q) = %q; want that of %q, %q", in, got, want, Fold(want))
		}
	}
	for r := rune(0); r < 0x20000; r++ {
		if r >= 0xd800 && r < 0xe000 {
			continue
		}
		s := string(r)
		for _, other := range []string{strings.ToUpper(s), strings.ToLower(s)} {
			if strings.EqualFold(s, other) != (Fold(s) == Fold(other)) {
				t.Fatalf("%q and %q: folded %q and %q", s, other, Fold(s), Fold(other))
			}
		}
	}
}

// TestExtract: what a person reads of a message can be found in it, and what is
// not for people cannot.
func TestExtract(t *testing.T) {
	e := scan(t, tricky).Text
	wantHeaders := []mail.Header{
		{Name: "date", Value: "mon, 1 jan 2024 10:00:00 +0100"},
		{Name: "from", Value: `"ann \"a\" lee" <ann@example.org>`},
		{Name: "to", Value: "list: bob@example.org, carol <carol@example.org>;, dave@example.org (dave)"},
		{Name: "subject", Value: Fold("Grüße an alle")},
		{Name: "message-id", Value: "<1@example.org>"}, {Name: "in-reply-to", Value: "<0@example.org>"}, {Name: "mime-version", Value: "1.0"},
		{Name: "content-type", Value: `multipart/mixed; boundary="o"`}, {Name: "content-language", Value: "en, de"},
	}
	if d := cmp.Diff(wantHeaders, e.Headers); d != "" {
		t.Errorf("headers (-want +got):\n%s", d)
	}
	if want := "one\ntwo\x00" + Fold("<p>ü</p>") + "\x00inner text\x00plain text\x00"; e.Body != want || e.More {
		t.Errorf("body %q, want %q", e.Body, want)
	}
	for _, tc := range []struct {
		s          string
		body, text bool
	}{
		{"two", true, true}, {"inner text", true, true}, {"ü", true, true},
		{"inner\n", false, true}, {"eve@example.org", false, true}, {"subject: inner", false, true}, {"filename", false, true},
		{"grüße", false, true}, {"subject: grüße", false, true},
		{"preamble", false, false}, {"jverbg", false, false}, {"=c3=bc", false, false}, {"two<p>", false, false}, {"", true, true},
	} {
		s := Fold(tc.s)
		if e.Contains(s, InBody) != tc.body || e.Contains(s, InText) != tc.text {
			t.Errorf("%q: in the body %v, in the text %v", tc.s, e.Contains(s, InBody), e.Contains(s, InText))
		}
		if tc.s == "inner\n" {
			continue // how fields are told apart is the extract's own
		}
		for scope, want := range map[Scope]bool{InBody: tc.body, InText: tc.text} {
			got, err := Contains(strings.NewReader(tricky), int64(len(tricky)), []string{s}, scope)
			if err != nil || got[0] != want {
				t.Errorf("%q: found in the message %v, %v", tc.s, got, err)
			}
		}
	}
	back, err := DecodeExtract(e.Encode())
	if d := cmp.Diff(e, back); err != nil || d != "" {
		t.Errorf("decoded: %v\n%s", err, d)
	}
	for _, b := range []string{"", "\x00", "\x01", "\x01\xff\xff\xff\xff\xff", string(e.Encode()[:20])} {
		if _, err := DecodeExtract([]byte(b)); err == nil {
			t.Errorf("%q is an extract", b)
		}
	}
}

// charsets are texts that people write, in what their programs say they write
// them in.
var charsets = []struct{ name, text string }{
	{"utf-8", "Ångström naïve 東京"}, {"iso-8859-1", "Grüße aus Köln"}, {"iso-8859-2", "Příliš žluťoučký kůň"}, {"iso-8859-15", "Œuvre à 5 €"},
	{"windows-1252", "“quoted” – naïve"}, {"windows-1251", "Привет, мир"}, {"koi8-r", "Съешь ещё булок"}, {"iso-8859-7", "Καλημέρα κόσμε"},
	{"shift_jis", "日本語のメール"}, {"iso-2022-jp", "日本語のメール"}, {"euc-jp", "日本語のメール"}, {"gb2312", "简体中文邮件"}, {"gb18030", "简体中文邮件"},
	{"big5", "繁體中文郵件"}, {"euc-kr", "한국어 메일"}, {"windows-1255", "שלום עולם"}, {"windows-1256", "مرحبا بالعالم"}, {"utf-16", "Ångström 東京"},
}

func encoded(t testing.TB, name, text string) []byte {
	t.Helper()
	e, err := ianaindex.MIME.Encoding(name)
	if e == nil {
		e, err = htmlindex.Get(name) // knows the names that programs use
	}
	if err != nil || e == nil {
		t.Fatal(name, err)
	}
	b, err := encoding.ReplaceUnsupported(e.NewEncoder()).Bytes([]byte(text))
	if err != nil {
		t.Fatal(name, err)
	}
	return b
}

// TestExtractCharsets: text and headers are found whatever they are written in,
// and however that is carried.
func TestExtractCharsets(t *testing.T) {
	for _, tc := range charsets {
		plain := encoded(t, tc.name, tc.text)
		var qp strings.Builder
		w := quotedprintable.NewWriter(&qp)
		if _, err := w.Write(plain); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		bodies := map[string]string{"8bit": string(plain), "base64": base64.StdEncoding.EncodeToString(plain), "quoted-printable": qp.String()}
		for enc, body := range bodies {
			raw := fmt.Sprintf("Subject: =?%s?b?%s?=\r\nContent-Type: text/plain; charset=\"%s\"\r\nContent-Transfer-Encoding: %s\r\n\r\n%s",
				tc.name, base64.StdEncoding.EncodeToString(plain), strings.ToUpper(tc.name), enc, body)
			e := scan(t, raw).Text
			if !e.Contains(Fold(tc.text), InBody) {
				t.Errorf("%s as %s: body %q", tc.name, enc, e.Body)
			}
			if e.Headers[0].Value != Fold(tc.text) {
				t.Errorf("%s: subject %q", tc.name, e.Headers[0].Value)
			}
		}
	}
}

// TestExtractHTML: HTML is found as it was made and, where it spells letters as
// references, as it is shown.
func TestExtractHTML(t *testing.T) {
	raw := "Content-Type: text/html\r\n\r\n<p class=\"first\">Viele Gr&uuml;&szlig;e &amp; K&#252;sse<br>a &lt; b</p>"
	e := scan(t, raw).Text
	for s, want := range map[string]bool{
		"class=\"first\"": true, "gr&uuml;&szlig;e": true, "viele Grüße & Küsse": true, "a &lt; b": true,
		"küsse<br>": false, "first\">viele Gr&uuml;": true, "a < b": false,
	} {
		if e.Contains(Fold(s), InBody) != want {
			t.Errorf("%q: %v in %q", s, !want, e.Body)
		}
		if got, err := Contains(strings.NewReader(raw), int64(len(raw)), []string{Fold(s)}, InBody); err != nil || got[0] != want {
			t.Errorf("%q in the message: %v, %v", s, got, err)
		}
	}
}

// TestExtractLong: what does not fit an extract is found in the message, also
// across the windows that it is read in.
func TestExtractLong(t *testing.T) {
	var b strings.Builder
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n\r\n")
	for i := 0; b.Len() < 3*MaxExtract; i++ {
		fmt.Fprintf(&b, "Zeile %d über alles\r\n", i)
		if i == 300_000 {
			b.WriteString(strings.Repeat("lang", textWindow/3) + "NADEL" + strings.Repeat("ü", textWindow) + "Öl\r\n")
		}
	}
	b.WriteString("das Letzte")
	raw := b.String()
	e := scan(t, raw).Text
	if !e.More || len(e.Body) > MaxExtract || e.Contains("das letzte", InText) {
		t.Fatalf("an extract of %d bytes, more %v", len(e.Body), e.More)
	}
	needles := []string{"zeile 17 über", "zeile 290001 über alles\nzeile 290002", "langnadelüü", "üüüöl", "das letzte", "ganz anderes", "lungnadel"}
	for i := range needles {
		needles[i] = Fold(needles[i])
	}
	got, err := Contains(strings.NewReader(raw), int64(len(raw)), needles, InBody)
	if d := cmp.Diff([]bool{true, true, true, true, true, false, false}, got); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	// The same text in a part that is encoded, and across pieces of any place.
	for i := range 5 {
		raw := "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", textWindow-2-i)+"needle"+strings.Repeat("y", textWindow)))
		if got, err := Contains(strings.NewReader(raw), int64(len(raw)), []string{"xneedley"}, InBody); err != nil || !got[0] {
			t.Errorf("a needle %d octets before the end of a window: %v, %v", 2+i, got, err)
		}
	}
}

// TestExtractAgreesWithContent: the text of a message is found in its extract.
func TestExtractAgreesWithContent(t *testing.T) {
	raws := corpus(t)
	raws["tricky"], raws["mixed"] = tricky, mixed
	for name, raw := range raws {
		e := scan(t, raw).Text
		c, err := Parse(strings.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(c.Text+"\n"+c.HTML, "\n")
		slices.Sort(lines)
		for i, line := range slices.Compact(lines) {
			if i > 200 {
				break // of a long one that much proves it
			}
			if line = strings.ReplaceAll(line, "\x00", " "); !e.Contains(Fold(line), InBody) {
				t.Errorf("%s: %q is not in the extract", name, line)
				break
			}
		}
		for _, h := range c.Headers {
			if name := strings.ToLower(h.Name); !containsHeader(e, name, h.Value) {
				t.Errorf("%s: %s: %q is not in the extract", name, h.Name, h.Value)
			}
		}
	}
}

func containsHeader(e *Extract, name, value string) bool {
	for _, h := range e.Headers {
		if h.Name == name && strings.Contains(h.Value, Fold(strings.TrimSpace(value))) {
			return true
		}
	}
	return false
}
