package mimetree_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/internal/sandbox/mimetree"
)

const letter = "From: =?utf-8?Q?J=C3=B6rg?= <joerg@example.org>\r\n" +
	"To: \"B, C\" <b@example.org>, c@example.org (Carl)\r\n" +
	"Date: Mon, 2 Mar 2026 10:00:00 +0100\r\n" +
	"Subject: =?utf-8?B?R3LDvMOf?= \r\n =?utf-8?B?ZQ==?=\r\n" +
	"References: <a@x>\r\n <b@x>\r\n" +
	"Content-Type: multipart/mixed; boundary=\"b 1\"\r\n\r\n" +
	"--b 1\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=FC=DFe\r\n" +
	"--b 1\r\nContent-Type: application/pdf; name*0*=utf-8''%c3%a4; name*1=.pdf\r\nContent-Disposition: attachment\r\n" +
	"Content-Transfer-Encoding: base64\r\nContent-ID: <cid@x>\r\n\r\nJVBERg==\r\n" +
	"--b 1--\r\n"

func TestALetterIsTakenApart(t *testing.T) {
	p := mimetree.Parse([]byte(letter))
	if p.Type != "multipart/mixed" || len(p.Parts) != 2 {
		t.Fatalf("a %s of %d parts", p.Type, len(p.Parts))
	}
	if got := mimetree.DecodeWords(p.Header.Get("Subject"), ""); got != "Grüße" {
		t.Errorf("subject %q", got)
	}
	if got := p.Parts[0].Text(); got != "Grüße" {
		t.Errorf("text %q", got)
	}
	pdf := p.Parts[1]
	if pdf.Filename != "ä.pdf" || pdf.Disposition != "attachment" || pdf.ContentID() != "cid@x" || string(pdf.Decoded()) != "%PDF" {
		t.Errorf("attachment %q %q %q %q", pdf.Filename, pdf.Disposition, pdf.ContentID(), pdf.Decoded())
	}
	if diff := cmp.Diff([]string{"<a@x>", "<b@x>"}, mimetree.MessageIDs(p.Header.Get("References"))); diff != "" {
		t.Error(diff)
	}
	want := []mimetree.Recipient{{Name: "B, C", Address: "b@example.org"}, {Name: "Carl", Address: "c@example.org"}}
	if diff := cmp.Diff(want, mimetree.ParseAddresses(p.Header.All("to"), "")); diff != "" {
		t.Error(diff)
	}
	if at, ok := p.Header.Date(); !ok || !at.Equal(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("date %v %v", at, ok)
	}
}

func TestWhatIsNoMultipartIsText(t *testing.T) {
	p := mimetree.Parse([]byte("Content-Type: multipart/mixed; boundary=none\n\nwords\n"))
	if p.Type != "text/plain" || len(p.Parts) != 0 || string(p.Body) != "words\n" {
		t.Errorf("%s with %d parts and %q", p.Type, len(p.Parts), p.Body)
	}
}

func TestDepthIsBounded(t *testing.T) {
	raw := strings.Repeat("Content-Type: multipart/mixed; boundary=b\n\n--b\n", 500) + "\nend\n"
	depth := 0
	for p := mimetree.Parse([]byte(raw)); len(p.Parts) > 0; p = p.Parts[0] {
		depth++
	}
	if depth == 0 || depth > 100 {
		t.Errorf("a depth of %d", depth)
	}
}

func TestHTMLReadsAsText(t *testing.T) {
	got := mimetree.HTMLToText("<style>x{}</style><p>one &amp; <b>two</b></p><script>no</script><p>three")
	if got != "one & two\r\nthree" && got != "one & two\r\n\r\nthree" {
		t.Errorf("%q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(letter))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"\"\n\n--\n--\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var walk func(*mimetree.Part)
		walk = func(p *mimetree.Part) {
			_, _ = p.Text(), p.Decoded()
			for _, c := range p.Parts {
				walk(c)
			}
		}
		walk(mimetree.Parse(raw))
	})
}
