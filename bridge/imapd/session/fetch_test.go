package session

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/plugintest"
)

const fetchFields = "From: Bob <bob@example.org>\r\nTo: ann@example.com\r\nSubject: parts\r\nMessage-ID: <parts@example.org>\r\nDate: Sun, 01 Mar 2026 09:00:00 +0000\r\n"

// Whatever the bytes are, BODY[] is just them and RFC822.SIZE their number.
func TestFetchBodyIsTheBytes(t *testing.T) {
	w := newFetchWorld(t)
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 300<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	ugly := []string{
		fetchFields + "\r\nplain\r\n",
		fetchFields + "\r\n",
		fetchFields,               // no blank line
		"Subject: no end of line", // nothing else
		"\r\nno header at all",
		"\n\n\n",
		"x",
		"no colon\r\n\r\nbody",
		"From nobody Mon Sep 17 00:00:00 2001\nFrom: a@b\n\nunix lines\n",
		fetchFields + "\r\nNUL \x00 and bare \r in it\x00",
		"Subj\x00ect: NUL in the header\x00\r\nX: \r bare\r\n\r\nbody",
		fetchFields + "X-8bit: caf\xe9 \xff\xfe\r\n\r\n\xff\xfe\x80",
		fetchFields + "X-Long: " + strings.Repeat("very long ", 110_000) + "\r\n\r\nafter a header of a megabyte\r\n",
		fetchFields + "\r\n" + string(noise),
		string(noise[:1000]),
		strings.Repeat("A: b\r\n", 20_000) + "\r\nmany fields\r\n",
		fetchFields + "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n",
		fetchFields + "Content-Type: multipart/mixed\r\n\r\nno boundary\r\n",
		") (\r\n\r\n{5}\r\n",
	}
	for _, raw := range ugly {
		w.deliver([]byte(raw))
	}
	w.sync()
	w.hydrate()
	answers, tagged := w.fetch("(UID RFC822.SIZE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] ENVELOPE BODYSTRUCTURE BODY RFC822.HEADER)", w.messages())
	if tagged.Status != OK || len(answers) != len(ugly) {
		t.Fatalf("%v, %d answers of %d", tagged, len(answers), len(ugly))
	}
	for i, raw := range ugly {
		a := answers[i+1]
		if a["BODY[]"] != raw {
			t.Errorf("message %d: %d bytes, not the %d of %.60q", i+1, len(a["BODY[]"]), len(raw), raw)
		}
		if a["RFC822.SIZE"] != strconv.Itoa(len(raw)) {
			t.Errorf("message %d: size %s, not %d", i+1, a["RFC822.SIZE"], len(raw))
		}
		if a["BODY[HEADER]"]+a["BODY[TEXT]"] != raw {
			t.Errorf("message %d: header and text are not the message: %.80q %.80q", i+1, a["BODY[HEADER]"], a["BODY[TEXT]"])
		}
		if a["RFC822.HEADER"] != a["BODY[HEADER]"] {
			t.Errorf("message %d: RFC822.HEADER is %.80q, BODY[HEADER] %.80q", i+1, a["RFC822.HEADER"], a["BODY[HEADER]"])
		}
	}
}

// A header that is longer than what is stored of it is told whole, also where
// nothing else is asked for.
func TestFetchLongHeader(t *testing.T) {
	w := newFetchWorld(t)
	var header strings.Builder
	for i := range 9000 {
		fmt.Fprintf(&header, "X-Line-%d: what nobody reads\r\n", i%7)
	}
	last := "X-Last: the end\r\n\r\n"
	w.deliver([]byte(fetchFields + header.String() + last + "body"))
	w.sync()
	if got := w.item("BODY.PEEK[HEADER]"); got != fetchFields+header.String()+last {
		t.Errorf("the header has %d bytes, ends with %.60q", len(got), got[max(0, len(got)-60):])
	}
	if got := w.item("BODY.PEEK[HEADER.FIELDS (X-Last Subject)]"); got != "Subject: parts\r\n"+last {
		t.Errorf("fields of a long header are %.200q", got)
	}
	if got := w.item("BODY.PEEK[HEADER.FIELDS.NOT (X-Line-1 X-Line-2 X-Line-3 X-Line-4 X-Line-5 X-Line-6 X-Line-0)]<10.20>"); got != (fetchFields + last)[10:30] {
		t.Errorf("the other fields are %.200q", got)
	}
}

// entities are messages with parts of all kinds.
func entities() map[string]*entity {
	deep := leafTree("Content-Type: text/plain\r\n", "the deepest")
	for i := range 48 {
		deep = multiTree(fmt.Sprintf("level%d", i), leafTree("", "beside"), deep)
	}
	var thousand []*entity
	for i := range 990 {
		thousand = append(thousand, leafTree(fmt.Sprintf("Content-Type: text/plain; name=%d\r\n", i), fmt.Sprintf("part %d", i)))
	}
	return map[string]*entity{
		"one part": leafTree("Content-Type: text/plain\r\n", "only this\r\n"),
		"two parts": multiTree("b", leafTree("Content-Type: text/plain\r\n", "first\r\nline"),
			leafTree("Content-Type: text/html; charset=utf-8\r\nContent-Disposition: inline\r\n", "<p>second</p>\r\n")),
		"empty part":          multiTree("b", leafTree("Content-Type: text/plain\r\n", ""), leafTree("Content-Type: text/plain\r\n", "x")),
		"part without header": multiTree("b", leafTree("", "no header of its own")),
		"forwarded": multiTree("outer", leafTree("Content-Type: text/plain\r\n", "see below"),
			messageTree(multiTree("inner", leafTree("Content-Type: text/plain\r\n", "inner one"), base64Tree("inner two"))),
			messageTree(leafTree("Content-Type: text/plain\r\n", "alone in it\r\n"))),
		"nested":     multiTree("a", multiTree("b", multiTree("c", leafTree("Content-Type: text/plain\r\n", "1.1.1"), base64Tree("1.1.2")), leafTree("", "1.2"))),
		"fifty deep": deep,
		"a thousand": multiTree("k", thousand...),
	}
}

// Every section of a message is what the message was put together from.
func TestFetchSections(t *testing.T) {
	for name, tr := range entities() {
		t.Run(name, func(t *testing.T) {
			w := newFetchWorld(t)
			raw, want := tr.message(fetchFields)
			w.deliver(raw)
			w.sync()
			var items []string
			for section := range want {
				items = append(items, "BODY.PEEK["+section+"]")
			}
			got := sections{}
			for len(items) > 0 {
				n := min(len(items), maxItems)
				answers, tagged := w.fetch("("+strings.Join(items[:n], " ")+")", w.messages())
				items = items[n:]
				if tagged.Status != OK {
					t.Fatal(tagged)
				}
				for k, v := range answers[1] {
					got[strings.TrimSuffix(strings.TrimPrefix(k, "BODY["), "]")] = v
				}
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-put together +fetched):\n%s", d)
			}
			for _, none := range []string{"7777", "1.77", "1.1.1.1.77", "7777.MIME", "7777.HEADER"} {
				if v := w.item("BODY.PEEK[" + none + "]"); v != "NIL" {
					t.Errorf("BODY[%s], which there is not, is %.60q", none, v)
				}
			}
		})
	}
}

// A partial is that piece of the text, and nothing behind its end.
func TestFetchPartials(t *testing.T) {
	w := newFetchWorld(t)
	tr := multiTree("b", leafTree("Content-Type: text/plain\r\n", "0123456789"), base64Tree("ab\x00de"+strings.Repeat("z", 100)))
	raw, want := tr.message(fetchFields)
	want["HEADER.FIELDS (Subject From)"] = "From: Bob <bob@example.org>\r\nSubject: parts\r\n\r\n"
	want["HEADER.FIELDS.NOT (Subject From To Date)"] = "Message-ID: <parts@example.org>\r\nMIME-Version: 1.0\r\n" + tr.header + "\r\n"
	w.deliver(raw)
	w.sync()
	for section, text := range want {
		n := len(text)
		for _, from := range []int{0, 1, n / 2, n - 1, n, n + 1, 1 << 40} {
			for _, count := range []int{1, 2, n - 1, n, n + 1, 1 << 40} {
				if count < 1 || from < 0 {
					continue
				}
				item := fmt.Sprintf("BODY.PEEK[%s]<%d.%d>", section, from, count)
				begin := min(from, n)
				if got, want := w.item(item), text[begin:begin+min(count, n-begin)]; got != want {
					t.Errorf("%s: %q, want %q", item, got, want)
				}
			}
		}
	}
	answers, _ := w.fetch("(BODY.PEEK[1]<3.4> BINARY.PEEK[2]<0.2> BINARY.PEEK[2]<1.2> BINARY.PEEK[2] BINARY.SIZE[2] BINARY.PEEK[77] BINARY.SIZE[77])", w.messages())
	if d := cmp.Diff(map[string]string{"BODY[1]<3>": "3456", "BINARY[2]<0>": "ab", "BINARY[2]<1>": "~b\x00", "BINARY[2]": "~" + tr.parts[1].encoded,
		"BINARY.SIZE[2]": "105", "BINARY[77]": "NIL", "BINARY.SIZE[77]": "0"}, answers[1]); d != "" {
		t.Error(d)
	}
}

// BINARY undoes what encodings there are, of small parts and large ones.
func TestFetchBinary(t *testing.T) {
	large := strings.Repeat("all work and no play ", 60_000)
	holed := large + "\x00" + large
	for name, c := range map[string]struct {
		part *entity
		want string
	}{
		"base64":           {base64Tree("hello"), "hello"},
		"large base64":     {base64Tree(large), large},
		"large with NUL":   {base64Tree(holed), "~" + holed},
		"quoted-printable": {leafTree("Content-Transfer-Encoding: Quoted-Printable\r\n", "caf=C3=A9 =\r\nau lait"), "café au lait"},
		"7bit":             {leafTree("Content-Transfer-Encoding: 7bit\r\n", "as it =3D is"), "as it =3D is"},
		"none":             {leafTree("", "as it is"), "as it is"},
		"large binary":     {leafTree("Content-Transfer-Encoding: binary\r\n", holed), "~" + holed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFetchWorld(t)
			raw, s := multiTree("b", c.part).message(fetchFields)
			w.deliver(raw)
			w.sync()
			if got := w.item("BINARY.PEEK[1]"); got != c.want {
				t.Errorf("%d bytes %.80q, want %d bytes %.80q", len(got), got, len(c.want), c.want)
			}
			if got, want := w.item("BINARY.SIZE[1]"), strconv.Itoa(len(strings.TrimPrefix(c.want, "~"))); got != want {
				t.Errorf("BINARY.SIZE is %s, not %s", got, want)
			}
			if got := w.item("BODY.PEEK[1]"); got != s["1"] {
				t.Errorf("BODY[1] is %.80q", got)
			}
			plain := strings.TrimPrefix(c.want, "~")
			if at := strings.IndexByte(plain, 0); at > 0 {
				if got := w.item(fmt.Sprintf("BINARY.PEEK[1]<%d.3>", at-1)); got != "~"+plain[at-1:at+2] {
					t.Errorf("a partial with the NUL is %q", got)
				}
				if got := w.item(fmt.Sprintf("BINARY.PEEK[1]<%d.3>", at+1)); got != plain[at+1:at+4] {
					t.Errorf("a partial behind the NUL is %q", got)
				}
			}
		})
	}
	w := newFetchWorld(t)
	raw, _ := multiTree("b", leafTree("Content-Transfer-Encoding: x-uuencode\r\n", "begin 644 x"), leafTree("", "known")).message(fetchFields)
	w.deliver(raw)
	w.sync()
	for _, item := range []string{"BINARY.PEEK[1]", "BINARY.SIZE[1]"} {
		if answers, tagged := w.fetch(item, w.messages()); len(answers) != 0 || tagged.Status != No || tagged.Code != "UNKNOWN-CTE" {
			t.Errorf("%s: %v %v", item, answers, tagged)
		}
	}
	if got := w.item("BINARY.PEEK[2]"); got != "known" {
		t.Errorf("the other part is %q", got)
	}
	if got := w.item("BINARY.PEEK[]"); got != string(raw) {
		t.Errorf("the whole message is %.80q", got)
	}
}

// Real mail: its bytes, and the parts that the standard library finds in it.
func TestFetchCorpus(t *testing.T) {
	files := plugintest.Corpus(t)
	var raws [][]byte
	for i, name := range files {
		if i%10 != 0 && filepath.Ext(name) == ".eml" {
			continue
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 0 {
			raws = append(raws, raw)
		}
	}
	w := newFetchWorld(t)
	for _, raw := range raws {
		w.deliver(raw)
	}
	w.sync()
	messages := w.messages()
	answers, tagged := w.fetch("(UID RFC822.SIZE BODY.PEEK[] ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[HEADER.FIELDS.NOT (Subject)] BODY.PEEK[HEADER])", messages)
	if tagged.Status != OK || len(answers) != len(raws) {
		t.Fatalf("%v, %d answers of %d", tagged, len(answers), len(raws))
	}
	compared := 0
	for i, raw := range raws {
		a := answers[i+1]
		if a["BODY[]"] != string(raw) || a["RFC822.SIZE"] != strconv.Itoa(len(raw)) {
			t.Fatalf("message %d: size %s, %d bytes, not %d", i+1, a["RFC822.SIZE"], len(a["BODY[]"]), len(raw))
		}
		for k, part := range libraryParts(raw) {
			section := fmt.Sprintf("BODY[%d]", k+1)
			got, tagged := w.fetch("BODY.PEEK["+strconv.Itoa(k+1)+"]", messages[i:i+1])
			if tagged.Status != OK || got[i+1][section] != part {
				t.Errorf("message %d, %s: %v %.100q, the library says %.100q", i+1, section, tagged, got[i+1][section], part)
			}
			compared++
		}
	}
	if compared < 20 {
		t.Errorf("only %d parts were compared", compared)
	}
}

// libraryParts are the raw parts of a multipart message that the standard
// library reads to its end, nothing for one that it does not.
func libraryParts(raw []byte) (parts []string) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return nil
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			return nil
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil
		}
		parts = append(parts, string(b))
	}
}
